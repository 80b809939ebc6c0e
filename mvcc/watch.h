/* The hub: everyone who watches this member's store, and how each is told every change once, in order.
 * The contract for who watches is struct kv_watch in proto/kv.h.
 *
 * Never: time, threads of its own, the network. It does not slow a write down: what a batch wrote is kept
 * at hand (written.h), and told after it was published; who cannot take it now is left behind, and reads
 * it back from the rows later. Nothing is queued for anybody.
 *
 *     fresh ──▶ synced ◀──▶ late ──▶ read          synced  told up to now; hears of each batch
 *                  │          ▲        │           late    something is to be read back first
 *                  └▶ slow ◀──┴────────┘           read    in the reading that is being done
 *        (any) ──▶ ending                          slow    paused: holds its place and nothing else; who
 *                                                          is paused in a reading is slow after it
 *
 * Invariants
 *   W1  a watch has been told all it wants below its place, and nothing from there on. The place rises
 *       with every batch and every reading, whether an event was told or filtered or none was there, and
 *       never falls; so a watch that becomes late, slow, or survives a reset, goes on where it stood
 *       (etcd #15271), and one that starts in the future hears nothing of before (#20221).
 *   W2  synced: the place is above what the hub has told. What is late never reads above that, so the
 *       same change is not told by a batch and by a reading.
 *   W3  who is late or slow and has its place below the floor ends with COMPACTED, as soon as the floor
 *       rises: none is moved over a gap (etcd #17529). The floor itself can be started at, tombstones included
 *       (#18089, #19179).
 *   W4  progress is told after the events it covers, and never covers what waits for a late one (#15220).
 *   W5  watches are told in the order of their creation, a batch at a time.
 *
 * Order of a batch: written, published, observers, watches (watch_hub_committed), then the answers. After
 * publishing, so that whoever hears of a revision can read it on this member. Before the answers, so that
 * whoever has an answer and then watches "from now on", or from the revision after it, does not hear of
 * his own write; and that what a mount believes by a watch is corrected before its own close returns.
 *
 * Cost. A batch: for each version written one search (watch_index.h), and for each one that is watched one
 * event, however many watch it; then one call for each watch that something is told to. A value over
 * VALUE_INLINE_MAX and a previous version are one point read each; above RANGE_CHUNK_ROWS of them, or
 * WATCH_LOOP_BYTES, whoever wants them becomes late. A watch that nothing is told to costs nothing. While
 * nobody watches a batch costs nothing at all. Memory: 250 bytes a watch; one batch's, and one reading's
 * events, for the time of their call.
 *
 * Late ones are read for together: the one that waits longest says where a reading starts, and everyone
 * whose place it passes is told. One reading at a time; a watch that is far behind takes turns with those
 * that are nearly there.
 *
 * Threads: the loop, except watch_hub_read. Callbacks of watches must not call this header but for the
 * part "watching".
 */
#ifndef MVCC_WATCH_H
#define MVCC_WATCH_H

#include "mvcc/store.h"

struct watch_hub;

/* Borrows the store. The seed is secret from who watches: see watch_index.h. */
struct watch_hub *watch_hub_new(struct store *store, uint64_t seed);
/* Every watch has ended and no reading is being done. NULL is fine. */
void watch_hub_free(struct watch_hub *hub);

/* ---- watching: struct kv_ops ---- */

void watch_hub_watch(struct watch_hub *hub, struct kv *kv, struct kv_watch *watch);
void watch_hub_unwatch(struct watch_hub *hub, struct kv_watch *watch);
void watch_hub_pause(struct watch_hub *hub, struct kv_watch *watch);
void watch_hub_resume(struct watch_hub *hub, struct kv_watch *watch);
void watch_hub_progress(struct watch_hub *hub, struct kv_watch *watch);

/* ---- driving ---- */

/* A batch has been committed, and the next one has not begun: tells it. Batches that were not told of,
 * or were too large to be kept at hand, make everyone late. IO, CORRUPT: the member stops. */
enum err_code watch_hub_committed(struct watch_hub *hub, struct err *err) MUST_USE;

enum watch_work {
    WATCH_IDLE,         /* until something is committed, watched, or resumed */
    WATCH_AGAIN,        /* another turn has more to do */
    WATCH_READ,         /* call watch_hub_read, on any thread, then watch_hub_read_done on the loop */
};
/* Does what can be done now: creates, reads one chunk for late ones, answers progress, ends. may_read: a
 * chunk may be read here (RANGE_CHUNK_ROWS rows); else all readings are handed out. IO, CORRUPT. */
enum err_code watch_hub_turn(struct watch_hub *hub, bool may_read, enum watch_work *ret,
                             struct err *err) MUST_USE;
/* The reading that a turn asked for; touches store and reading alone. */
void watch_hub_read(struct watch_hub *hub);
/* Tells what it found. IO, CORRUPT. */
enum err_code watch_hub_read_done(struct watch_hub *hub, struct err *err) MUST_USE;
/* Between WATCH_READ and watch_hub_read_done. */
bool watch_hub_is_reading(const struct watch_hub *hub);

/* The store was replaced (a snapshot was installed): those who were synced catch up with it, or end. Not
 * while reading. */
void watch_hub_reset(struct watch_hub *hub, struct store *store);

/* Everything ends with CLOSING, what is watched later too. Ends are told by watch_hub_end. */
void watch_hub_close(struct watch_hub *hub);
/* Tells the ends that wait to be told, as a turn does; for when no turn will come. */
void watch_hub_end(struct watch_hub *hub);

struct watch_counts {
    size_t watches, synced, late, slow;         /* watches: all that have not been told their end */
};
void watch_hub_count(const struct watch_hub *hub, struct watch_counts *ret);
/* CHECKs W2, states, lists and indexes. */
void watch_hub_validate(const struct watch_hub *hub);

#endif
