/* Whether a change of the membership would lose the quorum, by what the leader sees. Pure.
 *
 * Counted is how many of the voters that would be then are reachable now. The sentence of a refusal holds
 * the numbers, so that whoever reads it need not count again.
 */
#ifndef CLUSTER_CHANGE_CHECK_H
#define CLUSTER_CHANGE_CHECK_H

#include "cluster/membership.h"

struct change_view {
    const struct membership *membership;
    struct raft_id_set reachable;           /* heard of lately; the leader itself included */
    raft_index last;                        /* of the leader's log */
    struct raft_id_set matched;             /* those it knows the progress of; */
    raft_index match[RAFT_MEMBERS_MAX];     /* how far they are, by their place there */
};

/* Removing a member. NOT_FOUND: there is none. READ_ONLY: too few voters would be left, or none. */
enum err_code change_check_remove(const struct change_view *view, raft_id id,
                                  struct err *err) MUST_USE;
/* Making a voter of a learner. NOT_FOUND: there is none. BUSY: it is not reachable or too far behind, which
 * may pass. READ_ONLY: too few of the voters would be reachable. OK also when it is one. */
enum err_code change_check_promote(const struct change_view *view, raft_id id,
                                   struct err *err) MUST_USE;
/* Handing the leadership to a member. NOT_FOUND: there is none. READ_ONLY: it has no vote. BUSY: not
 * reachable. */
enum err_code change_check_transfer(const struct change_view *view, raft_id id,
                                    struct err *err) MUST_USE;

#endif
