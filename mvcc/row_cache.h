/* A cache of small rows in front of the writer's point reads, of fixed size whatever the number of keys. It
 * holds what is in the backend, and what is known not to be there; it never changes a result.
 *
 * Threads: the writer.
 */
#ifndef MVCC_ROW_CACHE_H
#define MVCC_ROW_CACHE_H

#include "proto/base/bytes.h"

struct row_cache;

struct row_cache *row_cache_new(void);
void row_cache_free(struct row_cache *cache);           /* NULL is fine */

/* hash is of the key, everywhere. True: the row is known; ret_absent: not to be there, else ret_value is it
 * and lives until the next row_cache_put. */
bool row_cache_get(struct row_cache *cache, struct bytes key, uint32_t hash, bool *ret_absent,
                   struct bytes *ret_value);
/* value NULL: the row is known to be absent. A row that is too large is not known any more. */
void row_cache_put(struct row_cache *cache, struct bytes key, uint32_t hash,
                   const struct bytes *value);

#endif
