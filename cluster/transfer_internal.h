/* What transfer.c and transfer_in.c share. Nobody else includes it. */
#ifndef CLUSTER_TRANSFER_INTERNAL_H
#define CLUSTER_TRANSFER_INTERNAL_H

#include "cluster/node_internal.h"

#define TRANSFER_WINDOW 4                       /* chunks asked for and not there yet */
#define TRANSFER_LEADERLESS_NS (2 * NS_PER_S)   /* several elections */
#define TRANSFER_RETRY_NS (1 * NS_PER_S)        /* then they are asked for again */
#define TRANSFER_WORK_NS (600 * NS_PER_S)       /* the longest that one piece of work may take */
#define TRANSFER_PATIENCE_NS (5 * NS_PER_S)     /* without a sign of the other side, then it ends */

static_assert(TRANSFER_REQUESTS_MAX >= 4 * TRANSFER_WINDOW, "windows that were asked for again fit");

/* All numbers little endian. ASK, DONE and WANTED go to the sender, CHUNK and OFFER to the
 * receiver. */
enum transfer_kind {
    TRANSFER_KIND_ASK = PEER_KIND_OWN,  /* copy id 8, file 4, offset 8, size 4; size 0: a sign of life */
    TRANSFER_KIND_CHUNK,                /* copy id 8, file 4, offset 8, the bytes */
    TRANSFER_KIND_DONE,                 /* copy id 8, 1 byte: 1 it is all there and durable, 0 it ended */
    TRANSFER_KIND_WANTED,               /* nothing: the sender lacks a store */
    TRANSFER_KIND_OFFER,                /* its answer: index 8, term 8, manifest */
};

bool transfer_say(struct node *node, raft_id to, enum transfer_kind kind, struct bytes bytes);
void transfer_job_start(struct node *node, struct transfer_job *work, enum worker_lane lane,
                        void (*run)(struct worker_job *job), void (*done)(struct worker_job *job));

/* transfer_in.c */
void transfer_on_chunk(struct node *node, raft_id from, struct cursor *cursor);
void transfer_on_offer(struct node *node, raft_id from, struct cursor *cursor);
bool transfer_in_turn(struct node *node);
int64_t transfer_in_next_wake_ns(const struct node *node);
void transfer_in_release(struct node *node);

#endif
