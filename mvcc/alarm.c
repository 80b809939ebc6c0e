/* The alarm: disks are nearly full, says the leader, and what needs room is refused until it says that they
 * are not (etcd server/etcdserver/apply, its capped applier). Entries raise and clear it, and it stands in the
 * store, so every member refuses the same at the same index, a new leader knows what the last one said, and a
 * member that joins is told with the rest.
 */
#include "mvcc/store_internal.h"

enum err_code alarm_load(struct store *store, struct err *err)
{
    struct bytes found;
    enum err_code code = batch_get(store->batch, BYTES_LITERAL(META_ALARM), &found, err);
    store->is_alarmed = code == ERR_OK;
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

void alarm_apply(struct store *store, bool raised)
{
    if (raised == store->is_alarmed)
        return;
    if (raised)
        batch_put(store->batch, BYTES_LITERAL(META_ALARM), BYTES_LITERAL("\1"));
    else
        batch_delete(store->batch, BYTES_LITERAL(META_ALARM));
    store->is_alarmed = raised;
}

enum err_code alarm_check(const struct store *store, bool needs_room, struct err *err)
{
    if (!store->is_alarmed || !needs_room)
        return ERR_OK;
    return err_set(err, ERR_NO_SPACE, "%s", STORE_NO_SPACE);
}

bool store_alarm(struct store *store) { return store->alarm; }
