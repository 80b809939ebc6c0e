#include "cluster/change_check.h"

#include <inttypes.h>

#include "proto/base/limits.h"

struct majority {
    size_t voters, reachable, needed;
};

static struct majority majority_of(const struct change_view *view, const struct raft_id_set *voters)
{
    struct majority majority = {.voters = voters->count, .needed = voters->count / 2 + 1};
    for (size_t i = 0; i < voters->count; i++)
        majority.reachable += raft_id_set_contains(&view->reachable, voters->ids[i]);
    return majority;
}

static enum err_code find(const struct change_view *view, raft_id id,
                          const struct membership_member **ret, struct err *err)
{
    *ret = membership_find(view->membership, id);
    return *ret ? ERR_OK : err_set(err, ERR_NOT_FOUND, "there is no member %016" PRIx64, id);
}

static const char *plural(size_t count) { return count == 1 ? "" : "s"; }
static const char *is_or_are(size_t count) { return count == 1 ? "is" : "are"; }

static enum err_code check_majority(struct majority majority, const char *what,
                                    const struct membership_member *member, const char *leaves,
                                    struct err *err)
{
    if (majority.reachable >= majority.needed)
        return ERR_OK;
    return err_set(err, ERR_READ_ONLY,
                   "%s %s %s %zu voter%s, of which %zu %s reachable; %zu %s needed", what,
                   member->name, leaves, majority.voters, plural(majority.voters),
                   majority.reachable, is_or_are(majority.reachable), majority.needed,
                   is_or_are(majority.needed));
}

enum err_code change_check_remove(const struct change_view *view, raft_id id, struct err *err)
{
    struct raft_id_set voters = view->membership->configuration.voters;
    const struct membership_member *member;
    enum err_code code = find(view, id, &member, err);
    if (code != ERR_OK || !raft_id_set_contains(&voters, id))
        return code;
    raft_id_set_remove(&voters, id);
    if (voters.count == 0)
        return err_set(err, ERR_READ_ONLY,
                       "%s is the only voter: nobody could be elected without it", member->name);
    return check_majority(majority_of(view, &voters), "removing", member, "leaves", err);
}

static enum err_code check_lag(const struct change_view *view,
                               const struct membership_member *member, struct err *err)
{
    raft_index match = 0;
    for (size_t i = 0; i < view->matched.count; i++)
        if (view->matched.ids[i] == member->id)
            match = view->match[i];
    if (!raft_id_set_contains(&view->reachable, member->id))
        return err_set(err, ERR_BUSY, "%s is not reachable: as a voter it would only be counted",
                       member->name);
    if (view->last > match && view->last - match > MEMBER_PROMOTE_LAG_MAX)
        return err_set(err, ERR_BUSY,
                       "%s is %" PRIu64 " entries behind; %d at most before it may vote",
                       member->name, view->last - match, MEMBER_PROMOTE_LAG_MAX);
    return ERR_OK;
}

enum err_code change_check_promote(const struct change_view *view, raft_id id, struct err *err)
{
    struct raft_id_set voters = view->membership->configuration.voters;
    const struct membership_member *member;
    enum err_code code = find(view, id, &member, err);
    if (code != ERR_OK || raft_id_set_contains(&voters, id))
        return code;
    code = check_lag(view, member, err);
    if (code == ERR_OK && !raft_id_set_add(&voters, id))
        code = err_set(err, ERR_READ_ONLY, "there are %zu voters, and no room for another",
                       voters.count);
    return code == ERR_OK ? check_majority(majority_of(view, &voters), "promoting", member, "makes",
                                           err)
                          : code;
}

enum err_code change_check_transfer(const struct change_view *view, raft_id id, struct err *err)
{
    const struct membership_member *member;
    enum err_code code = find(view, id, &member, err);
    if (code != ERR_OK)
        return code;
    if (!membership_is_voter(view->membership, id))
        return err_set(err, ERR_READ_ONLY, "%s has no vote and cannot lead", member->name);
    if (!raft_id_set_contains(&view->reachable, id))
        return err_set(err, ERR_BUSY, "%s is not reachable", member->name);
    return ERR_OK;
}
