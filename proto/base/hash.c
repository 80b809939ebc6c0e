#include "proto/base/hash.h"

uint64_t hash_u64(uint64_t value)
{
    value += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

/* Eight bytes at a time, each folded in by a multiplication to 128 bits; the size closes it, so that
 * trailing zeros count. */
static uint64_t fold(uint64_t left, uint64_t right)
{
    __uint128_t product = (__uint128_t)left * right;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_bytes(uint64_t seed, struct bytes from)
{
    uint64_t state = hash_u64(seed);
    size_t done = 0;
    for (; from.size - done >= 8; done += 8)
        state = fold(state ^ get_le64(from.data + done), UINT64_C(0xa0761d6478bd642f));
    uint64_t tail = 0;
    for (size_t i = done; i < from.size; i++)
        tail |= (uint64_t)from.data[i] << (8 * (i - done));
    state = fold(state ^ tail, UINT64_C(0xe7037ed1a0b428db));
    return hash_u64(state ^ from.size);
}
