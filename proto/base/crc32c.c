#include "proto/base/crc32c.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define CRC32C_POLYNOMIAL UINT32_C(0x82f63b78) /* reflected */

static uint32_t crc_table[8][256];

__attribute__((constructor)) static void crc_table_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (crc >> 1) ^ CRC32C_POLYNOMIAL : crc >> 1;
        crc_table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int slice = 1; slice < 8; slice++)
            crc_table[slice][i] =
                (crc_table[slice - 1][i] >> 8) ^ crc_table[0][crc_table[slice - 1][i] & 0xff];
}

uint32_t crc32c_portable(uint32_t crc, struct bytes from)
{
    crc = ~crc;
    const uint8_t *at = from.data;
    size_t size = from.size;
    for (; size >= 8; size -= 8, at += 8) {
        uint32_t low = crc ^ get_le32(at), high = get_le32(at + 4);
        crc = crc_table[7][low & 0xff] ^ crc_table[6][low >> 8 & 0xff] ^
              crc_table[5][low >> 16 & 0xff] ^ crc_table[4][low >> 24] ^
              crc_table[3][high & 0xff] ^ crc_table[2][high >> 8 & 0xff] ^
              crc_table[1][high >> 16 & 0xff] ^ crc_table[0][high >> 24];
    }
    for (; size > 0; size--, at++)
        crc = (crc >> 8) ^ crc_table[0][(crc ^ *at) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, struct bytes from)
{
    uint64_t state = ~crc;
    const uint8_t *at = from.data;
    size_t size = from.size;
    for (; size >= 8; size -= 8, at += 8)
        state = _mm_crc32_u64(state, get_le64(at));
    for (; size > 0; size--, at++)
        state = _mm_crc32_u8((uint32_t)state, *at);
    return ~(uint32_t)state;
}
#endif

uint32_t crc32c(uint32_t crc, struct bytes from)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc, from);
#endif
    return crc32c_portable(crc, from);
}
