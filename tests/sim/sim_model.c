#include "tests/sim/sim_model.h"

#include <stdlib.h>

#include "proto/base/arena.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"
#include "proto/kv_pb.h"

#define NUMBERS_MAX SESSION_OPEN_MAX

struct sim_answer {
    uint64_t number;
    struct sim_effect effect;
};

struct sim_session {
    uint64_t id;
    kv_time last;
    uint64_t lowest;
    struct sim_answer *answers;
    size_t count, capacity;
};

struct sim_tag {
    size_t count;
    kv_rev revision;
};

struct sim_model {
    struct sim_key **keys;              /* ascending */
    size_t key_count, key_capacity;
    struct sim_event *events;
    size_t event_count, event_capacity;
    struct sim_session *sessions;
    size_t session_count, session_capacity;
    struct sim_lease *leases;           /* ascending */
    size_t lease_count, lease_capacity;
    struct sim_tag *tags;               /* by tag */
    size_t tag_capacity;
    kv_rev revision, floor;
    kv_time clock;
    bool is_alarmed;                    /* what puts, or grants, is refused */
    struct arena values;
    /* of the entry being applied */
    struct arena scratch;
    size_t first_event;
    int64_t deleted;
};

#define GROW(array, count, capacity)                                                               \
    do {                                                                                           \
        if ((count) == (capacity)) {                                                               \
            (capacity) = (capacity) ? 2 * (capacity) : 64;                                         \
            (array) = mem_xrealloc((array), (capacity) * sizeof *(array));                         \
        }                                                                                          \
    } while (0)

struct sim_model *sim_model_new(void)
{
    struct sim_model *model = mem_xzalloc(sizeof *model);
    model->revision = 1;
    return model;
}

void sim_model_free(struct sim_model *model)
{
    for (size_t i = 0; i < model->key_count; i++) {
        free(model->keys[i]->versions);
        free(model->keys[i]);
    }
    for (size_t i = 0; i < model->session_count; i++)
        free(model->sessions[i].answers);
    arena_release(&model->values);
    arena_release(&model->scratch);
    free(model->keys);
    free(model->events);
    free(model->sessions);
    free(model->leases);
    free(model->tags);
    free(model);
}

/* ---- keys ---- */

static size_t key_place(const struct sim_model *model, struct bytes key)
{
    size_t low = 0, high = model->key_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (bytes_compare(model->keys[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct sim_key *key_find(const struct sim_model *model, struct bytes key)
{
    size_t place = key_place(model, key);
    bool is_there = place < model->key_count && bytes_equal(model->keys[place]->key, key);
    return is_there ? model->keys[place] : NULL;
}

static struct sim_key *key_get(struct sim_model *model, struct bytes key)
{
    struct sim_key *found = key_find(model, key);
    if (found)
        return found;
    size_t place = key_place(model, key);
    GROW(model->keys, model->key_count, model->key_capacity);
    memmove(&model->keys[place + 1], &model->keys[place],
            (model->key_count - place) * sizeof model->keys[0]);
    found = mem_xzalloc(sizeof *found);
    found->key = arena_copy(&model->values, key);
    model->keys[place] = found;
    model->key_count++;
    return found;
}

static const struct sim_version *live(const struct sim_key *key)
{
    const struct sim_version *last = key && key->count ? &key->versions[key->count - 1] : NULL;
    return last && !last->is_deleted ? last : NULL;
}

const struct sim_version *sim_model_at(const struct sim_model *model, struct bytes key,
                                       kv_rev revision)
{
    const struct sim_key *found = key_find(model, key);
    for (size_t i = found ? found->count : 0; i-- > 0;)
        if (found->versions[i].revision <= revision)
            return found->versions[i].is_deleted ? NULL : &found->versions[i];
    return NULL;
}

bool sim_model_covers(struct bytes key, struct bytes from, struct bytes end)
{
    if (end.size == 0)
        return bytes_equal(key, from);
    bool is_open = end.size == 1 && end.data[0] == 0;
    return bytes_compare(key, from) >= 0 && (is_open || bytes_compare(key, end) < 0);
}

/* One event per key and revision: the last. */
static void note_event(struct sim_model *model, const struct sim_key *key, kv_rev revision)
{
    size_t place = model->first_event;
    while (place < model->event_count && bytes_compare(model->events[place].key->key, key->key) < 0)
        place++;
    struct sim_event event = {revision, key, key->count - 1};
    if (place < model->event_count && model->events[place].key == key) {
        model->events[place] = event;
        return;
    }
    GROW(model->events, model->event_count, model->event_capacity);
    memmove(&model->events[place + 1], &model->events[place],
            (model->event_count - place) * sizeof model->events[0]);
    model->events[place] = event;
    model->event_count++;
}

static void push(struct sim_model *model, struct sim_key *key, struct sim_version version)
{
    GROW(key->versions, key->count, key->capacity);
    key->versions[key->count++] = version;
    note_event(model, key, version.revision);
}

static void note_tag(struct sim_model *model, struct bytes value, kv_rev revision)
{
    uint64_t tag = 0;
    size_t i = 0;
    for (; i < value.size && value.data[i] >= '0' && value.data[i] <= '9'; i++)
        tag = tag * 10 + (uint64_t)(value.data[i] - '0');
    if (i == 0 || i == value.size || value.data[i] != ':')
        return;
    if (tag >= model->tag_capacity) {
        size_t before = model->tag_capacity;
        model->tag_capacity = (size_t)tag * 2 + 64;
        model->tags = mem_xrealloc(model->tags, model->tag_capacity * sizeof *model->tags);
        memset(&model->tags[before], 0, (model->tag_capacity - before) * sizeof *model->tags);
    }
    model->tags[tag].count++;
    model->tags[tag].revision = revision;
}

static void put(struct sim_model *model, struct bytes key, struct bytes value, int64_t lease)
{
    struct sim_key *one = key_get(model, key);
    const struct sim_version *before = live(one);
    kv_rev revision = model->revision + 1;
    note_tag(model, value, revision);
    push(model, one, (struct sim_version){
                         .revision = revision,
                         .create_revision = before ? before->create_revision : revision,
                         .version = before ? before->version + 1 : 1,
                         .lease = lease,
                         .value = arena_copy(&model->values, value),
                     });
}

static void delete_one(struct sim_model *model, struct sim_key *key)
{
    push(model, key, (struct sim_version){.revision = model->revision + 1, .is_deleted = true});
    model->deleted++;
}

static bool is_system(struct bytes key)
{
    return bytes_starts_with(key, BYTES_LITERAL(KV_SYSTEM_PREFIX));
}

static void delete_range(struct sim_model *model, const struct kv_delete *del)
{
    for (size_t i = 0; i < model->key_count; i++) {
        struct sim_key *key = model->keys[i];
        if (live(key) && !is_system(key->key) &&
            sim_model_covers(key->key, del->key, del->range_end))
            delete_one(model, key);
    }
}

/* ---- leases ---- */

static size_t lease_place(const struct sim_model *model, int64_t id)
{
    size_t place = 0;
    while (place < model->lease_count && (uint64_t)model->leases[place].id < (uint64_t)id)
        place++;
    return place;
}

static struct sim_lease *lease_find(const struct sim_model *model, int64_t id)
{
    size_t place = lease_place(model, id);
    bool is_there = place < model->lease_count && model->leases[place].id == id;
    return is_there ? &model->leases[place] : NULL;
}

/* No lease is shorter than one and a half elections, in whole seconds. */
static int64_t raised(int64_t ttl_s)
{
    int64_t least = (ELECTION_DEFAULT_MS + ELECTION_DEFAULT_MS / 2 + 999) / 1000;
    least = least < LEASE_TTL_MIN_S ? LEASE_TTL_MIN_S : least;
    return ttl_s < least ? least : ttl_s;
}

static enum err_code lease_grant(struct sim_model *model, int64_t id, int64_t ttl_s, raft_index index)
{
    if (lease_find(model, id))
        return ERR_EXISTS;
    size_t place = lease_place(model, id);
    GROW(model->leases, model->lease_count, model->lease_capacity);
    memmove(&model->leases[place + 1], &model->leases[place],
            (model->lease_count - place) * sizeof model->leases[0]);
    model->leases[place] = (struct sim_lease){id, raised(ttl_s), index};
    model->lease_count++;
    return ERR_OK;
}

static enum err_code lease_end(struct sim_model *model, int64_t id)
{
    size_t place = lease_place(model, id);
    if (!lease_find(model, id))
        return ERR_NOT_FOUND;
    for (size_t i = 0; i < model->key_count; i++) {
        const struct sim_version *version = live(model->keys[i]);
        if (version && version->lease == id)
            delete_one(model, model->keys[i]);
    }
    model->lease_count--;
    memmove(&model->leases[place], &model->leases[place + 1],
            (model->lease_count - place) * sizeof model->leases[0]);
    return ERR_OK;
}

/* ---- txns ---- */

static bool number_holds(enum kv_compare_result result, int64_t have, int64_t want)
{
    switch (result) {
    case KV_EQUAL: return have == want;
    case KV_GREATER: return have > want;
    case KV_LESS: return have < want;
    default: return have != want;
    }
}

/* Of one key; clients compare no ranges. */
static bool holds(const struct sim_model *model, const struct kv_compare *compare)
{
    const struct sim_version *version = live(key_find(model, compare->key));
    switch (compare->target) {
    case KV_COMPARE_VERSION:
        return number_holds(compare->result, version ? version->version : 0, compare->number);
    case KV_COMPARE_CREATE:
        return number_holds(compare->result, version ? version->create_revision : 0,
                            compare->number);
    case KV_COMPARE_MOD:
        return number_holds(compare->result, version ? version->revision : 0, compare->number);
    case KV_COMPARE_LEASE:
        return number_holds(compare->result, version ? version->lease : 0, compare->number);
    default:
        return version && number_holds(compare->result, bytes_compare(version->value, compare->value),
                                       0);
    }
}

static bool all_hold(const struct sim_model *model, const struct kv_txn *txn)
{
    for (size_t i = 0; i < txn->compare_count; i++)
        if (!holds(model, &txn->compares[i]))
            return false;
    return true;
}

static enum err_code check_leases(const struct sim_model *model, const struct kv_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i].kind == KV_OP_PUT && ops[i].put.lease && !lease_find(model, ops[i].put.lease))
            return ERR_NOT_FOUND;
    return ERR_OK;
}

static enum err_code apply_txn(struct sim_model *model, const struct kv_txn *txn,
                               struct sim_effect *ret)
{
    ret->succeeded = all_hold(model, txn);
    const struct kv_op *ops = ret->succeeded ? txn->success : txn->failure;
    size_t count = ret->succeeded ? txn->success_count : txn->failure_count;
    enum err_code code = check_leases(model, ops, count);
    for (size_t i = 0; code == ERR_OK && i < count; i++)
        switch (ops[i].kind) {
        case KV_OP_PUT: put(model, ops[i].put.key, ops[i].put.value, ops[i].put.lease); break;
        case KV_OP_DELETE: delete_range(model, &ops[i].del); break;
        case KV_OP_RANGE: break;
        default: CHECK(!"clients ask for nothing else");
        }
    return code;
}

static enum err_code apply_compact(struct sim_model *model, kv_rev revision)
{
    if (revision <= model->floor)
        return ERR_COMPACTED;
    if (revision > model->revision)
        return ERR_FUTURE;
    model->floor = revision;
    return ERR_OK;
}

/* ---- sessions ---- */

static struct sim_session *session_find(struct sim_model *model, uint64_t id)
{
    for (size_t i = 0; i < model->session_count; i++)
        if (model->sessions[i].id == id)
            return &model->sessions[i];
    return NULL;
}

static void session_end(struct sim_model *model, struct sim_session *session)
{
    free(session->answers);
    *session = model->sessions[--model->session_count];
}

static void sessions_expire(struct sim_model *model)
{
    for (size_t i = model->session_count; i-- > 0;)
        if (model->clock - model->sessions[i].last >= SESSION_IDLE_NS)
            session_end(model, &model->sessions[i]);
}

static void session_open(struct sim_model *model, uint64_t id)
{
    GROW(model->sessions, model->session_count, model->session_capacity);
    model->sessions[model->session_count++] = (struct sim_session){.id = id, .last = model->clock};
}

static void answers_forget(struct sim_session *session, uint64_t lowest)
{
    size_t kept = 0;
    if (lowest <= session->lowest)
        return;
    session->lowest = lowest;
    for (size_t i = 0; i < session->count; i++)
        if (session->answers[i].number >= lowest)
            session->answers[kept++] = session->answers[i];
    session->count = kept;
}

static const struct sim_answer *answer_find(const struct sim_session *session, uint64_t number)
{
    for (size_t i = 0; i < session->count; i++)
        if (session->answers[i].number == number)
            return &session->answers[i];
    return NULL;
}

static void answer_keep(struct sim_session *session, uint64_t number, const struct sim_effect *effect)
{
    GROW(session->answers, session->count, session->capacity);
    session->answers[session->count++] = (struct sim_answer){number, *effect};
}

/* ---- entries ---- */

static enum err_code lease_event(struct sim_effect *ret, enum sim_lease_event event,
                                 const struct sim_lease *lease)
{
    ret->lease_event = event;
    ret->lease = lease->id;
    ret->lease_ttl_s = lease->ttl_s;
    return ERR_OK;
}

static enum err_code apply_lease(struct sim_model *model, const struct entry_request *request,
                                 raft_index index, struct sim_effect *ret)
{
    int64_t id = request->lease.id;
    struct sim_lease *lease = lease_find(model, id);
    enum err_code code;
    switch (request->kind) {
    case ENTRY_LEASE_GRANT:
        code = lease_grant(model, id, request->lease.ttl_s, index);
        return code ? code : lease_event(ret, SIM_LEASE_GRANTED, lease_find(model, id));
    case ENTRY_LEASE_REVOKE:
        if (lease)
            (void)lease_event(ret, SIM_LEASE_REVOKED, lease);
        return lease_end(model, id);
    case ENTRY_LEASE_RENEW:
        if (!lease)
            return ERR_NOT_FOUND;
        lease->renewed = index;
        return lease_event(ret, SIM_LEASE_RENEWED, lease);
    case ENTRY_LEASE_EXPIRE:
        if (!lease || lease->renewed != request->lease_renewed)
            return ERR_OK;
        (void)lease_event(ret, SIM_LEASE_EXPIRED, lease);
        return lease_end(model, id);
    default: return ERR_OK;
    }
}

static bool has_put(const struct kv_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i].kind == KV_OP_PUT)
            return true;
    return false;
}

static bool is_refused(const struct sim_model *model, const struct entry_request *request)
{
    const struct kv_txn *txn = &request->txn;
    bool is_grant = request->kind == ENTRY_LEASE_GRANT && request->lease.ttl_s <= LEASE_TTL_MAX_S &&
                    !lease_find((struct sim_model *)model, request->lease.id);
    return model->is_alarmed &&
           (is_grant || (request->kind == ENTRY_TXN && (has_put(txn->success, txn->success_count) ||
                                                        has_put(txn->failure, txn->failure_count))));
}

static enum err_code apply_request(struct sim_model *model, const struct entry_request *request,
                                   raft_index index, struct sim_effect *ret)
{
    if (is_refused(model, request))
        return ERR_NO_SPACE;
    switch (request->kind) {
    case ENTRY_ALARM:
        ret->raises_alarm = request->alarm_raised && !model->is_alarmed;
        model->is_alarmed = request->alarm_raised;
        return ERR_OK;
    case ENTRY_TXN: return apply_txn(model, &request->txn, ret);
    case ENTRY_COMPACT: return apply_compact(model, request->compact.revision);
    default: return apply_lease(model, request, index, ret);
    }
}

static void do_request(struct sim_model *model, const struct entry_request *request, raft_index index,
                       struct sim_effect *ret)
{
    size_t before = model->event_count;
    model->first_event = before;
    model->deleted = 0;
    ret->code = apply_request(model, request, index, ret);
    ret->changed = model->event_count > before;
    ret->deleted = model->deleted;
    if (ret->changed)
        model->revision++;
    ret->revision = model->revision;
}

static void do_in_session(struct sim_model *model, const struct entry_request *request,
                          raft_index index, struct sim_effect *ret)
{
    struct sim_session *session = session_find(model, request->session);
    ret->revision = model->revision;
    ret->code = ERR_SESSION_LOST;
    if (!session)
        return;
    session->last = model->clock;
    answers_forget(session, request->lowest_open < request->number ? request->lowest_open
                                                                   : request->number);
    if (request->number < session->lowest || request->number - session->lowest >= NUMBERS_MAX)
        return;
    const struct sim_answer *answer = answer_find(session, request->number);
    if (answer) {
        *ret = answer->effect;
        ret->repeated = true;
        return;
    }
    do_request(model, request, index, ret);
    answer_keep(session, request->number, ret);
}

void sim_model_apply(struct sim_model *model, raft_index index, enum entry_type type,
                     struct bytes payload, struct sim_effect *ret)
{
    struct entry_request request;
    *ret = (struct sim_effect){.revision = model->revision};
    if (type != ENTRY_NORMAL || payload.size == 0)
        return;
    if (entry_stamp(payload) > model->clock)
        model->clock = entry_stamp(payload);
    sessions_expire(model);
    arena_clear(&model->scratch);
    CHECK(entry_request_decode(payload, &model->scratch, &request, NULL) == ERR_OK);
    ret->session = request.session;
    ret->number = request.number;
    if (request.kind == ENTRY_SESSION_OPEN)
        session_open(model, index);
    else if (request.session)
        do_in_session(model, &request, index, ret);
    else
        do_request(model, &request, index, ret);
    ret->session = request.session;
    ret->number = request.number;
}

kv_rev sim_model_revision(const struct sim_model *model) { return model->revision; }
kv_rev sim_model_floor(const struct sim_model *model) { return model->floor; }

const struct sim_lease *sim_model_leases(const struct sim_model *model, size_t *ret_count)
{
    *ret_count = model->lease_count;
    return model->leases;
}

const struct sim_key *const *sim_model_keys(const struct sim_model *model, size_t *ret_count)
{
    *ret_count = model->key_count;
    return (const struct sim_key *const *)model->keys;
}

const struct sim_event *sim_model_events(const struct sim_model *model, size_t *ret_count)
{
    *ret_count = model->event_count;
    return model->events;
}

size_t sim_model_count_tag(const struct sim_model *model, uint64_t tag, kv_rev *ret_revision)
{
    if (tag >= model->tag_capacity)
        return 0;
    *ret_revision = model->tags[tag].revision;
    return model->tags[tag].count;
}
