/* The store's own struct, shared by store.c, txn.c, compact.c, checkpoint.c and hash.c. */
#ifndef MVCC_STORE_INTERNAL_H
#define MVCC_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "mvcc/config.h"
#include "mvcc/names.h"
#include "mvcc/quota.h"
#include "mvcc/session.h"
#include "mvcc/store.h"
#include "mvcc/txn.h"
#include "mvcc/written.h"
#include "proto/base/mutant.h"

#define STORE_FORMAT 2

/* Rows of column m; those that begin with '_' are this member's own and no part of the hash. */
#define META_STATE "mstate"
#define META_CONFIGURATION "mconfiguration"
#define META_ALARM "malarm"             /* it is raised; no row: it is not */
#define META_IDENTITY "m_identity"
#define META_DUE "mdue"                 /* + C: compaction C is not credited to the quota yet */
#define META_WALK "m_walk"              /* + C: its walk on this member is not done: its place */
#define META_FREED "m_freed"            /* + C: it is done: bytes; ENTRY_COMPACTED has not come yet */
#define META_CLAIMED "m_claimed"        /* + C: that came first: bytes */

/* What a batch leaves behind in META_STATE. */
struct store_state {
    raft_index applied;
    raft_term term;
    kv_rev revision, floor;
    kv_time floor_time, clock;
    uint64_t hash;                      /* of what entries did from index since on: store_position */
    raft_index since;
};

/* What a walk freed; revision 0: none. */
struct store_figure {
    kv_rev revision;
    uint64_t bytes;
};

/* Everything applied up to index was written while log was the current one, or before. */
struct checkpoint_note {
    raft_index index;
    uint64_t log;
};

#define CHECKPOINT_NOTES 16

struct store {
    struct backend *backend;
    struct batch *batch;
    struct sessions *sessions;
    struct quota *quota;
    struct config *config;
    struct trace *trace;
    uint64_t cluster_id;

    /* the writer's */
    struct store_state state;
    bool is_open;                       /* a batch is */
    enum err_code death;                /* what a write failed with: OK, it lives */
    size_t entries;                     /* of this batch */
    bool is_alarmed;                    /* what needs room is refused */
    bool has_configuration;             /* this batch changes it, to: */
    struct buf new_configuration;
    struct arena arena;                 /* of this batch: keys of changes */
    struct store_change *changes;
    size_t change_count, change_capacity;
    struct written written;             /* versions of this batch, for watches */
    struct arena scratch;               /* of one entry, or of one compaction step */
    uint64_t walks, figures;            /* rows META_WALK and META_FREED */
    struct store_figure owed;           /* of the lowest of the latter */

    /* any thread */
    _Atomic raft_index applied;
    _Atomic raft_term term;
    _Atomic kv_rev revision, floor;
    _Atomic kv_time floor_time, clock;
    atomic_bool is_walking, alarm;

    pthread_mutex_t lock;               /* of the notes, and what is published below */
    struct buf configuration;           /* as published */
    struct store_position position;     /* likewise */
    struct store_figure owed_published;
    struct checkpoint_note notes[CHECKPOINT_NOTES];
    size_t note_count;
    raft_index durable;
    size_t unnoted_bytes;               /* written since the last note; the writer's */
};

/* What META_IDENTITY says, in a format that is known. */
struct store_identity {
    uint64_t cluster_id, member_id, generation;
};

/* store.c */

/* A store on a backend, with nothing loaded. store_close frees it, and closes store->backend unless that
 * is NULL. */
struct store *store_new(struct backend *backend);
/* NOT_FOUND: the backend is empty. CORRUPT: no such row, or of an unknown format. IO. */
enum err_code store_identity_load(struct store *store, struct store_identity *ret,
                                  struct err *err) MUST_USE;
/* CORRUPT, in words, when they differ. */
enum err_code store_identity_matches(const char *what, uint64_t have, uint64_t want,
                                     struct err *err) MUST_USE;
/* Into the batch. */
void store_identity_put(struct store *store, const struct store_options *options);
/* The state, where a look for its row ended with found. CORRUPT: it is missing or damaged. */
enum err_code store_state_found(enum err_code found, struct bytes row, struct store_state *ret,
                                struct err *err) MUST_USE;
/* State and configuration alone, or everything there is to load. CORRUPT, IO. */
enum err_code store_load_state(struct store *store, struct err *err) MUST_USE;
enum err_code store_load(struct store *store, struct err *err) MUST_USE;

/* Tells observers, at the end of the batch. key is copied. */
void store_note_change(struct store *store, struct bytes key, const struct names_change *change,
                       kv_rev revision);
/* Before the changes that it makes. */
void store_note_move(struct store *store, const struct kv_rename *rename, kv_rev revision);
/* The store cannot be written any more; returns code. */
enum err_code store_die(struct store *store, enum err_code code);
/* What a write call answers then. */
enum err_code store_dead(const struct store *store, struct err *err);

void store_writer_new(struct store *store);
void store_writer_free(struct store *store);
void store_publish(struct store *store);
/* Whose it is is checked first. As store_open. */
enum err_code store_load_own(struct store *store, const struct store_options *options,
                             struct err *err) MUST_USE;

/* alarm.c */

/* IO. */
enum err_code alarm_load(struct store *store, struct err *err) MUST_USE;
/* Applies ENTRY_ALARM. Twice is once: a leader that does not know of another's entry says the same again. */
void alarm_apply(struct store *store, bool raised);
/* NO_SPACE: STORE_NO_SPACE. */
enum err_code alarm_check(const struct store *store, bool needs_room, struct err *err) MUST_USE;

/* position.c */

#define POSITION_REPEATED UINT64_MAX    /* an answer that was told again: its code may depend on who asks */
/* An entry was applied, and state says so: the hash goes on with its answer and what it wrote. */
void position_fold(struct store *store, uint64_t answer);

/* compact.c */

/* Applies ENTRY_COMPACT. COMPACTED, FUTURE; IO, CORRUPT. */
enum err_code compact_announce(struct store *store, kv_rev revision, struct err *err) MUST_USE;
/* Applies ENTRY_COMPACTED; a revision that is not due is passed over. CORRUPT: this member's own walk gave
 * another figure. IO. */
enum err_code compact_credit(struct store *store, kv_rev revision, uint64_t bytes,
                             struct err *err) MUST_USE;
/* Counts walks and figures left by an earlier run. IO. */
enum err_code compact_load(struct store *store, struct err *err) MUST_USE;

/* checkpoint.c */

void checkpoint_init(struct store *store);
void checkpoint_release(struct store *store);
/* Forgets what was noted: the backend is another one. */
void checkpoint_restart(struct store *store);
/* A batch of this size was written. */
void checkpoint_note(struct store *store, size_t bytes);

#endif
