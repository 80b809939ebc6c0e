/* Ties the parts together: opening, one entry after the other into a batch, the batch into the backend,
 * and then what readers may see (reading.c).
 *
 * An entry changes three things outside the batch's rows: the writer's state (struct store_state), and
 * the counters of quota, sessions and settings. All of them go into the same batch at commit, so that
 * what is found after a crash is the state after some whole batch, with the index to go on from.
 */
#include "mvcc/store.h"

#include <stdlib.h>

#include "mvcc/lease_rows.h"
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

enum err_code store_state_found(enum err_code found, struct bytes row, struct store_state *ret,
                                struct err *err)
{
    if (found)
        return found == ERR_NOT_FOUND ? row_missing(META_STATE, err) : found;

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
    struct bytes row = {0};
    enum err_code code = batch_get(store->batch, BYTES_LITERAL(META_STATE), &row, err);
    return store_state_found(code, row, &store->state, err);
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
    store->owed_published = store->owed;
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
