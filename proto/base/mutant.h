/* Planted bugs: one or two lines each, in the code they break, switched on at run time in the debug
 * build. They show that the simulator's checkers can see (make sim-mutants). One at a time, and never
 * in a program that people run: without --enable-debug a point is the constant 0, and nothing of it
 * is compiled, nor counted as code that tests must reach.
 *
 *     if (raft_log_matches(&raft->log, mark) && !MUTANT(SNAPSHOT_OVER_NEWER)) {
 *
 * A point reads as what is right, with the bug beside it. Each bug costs safety and not only progress;
 * its sentence says what a member then does. Nobody but the points looks at the switch, the checkers
 * least of all.
 *
 * Threads: the switch is set before any other thread or child process begins.
 */
#ifndef PROTO_BASE_MUTANT_H
#define PROTO_BASE_MUTANT_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdbool.h>
#include <stddef.h>

/* name, what it does wrong */
#define MUTANTS(X)                                                                                 \
    /* elections */                                                                                \
    X(VOTE_BEFORE_FLUSH, "a vote leaves before it is flushed")                                     \
    X(VOTE_NOT_REMEMBERED, "a vote that was given is forgotten at once")                           \
    X(VOTE_LOST_AT_START, "the vote in the log is not read at a start")                            \
    X(VOTE_FOR_SHORTER_LOG, "a candidate whose log is shorter gets a vote")                        \
    X(VOTE_BY_HALF, "half of an even number of voters elects")                                     \
    X(VOTE_BY_ONE_MAJORITY, "of a joint configuration one majority elects")                        \
    /* replication */                                                                              \
    X(ACK_BEFORE_FLUSH, "an append is acknowledged before it is flushed")                          \
    X(LEADER_COUNTS_EARLY, "a leader counts itself before its own flush")                          \
    X(OLD_TERM_BY_COUNT, "an entry of an earlier term is committed by count")                      \
    X(COMMIT_BY_HALF, "half of an even number of voters commits")                                  \
    X(COMMIT_BY_ONE_MAJORITY, "of a joint configuration one majority commits")                     \
    X(COMMIT_BEYOND_MATCH, "a heartbeat tells to commit what a follower is not known to have")     \
    X(PREVIOUS_NOT_COMPARED, "an append is taken though the entry before it differs")              \
    X(CONFLICT_KEPT, "an entry that conflicts with the leader's stays")                            \
    X(APPEND_CUTS_TAIL, "an append that says nothing new cuts off what follows it")                \
    X(STALE_LEADER_OBEYED, "an append of an earlier term is taken")                                \
    X(STALE_APPEND_ANSWER, "entries count as written that were replaced since")                    \
    X(APPLY_BEFORE_FLUSH, "an entry is applied that is not durable in the own log")                \
    /* configuration changes */                                                                    \
    X(CHANGE_WHILE_PENDING, "a second change is accepted while one is pending")                    \
    X(CHANGE_COUNTS_EARLY, "a leader counts by a change that is not committed")                    \
    X(CHANGE_COMES_LATE, "a late copy of a change counts on members that it was not decided on")   \
    X(EMPTIED_IS_MET, "another data folder of a known member is taken for that one")               \
    X(FORMING_NOT_AWAITED, "a first member votes before it has met the others")                    \
    /* joining */                                                                                  \
    X(JOINER_DRAWS_AGAIN, "a joiner draws another id at each start")                               \
    X(JOINING_FORGOTTEN_EARLY, "what a joiner drew goes before its identity stands")               \
    X(IDENTITY_BEFORE_LOG, "a joiner's identity stands before its log and store do")               \
    /* reads */                                                                                    \
    X(READ_BEFORE_OWN_COMMIT, "a leader answers reads before it commits in its term")              \
    X(READ_WITHOUT_QUORUM, "a leader answers reads without asking whether it leads")               \
    X(READ_BEFORE_APPLIED, "a read does not wait until its index is applied")                      \
    /* log and recovery */                                                                         \
    X(LOG_NOT_SYNCED, "writes to the log are not synced")                                          \
    X(FLUSH_TOLD_EARLY, "a flush is said to have ended when it begins")                            \
    X(TORN_RECORD_TAKEN, "a record's checksum is not looked at")                                   \
    X(TAIL_NOT_CUT, "recovery keeps entries that a later record replaced")                         \
    X(DAMAGE_CUT_OFF, "damage below a durable flush is cut off as if it were a tear")              \
    X(COMMIT_GUESSED_AT_START, "everything in the log counts as committed at a start")             \
    X(MARK_BEFORE_DURABLE, "the log is given up for state that is not durable")                    \
    X(CHECKPOINT_NOT_FLUSHED, "a later checkpoint counts as durable and nothing was flushed")      \
    X(RELEASE_BEYOND_MARK, "log segments go that the last mark does not cover")                    \
    X(RELEASE_BEFORE_MARK, "log segments go before the mark that covers them is durable")          \
    /* snapshots */                                                                                \
    X(SNAPSHOT_OVER_NEWER, "a snapshot replaces state that is newer")                              \
    X(SNAPSHOT_NOT_DURABLE, "an arrived snapshot counts before it is durable")                     \
    X(REOPEN_LOSES_ROWS, "what a store opened again lacks is not applied again")                   \
    X(REFUSED_BATCH_LOST, "a batch that a full disk refused is not done again")                    \
    X(SNAPSHOT_NOT_WHOLE, "a snapshot's mark names more than its state holds")                     \
    X(INSTALL_KEEPS_MEMBERS, "the members of the old store stay after an install")                 \
    X(INSTALL_SKIPS_EVENTS, "watches are not told what a snapshot brought")                        \
    /* applying */                                                                                 \
    X(INDEX_APART, "the applied index is written in a batch of its own")                           \
    X(ANSWERS_NOT_KEPT, "a session's answers are not written with the batch")                      \
    X(REPEAT_APPLIED, "a repeated proposal is applied again")                                      \
    X(UNKNOWN_TOLD_AS_UNDONE, "an open proposal that timed out is told as not done")               \
    X(COMPARE_IS_STALE, "compares look at the state before the batch")                             \
    X(APPLY_SEES_WAITER, "applying depends on who waits for the answer")                           \
    X(REVISION_PER_OPERATION, "a txn takes a revision for each of its operations")                 \
    X(DELETE_MISSES_LAST, "a delete of a range leaves the last key")                               \
    X(NEWEST_IS_FUTURE, "a read at the newest revision is refused as one of the future")           \
    X(OLD_READ_SEES_NEXT, "a read of the past sees the revision after it")                         \
    /* compaction, leases, watches */                                                              \
    X(COMPACTION_GOES_BEYOND, "compaction looks at one revision too many")                         \
    X(COMPACTION_DROPS_TOMBSTONE, "the tombstones of the floor itself go")                         \
    X(LEASE_LEAVES_KEYS, "a lease ends and its keys stay")                                         \
    X(LEASE_ENDS_RENEWED, "a renewal does not move the end of a lease")                            \
    X(LEASE_ENDS_UNSEEN, "a leader ends a lease whose renewal it did not see")                     \
    X(WATCH_SKIPS_AT_PAUSE, "a watch that is left behind skips a revision")                        \
    X(WATCH_TELLS_TWICE, "a watch is told all that was read, also what it heard before")           \
    X(WATCH_FLOOR_TOO_HIGH, "a watch that ends as compacted is told to go on above the floor")     \
    X(WATCH_PREVIOUS_MISSING, "an event lacks the version before it, which is there")              \
    X(WATCH_PREVIOUS_OLDER, "an event has the version before the previous one")

enum mutant {
    MUTANT_NONE,
#define X(name, text) MUTANT_##name,
    MUTANTS(X)
#undef X
        MUTANT_END
};

#ifdef CONCORD_VERIFY
extern enum mutant mutant_on;
#define MUTANT(name) (__builtin_expect(mutant_on == MUTANT_##name, 0))

/* Switches this one on and every other off; MUTANT_NONE: all off. */
void mutant_select(enum mutant mutant);
/* MUTANT_NONE: there is none of this name. */
enum mutant mutant_find(const char *name);
/* Of one that is not MUTANT_NONE. */
const char *mutant_name(enum mutant mutant);
const char *mutant_text(enum mutant mutant);
#else
#define MUTANT(name) 0
#endif

#endif
