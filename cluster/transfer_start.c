/* The store at a start: as it fits the log; or none, and what stands for it until one has been fetched. */
#include <inttypes.h>
#include <stdlib.h>

#include "cluster/transfer_internal.h"
#include "proto/base/mem.h"

/* ---- a store that is there ---- */

static enum err_code open_current(struct home *home, const struct store_options *options,
                                  struct store **ret, struct err *err)
{
    struct store_options with = *options;
    enum err_code code = home_open(home, options->create, &with.backend, err);
    return code == ERR_OK ? store_open(ret, &with, err) : code;
}

/* Up to where a finished arrival holds everything; 0: none stands there. */
static enum err_code arrival_index(struct home *home, raft_index *ret, struct err *err)
{
    struct backend *backend = NULL;
    struct store_mark found = {0};
    *ret = 0;
    enum err_code code = home_incoming_open(home, &backend, err);
    if (code != ERR_OK)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    code = store_peek(backend, &found, err);
    *ret = code == ERR_OK ? found.applied : 0;
    store_mark_release(&found);
    backend_close(backend);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

static enum err_code open_sound(struct home *home, const struct store_options *options,
                                raft_index mark, struct store **ret, struct err *err)
{
    struct store *store = NULL;
    raft_index arrived = 0;
    enum err_code code = open_current(home, options, &store, err);
    if (code != ERR_OK)
        return code;
    bool is_behind = store_applied(store) < mark;
    if (is_behind)
        code = arrival_index(home, &arrived, err);
    else
        code = home_incoming_discard(home, err);
    if (code == ERR_OK && is_behind && arrived >= mark) {
        store_close(store);
        store = NULL;
        code = home_flip(home, err);
        if (code == ERR_OK)
            code = open_current(home, options, &store, err);
    }
    if (code != ERR_OK)
        store_close(store);
    else
        *ret = store;
    return code;
}

/* ---- a start without a store ---- */

static raft_index last_of(const struct wal_recovery *recovery)
{
    return recovery->mark.index + recovery->entry_count;
}

/* What the store that was given up says, if it can say anything: whom it knew, and how far it was. A log that
 * has lost entries has lost what it promised, and no other store mends that. */
static enum err_code ask_old(struct home *home, const struct wal_recovery *recovery,
                             struct membership *ret_known, struct err *err)
{
    struct backend *backend = NULL;
    struct store_mark found = {0};
    struct err ignored;
    bool is_readable = home_open(home, false, &backend, &ignored) == ERR_OK &&
                       store_peek(backend, &found, &ignored) == ERR_OK;
    raft_index applied = is_readable ? found.applied : 0;
    if (is_readable)
        (void)!membership_decode(buf_bytes(&found.configuration), ret_known, &ignored);
    backend_close(backend);
    store_mark_release(&found);
    if (applied <= last_of(recovery))
        return ERR_OK;
    return err_set(err, ERR_CORRUPT,
                   "the store held entries up to %" PRIu64 " and the log ends at %" PRIu64
                   ": the log has lost something, which another store does not bring back",
                   applied, last_of(recovery));
}

/* The members of the log's mark, and where each is, as far as that is known: whoever else there is connects
 * by himself. */
static void members_of(const struct raft_conf_state *configuration, const struct membership *known,
                       struct buf *ret_encoded)
{
    struct membership *membership = mem_xzalloc(sizeof *membership);
    struct membership_context *nobody = mem_xzalloc(sizeof *nobody);
    membership_apply(membership, 0, nobody, configuration);
    for (size_t i = 0; i < membership->count; i++) {
        const struct membership_member *one = membership_find(known, membership->members[i].id);
        if (one)
            membership->members[i] = *one;
    }
    membership_encode(membership, ret_encoded);
    membership_release(membership);
    free(membership);
    free(nobody);
}

static enum err_code stand_in(const struct store_options *options,
                              const struct wal_recovery *recovery, struct bytes members,
                              struct store **ret, struct err *err)
{
    const struct snapshot_mark *mark = &recovery->mark;
    struct entry entry = {.term = mark->term, .index = mark->index, .type = ENTRY_CONF_CHANGE_V2};
    struct store_options with = *options;
    struct store *store = NULL;
    with.backend = backend_memory_lone();
    with.create = true;
    enum err_code code = store_open(&store, &with, err);
    if (code == ERR_OK && mark->index) {
        store_begin(store);
        code = store_apply_configuration(store, &entry, members, err);
        if (code == ERR_OK)
            code = store_commit(store, err);
    }
    if (code == ERR_OK)
        *ret = store;
    else
        store_close(store);
    return code;
}

static bool has_others(const struct raft_conf_state *configuration, raft_id self)
{
    size_t ids = configuration->voters.count + configuration->learners.count;
    size_t own = raft_id_set_contains(&configuration->voters, self) +
                 (size_t)raft_id_set_contains(&configuration->learners, self);
    return ids > own;
}

static enum err_code open_lacking(struct home *home, const struct store_options *options,
                                  const struct wal_recovery *recovery, struct store **ret,
                                  struct err *err)
{
    struct raft_conf_state configuration = {0};
    const struct snapshot_mark *mark = &recovery->mark;
    if (mark->index &&
        raft_conf_state_decode(blob_bytes(mark->configuration), &configuration) != ERR_OK)
        return err_set(err, ERR_CORRUPT, "the members in the log's mark cannot be read");
    if (mark->index && !has_others(&configuration, options->member_id)) {
        enum err_code code = home_judge(home, HOME_SOUND, err);
        return code != ERR_OK
                   ? code
                   : err_set(err, ERR_INVALID,
                             "this member was alone, and nobody else has its state: there is nobody to "
                             "fetch it from, and the store is kept");
    }
    struct membership *known = mem_xzalloc(sizeof *known);
    struct buf members = {0};
    enum err_code code = ask_old(home, recovery, known, err);
    if (code == ERR_OK)
        code = home_incoming_discard(home, err);
    members_of(&configuration, known, &members);
    if (code == ERR_OK)
        code = stand_in(options, recovery, buf_bytes(&members), ret, err);
    buf_release(&members);
    membership_release(known);
    free(known);
    return code;
}

/* A flip that was interrupted: of the core's snapshot, whose mark the log has. One that was fetched may hold
 * more than the log; it is fetched again. */
static enum err_code finish_flip(struct home *home, raft_index mark, struct err *err)
{
    raft_index arrived = 0;
    enum err_code code = mark ? arrival_index(home, &arrived, err) : ERR_OK;
    return code == ERR_OK && mark && arrived == mark ? home_flip(home, err) : code;
}

enum err_code transfer_open_store(struct home *home, const struct store_options *options,
                                  const struct wal_recovery *recovery, struct store **ret,
                                  bool *ret_lacks, struct err *err)
{
    raft_index mark = recovery ? recovery->mark.index : 0;
    *ret_lacks = false;
    if (home_verdict(home) == HOME_CONDEMNED)
        return err_set(err, ERR_DIVERGED,
                       "its state was found not to be the others'; fetch it from them with "
                       "\"concordfs rebuild\", then start it again");
    if (recovery && home_verdict(home) == HOME_TO_FETCH) {
        enum err_code code = finish_flip(home, mark, err);
        if (code == ERR_OK && home_verdict(home) == HOME_TO_FETCH)
            code = open_lacking(home, options, recovery, ret, err);
        else if (code == ERR_OK)
            return open_sound(home, options, mark, ret, err);
        *ret_lacks = code == ERR_OK;
        return code;
    }
    return open_sound(home, options, mark, ret, err);
}
