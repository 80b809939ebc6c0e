/* Base-128 integers, least significant group first, as protobuf writes them. */
#ifndef PROTO_BASE_VARINT_H
#define PROTO_BASE_VARINT_H

#include <stddef.h>
#include <stdint.h>

#define VARINT_SIZE_MAX 10

/* Writes value; returns how many bytes (1 to VARINT_SIZE_MAX). */
static inline size_t varint_encode(uint8_t *to, uint64_t value)
{
    size_t size = 0;
    while (value >= 0x80) {
        to[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    to[size++] = (uint8_t)value;
    return size;
}

static inline size_t varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >= 0x80) {
        size++;
        value >>= 7;
    }
    return size;
}

/* Reads one; returns its size, or 0 when it is cut, overlong (not the shortest form) or over 64 bit. */
static inline size_t varint_decode(const uint8_t *from, size_t size, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size && i < VARINT_SIZE_MAX; i++) {
        uint64_t group = from[i] & 0x7f;
        if (i == 9 && group > 1)
            return 0;
        value |= group << (7 * i);
        if (!(from[i] & 0x80)) {
            if (i > 0 && group == 0)
                return 0;
            *ret_value = value;
            return i + 1;
        }
    }
    return 0;
}

#endif
