/* A request that is one put, written straight into its payload: nearly all of a log is made of these, and
 * building and packing generated structs for each costs more than checking and framing it. The bytes are
 * those that generated code writes (schema/kv.proto). Pure.
 */
#ifndef PROTO_ENTRY_PUT_H
#define PROTO_ENTRY_PUT_H

#include "proto/kv_pb.h"

/* Whether the request is a txn of one put and nothing else. */
bool entry_put_is(const struct entry_request *request);
/* As entry_request_encode. entry_put_is holds. */
struct blob *entry_put_encode(const struct entry_request *request);

#endif
