/* Messages that wait for one peer, in order, within bounds. Of append answers it holds one: the
 * last says all that the ones before it said (etcd's processMessages), and everything else keeps
 * its place.
 *
 * Each message is a clone: one block, payloads referenced. Loop thread only. */
#ifndef CLUSTER_PEER_QUEUE_H
#define CLUSTER_PEER_QUEUE_H

#include "cluster/raft/raft.h"

struct peer_queue {
    struct mem *mem;            /* of the clones; borrowed */
    struct queued_message {
        struct raft_message *message;   /* NULL: an answer that a later one replaced */
        size_t size;                    /* in the body of a frame */
    } *items;                   /* begin .. end; the item at begin has a message */
    size_t begin, end, capacity;
    size_t count, bytes;        /* of those that have a message */
    size_t answer;              /* place of the append answer; SIZE_MAX: none */
};

void peer_queue_init(struct peer_queue *queue, struct mem *mem);
void peer_queue_release(struct peer_queue *queue);
/* False: full (PEER_QUEUE_MESSAGES_MAX, PEER_QUEUE_BYTES_MAX), larger than a frame, or no
 * memory. */
bool peer_queue_push(struct peer_queue *queue, const struct raft_message *message) MUST_USE;
/* The first, until it is popped; NULL when there is none. */
const struct queued_message *peer_queue_front(const struct peer_queue *queue);
void peer_queue_pop(struct peer_queue *queue);
/* Bytes of the messages at the front that go together into a frame: the first, and those behind it
 * as long as all fit FRAME_MESSAGES_BYTES. *ret_count of them. */
size_t peer_queue_batch(const struct peer_queue *queue, size_t *ret_count);
/* Drops all; returns how many, and whether a snapshot was among them. */
size_t peer_queue_clear(struct peer_queue *queue, bool *ret_snapshot);
/* CHECKs the above. */
void peer_queue_validate(const struct peer_queue *queue);

#endif
