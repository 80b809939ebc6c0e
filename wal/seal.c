#include "wal/seal.h"

#include "proto/base/crc32c.h"

static const uint8_t seal_magic[8] = {'c', 'o', 'n', 'c', 's', 'e', 'a', 'l'};

void seal_encode(uint8_t to[SEAL_SIZE], const struct seal *seal)
{
    memcpy(to, seal_magic, 8);
    put_le64(to + 8, seal->end.segment);
    put_le64(to + 16, seal->end.offset);
    put_le32(to + 24, seal->end.previous);
    put_le32(to + 28, seal->end.opening);
    put_le32(to + 32, seal->rest);
    put_le32(to + 36, crc32c(seal->end.seed, bytes_of(to, 36)));
}

bool seal_decode(struct bytes from, uint32_t seed, struct seal *ret_seal)
{
    if (from.size != SEAL_SIZE || memcmp(from.data, seal_magic, 8) != 0)
        return false;
    if (crc32c(seed, bytes_of(from.data, 36)) != get_le32(from.data + 36))
        return false;
    *ret_seal = (struct seal){
        .end = {get_le64(from.data + 8), get_le64(from.data + 16), get_le32(from.data + 24),
                get_le32(from.data + 28), seed},
        .rest = get_le32(from.data + 32),
    };
    return true;
}
