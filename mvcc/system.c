#include "mvcc/system.h"

#include "mvcc/config.h"

static struct bytes config_prefix(void) { return BYTES_LITERAL(KV_CONFIG_PREFIX); }

bool system_is_inside(struct bytes key)
{
    return bytes_starts_with(key, BYTES_LITERAL(KV_SYSTEM_PREFIX));
}

bool system_is_visible(struct bytes range_key, struct bytes key)
{
    return !system_is_inside(key) || system_is_inside(range_key);
}

/* A record describes a key of the users, or with no key the directory "/"; never another record. */
static enum err_code check_record(struct bytes of, bool needs_key, struct err *err)
{
    if (system_is_inside(of) || (needs_key && of.size == 0))
        return err_set(err, ERR_INVALID, "a record must describe a key outside \"%s\"",
                       KV_SYSTEM_PREFIX);
    return ERR_OK;
}

enum err_code system_check_write(bool privileged, struct bytes key, const struct bytes *value,
                                 struct err *err)
{
    struct bytes pins = BYTES_LITERAL(KV_PIN_PREFIX), metas = BYTES_LITERAL(KV_META_PREFIX),
                 directories = BYTES_LITERAL(KV_DIR_PREFIX);
    if (!system_is_inside(key))
        return ERR_OK;
    if (!privileged)
        return err_set(err, ERR_DENIED, "permission denied");
    if (bytes_starts_with(key, config_prefix()))
        return value ? config_validate(bytes_skip(key, config_prefix().size), *value, err) : ERR_OK;
    if (bytes_starts_with(key, metas))
        return check_record(bytes_skip(key, metas.size), true, err);
    if (bytes_starts_with(key, directories))
        return check_record(bytes_skip(key, directories.size), false, err);
    if (bytes_starts_with(key, pins) && key.size > pins.size)
        return ERR_OK;
    return err_set(err, ERR_INVALID, "nothing defines \"%.*s\"",
                   (int)(key.size < 128 ? key.size : 128), (const char *)key.data);
}

enum err_code system_key_deleted(struct txn *txn, struct bytes key, struct err *err)
{
    struct head head;
    struct buf meta = {0};
    buf_append(&meta, BYTES_LITERAL(KV_META_PREFIX));
    buf_append(&meta, key);
    enum err_code code = txn_head(txn, buf_bytes(&meta), &head, err);
    if (code == ERR_OK)
        code = txn_delete_key(txn, buf_bytes(&meta), &head, false, err);
    else if (code == ERR_NOT_FOUND)
        code = ERR_OK;
    buf_release(&meta);
    return code;
}

void system_key_changed(struct txn *txn, struct bytes key, const struct bytes *value)
{
    if (bytes_starts_with(key, config_prefix()))
        config_changed(txn->config, bytes_skip(key, config_prefix().size), value);
}
