/* The store: what is true. Keys, revisions, history, names, leases, sessions, quota, settings, on a
 * backend of ordered bytes. Semantics of range, txn and compaction: etcd v3 (server/etcdserver/txn,
 * server/storage/mvcc), errors included.
 *
 * Never: clocks, local options, the network, the log. Applying an entry reads nothing but the entry and
 * the store, so every member's store is equal at an equal applied index.
 *
 * Threads: one writer at a time - whoever holds the apply token - calls store_begin/apply/commit,
 * compaction steps, checkpoints and the settings of this struct. Reads (store_range, store_lookup,
 * store_list, store_get_*) may be called from any thread at any time, beside the writer: they see whole
 * committed batches, and newest means the revision of the state they see. Whatever revision an answer
 * names or is of is published by then: it can be read at, and no later read sees less.
 *
 * Invariants
 *   S1  applied index and term stand in the same backend batch as the entry's effects (etcd I9); an
 *       entry without effect advances them too (I10).
 *   S2  entries are applied in index order, each once: an index at or below applied is a CHECK.
 *   S3  waiters and observers hear after the batch is written.
 *   S4  the backend's own log is never trusted: see store_open.
 *   S5  names (column d) agree with the live keys at every published revision.
 */
#ifndef MVCC_STORE_H
#define MVCC_STORE_H

#include "proto/base/entry.h"
#include "proto/base/trace.h"
#include "proto/kv.h"
#include "mvcc/backend.h"
#include "mvcc/lease.h"

struct store;

struct store_options {
    struct backend *backend;            /* taken: closed by store_close, and by a failed store_open */
    uint64_t cluster_id;                /* goes into file identities; stamped into a new store */
    uint64_t member_id, generation;     /* stamped into a new store, must match an old one */
    bool create;                        /* an empty backend is a new store; else it is refused */
    struct trace *trace;
};

/* Opens on what the backend's durable tables hold (the backend has moved its own logs aside, see
 * backend.h). Entries after store_applied() are to be applied again from the log. Errors:
 *   CORRUPT    wrong ids or generation (text names both), unknown format, missing or damaged m rows
 *   NOT_FOUND  empty backend and create is not set
 *   IO         the backend */
enum err_code store_open(struct store **ret, const struct store_options *options,
                         struct err *err) MUST_USE;
/* NULL is fine. No reader may be inside. */
void store_close(struct store *store);

/* ---- a store that came from another member; any thread ---- */

/* What a backend's rows say of the state they hold. */
struct store_mark {
    raft_index applied;
    raft_term term;
    kv_rev revision;
    struct buf configuration;           /* encoded by raft's conf_state; empty before the first */
};
void store_mark_release(struct store_mark *mark);       /* harmless on a zeroed one */

/* Reads the mark of an open backend, of any member. Errors: CORRUPT (unknown format, m rows missing or
 * damaged), NOT_FOUND (the backend is empty), IO. */
enum err_code store_peek(struct backend *backend, struct store_mark *ret,
                         struct err *err) MUST_USE;

/* Makes the store in options->backend this member's own: checks its format and cluster, loads it as
 * store_open would, writes this member's identity into it and makes that durable. Doing it again is
 * harmless. The backend is borrowed: it stays open, on failure too, and nobody else writes to it
 * (options->create counts as unset). *ret is the state to go on from. Errors:
 *   CORRUPT    another cluster's store, an unknown format, m rows missing or damaged; nothing was written
 *   NOT_FOUND  the backend is empty
 *   IO         the backend, or it does not become durable */
enum err_code store_adopt(const struct store_options *options, struct store_mark *ret,
                          struct err *err) MUST_USE;

/* Puts another backend in the place of this store's, after a snapshot was installed. First detach: the
 * backend is closed; what was published last (applied, revision, settings, ...) can still be asked for,
 * everything that reads or writes rows is forbidden. Then attach: as store_open on options->backend,
 * which is taken. The writer alone; nobody reads meanwhile. Errors of attach: as store_open; the store is
 * then dead. */
void store_detach(struct store *store);
enum err_code store_attach(struct store *store, const struct store_options *options,
                           struct err *err) MUST_USE;
/* Borrowed, for copies of it (home.h). NULL: detached. */
struct backend *store_backend(struct store *store);

/* ---- a store whose backend was refused room ---- */

/* What was applied behind a checkpoint, once more. */
struct store_replay {
    const struct entry *entries;        /* dense; the last is the one applied last; borrowed */
    const struct bytes *configurations; /* one for each: of a membership entry, what was applied with it */
    size_t count;
};

/* Opens this store again, detached, on its own backend, which is taken: that has what its tables hold, and the
 * entries behind are applied again, without anybody being told. Comes out at the position that was published
 * last, which is all that readers see. The writer alone; nobody reads meanwhile. Errors, with the store
 * detached as before and the backend closed:
 *   NO_SPACE  there is no room even now: once more, later
 *   CORRUPT   the tables and the entries do not meet, or another position comes out; as store_open
 *   IO        the backend */
enum err_code store_reattach(struct store *store, const struct store_options *options,
                             const struct store_replay *replay, struct err *err) MUST_USE;

/* The state a core starts from. Any thread. */
raft_index store_applied(struct store *store);          /* published */
raft_term store_applied_term(struct store *store);
kv_rev store_revision(struct store *store);
kv_rev store_compact_revision(struct store *store);
kv_time store_clock(struct store *store);               /* highest stamp applied */
/* An entry has raised the alarm, and none has cleared it: what needs room (kv_txn_needs_room, and a lease's
 * grant) is refused with NO_SPACE and etcd's sentence, which is the quota's too. */
#define STORE_NO_SPACE "mvcc: database space exceeded"
bool store_alarm(struct store *store);
/* Where a store stands: the index applied last, and a hash of what every entry behind since did: the rows
 * that it wrote, its answer's code, revision, clock and quota. Members that began with equal stores and
 * have equal positions have done the same; at one index with other hashes, and an equal since, one of them
 * has gone wrong: a row that was read had changed, or applying is not a function of the entry. What nobody
 * reads it does not see; nor values over VALUE_INLINE_MAX, which come from the log as they are. It is kept
 * in the batch, travels with the store, and says nothing between programs of other STORE_HASH_VERSION. */
#define STORE_HASH_VERSION 1
struct store_position {
    raft_index index, since;
    uint64_t hash;
};
/* As published; any thread. */
struct store_position store_position(struct store *store);
/* The membership as last applied (encoded by raft's conf_state); empty before the first. Copied. */
void store_configuration(struct store *store, struct buf *ret);

/* ---- applying ---- */

/* What an entry did, for whoever waits. */
struct store_result {
    uint64_t session, number;           /* of the request; how its waiter is found */
    enum err_code code;                 /* OK or a RESULT code; SESSION_LOST for an unknown session */
    bool is_session_open;               /* then session is the new id, number the opener's nonce */
    kv_rev revision;                    /* after the entry */
    kv_time stamp;
    struct kv_op_result result;         /* lives in arena; filled in when wanted */
    struct lease_change lease;          /* of the entries of leases: id and ttl are their answer */
    struct arena arena;                 /* the caller's: released by it */
    uint64_t hash;                      /* of the position after the entry */
    bool repeated;                      /* answered from the session, nothing was done again */
    struct err err;                     /* set when code is not OK */
};

struct store_change {                   /* for observers, in order of the revisions */
    struct bytes key;                   /* the user's key; lives until the next store_begin */
    unsigned changes;                   /* enum kv_change; 0: a rename begins, which move tells */
    size_t top;                         /* as kv_changed.top */
    const struct kv_move *move;         /* NULL unless a rename begins */
    kv_rev revision;
    size_t entry;                       /* which call of store_apply since store_begin, from 0 */
};

/* A batch: begin, apply any number of entries, commit. Effects of earlier entries are seen by later
 * ones. Nothing is visible to readers before commit. */
void store_begin(struct store *store);
/* A normal entry. ret is initialised by the callee; want: build the full answer (someone waits here),
 * else only code and revision. Errors: IO, CORRUPT (the member stops), and what an earlier write of this store
 * failed with. Everything that is the entry's own fault is a result. */
enum err_code store_apply(struct store *store, const struct entry *entry, bool want,
                          struct store_result *ret, struct err *err) MUST_USE;
/* A membership entry: configuration is the new state, encoded. */
enum err_code store_apply_configuration(struct store *store, const struct entry *entry,
                                        struct bytes configuration, struct err *err) MUST_USE;
/* Bytes and entries gathered so far: the caller ends a batch before it could fill the write buffer. */
size_t store_batch_bytes(const struct store *store);
/* Writes the batch (sync=false) and publishes its revision. On failure (IO, NO_SPACE) the store is dead: every
 * later write call answers the same. Also ends a batch whose store_apply failed, of which nothing is kept. */
enum err_code store_commit(struct store *store, struct err *err) MUST_USE;
/* What the last committed batch changed; valid until the next store_begin; writer alone. */
const struct store_change *store_changes(const struct store *store, size_t *ret_count);

/* ---- reading; any thread ---- */

/* As kv.h. The answer lives in arena. Errors: COMPACTED, FUTURE; IO and CORRUPT from the backend.
 * ret_revision: the store's revision at the read, which the answer is of unless it asked for another. */
enum err_code store_range(struct store *store, const struct kv_range *range, struct arena *arena,
                          struct kv_range_result *ret, kv_rev *ret_revision,
                          struct err *err) MUST_USE;
/* NOT_FOUND: nothing stands there. With a revision: as it was then (from k, not d). */
enum err_code store_lookup(struct store *store, const struct kv_lookup *lookup, struct arena *arena,
                           struct kv_name *ret, kv_rev *ret_revision, struct err *err) MUST_USE;
enum err_code store_list(struct store *store, const struct kv_list *list, struct arena *arena,
                         struct kv_list_result *ret, kv_rev *ret_revision, struct err *err) MUST_USE;
/* One value by key and exact mod revision, the way of a pinned handle: one point read for a value of at
 * most VALUE_INLINE_MAX, two above. NOT_FOUND: no such version; COMPACTED. */
enum err_code store_get_version(struct store *store, struct bytes key, kv_rev mod_revision,
                                struct arena *arena, struct kv_item *ret, struct err *err) MUST_USE;
/* Stamp of a revision. NOT_FOUND: compacted away or in the future. */
enum err_code store_time(struct store *store, kv_rev revision, kv_time *ret, struct err *err) MUST_USE;

/* What the store knows of a lease: all but ttl_s, of which ret_remaining_s is a guess: what is left of its
 * time at now, by the stamp of its last renewal, within 0 and the whole of it. NOT_FOUND "requested lease
 * not found". */
enum err_code store_lease(struct store *store, int64_t id, bool want_keys, kv_time now,
                          struct arena *arena, struct kv_lease_result *ret,
                          int64_t *ret_remaining_s, kv_rev *ret_revision, struct err *err) MUST_USE;
/* ids, as kv.h says. */
enum err_code store_lease_list(struct store *store, struct arena *arena, struct kv_lease_result *ret,
                               kv_rev *ret_revision, struct err *err) MUST_USE;
/* Makes the lessor know the leases of the store, and nothing else; before anything is served from it, at
 * an opening and after an install (etcd I12). Not while a batch is open. */
enum err_code store_lease_load(struct store *store, struct lessor *lessor, int64_t now_ns,
                               struct err *err) MUST_USE;

/* Whether a proposal could be answered without the log: used before proposing, never decides. */
struct store_settings {
    uint64_t file_size_max, quota_limit, rename_keys_max, rename_bytes_max;
    uint64_t heartbeat_ms, election_ms, history_s;
};
void store_settings_get(struct store *store, struct store_settings *ret);     /* any thread */
void store_quota_get(struct store *store, uint64_t *ret_used, uint64_t *ret_limit, uint64_t *ret_keys);

/* Whether one more answer of this session's number is stored. For tests and the kill ledger. */
bool store_session_exists(struct store *store, uint64_t session);

/* Equal stores have equal hashes: over k, v, d, h, l, s and m rows at the applied index, whatever the
 * backend. Walks everything: tests, simulation, divergence checks; not while a batch is open. What a write
 * failed with: the store's counts may be ahead of its rows. */
enum err_code store_hash(struct store *store, uint64_t *ret, struct err *err) MUST_USE;

/* Walks everything and compares: heads with versions, versions with revisions and values, owners, names
 * with keys as far as their heads go, leases with what hangs on them, counts of keys. CORRUPT: the first
 * thing that does not fit, in words. Tests and simulation; not while a batch is open. What a write failed
 * with: as store_hash. */
enum err_code store_validate(struct store *store, struct err *err) MUST_USE;

/* ---- forgetting (compaction), by the holder of the apply token ---- */

/* A compaction entry has set the floor and stored the plan; the walk is done in steps, each a small
 * batch of its own, and may be resumed after a restart. True in ret_done when there is no walk left.
 * When a walk has just ended *ret_revision and *ret_bytes say what it freed, else *ret_revision is 0. */
enum err_code store_compact_step(struct store *store, bool *ret_done, kv_rev *ret_revision,
                                 uint64_t *ret_bytes, struct err *err) MUST_USE;
bool store_compact_pending(struct store *store);        /* any thread */
/* The lowest compaction that this member has walked and no ENTRY_COMPACTED has credited yet: the leader
 * proposes it. The store's rows say so: also after a restart, and in a copy from another member. Twice
 * is once. False: none. Any thread. */
bool store_compact_owes(struct store *store, kv_rev *ret_revision, uint64_t *ret_bytes);

/* ---- durability: checkpoints (design: tables are the checkpoint, our log is the log) ---- */

/* The highest applied index that is durable in tables for certain; cheap, may look at a folder: call it
 * from a worker or rarely. 0: none yet. */
raft_index store_durable_index(struct store *store);
/* Makes it so for everything applied now; blocks up to seconds. Holder of the apply token. */
enum err_code store_checkpoint(struct store *store, struct err *err) MUST_USE;
/* The log holds what the tables lack: what opening moved aside may be deleted. Once, after replay was
 * found possible (the log holds entry applied+1 or ends at applied). */
enum err_code store_forget_logs(struct store *store, struct err *err) MUST_USE;

#endif
