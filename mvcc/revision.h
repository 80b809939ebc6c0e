/* A revision: main counts the transactions of the store, sub the changes inside one, from 0. Encoded as
 * two big-endian words; inverted where the newest is to come first. Pure. */
#ifndef MVCC_REVISION_H
#define MVCC_REVISION_H

#include "proto/base/bytes.h"
#include "proto/kv.h"

struct revision {
    kv_rev main;
    int64_t sub;
};

#define REVISION_SIZE 16
#define REVISION_SUB_MAX INT64_MAX

static inline int revision_compare(struct revision a, struct revision b)
{
    if (a.main != b.main)
        return a.main < b.main ? -1 : 1;
    return a.sub < b.sub ? -1 : a.sub > b.sub;
}

static inline void revision_encode(uint8_t *to, struct revision revision)
{
    put_be64(to, (uint64_t)revision.main);
    put_be64(to + 8, (uint64_t)revision.sub);
}

static inline struct revision revision_decode(const uint8_t *from)
{
    return (struct revision){(kv_rev)get_be64(from), (int64_t)get_be64(from + 8)};
}

/* Newest first. */
static inline void revision_encode_inverted(uint8_t *to, struct revision revision)
{
    put_be64(to, ~(uint64_t)revision.main);
    put_be64(to + 8, ~(uint64_t)revision.sub);
}

static inline struct revision revision_decode_inverted(const uint8_t *from)
{
    return (struct revision){(kv_rev)~get_be64(from), (int64_t)~get_be64(from + 8)};
}

#endif
