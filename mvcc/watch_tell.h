/* From changes to events: what is told in one go, by whom it is watched, built once for all of them.
 *
 *     changes, in order  ->  drafts (somebody watches the key)  ->  events in the groups that want them
 *
 * Changes are added revision by revision; when a revision ends, the last change of each key stands, and
 * the revision may still be thrown away (the loop finds that it is more than it may read). What is kept is
 * appended to the groups; then values and previous versions are read, each once, however many watch.
 *
 * Memory: a draft of some 700 bytes for each change that is watched, and 8 bytes for each group that it is
 * told to; all of it in one arena until the end.
 *
 * Threads: whoever holds it; of the index it only finds, and fills in the groups' events.
 * Errors: IO, CORRUPT.
 */
#ifndef MVCC_WATCH_TELL_H
#define MVCC_WATCH_TELL_H

#include "mvcc/watch_index.h"
#include "mvcc/written.h"

struct watch_draft {
    struct bytes key;
    struct head head;                   /* of what was read of rows: mod and mod_time alone, until read */
    struct bytes inline_value;
    const struct written_version *written;      /* NULL: from rows */
    bool is_last;                       /* no later change of the key in its revision */
    bool is_repeated;                   /* there is an earlier one */
    bool is_wanted, wants_previous;
    size_t first_found, found_count;    /* groups, in tell->found */
    struct kv_event plain, full;        /* without the previous version, and with it */
};

struct watch_tell {
    const struct watch_index *index;
    struct arena arena;
    struct watch_draft **drafts;        /* [0, kept) are in their groups */
    size_t count, capacity, kept;
    size_t revision_start;              /* first draft of the revision that is being added */
    struct watch_group **found;         /* that watch the keys of drafts */
    size_t found_count, found_capacity;
    struct watch_group **groups;        /* that have events */
    size_t group_count, group_capacity;
};

/* Zeroed memory is an empty one. */
void watch_tell_release(struct watch_tell *tell);
/* Forgets everything; groups of the index have no events. */
void watch_tell_begin(struct watch_tell *tell, const struct watch_index *index);

/* The next change. NULL: nobody watches the key. The key must live as long as the tell. */
struct watch_draft *watch_tell_add(struct watch_tell *tell, struct bytes key,
                                   const struct head *head);
/* No other change of this revision will come: which drafts are wanted is known now. */
void watch_tell_end_revision(struct watch_tell *tell);
/* Takes back the revision that has just ended, or has not ended yet. */
void watch_tell_drop_revision(struct watch_tell *tell);
/* Everything added goes into the groups. */
void watch_tell_keep(struct watch_tell *tell);

/* Fills in the head of a draft that came from rows, with its value when it is inline. */
enum err_code watch_draft_read_row(struct watch_tell *tell, struct watch_draft *draft,
                                   const struct view *view, struct err *err) MUST_USE;
/* Whether its value is still to be read, and how large it is then. */
bool watch_draft_lacks_value(const struct watch_draft *draft);
/* Builds the events; the head is there. floor: what is below it has no previous version; looked at after
 * the view was opened. */
enum err_code watch_draft_build(struct watch_tell *tell, struct watch_draft *draft,
                                const struct view *view, kv_rev floor, struct err *err) MUST_USE;

/* Takes the events out of a group again. */
void watch_group_clear(struct watch_group *group);

#endif
