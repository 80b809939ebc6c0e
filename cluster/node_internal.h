/* What node.c, kv_local.c, snapshotter.c and watches.c share. Nobody else includes it. */
#ifndef CLUSTER_NODE_INTERNAL_H
#define CLUSTER_NODE_INTERNAL_H

#include "cluster/apply.h"
#include "cluster/leases.h"
#include "cluster/logwriter.h"
#include "cluster/node.h"
#include "cluster/propose.h"
#include "cluster/raftlog.h"
#include "proto/base/rand.h"

#define NODE_CONFIGURATIONS_MAX 8   /* that a checkpoint may still refer to */

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
    struct {
        raft_index index;           /* holds from here on */
        struct blob *encoded;
    } configurations[NODE_CONFIGURATIONS_MAX];
    size_t configuration_count;
};

struct compaction {
    struct worker_job job;
    bool in_flight, pending;
    bool done;
    kv_rev finished_revision;       /* to be proposed as ENTRY_COMPACTED */
    uint64_t finished_bytes;
    enum err_code code;
    struct err err;
    struct list waiting;            /* physical compactions that wait for the walk */
};

/* The hub, and its readings on a worker. */
struct watches {
    struct watch_hub *hub;
    struct worker_job job;
    int64_t slow_until_ns;          /* the loop reads nothing for them until then */
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
    struct leases leases;
    struct reads reads;
    struct snapshotter snapshotter;
    struct compaction compaction;
    struct watches watches;
    struct kv_observer *observer;

    raft_id leader;                 /* as last told */
    raft_term term;
    int64_t next_tick_ns, next_expire_ns;
    int64_t leader_lost_ns;         /* since when there is none; 0: there is one */
    bool alone;                     /* one voter, this one, and nobody else */
    bool hold_commit, stopping;
    enum err_code fault_code;
    struct err fault;
};

/* Whether this member is the only one: then reads need no round and kernel caches may be trusted. */
bool node_is_alone(const struct node *node);
void node_fail(struct node *node, enum err_code code, const struct err *err);
int64_t node_now(const struct node *node);

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
/* Remembers what the membership is from index on. */
void snapshotter_note_configuration(struct node *node, raft_index index, struct bytes encoded);
void snapshotter_turn(struct node *node);
/* After a flush: drops from log and memory what a durable mark covers. */
void snapshotter_release_log(struct node *node);
/* Everything applied becomes durable in tables, marked and flushed: the last act of a clean stop. */
enum err_code snapshotter_finish(struct node *node, struct err *err) MUST_USE;
/* Steps of a compaction walk, one at a time, between applies. */
void compaction_turn(struct node *node);

#endif
