/* A 64-bit hash for tables and identities: fast, seeded, equal on every machine. Not for secrets. */
#ifndef PROTO_BASE_HASH_H
#define PROTO_BASE_HASH_H

#include "proto/base/bytes.h"

/* Stable for ever: inode numbers and state hashes are made of it. */
uint64_t hash_bytes(uint64_t seed, struct bytes from);
/* A good mixer of one word (the finaliser of splitmix64). */
uint64_t hash_u64(uint64_t value);

#endif
