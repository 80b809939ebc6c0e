/* Ties the parts together: opening, one entry after the other into a batch, the batch into the backend,
 * and then what readers may see.
 *
 * An entry changes three things outside the batch's rows: the writer's state (struct store_state), and
 * the counters of quota, sessions and settings. All of them go into the same batch at commit, so that
 * what is found after a crash is the state after some whole batch, with the index to go on from.
 */
#include "mvcc/store.h"

#include <stdlib.h>

#include "mvcc/changes.h"
#include "mvcc/lease_rows.h"
#include "mvcc/names.h"
#include "mvcc/range.h"
#include "mvcc/store_internal.h"
#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "proto/base/mem.h"
#include "proto/kv_pb.h"

#define STATE_SIZE 64
#define STATE_SIZE_BARE 48              /* without a hash: as programs wrote it that knew none */
#define IDENTITY_SIZE 28
#define FIRST_REVISION 1

/* ---- opening ---- */

static void state_put(struct store *store)
{
    const struct store_state *state = &store->state;
    uint8_t *place = batch_put_place(store->batch, BYTES_LITERAL(META_STATE), STATE_SIZE);
    put_le64(place, state->applied);
    put_le64(place + 8, state->term);
    put_le64(place + 16, (uint64_t)state->revision);
    put_le64(place + 24, (uint64_t)state->floor);
    put_le64(place + 32, (uint64_t)state->floor_time);
    put_le64(place + 40, (uint64_t)state->clock);
    put_le64(place + 48, state->hash);
    put_le64(place + 56, state->since);
}

static enum err_code row_missing(const char *name, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "row '%s' of the store is missing or damaged", name);
}

static enum err_code state_decode(struct bytes row, struct store_state *ret, struct err *err)
{
    struct cursor cursor = cursor_of(row);
    struct store_state state;
    bool has_hash = row.size != STATE_SIZE_BARE;
    state.applied = cursor_le64(&cursor);
    state.term = cursor_le64(&cursor);
    state.revision = (kv_rev)cursor_le64(&cursor);
    state.floor = (kv_rev)cursor_le64(&cursor);
    state.floor_time = (kv_time)cursor_le64(&cursor);
    state.clock = (kv_time)cursor_le64(&cursor);
    state.hash = has_hash ? cursor_le64(&cursor) : 0;
    state.since = has_hash ? cursor_le64(&cursor) : state.applied;
    bool is_sane = state.revision >= FIRST_REVISION && state.floor >= 0 &&
                   state.floor <= state.revision && state.since <= state.applied;
    if (cursor.failed || cursor.rest.size || !is_sane)
        return row_missing(META_STATE, err);
    *ret = state;
    return ERR_OK;
}

static enum err_code state_load(struct store *store, struct err *err)
{
    struct bytes found;
    enum err_code code = batch_get(store->batch, BYTES_LITERAL(META_STATE), &found, err);
    if (code == ERR_NOT_FOUND)
        return row_missing(META_STATE, err);
    return code ? code : state_decode(found, &store->state, err);
}

static enum err_code configuration_load(struct store *store, struct err *err)
{
    struct bytes found;
    enum err_code code =
        batch_get(store->batch, BYTES_LITERAL(META_CONFIGURATION), &found, err);
    if (!code)
        buf_assign(&store->configuration, found);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

/* The identity row: format, cluster id, member id, generation. */
void store_identity_put(struct store *store, const struct store_options *options)
{
    uint8_t *place = batch_put_place(store->batch, BYTES_LITERAL(META_IDENTITY), IDENTITY_SIZE);
    put_le32(place, STORE_FORMAT);
    put_le64(place + 4, options->cluster_id);
    put_le64(place + 12, options->member_id);
    put_le64(place + 20, options->generation);
}

enum err_code store_identity_matches(const char *what, uint64_t have, uint64_t want,
                                     struct err *err)
{
    if (have == want)
        return ERR_OK;
    return err_set(err, ERR_CORRUPT, "the store belongs to %s %016llx, this member is %016llx", what,
                   (unsigned long long)have, (unsigned long long)want);
}

static enum err_code identity_check(const struct store_identity *identity,
                                    const struct store_options *options, struct err *err)
{
    enum err_code code =
        store_identity_matches("cluster", identity->cluster_id, options->cluster_id, err);
    if (!code)
        code = store_identity_matches("member", identity->member_id, options->member_id, err);
    return code ? code
                : store_identity_matches("generation", identity->generation, options->generation,
                                         err);
}

static enum err_code identity_decode(struct bytes row, struct store_identity *ret, struct err *err)
{
    struct cursor cursor = cursor_of(row);
    uint32_t format = cursor_le32(&cursor);
    struct store_identity identity;
    identity.cluster_id = cursor_le64(&cursor);
    identity.member_id = cursor_le64(&cursor);
    identity.generation = cursor_le64(&cursor);
    if (cursor.failed || cursor.rest.size)
        return row_missing(META_IDENTITY, err);
    if (format != STORE_FORMAT)
        return err_set(err, ERR_CORRUPT, "the store has format %u, this program knows %d", format,
                       STORE_FORMAT);
    *ret = identity;
    return ERR_OK;
}

static enum err_code is_empty(struct backend *backend, bool *ret, struct err *err)
{
    struct backend_iterator *iterator = backend->ops->iterator_new(backend, NULL);
    iterator->ops->seek(iterator, BYTES_LITERAL("\0"));
    *ret = !iterator->ops->valid(iterator);
    enum err_code code = iterator->ops->status(iterator, err);
    iterator->ops->free(iterator);
    return code;
}

enum err_code store_identity_load(struct store *store, struct store_identity *ret, struct err *err)
{
    struct bytes found;
    bool empty;
    enum err_code code = batch_get(store->batch, BYTES_LITERAL(META_IDENTITY), &found, err);
    if (!code)
        return identity_decode(found, ret, err);
    if (code == ERR_NOT_FOUND)
        code = is_empty(store->backend, &empty, err);
    if (code)
        return code;
    return empty ? err_set(err, ERR_NOT_FOUND, "the store is empty")
                 : row_missing(META_IDENTITY, err);
}

static enum err_code create(struct store *store, const struct store_options *options,
                            struct err *err)
{
    store->state = (struct store_state){.revision = FIRST_REVISION};
    store_identity_put(store, options);
    state_put(store);
    enum err_code code = batch_write(store->batch, err);
    batch_clear(store->batch);
    /* No entry of the log rebuilds these rows. */
    return code ? code : store_checkpoint(store, err);
}

enum err_code store_load_state(struct store *store, struct err *err)
{
    enum err_code code = state_load(store, err);
    return code ? code : configuration_load(store, err);
}

enum err_code store_load(struct store *store, struct err *err)
{
    enum err_code code = store_load_state(store, err);
    if (!code)
        code = alarm_load(store, err);
    if (!code)
        code = quota_load(store->quota, store->backend, err);
    if (!code)
        code = sessions_load(store->sessions, err);
    if (!code)
        code = compact_load(store, err);
    if (code)
        return code;
    struct view view = view_open(store->backend);
    code = config_load(store->config, &view, store->state.revision, err);
    view_release(&view);
    return code;
}

/* Whose it is is checked first. */
enum err_code store_load_own(struct store *store, const struct store_options *options,
                          struct err *err)
{
    struct store_identity identity;
    enum err_code code = store_identity_load(store, &identity, err);
    if (code == ERR_NOT_FOUND && options->create)
        code = create(store, options, err);
    else if (!code)
        code = identity_check(&identity, options, err);
    return code ? code : store_load(store, err);
}

/* Readers: revision before floor, see store_range. */
void store_publish(struct store *store)
{
    const struct store_state *state = &store->state;
    quota_publish(store->quota);
    config_publish(store->config);
    pthread_mutex_lock(&store->lock);
    if (store->has_configuration)
        buf_assign(&store->configuration, buf_bytes(&store->new_configuration));
    store->position = (struct store_position){state->applied, state->since, state->hash};
    pthread_mutex_unlock(&store->lock);
    store->has_configuration = false;
    store->is_walking = store->walks > 0;
    store->alarm = store->is_alarmed;
    store->term = state->term;
    store->clock = state->clock;
    store->floor_time = state->floor_time;
    store->revision = state->revision;
    store->floor = state->floor;
    store->applied = state->applied;
}

struct store *store_new(struct backend *backend)
{
    struct store *store = mem_xzalloc(sizeof(*store));
    store->backend = backend;
    store_writer_new(store);
    store->quota = quota_new();
    store->config = config_new();
    checkpoint_init(store);
    return store;
}

enum err_code store_open(struct store **ret, const struct store_options *options, struct err *err)
{
    struct store *store = store_new(options->backend);
    store->trace = options->trace;
    store->cluster_id = options->cluster_id;
    enum err_code code = store_load_own(store, options, err);
    batch_clear(store->batch);
    if (code) {
        store_close(store);
        return code;
    }
    store_publish(store);
    store->durable = store->state.applied;  /* it was read from tables alone */
    TRACE(store->trace, "store open applied=%llu revision=%lld",
          (unsigned long long)store->state.applied, (long long)store->state.revision);
    *ret = store;
    return ERR_OK;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    store_writer_free(store);
    quota_free(store->quota);
    config_free(store->config);
    backend_close(store->backend);
    checkpoint_release(store);
    buf_release(&store->configuration);
    buf_release(&store->new_configuration);
    arena_release(&store->arena);
    arena_release(&store->scratch);
    free(store->changes);
    written_release(&store->written);
    free(store);
}

enum err_code store_die(struct store *store, enum err_code code)
{
    store->death = code;
    return code;
}

enum err_code store_dead(const struct store *store, struct err *err)
{
    return err_set(err, store->death, "an earlier write to the store failed: %s",
                   err_text(store->death));
}

/* ---- what a core starts from ---- */

raft_index store_applied(struct store *store)
{
    return store->applied;
}

raft_term store_applied_term(struct store *store)
{
    return store->term;
}

kv_rev store_revision(struct store *store)
{
    return store->revision;
}

kv_rev store_compact_revision(struct store *store)
{
    return store->floor;
}

kv_time store_clock(struct store *store)
{
    return store->clock;
}

void store_configuration(struct store *store, struct buf *ret)
{
    pthread_mutex_lock(&store->lock);
    buf_assign(ret, buf_bytes(&store->configuration));
    pthread_mutex_unlock(&store->lock);
}

/* ---- applying ---- */

void store_begin(struct store *store)
{
    CHECK(!store->is_open);
    store->is_open = true;
    store->entries = 0;
    store->change_count = 0;
    arena_clear(&store->arena);
    written_begin(&store->written, store->state.revision);
}

size_t store_batch_bytes(const struct store *store)
{
    return batch_bytes(store->batch);
}

/* What a session remembers of an answer: the code, whether the compares held, whether there is a new
 * revision. */
#define STATUS_CODE 0xff
#define STATUS_SUCCEEDED 0x100
#define STATUS_CHANGED 0x200

static uint32_t status_of(const struct store_result *result, bool changed)
{
    uint32_t status = result->code;
    if (!result->code && result->result.kind == KV_OP_TXN && result->result.txn.succeeded)
        status |= STATUS_SUCCEEDED;
    return status | (changed ? STATUS_CHANGED : 0);
}

static bool is_of_lease(enum entry_request_kind kind)
{
    return kind == ENTRY_LEASE_GRANT || kind == ENTRY_LEASE_RENEW || kind == ENTRY_LEASE_REVOKE;
}

/* The sentence of a code alone: what a repeated answer can still say. */
static void status_text(enum entry_request_kind kind, enum err_code code, struct err *err)
{
    const char *text = err_text(code);
    if (is_of_lease(kind) && code == ERR_NOT_FOUND)
        text = "requested lease not found";
    else if (is_of_lease(kind) && code == ERR_EXISTS)
        text = "lease already exists";
    else if (is_of_lease(kind) && code == ERR_TOO_BIG)
        text = "too large lease TTL";
    else if (code == ERR_COMPACTED)
        text = "mvcc: required revision has been compacted";
    else if (code == ERR_FUTURE)
        text = "mvcc: required revision is a future revision";
    else if (code == ERR_NO_SPACE)
        text = STORE_NO_SPACE;
    else if (code == ERR_TOO_BIG)
        text = "request is too large";
    err_set(err, code, "%s", text);
}

static struct txn txn_start(struct store *store, const struct entry_request *request)
{
    struct txn txn = {.batch = store->batch,
                      .view = view_of_batch(store->batch, store->backend),
                      .config = store->config,
                      .quota = store->quota,
                      .store = store,
                      .main = store->state.revision + 1,
                      .floor = store->state.floor,
                      .time = store->state.clock,
                      .privileged = request->privileged,
                      .arena = store->scratch};
    store->scratch = (struct arena){0};
    return txn;
}

static void txn_end(struct store *store, struct txn *txn)
{
    store->scratch = txn->arena;
    if (txn->sub > 0)
        store->state.revision = txn->main + (MUTANT(REVISION_PER_OPERATION) ? txn->sub - 1 : 0);
}

/* RESULT codes go into the answer; FAULT kinds are returned. */
static enum err_code answer(struct store_result *ret, enum err_code code, struct err *err)
{
    if (err_kind(code) == ERR_KIND_FAULT) {
        if (err)
            *err = ret->err;
        return code;
    }
    ret->code = code;
    return ERR_OK;
}

static enum err_code apply_txn(struct store *store, const struct entry_request *request, bool want,
                               struct store_result *ret, struct err *err)
{
    struct txn txn = txn_start(store, request);
    if (MUTANT(APPLY_SEES_WAITER))
        txn.time += want;
    struct arena *arena = want ? &ret->arena : &txn.arena;
    ret->result.kind = KV_OP_TXN;
    enum err_code code = kv_validate_txn(&request->txn, &ret->err);
    if (!code)
        code = txn_apply(&txn, &request->txn, want, arena, &ret->result.txn, &ret->err);
    txn_end(store, &txn);
    return answer(ret, code, err);
}

static enum err_code apply_lease(struct store *store, const struct entry *entry,
                                 const struct entry_request *request, struct store_result *ret,
                                 struct err *err)
{
    struct txn txn = txn_start(store, request);
    const struct kv_lease *lease = &request->lease;
    enum err_code code;
    if (request->kind == ENTRY_LEASE_GRANT)
        code = lease_rows_grant(&txn, lease, entry->index, &ret->lease, &ret->err);
    else if (request->kind == ENTRY_LEASE_RENEW)
        code = lease_rows_renew(&txn, lease->id, entry->index, &ret->lease, &ret->err);
    else if (request->kind == ENTRY_LEASE_REVOKE)
        code = lease_rows_revoke(&txn, lease->id, &ret->lease, &ret->err);
    else
        code = lease_rows_expire(&txn, lease->id, request->lease_renewed, &ret->lease, &ret->err);
    txn_end(store, &txn);
    return answer(ret, code, err);
}

static enum err_code apply_request(struct store *store, const struct entry *entry,
                                   const struct entry_request *request, bool want,
                                   struct store_result *ret, struct err *err)
{
    if (request->kind == ENTRY_TXN)
        return apply_txn(store, request, want, ret, err);
    if (request->kind != ENTRY_COMPACT)
        return apply_lease(store, entry, request, ret, err);
    return answer(ret, compact_announce(store, request->compact.revision, &ret->err), err);
}

static enum err_code repeat_txn(struct store *store, const struct entry_request *request,
                                uint32_t status, kv_rev revision, struct store_result *ret,
                                struct err *err)
{
    struct txn txn = txn_start(store, request);
    kv_rev before = status & STATUS_CHANGED ? revision - 1 : revision;
    ret->result.kind = KV_OP_TXN;
    enum err_code code =
        txn_repeat(&txn, &request->txn, status & STATUS_SUCCEEDED, before, revision, &ret->arena,
                   &ret->result.txn, &ret->err);
    txn_end(store, &txn);
    return answer(ret, code, err);
}

static enum err_code repeat_lease(struct store *store, const struct entry_request *request,
                                  struct store_result *ret, struct err *err)
{
    struct txn txn = txn_start(store, request);
    enum err_code code =
        lease_rows_repeat(&txn, &request->lease, request->kind == ENTRY_LEASE_GRANT, &ret->lease,
                          &ret->err);
    txn_end(store, &txn);
    return answer(ret, code, err);
}

static enum err_code apply_repeated(struct store *store, const struct entry_request *request,
                                    bool want, uint32_t status, kv_rev revision,
                                    struct store_result *ret, struct err *err)
{
    ret->repeated = true;
    ret->revision = revision;
    ret->code = (enum err_code)(status & STATUS_CODE);
    if (ret->code)
        status_text(request->kind, ret->code, &ret->err);
    else if (want && request->kind == ENTRY_TXN)
        return repeat_txn(store, request, status, revision, ret, err);
    else if (want && (request->kind == ENTRY_LEASE_GRANT || request->kind == ENTRY_LEASE_RENEW))
        return repeat_lease(store, request, ret, err);
    return ERR_OK;
}

static enum err_code apply_in_session(struct store *store, const struct entry *entry,
                                      const struct entry_request *request, bool want,
                                      struct store_result *ret, struct err *err)
{
    enum session_verdict verdict;
    uint32_t status;
    kv_rev revision, before = store->state.revision;
    enum err_code code =
        sessions_begin(store->sessions, request->session, request->number, request->lowest_open,
                       store->state.clock, &verdict, &status, &revision, err);
    if (code)
        return code;
    if (verdict == SESSION_REPEATED)
        return apply_repeated(store, request, want, status, revision, ret, err);
    if (verdict == SESSION_UNKNOWN) {
        ret->code = err_set(&ret->err, ERR_SESSION_LOST, "the session has expired");
        return ERR_OK;
    }
    code = apply_request(store, entry, request, want, ret, err);
    if (!code)
        sessions_finish(store->sessions, request->session, request->number,
                        status_of(ret, store->state.revision != before), store->state.revision);
    return code;
}

static enum err_code apply_kind(struct store *store, const struct entry *entry,
                                const struct entry_request *request, bool want,
                                struct store_result *ret, struct err *err)
{
    ret->session = request->session;
    ret->number = request->number;
    switch (request->kind) {
    case ENTRY_TXN:
    case ENTRY_COMPACT:
    case ENTRY_LEASE_GRANT:
    case ENTRY_LEASE_RENEW:
    case ENTRY_LEASE_REVOKE:
        return request->session ? apply_in_session(store, entry, request, want, ret, err)
                                : apply_request(store, entry, request, want, ret, err);
    case ENTRY_LEASE_EXPIRE:
        return apply_lease(store, entry, request, ret, err);
    case ENTRY_COMPACTED:
        return compact_credit(store, request->compact.revision, request->compacted_bytes, err);
    case ENTRY_SESSION_OPEN:
        ret->session = entry->index;
        ret->is_session_open = true;
        return sessions_open(store->sessions, entry->index, request->number, store->state.clock,
                             err);
    case ENTRY_SESSION_CLOSE:
        return sessions_close(store->sessions, request->session, err);
    case ENTRY_ALARM:
        alarm_apply(store, request->alarm_raised);
        return ERR_OK;
    }
    ret->code = err_set(&ret->err, ERR_INVALID, "unknown kind of entry");
    return ERR_OK;
}

static enum err_code apply_payload(struct store *store, const struct entry *entry, bool want,
                                   struct store_result *ret, struct err *err)
{
    struct entry_request request;
    struct bytes payload = blob_bytes(entry->payload);
    kv_time stamp = entry_stamp(payload);
    if (stamp > store->state.clock)
        store->state.clock = stamp;
    enum err_code code = sessions_expire(store->sessions, store->state.clock, err);
    if (code)
        return code;
    code = entry_request_decode(payload, &store->scratch, &request, &ret->err);
    if (code) {
        /* Every member refuses it alike. */
        ret->code = ERR_INVALID;
        ret->err.code = ERR_INVALID;
        return ERR_OK;
    }
    return apply_kind(store, entry, &request, want, ret, err);
}

/* S1, S2: whatever it did, the entry counts. */
static void entry_done(struct store *store, const struct entry *entry, uint64_t answer)
{
    store->state.applied = entry->index;
    store->state.term = entry->term;
    store->entries++;
    position_fold(store, answer);
}

/* All but the room for an error's text: it is larger than the rest, and one thread writes what another
 * reads. */
static void result_init(struct store_result *ret)
{
    memset(ret, 0, offsetof(struct store_result, err));
    ret->err.code = ERR_OK;
    ret->err.text[0] = 0;
}

enum err_code store_apply(struct store *store, const struct entry *entry, bool want,
                          struct store_result *ret, struct err *err)
{
    CHECK(store->is_open);
    result_init(ret);
    if (store->death)
        return store_dead(store, err);
    CHECK(entry->index > store->state.applied);
    enum err_code code = ERR_OK;
    if (blob_bytes(entry->payload).size)
        code = apply_payload(store, entry, want, ret, err);
    arena_clear(&store->scratch);
    if (!want && ret->result.kind == KV_OP_TXN) {
        ret->result.txn.results = NULL;         /* stood in scratch */
        ret->result.txn.count = 0;
    }
    if (code) {
        arena_release(&ret->arena);
        return store_die(store, code);
    }
    entry_done(store, entry, ret->repeated ? POSITION_REPEATED : ret->code);
    ret->hash = store->state.hash;
    if (!ret->repeated)
        ret->revision = store->state.revision;
    ret->stamp = store->state.clock;
    return ERR_OK;
}

enum err_code store_apply_configuration(struct store *store, const struct entry *entry,
                                        struct bytes configuration, struct err *err)
{
    CHECK(store->is_open);
    if (store->death)
        return store_dead(store, err);
    CHECK(entry->index > store->state.applied);
    batch_put(store->batch, BYTES_LITERAL(META_CONFIGURATION), configuration);
    buf_assign(&store->new_configuration, configuration);
    store->has_configuration = true;
    entry_done(store, entry, hash_bytes(0, configuration));
    return ERR_OK;
}

enum err_code store_commit(struct store *store, struct err *err)
{
    CHECK(store->is_open);
    store->is_open = false;
    if (store->death) {
        batch_clear(store->batch);
        return store_dead(store, err);
    }
    if (store->entries == 0)
        return ERR_OK;
    sessions_flush(store->sessions);
    quota_flush(store->quota, store->batch);
    if (MUTANT(INDEX_APART) && batch_write(store->batch, err) == ERR_OK)
        batch_clear(store->batch);
    state_put(store);
    size_t bytes = batch_bytes(store->batch);
    enum err_code code = batch_write(store->batch, err);
    batch_clear(store->batch);
    if (code)
        return store_die(store, code);
    store_publish(store);
    checkpoint_note(store, bytes);
    return ERR_OK;
}

/* ---- reading ---- */

/* The revision of the state that a snapshot holds. The writer may be between its batch and publish: then
 * whoever sees the batch first publishes its revision, so that no later reader sees less. */
static enum err_code snapshot_revision(struct store *store, const struct view *view,
                                       struct arena *arena, kv_rev *ret, struct err *err)
{
    struct bytes row;
    struct store_state state;
    enum err_code code = view_get(view, BYTES_LITERAL(META_STATE), arena, &row, err);
    if (code == ERR_NOT_FOUND)
        return row_missing(META_STATE, err);
    if (!code)
        code = state_decode(row, &state, err);
    if (code)
        return code;
    kv_rev seen = store->revision;
    while (seen < state.revision &&
           !atomic_compare_exchange_weak(&store->revision, &seen, state.revision)) {
    }
    *ret = state.revision;
    return ERR_OK;
}

/* A snapshot, the revision to read it at, and the store's revision. */
struct reading {
    struct view view;
    kv_rev at, newest;
};

/* The floor is looked at after the snapshot was taken: a walk only starts when its floor is published, so
 * what the snapshot may lack is below the floor seen here. passing: see backend.h. */
static enum err_code read_begin(struct store *store, kv_rev revision, bool passing,
                                struct arena *arena, struct reading *ret, struct err *err)
{
    for (;;) {
        kv_rev newest = 0;
        struct view view = passing ? view_open_passing(store->backend) : view_open(store->backend);
        kv_rev floor = store->floor;
        enum err_code code = snapshot_revision(store, &view, arena, &newest, err);
        if (!code)
            code = range_check_revision(revision, floor, newest, err);
        if (!code && (revision || newest >= floor)) {
            kv_rev at = MUTANT(OLD_READ_SEES_NEXT) ? revision + 1 : revision;
            *ret = (struct reading){view, revision ? at : newest, newest};
            return ERR_OK;
        }
        view_release(&view);
        if (code)
            return code;
    }
}

enum err_code store_range(struct store *store, const struct kv_range *range, struct arena *arena,
                          struct kv_range_result *ret, kv_rev *ret_revision, struct err *err)
{
    struct reading reading;
    enum err_code code = read_begin(store, range->revision, false, arena, &reading, err);
    if (code)
        return code;
    code = range_read(&reading.view, range, reading.at, arena, ret, err);
    view_release(&reading.view);
    if (!code)
        *ret_revision = reading.newest;
    return code;
}

/* Names at the newest are read from column d: what the snapshot holds of it is as of its revision. */
enum err_code store_lookup(struct store *store, const struct kv_lookup *lookup,
                           struct arena *arena, struct kv_name *ret, kv_rev *ret_revision,
                           struct err *err)
{
    struct reading reading;
    enum err_code code = read_begin(store, lookup->revision, false, arena, &reading, err);
    if (code)
        return code;
    code = lookup->revision ? names_lookup_at(&reading.view, lookup, reading.at, arena, ret, err)
                            : names_lookup(&reading.view, lookup, arena, ret, err);
    view_release(&reading.view);
    if (!code || code == ERR_NOT_FOUND)
        *ret_revision = reading.newest;
    return code;
}

/* A directory of so many names that they come in pieces would push everything else out of the caches. */
enum err_code store_list(struct store *store, const struct kv_list *list, struct arena *arena,
                         struct kv_list_result *ret, kv_rev *ret_revision, struct err *err)
{
    struct reading reading;
    enum err_code code = read_begin(store, list->revision, list->has_after, arena, &reading, err);
    if (code)
        return code;
    code = list->revision ? names_list_at(&reading.view, list, reading.at, arena, ret, err)
                          : names_list(&reading.view, list, arena, ret, err);
    view_release(&reading.view);
    if (!code || code == ERR_NOT_FOUND)
        *ret_revision = reading.newest;
    return code;
}

#define NS_PER_S 1000000000LL

static int64_t remaining_s(const struct kv_lease_result *lease, kv_time renewed, kv_time now)
{
    int64_t gone_s = now > renewed ? (now - renewed) / NS_PER_S : 0;
    return gone_s < lease->granted_ttl_s ? lease->granted_ttl_s - gone_s : 0;
}

enum err_code store_lease(struct store *store, int64_t id, bool want_keys, kv_time now,
                          struct arena *arena, struct kv_lease_result *ret,
                          int64_t *ret_remaining_s, kv_rev *ret_revision, struct err *err)
{
    struct reading reading;
    kv_time renewed;
    enum err_code code = read_begin(store, 0, false, arena, &reading, err);
    if (code)
        return code;
    code = lease_rows_read(&reading.view, id, want_keys, arena, ret, &renewed, err);
    view_release(&reading.view);
    if (!code)
        *ret_remaining_s = remaining_s(ret, renewed, now);
    if (!code || code == ERR_NOT_FOUND)
        *ret_revision = reading.newest;
    return code;
}

enum err_code store_lease_list(struct store *store, struct arena *arena,
                               struct kv_lease_result *ret, kv_rev *ret_revision, struct err *err)
{
    struct reading reading;
    enum err_code code = read_begin(store, 0, false, arena, &reading, err);
    if (code)
        return code;
    code = lease_rows_list(&reading.view, arena, ret, err);
    view_release(&reading.view);
    if (!code)
        *ret_revision = reading.newest;
    return code;
}

enum err_code store_lease_load(struct store *store, struct lessor *lessor, int64_t now_ns,
                               struct err *err)
{
    struct view view = {.backend = store->backend};
    struct lease_cursor cursor;
    enum err_code code;
    lessor_clear(lessor);
    lease_cursor_init(&cursor, &view);
    while (!(code = lease_cursor_next(&cursor, err)) && cursor.found) {
        struct lease_change found = {LEASE_GRANTED, cursor.id, cursor.row.ttl_s,
                                     cursor.row.renewal};
        lessor_apply(lessor, &found, now_ns);
    }
    lease_cursor_release(&cursor);
    return code;
}

/* The version a revision wrote; most revisions write a key once, at sub 0. */
static enum err_code version_of(const struct view *view, struct bytes key, kv_rev mod_revision,
                                struct arena *arena, struct head *ret, struct bytes *ret_value,
                                struct err *err)
{
    struct revision first = {mod_revision, 0};
    enum err_code code = index_get_exact(view, key, first, arena, ret, ret_value, err);
    if (code != ERR_NOT_FOUND)
        return code;
    code = index_get(view, key, mod_revision, arena, ret, ret_value, err);
    if (!code && ret->mod.main != mod_revision)
        return ERR_NOT_FOUND;
    return code;
}

enum err_code store_get_version(struct store *store, struct bytes key, kv_rev mod_revision,
                                struct arena *arena, struct kv_item *ret, struct err *err)
{
    struct head head;
    struct bytes value;
    /* A snapshot: a walk may take the row and its value away in between. */
    struct view view = view_open(store->backend);
    enum err_code code = version_of(&view, key, mod_revision, arena, &head, &value, err);
    view_release(&view);
    if (!code && head.is_tombstone)
        code = ERR_NOT_FOUND;
    if (code == ERR_NOT_FOUND && mod_revision <= store->floor)
        return err_set(err, ERR_COMPACTED, "mvcc: required revision has been compacted");
    if (code == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND, "key not found");
    if (code)
        return code;
    range_item(ret, arena_copy(arena, key), &head, true);
    ret->value = value;
    return ERR_OK;
}

enum err_code store_time(struct store *store, kv_rev revision, kv_time *ret, struct err *err)
{
    struct view view = {.backend = store->backend};
    struct arena arena = {0};
    struct change_row row;
    enum err_code code = ERR_NOT_FOUND;
    if (revision > 0 && revision >= store->floor)
        code = changes_at(&view, (struct revision){revision, 0}, &arena, &row, err);
    bool is_found = !code && row.revision.main == revision;
    arena_release(&arena);
    if (code && code != ERR_NOT_FOUND)
        return code;
    if (!is_found && (revision != store->floor || store->floor_time == 0))
        return err_set(err, ERR_NOT_FOUND, "the time of revision %lld is not known",
                       (long long)revision);
    *ret = is_found ? row.time : store->floor_time;
    return ERR_OK;
}

void store_settings_get(struct store *store, struct store_settings *ret)
{
    config_get(store->config, ret);
}

void store_quota_get(struct store *store, uint64_t *ret_used, uint64_t *ret_limit,
                     uint64_t *ret_keys)
{
    struct store_settings settings;
    config_get(store->config, &settings);
    *ret_limit = settings.quota_limit;
    quota_get(store->quota, ret_used, ret_keys);
}

bool store_session_exists(struct store *store, uint64_t session)
{
    return sessions_exists(store->backend, session);
}
