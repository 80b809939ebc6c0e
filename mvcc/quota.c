#include "mvcc/quota.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "mvcc/index.h"
#include "proto/base/hash.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"

#define QUOTA_ROW BYTES_LITERAL("mquota")
#define QUOTA_ROW_SIZE 16

struct quota {
    uint64_t used, keys;                        /* the writer's */
    bool is_dirty;
    _Atomic uint64_t used_published, keys_published;
};

struct quota *quota_new(void) { return mem_xzalloc(sizeof(struct quota)); }

void quota_free(struct quota *quota) { free(quota); }

enum err_code quota_load(struct quota *quota, struct backend *backend, struct err *err)
{
    struct buf row = {0};
    enum err_code code = backend->ops->get(backend, NULL, QUOTA_ROW, &row, err);
    if (code == ERR_OK && row.size != QUOTA_ROW_SIZE)
        code = err_set(err, ERR_CORRUPT, "the quota of the store does not decode");
    if (code == ERR_OK || code == ERR_NOT_FOUND) {
        quota->used = code ? 0 : get_le64(row.data);
        quota->keys = code ? 0 : get_le64(row.data + 8);
        quota->is_dirty = false;
        quota_publish(quota);
        code = ERR_OK;
    }
    buf_release(&row);
    return code;
}

enum err_code quota_check(const struct quota *quota, uint64_t limit, uint64_t bytes, bool frees,
                          struct err *err)
{
    uint64_t bound = frees && limit <= UINT64_MAX - QUOTA_RESERVE ? limit + QUOTA_RESERVE : limit;
    if (quota->used <= bound && bytes <= bound - quota->used)
        return ERR_OK;
    return err_set(err, ERR_NO_SPACE, "mvcc: database space exceeded");
}

/* Never below 0, never round the top. */
static uint64_t counted(uint64_t sum, int64_t change)
{
    if (change < 0)
        return sum > 0 - (uint64_t)change ? sum - (0 - (uint64_t)change) : 0;
    return sum < UINT64_MAX - (uint64_t)change ? sum + (uint64_t)change : UINT64_MAX;
}

void quota_charge(struct quota *quota, int64_t bytes)
{
    quota->used = counted(quota->used, bytes);
    quota->is_dirty = quota->is_dirty || bytes != 0;
}

void quota_count_keys(struct quota *quota, int64_t keys)
{
    quota->keys = counted(quota->keys, keys);
    quota->is_dirty = quota->is_dirty || keys != 0;
}

uint64_t quota_fold(const struct quota *quota, uint64_t hash)
{
    return hash_u64(hash ^ quota->used) ^ quota->keys;
}

void quota_flush(struct quota *quota, struct batch *batch)
{
    uint8_t row[QUOTA_ROW_SIZE];
    if (!quota->is_dirty)
        return;
    put_le64(row, quota->used);
    put_le64(row + 8, quota->keys);
    batch_put(batch, QUOTA_ROW, bytes_of(row, sizeof(row)));
    quota->is_dirty = false;
}

void quota_publish(struct quota *quota)
{
    atomic_store_explicit(&quota->used_published, quota->used, memory_order_relaxed);
    atomic_store_explicit(&quota->keys_published, quota->keys, memory_order_relaxed);
}

void quota_get(struct quota *quota, uint64_t *ret_used, uint64_t *ret_keys)
{
    *ret_used = atomic_load_explicit(&quota->used_published, memory_order_relaxed);
    *ret_keys = atomic_load_explicit(&quota->keys_published, memory_order_relaxed);
}
