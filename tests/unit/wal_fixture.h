/* What the tests of the log share: a simulated disk, options, entries that know their contents, and a
 * model of what a log must hold. */
#ifndef TESTS_UNIT_WAL_FIXTURE_H
#define TESTS_UNIT_WAL_FIXTURE_H

#include "tests/test.h"

#include <inttypes.h>

#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/rand.h"
#include "tests/sim/sim_disk.h"
#include "wal/wal.h"

#define FIXTURE_FOLDER "wal"
#define FIXTURE_IDENTITY ((struct wal_identity){0x1111, 0x22, 0x333333})

static inline struct wal_options fixture_options(struct disk *disk)
{
    return (struct wal_options){.disk = disk, .folder = FIXTURE_FOLDER,
                                .segment_size = SEGMENT_SIZE_MIN,
                                .identity = FIXTURE_IDENTITY, .create = true};
}

/* An entry whose payload is drawn from its index and term, so that it can be checked alone. */
static inline struct entry fixture_entry(raft_index index, raft_term term, size_t size)
{
    struct entry entry = {term, index, ENTRY_NORMAL, size ? blob_new(size) : NULL};
    struct rand rand;
    rand_init(&rand, index * 1000003 + term);
    for (size_t i = 0; i < size; i++)
        entry.payload->data[i] = (uint8_t)rand_u32(&rand);
    return entry;
}

static inline void fixture_check_entry(const struct entry *entry, raft_index index)
{
    assert_int_equal(entry->index, index);
    struct entry expected = fixture_entry(index, entry->term, blob_bytes(entry->payload).size);
    assert_bytes_equal(blob_bytes(entry->payload), blob_bytes(expected.payload));
    blob_unref(expected.payload);
}

/* Appends count entries of one size and term, from index on. */
static inline enum err_code fixture_append(struct wal *wal, raft_index index, raft_term term,
                                           size_t count, size_t size, struct err *err)
{
    struct entry *entries = calloc(count + 1, sizeof *entries);
    for (size_t i = 0; i < count; i++)
        entries[i] = fixture_entry(index + i, term, size);
    enum err_code code = wal_append(wal, NULL, entries, count, err);
    for (size_t i = 0; i < count; i++)
        blob_unref(entries[i].payload);
    free(entries);
    return code;
}

static inline enum err_code fixture_mark(struct wal *wal, raft_index index, raft_term term,
                                         const char *configuration, struct err *err)
{
    struct snapshot_mark mark = {index, term, NULL};
    if (configuration)
        mark.configuration = blob_copy(bytes_of_text(configuration));
    enum err_code code = wal_mark(wal, &mark, err);
    blob_unref(mark.configuration);
    return code;
}

/* Everything there is to prepare, on this thread. */
static inline enum err_code fixture_prepare(struct wal *wal, struct err *err)
{
    struct wal_prepare_job *job;
    enum err_code code = ERR_OK;
    while (!code && (job = wal_prepare_begin(wal))) {
        wal_prepare_run(job);
        code = wal_prepare_end(wal, job, err);
    }
    return code;
}

/* Prints why before the assertion fails: cmocka would only print the number. */
#define assert_good(call, err)                                                                     \
    do {                                                                                           \
        enum err_code assert_code = (call);                                                        \
        if (assert_code)                                                                           \
            print_error("%s: %s\n", err_name(assert_code), (err).text);                            \
        assert_int_equal(assert_code, ERR_OK);                                                     \
    } while (0)

#endif
