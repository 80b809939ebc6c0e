/* What kv_pb.c and socket_pb.c share: building generated structs in an arena, and reading requests from
 * their wire form under bounds. */
#ifndef PROTO_REQUEST_PB_H
#define PROTO_REQUEST_PB_H

#include "proto/base/limits.h"
#include "proto/kv_pb.h"
#include "proto/schema/kv.pb-c.h"
#include "proto/wire.h"

/* ---- writing ---- */

/* An arena whose first allocations lie in memory of the caller's frame. */
struct scratch {
    struct arena arena;
    _Alignas(16) uint8_t memory[1024];
};

static inline struct arena *scratch_init(struct scratch *scratch)
{
    scratch->arena = (struct arena){.place = scratch->memory,
                                    .end = scratch->memory + sizeof(scratch->memory)};
    return &scratch->arena;
}

/* Declares message: a generated struct in the arena, with its defaults. */
#define BUILD(arena, type, init)                                                                   \
    type *message = arena_alloc((arena), sizeof(type));                                            \
    *message = (type)init

static inline ProtobufCBinaryData binary(struct bytes from)
{
    return (ProtobufCBinaryData){from.size, (uint8_t *)from.data};
}

Kv__RangeRequest *range_build(struct arena *arena, const struct kv_range *range);
Kv__TxnRequest *txn_build(struct arena *arena, const struct kv_txn *txn);
Kv__CompactionRequest *compact_build(struct arena *arena, const struct kv_compact *compact);

/* ---- reading; CORRUPT is the one error ---- */

#define OPS_TOTAL_MAX (4 * TXN_OPS_MAX)

/* What one request may still hold, over all its levels. */
struct decoder {
    struct arena *arena;
    struct err *err;
    size_t ops_left, compares_left;
};

static inline struct decoder decoder_of(struct arena *arena, struct err *err)
{
    return (struct decoder){arena, err, OPS_TOTAL_MAX, OPS_TOTAL_MAX};
}

static inline enum err_code broken(struct decoder *decoder, const char *what)
{
    return err_set(decoder->err, ERR_CORRUPT, "%s does not decode", what);
}

enum err_code range_decode(struct decoder *decoder, struct bytes from,
                           struct kv_range *ret) MUST_USE;
/* depth: 1 for the outermost. */
enum err_code txn_decode(struct decoder *decoder, struct bytes from, unsigned depth,
                         struct kv_txn *ret) MUST_USE;
enum err_code compact_decode(struct decoder *decoder, struct bytes from,
                             struct kv_compact *ret) MUST_USE;

#endif
