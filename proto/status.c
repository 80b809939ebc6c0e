#include "proto/status.h"

#include <inttypes.h>
#include <time.h>

#include "proto/base/limits.h"

void status_format_time(struct buf *ret, kv_time time)
{
    if (time == 0) {
        buf_append_u8(ret, '-');
        return;
    }
    int64_t fraction = time % NS_PER_S;
    time_t seconds = (time_t)(time / NS_PER_S);
    if (fraction < 0) {
        fraction += NS_PER_S;
        seconds--;
    }
    struct tm parts;
    char text[64];
    if (!gmtime_r(&seconds, &parts) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts))
        return;
    buf_append_format(ret, "%s.%03dZ", text, (int)(fraction / NS_PER_MS));
}

static void format_line_text(struct buf *ret, const char *name, const char *value)
{
    buf_append_format(ret, "%s: ", name);
    for (; *value; value++)
        buf_append_u8(ret, (unsigned char)*value < ' ' ? '?' : (uint8_t)*value);
    buf_append_u8(ret, '\n');
}

static void format_line_number(struct buf *ret, const char *name, uint64_t value)
{
    buf_append_format(ret, "%s: %" PRIu64 "\n", name, value);
}

static void format_ids(struct buf *ret, const struct kv_status *status)
{
    buf_append_format(ret, "cluster: %016" PRIx64 "\n", status->cluster_id);
    buf_append_format(ret, "member: %016" PRIx64 "\n", status->member_id);
    if (status->leader_id)
        buf_append_format(ret, "leader: %016" PRIx64 "%s\n", status->leader_id,
                          status->leader_id == status->member_id ? " (this member)" : "");
    else
        format_line_text(ret, "leader", "none");
}

static void format_quorum(struct buf *ret, const struct kv_status *status)
{
    if (status->has_quorum)
        format_line_text(ret, "quorum", status->alone ? "yes, alone" : "yes");
    else
        buf_append_format(ret, "quorum: lost %" PRId64 " s ago\n",
                          status->quorum_lost_ns / NS_PER_S);
}

/* Nobody is heard by everyone: a leader hears all, others hear it alone, until they look for another. */
static bool is_missing(const struct kv_status *status, const struct kv_member_status *member)
{
    bool listens = !status->has_quorum || status->leader_id == status->member_id;
    return listens && !member->is_self &&
           (member->last_contact_ns == 0 || member->last_contact_ns > STATUS_MISSING_NS);
}

static void format_name(struct buf *ret, const struct kv_member_status *member)
{
    if (member->name[0])
        buf_append_format(ret, "%.*s", (int)sizeof(member->name), member->name);
    else
        buf_append_format(ret, "%016" PRIx64, member->id);
}

/* "alarm: disk nearly full: b, c"; who it was may not have been heard yet. */
static void format_alarm(struct buf *ret, const struct kv_status *status)
{
    const char *before = ": ";
    if (!status->is_alarmed)
        return;
    buf_append_format(ret, "alarm: disk nearly full");
    for (size_t i = 0; i < status->member_count; i++) {
        if (!status->members[i].is_low)
            continue;
        buf_append_format(ret, "%s", before);
        format_name(ret, &status->members[i]);
        before = ", ";
    }
    buf_append_u8(ret, '\n');
}

/* "missing: b, heard 12 s ago; c, never heard" */
static void format_missing(struct buf *ret, const struct kv_status *status)
{
    const char *before = "missing: ";
    for (size_t i = 0; i < status->member_count; i++) {
        const struct kv_member_status *member = &status->members[i];
        if (!is_missing(status, member))
            continue;
        buf_append_format(ret, "%s", before);
        format_name(ret, member);
        if (member->last_contact_ns)
            buf_append_format(ret, ", heard %" PRId64 " s ago", member->last_contact_ns / NS_PER_S);
        else
            buf_append_format(ret, ", never heard");
        before = "; ";
    }
    if (before[0] == ';')
        buf_append_u8(ret, '\n');
}

static void format_store(struct buf *ret, const struct kv_status *status)
{
    format_line_number(ret, "revision", (uint64_t)status->revision);
    format_line_number(ret, "compacted", (uint64_t)status->compact_revision);
    if (status->key_count == UINT64_MAX)
        format_line_text(ret, "keys", "unknown");
    else
        format_line_number(ret, "keys", status->key_count);
    buf_append_format(ret, "quota: %" PRIu64 " of %" PRIu64 " bytes\n", status->quota_used,
                      status->quota_limit);
    format_line_number(ret, "max_file_size", status->file_size_max);
    buf_append_format(ret, "disk: %" PRIu64 " of %" PRIu64 " bytes free\n", status->disk_free,
                      status->disk_total);
}

static void format_log(struct buf *ret, const struct kv_status *status)
{
    format_line_number(ret, "term", status->raft_term);
    format_line_number(ret, "index", status->raft_index);
    format_line_number(ret, "applied", status->applied_index);
    format_line_number(ret, "lag", status->raft_index > status->applied_index
                                       ? status->raft_index - status->applied_index
                                       : 0);
    format_line_number(ret, "flushes", status->flushes);
    format_line_number(ret, "entries", status->entries);
    format_line_number(ret, "log_bytes", status->log_bytes);
}

static void format_member(struct buf *ret, const struct kv_member_status *member, bool is_leader_known)
{
    buf_append_format(ret, "member %016" PRIx64 ": %.*s %s", member->id, (int)sizeof(member->name),
                      member->name[0] ? member->name : "-", member->is_voter ? "voter" : "learner");
    if (member->is_leader)
        buf_append_format(ret, " leader");
    if (member->is_self)
        buf_append_format(ret, " self");
    else if (is_leader_known)
        buf_append_format(ret, " match %" PRIu64, member->match_index);
    if (!member->is_self && member->last_contact_ns)
        buf_append_format(ret, " heard %" PRId64 " ms ago", member->last_contact_ns / NS_PER_MS);
    if (member->is_low)
        buf_append_format(ret, " low on disk");
    buf_append_u8(ret, '\n');
}

void status_format(struct buf *ret, const struct kv_status *status, const char *data_folder)
{
    buf_append_format(ret, "version: %.*s\n", (int)sizeof(status->version), status->version);
    if (data_folder)
        format_line_text(ret, "data", data_folder);
    format_ids(ret, status);
    format_quorum(ret, status);
    format_missing(ret, status);
    format_alarm(ret, status);
    format_store(ret, status);
    format_log(ret, status);
    buf_append_format(ret, "clock: ");
    status_format_time(ret, status->clock);
    buf_append_u8(ret, '\n');
    for (size_t i = 0; i < status->member_count; i++)
        format_member(ret, &status->members[i], status->leader_id == status->member_id);
    format_line_text(ret, "last error", status->last_error[0] ? status->last_error : "none");
}

struct bytes status_find(struct bytes text, const char *name)
{
    struct bytes wanted = bytes_of_text(name);
    while (text.size) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        struct bytes line = bytes_of(text.data, size);
        if (bytes_starts_with(line, wanted) && line.size >= wanted.size + 2 &&
            line.data[wanted.size] == ':' && line.data[wanted.size + 1] == ' ')
            return bytes_skip(line, wanted.size + 2);
        text = bytes_skip(text, size + (end ? 1 : 0));
    }
    return BYTES_EMPTY;
}
