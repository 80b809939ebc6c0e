/* Who belongs to the cluster: the core's configuration (who votes, who listens), and beside it each
 * member's name and address, and the ids that were removed and never come back.
 *
 * Replicated state: a membership changes by configuration entries alone, in log order, on every member
 * alike, and stands in the store (row "configuration") in the same batch as the applied index. A
 * snapshot mark and the core hold the configuration part alone.
 *
 * Never: chance, clocks, the network.
 *
 * Invariants
 *   M1  members are exactly the ids that the configuration names, in ascending order.
 *   M2  an id is never both a member and removed; a removed one stays so.
 *   M3  a change that is refused changes nothing, and is refused on every member.
 *   M4  no two members have the same name or the same address, empty ones apart: whoever is added or
 *       updated takes nobody's.
 *   M5  a member's generation changes once at most, from MEMBER_RESERVED to that of the folder that joins
 *       as it.
 *   M6  a change that somebody asked for counts only where the membership is still the one that it was
 *       decided on. A change is proposed again until it is seen, so copies of it may come late: all of them
 *       together act once at most, and none undoes what came after it.
 *
 * Threads: none of its own; a struct belongs to whoever holds it.
 */
#ifndef CLUSTER_MEMBERSHIP_H
#define CLUSTER_MEMBERSHIP_H

#include "cluster/raft/raft.h"

#define MEMBER_NAME_SIZE 64         /* with the NUL; names are for people */
#define MEMBER_ADDRESS_SIZE 272     /* HOST:PORT; a host name has at most 253 bytes */

#define MEMBER_RESERVED UINT64_C(1) /* generation of one that was added before any folder joined as it */

struct membership_member {
    raft_id id;
    char name[MEMBER_NAME_SIZE];
    char address[MEMBER_ADDRESS_SIZE];      /* "": it cannot be reached, as in a cluster of one */
    uint64_t generation;                    /* of the folder that joined; 0: one of the first members */
};

/* Zeroed memory is an empty one. */
struct membership {
    struct raft_conf_state configuration;
    size_t count;
    struct membership_member members[RAFT_MEMBERS_MAX];
    raft_id *removed;               /* ascending; owned */
    size_t removed_count;
    raft_index index;               /* of the entry that changed it last; 0: not known, or nobody's yet */
};

void membership_release(struct membership *membership);
/* ret is released first. */
void membership_copy(struct membership *ret, const struct membership *from);

/* NULL: no such member. */
const struct membership_member *membership_find(const struct membership *membership, raft_id id);
/* By name, or by id in hexadecimal as it is printed. NULL: no such member. */
const struct membership_member *membership_find_word(const struct membership *membership,
                                                     const char *word);
bool membership_was_removed(const struct membership *membership, raft_id id);
/* Whether it counts in some majority: a voter of either half of the configuration. */
bool membership_is_voter(const struct membership *membership, raft_id id);

/* What a configuration entry's context says beside the change itself. */
struct membership_context {
    uint64_t token[2];              /* of whoever asked, to be found again; zeros: nobody, the core's own */
    raft_index decided_on;          /* index of the membership that whoever asked saw; with a token */
    size_t count;                   /* of those it adds or updates: others are passed over */
    struct membership_member members[RAFT_CHANGES_MAX];
};

/* Applies a change that the core has yet to hear of: refuses what makes no sense for the membership.
 *   INVALID   the id was removed earlier; it is added, is no member, and the context has no record of it
 *   NOT_FOUND the change removes or updates somebody who is no member
 *   EXISTS    it would break M4 or M5; the text says whose name, address or folder that is
 *   CONFLICT  it was decided on another membership than this one (M6)
 * The core may refuse it still. */
enum err_code membership_check(const struct membership *membership,
                               const struct raft_conf_change *change,
                               const struct membership_context *context, struct err *err) MUST_USE;
/* After the core took it: the records of those that are updated. */
void membership_update(struct membership *membership, const struct raft_conf_change *change,
                       const struct membership_context *context);
/* After the core took it: configuration is what holds from the entry at index on. */
void membership_apply(struct membership *membership, raft_index index,
                      const struct membership_context *context,
                      const struct raft_conf_state *configuration);

/* One record, as a field of that number; and what stands in such a field. False: malformed. */
void membership_member_encode(const struct membership_member *member, uint32_t number,
                              struct buf *ret);
bool membership_member_decode(struct bytes from, struct membership_member *ret);
/* Appends. */
void membership_encode(const struct membership *membership, struct buf *ret);
void membership_context_encode(const struct membership_context *context, struct buf *ret);
/* CORRUPT: malformed, too many members, over-long texts, M1 or M2 broken. ret is released first, and
 * empty on failure. */
enum err_code membership_decode(struct bytes from, struct membership *ret, struct err *err) MUST_USE;
/* An empty context is one of nobody about nothing. CORRUPT: malformed. */
enum err_code membership_context_decode(struct bytes from,
                                        struct membership_context *ret) MUST_USE;

#endif
