/* Rows of the store that are more than numbers: names (column d), sessions (column s) and leases
 * (column l). Whatever bytes a disk gives, they are decoded or refused. The first byte says which. */
#include "mvcc/lease_rows.h"
#include "mvcc/names_internal.h"
#include "mvcc/session.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(struct bytes from)
{
    struct name_row row;
    struct err err;
    if (name_row_decode(from, &row, &err) != ERR_OK)
        return;
    struct name_state state = name_state_of(&row);
    CHECK(!(state.is_node && row.has_value));
    CHECK(row.meta_bytes.size <= from.size && row.record_bytes.size <= from.size);
    CHECK(!name_meta_counts(&row) || (row.has_value && row.has_meta));
}

static void check_session(struct bytes from)
{
    static const uint8_t key[] = {'s', 0, 0, 0, 0, 0, 0, 0, 7};
    struct backend_memory *memory = backend_memory_new(0);
    struct backend *backend = backend_memory_open(memory);
    struct backend_op op = {.key = bytes_of(key, sizeof(key)), .value = from};
    struct batch *batch = batch_new(backend);
    struct sessions *sessions = sessions_new(backend, batch);
    struct err err;
    CHECK(backend->ops->write(backend, &op, 1, &err) == ERR_OK);
    if (sessions_load(sessions, &err) == ERR_OK) {
        enum session_verdict verdict;
        uint32_t status;
        kv_rev revision;
        CHECK(sessions_begin(sessions, 7, UINT64_MAX, 0, 1, &verdict, &status, &revision, &err) ==
              ERR_OK);
        sessions_flush(sessions);
        CHECK(batch_write(batch, &err) == ERR_OK);
        CHECK(sessions_load(sessions, &err) == ERR_OK);
    }
    sessions_free(sessions);
    batch_free(batch);
    backend_close(backend);
    backend_memory_free(memory);
}

/* A point read and a walk see the same. */
static void check_lease(struct bytes from)
{
    static const uint8_t key[] = {'l', 0, 0, 0, 0, 0, 0, 0, 7};
    struct backend_memory *memory = backend_memory_new(0);
    struct backend *backend = backend_memory_open(memory);
    struct backend_op op = {.key = bytes_of(key, sizeof(key)), .value = from};
    struct batch *batch = batch_new(backend);
    struct view view = {.backend = backend};
    struct lease_cursor cursor;
    struct lease_row row;
    struct err err;
    CHECK(backend->ops->write(backend, &op, 1, &err) == ERR_OK);
    enum err_code code = lease_row_get(batch, 7, &row, &err);
    lease_cursor_init(&cursor, &view);
    CHECK(lease_cursor_next(&cursor, &err) == code);
    CHECK(code || (cursor.id == 7 && cursor.row.renewal == row.renewal));
    CHECK(code || (row.ttl_s > 0 && row.ttl_s <= LEASE_TTL_MAX_S));
    lease_cursor_release(&cursor);
    batch_free(batch);
    backend_close(backend);
    backend_memory_free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes from = bytes_of(data + 1, size - 1);
    switch (data[0] % 3) {
    case 0: check_name(from); break;
    case 1: check_session(from); break;
    case 2: check_lease(from); break;
    }
    return 0;
}
