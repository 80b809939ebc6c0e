/* What clients.c and the checkers of histories share. */
#ifndef TESTS_SIM_CLIENTS_INTERNAL_H
#define TESTS_SIM_CLIENTS_INTERNAL_H

#include "tests/sim/clients.h"

enum operation_kind {
    OP_PUT,                 /* a txn of one put */
    OP_COMPARE_AND_PUT,     /* if the key is as it was seen last, put; else read it */
    OP_DELETE,              /* of one key, and a note that it was done */
    OP_DELETE_RANGE,        /* likewise */
    OP_GET, OP_RANGE,       /* linearizable */
    OP_GET_LOCAL,           /* as the member has it */
    OP_GET_OLD,             /* at an earlier revision */
    OP_COMPACT,
    OP_LEASE_GRANT, OP_LEASE_KEEP_ALIVE, OP_LEASE_REVOKE, OP_LEASE_PUT,
    OP_KIND_COUNT
};

struct operation {
    enum operation_kind kind;
    uint64_t client, tag;               /* tag: what a write's value begins with; from 1 */
    uint64_t host;
    int64_t asked_ns, answered_ns;      /* of the world */
    enum operation_outcome outcome;
    enum err_code code;
    kv_rev newest;                      /* of its host when that was asked, as it knew itself */
    uint64_t reopenings;                /* of its host's store, until then */
    bool store_changed;                 /* it was being opened again then, or since until it answered */
    struct kv_request request;          /* its answer stays for the checkers */
    struct arena arena;                 /* what the request borrows */
    struct kv_compare compare;
    struct kv_op ops[3];
    int64_t lease;
    struct world *world;
};

struct client {
    struct rand rand;
    uint64_t number, host;              /* host 0: none yet */
    int64_t next_ns;                    /* INT64_MAX: a request is open, or it is done */
    struct operation *open;
    struct bytes seen_key;              /* of its last read or write, and how it was */
    kv_rev seen_revision;
    bool asked_write, has_written;      /* since the healing: its last request was a put; one was acknowledged */
    int64_t lease;                      /* its own; 0: none */
};

/* What a watch was told between two revisions, without a gap. */
struct watched {
    kv_rev revision;
    bool is_delete, has_previous;
    struct bytes key, value, previous;  /* in the watcher's arena */
    int64_t version;
    kv_rev create_revision, previous_revision;
    int64_t told_ns;                    /* of the world */
};

struct watcher {
    struct kv_watch watch;
    struct rand rand;
    struct world *world;
    uint64_t host;                      /* 0: it watches nowhere */
    struct bytes key, range_end;
    bool is_open, is_paused, want_previous, no_put, no_delete;
    kv_rev from, to;                    /* of this segment: told completely, both included */
    size_t first;                       /* of its events */
    struct watched *events;
    size_t count, capacity;
    struct arena arena;
    struct {
        kv_rev from, to;
        size_t first, count;
        kv_rev compact_revision;        /* as it was told at that time of the world */
        int64_t told_ns;
    } *segments;                        /* those that ended, because of a compaction */
    size_t segment_count, segment_capacity;
    int64_t next_ns;                    /* INT64_MAX: nothing to do */
};

struct clients {
    struct client *clients;
    size_t client_count;
    struct watcher *watchers;
    size_t watcher_count;
    struct operation **operations;      /* in the order in which they were asked for */
    size_t operation_count, operation_capacity, wanted;
    uint64_t acknowledged, unknown, events;
    int64_t healed_ns;          /* 0: not yet */
    uint64_t tags;
};

/* watchers.c */
void watchers_init(struct world *world, struct clients *clients, struct rand *rand);
void watchers_release(struct clients *clients);
void watcher_step(struct watcher *watcher);

/* A host that a client may turn to; 0: none is up. */
uint64_t clients_draw_host(struct world *world, struct rand *rand);

#endif
