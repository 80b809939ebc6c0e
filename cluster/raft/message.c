/* Messages: their kinds, copies of them, and which of them no correct peer sends. */
#include "cluster/raft/raft_internal.h"

bool raft_message_is_local(enum raft_message_type type)
{
    switch (type) {
    case RAFT_MSG_HUP:
    case RAFT_MSG_BEAT:
    case RAFT_MSG_UNREACHABLE:
    case RAFT_MSG_SNAP_STATUS:
    case RAFT_MSG_CHECK_QUORUM:
    case RAFT_MSG_STORAGE_APPEND:
    case RAFT_MSG_STORAGE_APPEND_RESP:
    case RAFT_MSG_STORAGE_APPLY:
    case RAFT_MSG_STORAGE_APPLY_RESP:
        return true;
    default:
        return false;
    }
}

bool raft_message_is_response(enum raft_message_type type)
{
    switch (type) {
    case RAFT_MSG_APP_RESP:
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_HEARTBEAT_RESP:
    case RAFT_MSG_UNREACHABLE:
    case RAFT_MSG_READ_INDEX_RESP:
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_STORAGE_APPEND_RESP:
    case RAFT_MSG_STORAGE_APPLY_RESP:
        return true;
    default:
        return false;
    }
}

static size_t clone_size(const struct raft_message *message)
{
    size_t size = message->entry_count * sizeof(struct entry) +
                  message->response_count * sizeof(struct raft_message) + message->context.size;
    if (message->snapshot)
        size += sizeof(struct raft_snapshot);
    for (size_t i = 0; i < message->response_count; i++)
        size += clone_size(&message->responses[i]);
    return size;
}

static void *clone_part(char **room, const void *from, size_t size)
{
    char *part = *room;
    if (size > 0)
        memcpy(part, from, size);
    *room += size;
    return part;
}

/* Whatever has pointers goes first, at every level, so that contexts (bytes) disturb no alignment:
 * they are copied from the end of the block. */
static void clone_into(struct raft_message *copy, char **room, char **end)
{
    copy->entries = clone_part(room, copy->entries, copy->entry_count * sizeof(struct entry));
    for (size_t i = 0; i < copy->entry_count; i++)
        blob_ref(copy->entries[i].payload);
    if (copy->snapshot) {
        copy->snapshot = clone_part(room, copy->snapshot, sizeof(struct raft_snapshot));
        blob_ref(copy->snapshot->mark.configuration);
        blob_ref(copy->snapshot->data);
    }
    if (copy->context.size > 0) {
        *end -= copy->context.size;
        copy->context.data = memcpy(*end, copy->context.data, copy->context.size);
    }
    struct raft_message *responses =
        clone_part(room, copy->responses, copy->response_count * sizeof(*responses));
    for (size_t i = 0; i < copy->response_count; i++)
        clone_into(&responses[i], room, end);
    copy->responses = responses;
}

struct raft_message *raft_message_clone(struct mem *mem, const struct raft_message *message)
{
    size_t size = clone_size(message);
    struct raft_message *copy = mem_alloc(mem, sizeof(*copy) + size);
    if (!copy)
        return NULL;
    char *room = (char *)(copy + 1), *end = room + size;
    *copy = *message;
    clone_into(copy, &room, &end);
    return copy;
}

static void unref_parts(const struct raft_message *message)
{
    for (size_t i = 0; i < message->entry_count; i++)
        blob_unref(message->entries[i].payload);
    if (message->snapshot) {
        blob_unref(message->snapshot->mark.configuration);
        blob_unref(message->snapshot->data);
    }
    for (size_t i = 0; i < message->response_count; i++)
        unref_parts(&message->responses[i]);
}

void raft_message_free(struct mem *mem, struct raft_message *message)
{
    if (message)
        unref_parts(message);
    mem_free(mem, message);
}

/* --- soundness -------------------------------------------------------------------------------- */

static bool entries_are_dense(const struct raft_message *message)
{
    raft_term term = message->log_term;
    if (message->index > UINT64_MAX - 1 - message->entry_count)
        return false;
    for (size_t i = 0; i < message->entry_count; i++) {
        const struct entry *entry = &message->entries[i];
        if (entry->index != message->index + 1 + i || entry->term < term ||
            entry->term > message->term || (unsigned)entry->type > ENTRY_CONF_CHANGE_V2)
            return false;
        term = entry->term;
    }
    return true;
}

bool raft_message_is_proposal(const struct raft_message *message)
{
    struct raft_conf_change change;
    for (size_t i = 0; i < message->entry_count; i++)
        if (message->entries[i].type != ENTRY_NORMAL &&
            raft_conf_change_decode(&message->entries[i], &change) != ERR_OK)
            return false;
    return message->entry_count > 0;
}

static bool snapshot_is_sound(const struct raft_message *message)
{
    const struct raft_snapshot *snapshot = message->snapshot;
    return snapshot && snapshot->mark.index < UINT64_MAX - 1 &&
           snapshot->mark.term <= message->term;
}

/* Terms count elections: nobody comes near the end of the range, where one more would wrap. */
static bool term_is_sound(raft_term term)
{
    return term != 0 && term <= UINT64_MAX / 2;
}

/* What a member sends to itself by way of its storage, and what it may have asked of others before
 * it became the one to ask. Nobody leads or asks for votes towards himself. */
bool raft_message_may_be_own(enum raft_message_type type)
{
    switch (type) {
    case RAFT_MSG_APP_RESP:
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_PROP:
    case RAFT_MSG_READ_INDEX:
    case RAFT_MSG_TRANSFER_LEADER:
    case RAFT_MSG_FORGET_LEADER:
        return true;
    default:
        return false;
    }
}

bool raft_message_is_sound(const struct raft_message *message)
{
    switch (message->type) {
    case RAFT_MSG_PROP:
        return message->term == 0 && raft_message_is_proposal(message);
    case RAFT_MSG_READ_INDEX:
        return message->term == 0 && message->entry_count == 1;
    case RAFT_MSG_READ_INDEX_RESP:
        return term_is_sound(message->term) && message->entry_count == 1;
    case RAFT_MSG_APP:
        return term_is_sound(message->term) && entries_are_dense(message);
    case RAFT_MSG_SNAP:
        return term_is_sound(message->term) && snapshot_is_sound(message);
    case RAFT_MSG_TRANSFER_LEADER:
    case RAFT_MSG_FORGET_LEADER:
        return message->term == 0 || term_is_sound(message->term);
    default:
        return (unsigned)message->type < RAFT_MSG_TYPE_COUNT && term_is_sound(message->term);
    }
}
