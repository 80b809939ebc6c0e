/* What the files of a member share: node*.c, ask.c, change.c, forming.c, node_divergence.c, kv_local.c, snapshotter.c, transfer*.c, watches.c.
 * Nobody else includes it. */
#ifndef CLUSTER_NODE_INTERNAL_H
#define CLUSTER_NODE_INTERNAL_H

#include "cluster/apply.h"
#include "cluster/leases.h"
#include "cluster/logwriter.h"
#include "cluster/node.h"
#include "cluster/join_frame.h"
#include "cluster/peer.h"
#include "cluster/propose.h"
#include "cluster/raftlog.h"
#include "cluster/reopen.h"
#include "cluster/space.h"
#include "cluster/transfer.h"
#include "proto/base/mutant.h"
#include "proto/base/rand.h"

#define PROPOSAL_PATIENCE_NS (500 * NS_PER_MS)  /* unseen so long, a forwarded one is sent again */
#define PROPOSAL_REPEAT_NS (50 * NS_PER_MS)     /* between two looks for such */
#define INLINE_TIMER_NS (10 * NS_PER_MS)        /* no inline work with a tick due so soon */

/* Reads that wait until local state is as new as any answer given before (ReadIndex). One round is in
 * flight; whoever comes meanwhile waits for the next (etcd server/etcdserver/read). */
struct reads {
    struct list waiting;            /* kv_requests for the next round */
    struct list asking;             /* those of the round in flight */
    struct list confirmed;          /* wait for applied >= index */
    struct blob *context;           /* of the round in flight; NULL: none */
    uint64_t context_count;         /* ids are never used again */
    raft_index index;               /* of confirmed */
    raft_term current_term;         /* the term that current_from belongs to */
    raft_index current_from;        /* a leader that is alone is current once this is applied */
    int64_t asked_ns;
    int64_t slow_until_ns;          /* long reads go to a worker until then */
    size_t jobs;                    /* reads on a worker */
};

struct snapshotter {
    struct worker_job job;
    bool in_flight;
    struct {                        /* what the job found; its own while it is in flight */
        raft_index durable;
        uint64_t disk_total, disk_free;
    } found;
    raft_index durable;
    raft_index marked;              /* highest mark handed to the log */
    raft_index released;            /* highest durable mark that memory and segments were dropped for */
    raft_index checked_applied;     /* applied when a job last began */
    int64_t due_ns;
    uint64_t disk_total, disk_free;
    struct snapshotter_configuration {
        raft_index index;           /* holds from here on */
        struct blob *encoded;       /* as a mark has it */
        struct blob *membership;    /* as the store has it */
    } *configurations;              /* what a checkpoint may still refer to, and all behind it */
    size_t configuration_count, configuration_capacity;
};

struct compaction {
    struct worker_job job;
    bool in_flight, pending;
    bool done;
    kv_rev told_revision;           /* proposed as ENTRY_COMPACTED, in this term: */
    raft_term told_term;
    int64_t tell_again_ns;          /* if the store owes it still */
    enum err_code code;
    struct err err;
    struct list waiting;            /* physical compactions that wait for the walk */
    bool is_over;                   /* nobody waits for it any more */
};

/* The hub, and its readings on a worker. */
struct watches {
    struct watch_hub *hub;
    struct worker_job job;
    int64_t slow_until_ns;          /* the loop reads nothing for them until then */
};

/* What the leader does about asks, its own and others'. */
struct asks {
    struct list waiting;            /* struct node_ask: nobody was told yet */
    struct list finished;           /* those whose done is to be called */
    struct list works;              /* of a leader: struct ask_work */
    size_t work_count;
    struct list joins;              /* struct join_work: joiners that asked this member */
    uint64_t number;                /* of the last ask; begins by the clock, so that none is taken for one
                                     * of the process before */
};

struct forming {
    struct raft_id_set met;         /* in this run */
    int64_t say_ns;                 /* then who is waited for is said */
    bool was_met_before;
};

struct node {
    struct kv kv;
    struct identity identity;
    struct clock *clock;
    struct worker *worker;
    struct store *store;
    struct wal *wal;
    struct trace *trace;
    char *data_path;
    int64_t timeo_ns;
    struct rand rand;
    void (*wake)(void *context);
    void *wake_context;

    struct mem mem;                 /* the core's */
    struct raft *raft;
    struct raftlog raftlog;
    struct logwriter writer;
    struct applier applier;
    struct proposer proposer;
    struct pending pending;
    struct leases leases;
    struct reads reads;
    struct snapshotter snapshotter;
    struct compaction compaction;
    struct watches watches;
    struct transfer transfer;
    struct reopen reopen;
    struct space space;
    struct divergence divergence;
    struct kv_observer *observer;

    struct home *home;
    struct membership membership;
    bool removals_wait;             /* some of those removed are not told yet */
    raft_index removals_since;      /* this one's index; its commit is to be durable first */
    bool is_removed;                /* it is no member any more */
    struct raft_id_set removal_told_by;
    struct generations *generations;        /* NULL: not kept */
    struct forming forming;
    struct asks asks;
    void (*say)(void *context, const char *line);
    void *say_context;
    struct peers *peers;            /* NULL: there are none, or they are closed */
    bool peers_closing;
    struct list changes;            /* struct node_change, oldest first */
    struct list changed;            /* those whose done is to be called */
    uint64_t change_count;          /* tokens are never used again */

    raft_id leader;                 /* as last told */
    raft_term term;
    int64_t next_tick_ns, next_expire_ns, repeat_ns;
    int64_t campaign_ns;            /* the leader's connection was reset: then a pre-vote; 0: no */
    int64_t leader_lost_ns;         /* since when there is none; 0: there is one */
    int64_t called_ns;              /* node_peers_call */
    int64_t led_ns;                 /* when the leader was last heard of, as such */
    bool alone;                     /* one voter, this one, and nobody else */
    int64_t admits_ns;              /* an alone one says so no longer: another is admitted then; 0: none is */
    bool hold_commit, stopping;
    enum err_code fault_code;
    struct err fault;
};

/* Whether this member is the only one: then reads need no round and kernel caches may be trusted. */
bool node_is_alone(const struct node *node);
void node_fail(struct node *node, enum err_code code, const struct err *err);
/* No new request is taken any more. */
bool node_is_ending(const struct node *node);

/* This member was removed: by what it applied itself (told_by is NOBODY), or a peer said so. It fails with
 * REMOVED when a majority of the voters has said so. Until then it serves nobody, but votes and
 * acknowledges: while the others do not know yet that its removal is committed they may need it (of two
 * members the leader goes: the other cannot learn of it alone). */
void node_removed(struct node *node, raft_id told_by);
void node_removal_turn(struct node *node);
/* Passes on what the core said; a FAULT ends the member. */
enum err_code node_core_failed(struct node *node, enum err_code code);
int64_t node_now(const struct node *node);
struct store_options node_store_options(const struct node *node);
/* The store is being replaced or opened again, or is about to be: nothing may begin to read or write it. */
bool node_store_is_held(const struct node *node);
/* Nobody reads or writes the store. */
bool node_store_is_quiet(const struct node *node);
/* Log or store was refused room, and waits for it. */
static inline bool node_was_refused_room(const struct node *node)
{
    return node->writer.no_space || node->applier.no_space;
}
/* The store has been replaced: everything that was derived from it begins anew (etcd I12). fetched: the log
 * goes on as it is, and the core learns where the store stands. */
void node_installed(struct node *node, bool fetched);
/* The membership changed: who the peers are, whether this member is alone or removed. since: the index of
 * the entry that did it; 0: what a restart would find again in any case. */
void node_membership_changed(struct node *node, raft_index since);

/* node_peers.c */
enum err_code node_peers_open(struct node *node, const struct node_options *options,
                              struct err *err) MUST_USE;
void node_peers_send(struct node *node, const struct raft_message *message);
void node_peers_update(struct node *node, raft_index since);
/* A frame of the member's own to every other member. One that does not hear it hears the next. */
void node_peers_tell(struct node *node, uint32_t kind, struct bytes bytes);
/* Without a leader nobody says anything to some of the others, and each looks missing to all. Then, once a
 * second, a word to everyone. */
void node_peers_call(struct node *node, int64_t now);
/* Who may not stand for election never finds out by itself that nobody leads it: after the longest election
 * timeout it knows of no leader. */
void node_peers_forget(struct node *node, int64_t now);
/* Those who were removed are told when a restart of this member would not forget it: what one says makes
 * them end, and a member that comes back without knowing might need their vote. */
void node_peers_tell_removed(struct node *node);
/* What is queued is handed to the net. */
static inline void node_peers_flush(struct node *node)
{
    if (node->peers && !node->peers_closing)
        peers_flush(node->peers);
}
void node_peers_close(struct node *node);
/* Entries go into the log: their stamps are a leader's floor, and what they ask for need not be repeated. */
void node_note_entries(struct node *node, const struct entry *entries, size_t count);

/* node_divergence.c */
bool divergence_is_frame(uint32_t kind);
void divergence_on_frame(struct node *node, raft_id from, struct bytes bytes);
void divergence_turn(struct node *node);
int64_t divergence_next_wake_ns(const struct node *node);
/* This member's store is wrong: it says so, sees to it that it is not opened again, and fails with DIVERGED.
 * It does not vote on: a process that is known to go wrong is not trusted with the rest, and its log keeps
 * what it promised until it comes back. */
void node_fence(struct node *node, const struct divergence_finding *finding);

/* forming.c */
/* Whether all have met; then the member begins. */
void forming_turn(struct node *node);
int64_t forming_next_wake_ns(const struct node *node);
enum err_code forming_hello(struct node *node, raft_id from, uint64_t generation,
                            struct err *err) MUST_USE;
void forming_refused(struct node *node, enum peer_refusal why, const char *text);

/* ask.c */
void asks_init(struct node *node);
void asks_release(struct node *node);
void asks_turn(struct node *node);
/* True when somebody was told. */
bool asks_deliver(struct node *node);
void asks_fail(struct node *node, enum err_code code);
int64_t asks_next_wake_ns(const struct node *node);
bool asks_is_frame(uint32_t kind);
void asks_on_frame(struct node *node, raft_id from, uint32_t kind, struct bytes bytes);
/* Somebody who is no member yet asks to become one. */
void asks_join(struct node *node, const struct join_request *request);

/* A line for the operator. */
void node_say(const struct node *node, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* change.c */
void changes_turn(struct node *node);
/* True when somebody was told. */
bool changes_deliver(struct node *node);
void changes_applied(struct node *node, const uint64_t token[2], enum err_code code,
                     const struct err *err);
void changes_fail(struct node *node, enum err_code code);
int64_t changes_next_wake_ns(const struct node *node);

/* kv_local.c */
extern const struct kv_ops kv_local_ops;
void reads_init(struct reads *reads);
void reads_release(struct reads *reads);
/* Serves what may be served, asks for what may not. Returns true when something was served. */
bool reads_turn(struct node *node);
void reads_state(struct node *node, const struct raft_read_state *state);
int64_t reads_expire(struct node *node, int64_t now_ns);
void reads_fail(struct node *node, enum err_code code);
bool reads_are_idle(const struct reads *reads);

/* watches.c */
void watches_open(struct node *node, uint64_t seed);
void watches_release(struct node *node);
/* Tells what is due. Returns true when another turn should follow. */
bool watches_turn(struct node *node);
/* Everything ends with CLOSING; told by watches_end, or the next turn. */
void watches_close(struct node *node);
void watches_end(struct node *node);
/* No reading is on a worker, and nobody waits for the end. */
bool watches_are_closed(const struct node *node);
void watches_watch(struct kv *kv, struct kv_watch *watch);
void watches_unwatch(struct kv *kv, struct kv_watch *watch);
void watches_pause(struct kv *kv, struct kv_watch *watch);
void watches_resume(struct kv *kv, struct kv_watch *watch);
void watches_progress(struct kv *kv, struct kv_watch *watch);

/* snapshotter.c */
void snapshotter_open(struct node *node, raft_index marked);
void snapshotter_release(struct node *node);
/* Remembers that the configuration is what it is now from index on. */
void snapshotter_note_configuration(struct node *node, raft_index index);
/* The membership that the entry at index, which is not in tables yet, left in the store. Borrowed. */
struct bytes snapshotter_membership_at(const struct node *node, raft_index index);
/* The store was replaced by one that is durable, and that the log has a mark of unless it was fetched. */
void snapshotter_restart(struct node *node, bool fetched);
void snapshotter_turn(struct node *node);
/* There is cause for a look at what is durable and what is free; it comes at snapshotter.due_ns. */
bool snapshotter_wants_look(const struct node *node);
/* After a flush: drops from log and memory what a durable mark covers. */
void snapshotter_release_log(struct node *node);
/* Everything applied becomes durable in tables, marked and flushed: the last act of a clean stop. */
enum err_code snapshotter_finish(struct node *node, struct err *err) MUST_USE;
/* Steps of a compaction walk, one at a time, between applies. */
void compaction_turn(struct node *node);

#endif
