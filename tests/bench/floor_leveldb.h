/* The floor of a member's puts: what LevelDB alone needs for the rows of a put. */
#ifndef TESTS_BENCH_FLOOR_LEVELDB_H
#define TESTS_BENCH_FLOOR_LEVELDB_H

#include <stddef.h>
#include <stdint.h>

struct floor;

struct floor *floor_open(const char *path);
void floor_close(struct floor *floor);         /* NULL is fine */
/* One put: a row of the key with its revision and value, and a row of the revision. Every batch_size
 * puts are written together, sync=false. */
void floor_put(struct floor *floor, const char *key, uint64_t revision, const void *value,
               size_t value_size, size_t batch_size);

#endif
