/* Raft messages as bytes: schema raft.proto's Message <-> struct raft_message.
 *
 * Written by hand over proto/wire.h, so that the payload of an entry is copied exactly once in
 * either direction: into the frame, and out of it into a blob of its own (one reference: a leader
 * may still fill in a stamp). Bytes are those of protobuf-c for the same schema: fields in
 * ascending order, zeros left out. Unknown fields are passed over. Responses belong to local
 * threads and never travel.
 *
 * Nothing here keeps state; any thread.
 */
#ifndef CLUSTER_RAFT_PB_H
#define CLUSTER_RAFT_PB_H

#include "cluster/raft/raft.h"

/* Bytes that an entry takes inside a message, its tag and size included. */
size_t raft_entry_wire_size(const struct entry *entry);
/* Bytes that raft_message_encode appends. */
size_t raft_message_wire_size(const struct raft_message *message);
/* Appends it; one growth of buf at most. CHECKed: it has no responses. */
void raft_message_encode(const struct raft_message *message, struct buf *buf);

/* A message that was decoded and what belongs to it. Zeroed memory is an empty one. To be used
 * again: the array keeps its size, so that in the steady state only payload blobs are allocated. */
struct raft_received {
    struct raft_message message;        /* context borrows from the bytes that were decoded */
    struct raft_snapshot snapshot;
    struct entry *entries;
    size_t entry_capacity;
};

/* Replaces what *ret held; on failure it is empty. INVALID, with a text: a wire error, a type or
 * entry type that nobody knows, responses, more than MESSAGE_ENTRIES_MAX entries. Types that only
 * local threads use are decoded: whoever has the message from a peer refuses those. */
enum err_code raft_message_decode(struct bytes from, struct raft_received *ret,
                                  struct err *err) MUST_USE;
/* Drops the references; whoever keeps a payload took one of his own. */
void raft_received_clear(struct raft_received *received);
void raft_received_release(struct raft_received *received);

#endif
