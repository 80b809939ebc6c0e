/* Configurations and changes of the raft core: any bytes are decoded or refused, and what is
 * decoded comes back the same from its own encoding. */
#include "cluster/raft/raft.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void state(struct bytes from)
{
    struct raft_conf_state first, second;
    struct buf buf = {0};
    if (raft_conf_state_decode(from, &first) != ERR_OK)
        return;
    raft_conf_state_encode(&first, &buf);
    CHECK(raft_conf_state_decode(buf_bytes(&buf), &second) == ERR_OK);
    CHECK(raft_conf_state_equal(&first, &second));
    buf_release(&buf);
}

static void change(struct bytes from, enum entry_type type)
{
    struct entry entry = {.type = type, .payload = blob_copy(from)};
    struct entry again = {.type = type};
    struct raft_conf_change first, second;
    struct buf buf = {0};
    if (raft_conf_change_decode(&entry, &first) == ERR_OK) {
        CHECK(raft_conf_change_encode(&first, type == ENTRY_CONF_CHANGE, &buf) == ERR_OK);
        again.payload = blob_copy(buf_bytes(&buf));
        CHECK(raft_conf_change_decode(&again, &second) == ERR_OK);
        CHECK(first.count == second.count && first.transition == second.transition);
        CHECK(bytes_equal(first.context, second.context));
        for (size_t i = 0; i < first.count; i++) {
            CHECK(first.changes[i].type == second.changes[i].type);
            CHECK(first.changes[i].id == second.changes[i].id);
        }
    }
    buf_release(&buf);
    blob_unref(entry.payload);
    blob_unref(again.payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes from = bytes_of(data, size);
    state(from);
    change(from, ENTRY_CONF_CHANGE);
    change(from, ENTRY_CONF_CHANGE_V2);
    return 0;
}
