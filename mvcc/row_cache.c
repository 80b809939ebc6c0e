/* Two places for each hash; the one that was not used last gives way. Tags stand apart from the rows, so
 * that a look in vain, and the choice of a place, touch one line of memory and not the rows. */
#include "mvcc/row_cache.h"

#include <stdlib.h>

#include "proto/base/mem.h"

#define PAIRS 16384                     /* times two of SLOT_SIZE: 6 MiB */
#define SLOT_SIZE 192                   /* a name of usual length with its record */
#define TAG_NONE 0

struct slot {
    uint16_t key_size, value_size;
    bool is_absent;
    uint8_t data[SLOT_SIZE - 5];        /* key, value */
};

struct pair {
    uint32_t tags[2];
};

struct row_cache {
    struct pair pairs[PAIRS];
    uint8_t recent[PAIRS];              /* which of the pair was used last */
    struct slot slots[PAIRS][2];
};

struct row_cache *row_cache_new(void)
{
    return mem_xzalloc(sizeof(struct row_cache));
}

void row_cache_free(struct row_cache *cache)
{
    free(cache);
}

static uint32_t tag_of(uint32_t hash)
{
    return hash == TAG_NONE ? 1 : hash;
}

/* Which of the pair holds the key; 2: none. */
static unsigned find(const struct row_cache *cache, struct bytes key, uint32_t hash)
{
    size_t pair = hash % PAIRS;
    for (unsigned i = 0; i < 2; i++) {
        const struct slot *slot = &cache->slots[pair][i];
        if (cache->pairs[pair].tags[i] == tag_of(hash) && slot->key_size == key.size &&
            memcmp(slot->data, key.data, key.size) == 0)
            return i;
    }
    return 2;
}

bool row_cache_get(struct row_cache *cache, struct bytes key, uint32_t hash, bool *ret_absent,
                   struct bytes *ret_value)
{
    unsigned i = find(cache, key, hash);
    if (i == 2)
        return false;
    const struct slot *slot = &cache->slots[hash % PAIRS][i];
    cache->recent[hash % PAIRS] = (uint8_t)i;
    *ret_absent = slot->is_absent;
    *ret_value = bytes_of(slot->data + slot->key_size, slot->value_size);
    return true;
}

void row_cache_put(struct row_cache *cache, struct bytes key, uint32_t hash,
                   const struct bytes *value)
{
    size_t value_size = value ? value->size : 0, pair = hash % PAIRS;
    unsigned i = find(cache, key, hash);
    bool fits = key.size + value_size <= sizeof(cache->slots[pair][0].data);
    if (i == 2 && !fits)
        return;
    i = i == 2 ? 1U - cache->recent[pair] : i;
    cache->pairs[pair].tags[i] = fits ? tag_of(hash) : TAG_NONE;
    if (!fits)
        return;
    struct slot *slot = &cache->slots[pair][i];
    slot->is_absent = !value;
    slot->key_size = (uint16_t)key.size;
    slot->value_size = (uint16_t)value_size;
    memcpy(slot->data, key.data, key.size);
    if (value_size)
        memcpy(slot->data + key.size, value->data, value_size);
    cache->recent[pair] = (uint8_t)i;
}
