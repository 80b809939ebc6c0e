#include "cluster/raft/print.h"

#include <inttypes.h>

#include "proto/base/check.h"

static const char *const message_names[] = {
    "MsgHup",
    "MsgBeat",
    "MsgProp",
    "MsgApp",
    "MsgAppResp",
    "MsgVote",
    "MsgVoteResp",
    "MsgSnap",
    "MsgHeartbeat",
    "MsgHeartbeatResp",
    "MsgUnreachable",
    "MsgSnapStatus",
    "MsgCheckQuorum",
    "MsgTransferLeader",
    "MsgTimeoutNow",
    "MsgReadIndex",
    "MsgReadIndexResp",
    "MsgPreVote",
    "MsgPreVoteResp",
    "MsgStorageAppend",
    "MsgStorageAppendResp",
    "MsgStorageApply",
    "MsgStorageApplyResp",
    "MsgForgetLeader",
};
static const char *const role_names[] = {
    "StateFollower",
    "StateCandidate",
    "StateLeader",
    "StatePreCandidate",
};
static const char *const progress_names[] = {"StateProbe", "StateReplicate", "StateSnapshot"};
static const char *const entry_names[] = {"EntryNormal", "EntryConfChange", "EntryConfChangeV2"};

#define NAME(names, value) ((size_t)(value) < ARRAY_COUNT(names) ? (names)[value] : "unknown")

const char *raft_message_name(enum raft_message_type type)
{
    return NAME(message_names, type);
}
const char *raft_role_name(enum raft_role role)
{
    return NAME(role_names, role);
}
const char *raft_progress_name(enum raft_progress_state state)
{
    return NAME(progress_names, state);
}

static void print_text(struct buf *buf, const char *text)
{
    buf_append(buf, bytes_of_text(text));
}

/* --- payloads --------------------------------------------------------------------------------- */

/* The length of the UTF-8 sequence at the front; 0 when there is none of more than one byte. */
static size_t utf8_length(struct bytes from)
{
    uint8_t lead = from.data[0];
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || from.size < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((from.data[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static void print_byte(struct buf *buf, uint8_t byte)
{
    static const char escapes[] = "abtnvfr"; /* 7 to 13 */
    if (byte >= 7 && byte <= 13)
        buf_append_format(buf, "\\%c", escapes[byte - 7]);
    else if (byte == '"' || byte == '\\')
        buf_append_format(buf, "\\%c", byte);
    else if (byte >= 0x20 && byte < 0x7f)
        buf_append_u8(buf, byte);
    else
        buf_append_format(buf, "\\x%02x", byte);
}

static void print_quoted(struct buf *buf, struct bytes from)
{
    buf_append_u8(buf, '"');
    while (from.size > 0) {
        size_t length = utf8_length(from);
        if (length > 0)
            buf_append(buf, bytes_of(from.data, length));
        else
            print_byte(buf, from.data[0]);
        from = bytes_skip(from, length > 0 ? length : 1);
    }
    buf_append_u8(buf, '"');
}

void raft_print_changes(struct buf *buf, const struct raft_conf_change *change)
{
    static const char letters[] = "vrul";
    for (size_t i = 0; i < change->count; i++)
        buf_append_format(buf, "%s%c%" PRIu64, i > 0 ? " " : "", letters[change->changes[i].type],
                          change->changes[i].id);
}

void raft_print_entry(struct buf *buf, const struct entry *entry)
{
    struct raft_conf_change change;
    buf_append_format(buf, "%" PRIu64 "/%" PRIu64 " %s", entry->term, entry->index,
                      NAME(entry_names, entry->type));
    if (entry->type == ENTRY_NORMAL) {
        buf_append_u8(buf, ' ');
        print_quoted(buf, blob_bytes(entry->payload));
    } else if (raft_conf_change_decode(entry, &change) != ERR_OK) {
        print_text(buf, " unreadable");
    } else if (change.count > 0) {
        buf_append_u8(buf, ' ');
        raft_print_changes(buf, &change);
    }
}

/* --- states ----------------------------------------------------------------------------------- */

void raft_print_hard_state(struct buf *buf, const struct hard_state *state)
{
    buf_append_format(buf, "Term:%" PRIu64, state->term);
    if (state->vote != RAFT_NOBODY)
        buf_append_format(buf, " Vote:%" PRIu64, state->vote);
    buf_append_format(buf, " Commit:%" PRIu64, state->commit);
}

void raft_print_soft_state(struct buf *buf, const struct raft_soft_state *state)
{
    buf_append_format(buf, "Lead:%" PRIu64 " State:%s", state->leader, raft_role_name(state->role));
}

static void print_set(struct buf *buf, const struct raft_id_set *set, const char *open, char close)
{
    print_text(buf, open);
    for (size_t i = 0; i < set->count; i++)
        buf_append_format(buf, "%s%" PRIu64, i > 0 ? " " : "", set->ids[i]);
    buf_append_u8(buf, (uint8_t)close);
}

void raft_print_conf_state(struct buf *buf, const struct raft_conf_state *state)
{
    print_set(buf, &state->voters, "Voters:[", ']');
    print_set(buf, &state->voters_outgoing, " VotersOutgoing:[", ']');
    print_set(buf, &state->learners, " Learners:[", ']');
    print_set(buf, &state->learners_next, " LearnersNext:[", ']');
    buf_append_format(buf, " AutoLeave:%s", state->auto_leave ? "true" : "false");
}

void raft_print_configuration(struct buf *buf, const struct raft_conf_state *state)
{
    print_set(buf, &state->voters, "voters=(", ')');
    if (state->voters_outgoing.count > 0)
        print_set(buf, &state->voters_outgoing, "&&(", ')');
    if (state->learners.count > 0)
        print_set(buf, &state->learners, " learners=(", ')');
    if (state->learners_next.count > 0)
        print_set(buf, &state->learners_next, " learners_next=(", ')');
    if (state->auto_leave)
        print_text(buf, " autoleave");
}

void raft_print_snapshot(struct buf *buf, const struct raft_snapshot *snapshot)
{
    struct raft_conf_state state;
    buf_append_format(buf, "Index:%" PRIu64 " Term:%" PRIu64 " ConfState:", snapshot->mark.index,
                      snapshot->mark.term);
    if (raft_conf_state_decode(blob_bytes(snapshot->mark.configuration), &state) == ERR_OK)
        raft_print_conf_state(buf, &state);
    else
        print_text(buf, "unreadable");
}

void raft_print_progress(struct buf *buf, const struct raft_progress_status *progress)
{
    buf_append_format(buf, "%s match=%" PRIu64 " next=%" PRIu64,
                      raft_progress_name(progress->state), progress->match, progress->next);
    if (progress->learner)
        print_text(buf, " learner");
    if (progress->paused)
        print_text(buf, " paused");
    if (progress->pending_snapshot > 0)
        buf_append_format(buf, " pendingSnap=%" PRIu64, progress->pending_snapshot);
    if (!progress->recent_active)
        print_text(buf, " inactive");
    if (progress->inflight_count > 0)
        buf_append_format(buf, " inflight=%zu%s", progress->inflight_count,
                          progress->inflight_full ? "[full]" : "");
}

/* --- messages --------------------------------------------------------------------------------- */

static void print_target(struct buf *buf, raft_id id)
{
    if (id == RAFT_NOBODY)
        print_text(buf, "None");
    else if (id == RAFT_APPEND_THREAD)
        print_text(buf, "AppendThread");
    else if (id == RAFT_APPLY_THREAD)
        print_text(buf, "ApplyThread");
    else
        buf_append_format(buf, "%" PRIx64, id);
}

static void print_entries(struct buf *buf, const struct raft_message *message, const char *indent)
{
    if (message->entry_count == 0)
        return;
    print_text(buf, " Entries:[");
    for (size_t i = 0; i < message->entry_count; i++) {
        if (message->entry_count > 1)
            buf_append_format(buf, "\n%s  ", indent);
        raft_print_entry(buf, &message->entries[i]);
    }
    if (message->entry_count > 1)
        buf_append_format(buf, "\n%s", indent);
    buf_append_u8(buf, ']');
}

static void print_head(struct buf *buf, const struct raft_message *message)
{
    print_target(buf, message->from);
    print_text(buf, "->");
    print_target(buf, message->to);
    buf_append_format(buf, " %s Term:%" PRIu64 " Log:%" PRIu64 "/%" PRIu64,
                      raft_message_name(message->type), message->term, message->log_term,
                      message->index);
    if (message->reject)
        buf_append_format(buf, " Rejected (Hint: %" PRIu64 ")", message->reject_hint);
    if (message->commit > 0)
        buf_append_format(buf, " Commit:%" PRIu64, message->commit);
    if (message->vote != RAFT_NOBODY)
        buf_append_format(buf, " Vote:%" PRIu64, message->vote);
}

static void print_message(struct buf *buf, const struct raft_message *message, const char *indent)
{
    print_text(buf, indent);
    print_head(buf, message);
    print_entries(buf, message, indent);
    if (message->snapshot && message->snapshot->mark.index > 0) {
        buf_append_format(buf, "\n%s  Snapshot: ", indent);
        raft_print_snapshot(buf, message->snapshot);
    }
    if (message->response_count == 0)
        return;
    print_text(buf, " Responses:[");
    for (size_t i = 0; i < message->response_count; i++) {
        buf_append_u8(buf, '\n');
        /* Responses have none of their own: one level is all there is. */
        print_message(buf, &message->responses[i], "  ");
    }
    buf_append_format(buf, "\n%s]", indent);
}

void raft_print_message(struct buf *buf, const struct raft_message *message)
{
    print_message(buf, message, "");
}

/* --- a ready ---------------------------------------------------------------------------------- */

static void print_list(struct buf *buf, const char *title, const struct entry *entries,
                       size_t count)
{
    if (count > 0)
        buf_append_format(buf, "%s:\n", title);
    for (size_t i = 0; i < count; i++) {
        raft_print_entry(buf, &entries[i]);
        buf_append_u8(buf, '\n');
    }
}

static void print_messages(struct buf *buf, const struct raft_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        raft_print_message(buf, &messages[i]);
        buf_append_u8(buf, '\n');
    }
}

/* The context as decimal bytes: it is binary more often than not. */
static void print_read_states(struct buf *buf, const struct raft_ready *ready)
{
    if (ready->read_state_count == 0)
        return;
    print_text(buf, "ReadStates [");
    for (size_t i = 0; i < ready->read_state_count; i++) {
        struct bytes context = blob_bytes(ready->read_states[i].context);
        buf_append_format(buf, "%s{%" PRIu64 " [", i > 0 ? " " : "", ready->read_states[i].index);
        for (size_t j = 0; j < context.size; j++)
            buf_append_format(buf, "%s%u", j > 0 ? " " : "", context.data[j]);
        print_text(buf, "]}");
    }
    print_text(buf, "]\n");
}

static void print_states(struct buf *buf, const struct raft_ready *ready)
{
    if (ready->has_soft_state) {
        raft_print_soft_state(buf, &ready->soft_state);
        buf_append_u8(buf, '\n');
    }
    if (ready->has_hard_state) {
        print_text(buf, "HardState ");
        raft_print_hard_state(buf, &ready->hard_state);
        buf_append_u8(buf, '\n');
    }
}

void raft_print_ready(struct buf *buf, const struct raft_ready *ready)
{
    size_t start, begin = buf->size;
    buf_append_format(buf, "Ready MustSync=%s:\n", ready->must_sync ? "true" : "false");
    start = buf->size;
    print_states(buf, ready);
    print_read_states(buf, ready);
    print_list(buf, "Entries", ready->entries, ready->entry_count);
    if (ready->snapshot) {
        print_text(buf, "Snapshot ");
        raft_print_snapshot(buf, ready->snapshot);
        buf_append_u8(buf, '\n');
    }
    print_list(buf, "CommittedEntries", ready->committed, ready->committed_count);
    if (ready->message_count + ready->messages_after_count > 0)
        print_text(buf, "Messages:\n");
    print_messages(buf, ready->messages, ready->message_count);
    print_messages(buf, ready->messages_after, ready->messages_after_count);
    if (buf->size == start) {
        buf->size = begin;
        print_text(buf, "<empty Ready>\n");
    }
}
