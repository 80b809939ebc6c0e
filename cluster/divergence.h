/* Whether the members' stores are equal: each tells where it stands, and each compares.
 *
 * Raft sees to it that logs are equal. That equal entries did equal things it takes for granted; a store's
 * rolling hash (store_position) tells. About once a second, when something was applied, the leader says its
 * position; every member says its own at that index when it has come there; everyone hears everyone.
 *
 * Who is wrong, as one member sees it of itself:
 *   - a majority of the voters, two or more, has one hash and it has another: it is wrong, the leader too
 *   - no majority has one, and the leader's is another than its own:
 *       with two voters or fewer it is wrong: the leader's is taken for right, since one of two must be
 *       with more it waits for the others' word, for DIVERGENCE_PATIENCE_NS; then likewise
 *       (that the wrong one leads cannot be told then: whoever runs them can, and may take a verdict back)
 *   - it is the leader, and no majority says otherwise: it goes on, the others are wrong
 * Learners compare and do not count. A member that is wrong fences itself (node_fence).
 *
 * A member that was wrong gets another store, and what it said of the one before may be all that was heard
 * of it. So one voice alone counts only while it leads, by what it said in the term that it leads in.
 *
 * What it does not see: rows that no entry has read since they changed, and a member that cannot hear the
 * others, which does not serve strictly either. Positions whose since differs say nothing of each other.
 *
 * Never: frames, time but what is handed in, the store. Loop thread, as its node.
 */
#ifndef CLUSTER_DIVERGENCE_H
#define CLUSTER_DIVERGENCE_H

#include "cluster/clock.h"
#include "cluster/raft/raft.h"
#include "mvcc/store.h"
#include "proto/base/limits.h"

#define DIVERGENCE_POSITIONS 4096               /* own, the last ones: what a word may be late by */
#define DIVERGENCE_CLAIMS 4                     /* kept of each member, the last ones */
#define DIVERGENCE_PERIOD_NS (1 * NS_PER_S)     /* between two words of a leader */
#define DIVERGENCE_PATIENCE_NS (30 * NS_PER_S)  /* a restart of whoever could decide it fits into this */

static_assert((DIVERGENCE_POSITIONS & (DIVERGENCE_POSITIONS - 1)) == 0, "places are found by a mask");

/* On the wire, all little endian: version 1 byte (STORE_HASH_VERSION), asks 1 byte (0 or 1), term 8, index
 * 8, since 8, hash 8. */
#define DIVERGENCE_WORD_SIZE 34

/* What a member says. */
struct divergence_word {
    bool asks;                                  /* a leader does: what is yours there? */
    raft_term term;                             /* the member's, as it said it */
    struct store_position position;
};

struct divergence {
    raft_index since;
    raft_index last;                            /* applied */
    struct {
        raft_index index;                       /* 0: none */
        uint64_t hash;
    } own[DIVERGENCE_POSITIONS];                /* an index stands at its low bits */
    struct divergence_claims {
        raft_id from;
        size_t next;
        struct divergence_word words[DIVERGENCE_CLAIMS];
    } claims[RAFT_MEMBERS_MAX];
    size_t claim_count;
    raft_index wanted;                          /* to be told when it is applied here; 0: none */
    raft_index told;                            /* by this member, as a leader */
    int64_t tell_ns;                            /* not before */
    int64_t doubt_ns;                           /* since when the leader's differs; INT64_MAX: it does not */
};

/* How a member finds itself to be wrong. */
struct divergence_finding {
    struct store_position own;
    uint64_t other;                             /* the hash that is taken for right */
    size_t votes, voters;                       /* who has it, of how many; 0: it is the leader's */
};

/* Begins at a position: of a store that was opened, or put in the place of another. What others said
 * stays. */
void divergence_begin(struct divergence *divergence, struct store_position position);
/* An entry was applied. Ascending. */
void divergence_applied(struct divergence *divergence, raft_index index, uint64_t hash);
/* That position, if it is remembered. */
bool divergence_find(const struct divergence *divergence, raft_index index,
                     struct store_position *ret);
/* A member has said its position. */
void divergence_claim(struct divergence *divergence, raft_id from, const struct divergence_word *word);

/* Whether this member is wrong; term is its own, and leader the one that it knows in it. Doubts end or grow by
 * now_ns: to be asked again at divergence_next_ns. */
bool divergence_judge(struct divergence *divergence, const struct raft_id_set *voters, raft_id self,
                      raft_id leader, raft_term term, int64_t now_ns, struct divergence_finding *ret);
/* When a doubt has lasted long enough; INT64_MAX: there is none. */
int64_t divergence_next_ns(const struct divergence *divergence);

void divergence_word_encode(const struct divergence_word *word, uint8_t to[DIVERGENCE_WORD_SIZE]);
/* False: malformed, or of programs that hash otherwise. */
bool divergence_word_decode(struct bytes from, struct divergence_word *ret);

#endif
