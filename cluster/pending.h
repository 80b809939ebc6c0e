/* Which requests stand in this member's log above what it has applied, so that a leader appends none twice.
 *
 * Who waits for an answer asks again and again: a message may have been lost, a leader may be another. Where
 * nothing can be decided for long, or slowly, the log would grow by every repeat of everything.
 *
 * A request is known by its session and number (the opening of a session: no session, and a nonce). The table
 * forgets when places are short, and what it says is looked up in the log: an entry that was cut off, or is not
 * written yet, is not there. So a request may be appended twice after all, which the store tells; one that
 * the log does not hold is never kept from it.
 *
 * Of an entry that is applied nothing is said: who asks for it again may have come by a snapshot that stands
 * for it, and never see its answer.
 *
 * Loop thread, as its node.
 */
#ifndef CLUSTER_PENDING_H
#define CLUSTER_PENDING_H

#include "cluster/raftlog.h"

#define PENDING_PLACES 8192             /* a power of two; above APPLY_LAG_ENTRIES_MAX */

struct pending {
    const struct raftlog *log;
    raft_index places[PENDING_PLACES];  /* the last entry whose request has this place; 0: none */
};

void pending_init(struct pending *pending, const struct raftlog *log);
/* An entry goes to the log. */
void pending_note(struct pending *pending, const struct entry *entry);
/* Whether the request in an entry stands in the log above applied. */
bool pending_holds(const struct pending *pending, const struct entry *entry, raft_index applied);

/* Session and number of the request in an entry; false: it has neither. */
bool pending_name(const struct entry *entry, uint64_t *ret_session, uint64_t *ret_number);

#endif
