#include "tests/bench/floor_leveldb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leveldb/c.h>

#include "proto/base/bytes.h"
#include "proto/base/limits.h"

struct floor {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_writeoptions_t *write_options;
    leveldb_writebatch_t *batch;
    size_t waiting;
};

static void die_on(char *failure)
{
    if (!failure)
        return;
    fprintf(stderr, "floor: %s\n", failure);
    exit(1);
}

struct floor *floor_open(const char *path)
{
    char *failure = NULL;
    struct floor *floor = calloc(1, sizeof(*floor));
    if (!floor)
        abort();
    floor->options = leveldb_options_create();
    floor->write_options = leveldb_writeoptions_create();
    floor->batch = leveldb_writebatch_create();
    leveldb_options_set_create_if_missing(floor->options, 1);
    leveldb_options_set_write_buffer_size(floor->options, WRITE_BUFFER_SIZE);
    floor->db = leveldb_open(floor->options, path, &failure);
    die_on(failure);
    return floor;
}

void floor_close(struct floor *floor)
{
    if (!floor)
        return;
    leveldb_close(floor->db);
    leveldb_writebatch_destroy(floor->batch);
    leveldb_writeoptions_destroy(floor->write_options);
    leveldb_options_destroy(floor->options);
    free(floor);
}

void floor_put(struct floor *floor, const char *key, uint64_t revision, const void *value,
               size_t value_size, size_t batch_size)
{
    struct buf key_row = {0}, revision_row = {0};
    char *failure = NULL;
    buf_append_u8(&key_row, 'k');
    buf_append(&key_row, bytes_of_text(key));
    buf_append_be64(&key_row, ~revision);
    buf_append_u8(&revision_row, 'r');
    buf_append_be64(&revision_row, revision);
    leveldb_writebatch_put(floor->batch, (const char *)key_row.data, key_row.size, value, value_size);
    leveldb_writebatch_put(floor->batch, (const char *)revision_row.data, revision_row.size, key,
                           strlen(key));
    buf_release(&key_row);
    buf_release(&revision_row);
    if (++floor->waiting < batch_size)
        return;
    leveldb_write(floor->db, floor->write_options, floor->batch, &failure);
    die_on(failure);
    leveldb_writebatch_clear(floor->batch);
    floor->waiting = 0;
}
