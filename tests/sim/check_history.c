/* Every client's history is linearizable; acknowledged writes survive, and each happened once.
 *
 * Each answer names a revision, and the committed log is one order of all writes. So it is enough that
 *   - every answer is what a replay of the log in a believable store gives at that revision, and
 *   - real time is kept: what was asked after an answer came sees that answer's revision, and a write that
 *     was asked after it comes behind it.
 * A write whose outcome nobody told may stand in the log or not, but never twice; one of which a member said
 * that nothing happened, never (Herlihy and Wing, "Linearizability", 1990; the revision is the version
 * order that makes the check linear). */
#include "tests/sim/checks_internal.h"
#include "tests/sim/clients_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/mem.h"

struct effects {                /* of the log, by the number of the request in its session */
    struct sim_effect *all;
    size_t count, capacity;
};

static void fail(struct world *world, const struct operation *operation, const char *what)
{
    world_fail(world,
               "client %" PRIu64 ", tag %" PRIu64 ", kind %d, by host %" PRIu64
               ", answered %s at revision %lld: %s",
               operation->client, operation->tag, (int)operation->kind, operation->host,
               err_name(operation->code), (long long)operation->request.revision, what);
}

/* ---- the replay ---- */

static void keep(struct effects *effects, const struct sim_effect *effect)
{
    if (effects->count == effects->capacity) {
        effects->capacity = effects->capacity ? 2 * effects->capacity : 1024;
        effects->all = mem_xrealloc(effects->all, effects->capacity * sizeof *effects->all);
    }
    effects->all[effects->count++] = *effect;
}

static int by_number(const void *left, const void *right)
{
    const struct sim_effect *a = left, *b = right;
    if (a->session != b->session)
        return a->session < b->session ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static const struct sim_effect *find(const struct effects *effects, uint64_t session, uint64_t number)
{
    struct sim_effect wanted = {.session = session, .number = number};
    return effects->count ? bsearch(&wanted, effects->all, effects->count, sizeof wanted, by_number)
                          : NULL;
}

static void note_floor(struct checks *checks, raft_index index)
{
    kv_rev revision = sim_model_floor(checks->model);
    if (revision == (checks->floor_count ? checks->floors[checks->floor_count - 1].revision : 0))
        return;
    if (checks->floor_count == checks->floor_capacity) {
        checks->floor_capacity = checks->floor_capacity ? 2 * checks->floor_capacity : 32;
        checks->floors =
            mem_xrealloc(checks->floors, checks->floor_capacity * sizeof *checks->floors);
    }
    checks->floors[checks->floor_count++] = (struct seen_floor){revision, index};
}

bool check_may_be_compacted(struct world *world, kv_rev revision, int64_t told_ns)
{
    const struct checks *checks = checks_of(world);
    for (size_t i = checks->floor_count; i > 0 && checks->floors[i - 1].revision > revision; i--)
        if (checks->committed[checks->floors[i - 1].index - 1].seen_ns <= told_ns)
            return true;
    return false;
}

/* Repeats say what was said before; so of each number the first counts. */
static void replay(struct world *world, struct effects *ret)
{
    struct checks *checks = checks_of(world);
    struct sim_effect effect;
    for (raft_index index = 1; index <= checks->committed_count; index++) {
        const struct committed *entry = &checks->committed[index - 1];
        sim_model_apply(checks->model, index, entry->type, blob_bytes(entry->payload), &effect);
        note_floor(checks, index);
        if (!effect.repeated)
            check_lease_entry(world, index, &effect);
        world->totals.faults[WORLD_alarms] += effect.raises_alarm;
        if (effect.session && !effect.repeated && effect.code != ERR_SESSION_LOST)
            keep(ret, &effect);
    }
    checks->replayed = checks->committed_count;
    if (ret->count)
        qsort(ret->all, ret->count, sizeof *ret->all, by_number);
}

/* ---- answers ---- */

static bool is_write(const struct operation *operation)
{
    return operation->request.kind != KV_RANGE;
}

static bool has_tag(const struct operation *operation)
{
    return operation->request.kind == KV_TXN;
}

static bool item_matches(const struct kv_item *item, const struct sim_version *version)
{
    return version && bytes_equal(item->value, version->value) &&
           item->mod_revision == version->revision &&
           item->create_revision == version->create_revision &&
           item->version == version->version && item->lease == version->lease;
}

static const char *range_differs(const struct sim_model *model, const struct kv_range *range,
                                 const struct kv_range_result *result, kv_rev at)
{
    size_t count, place = 0;
    int64_t total = 0;
    const struct sim_key *const *keys = sim_model_keys(model, &count);
    for (size_t i = 0; i < count; i++) {
        const struct sim_version *version = sim_model_at(model, keys[i]->key, at);
        if (!version || !sim_model_covers(keys[i]->key, range->key, range->range_end))
            continue;
        total++;
        if (range->limit && total > range->limit)
            continue;
        if (place == result->count || !bytes_equal(result->items[place].key, keys[i]->key))
            return "a key is missing";
        if (!item_matches(&result->items[place++], version))
            return "a key has another version";
    }
    if (place != result->count)
        return "a key is there that was not";
    return total == result->total ? NULL : "the number of keys is wrong";
}

/* A read of the past. What a member had when it was asked it has until it answers, unless it opened another
 * store meanwhile; one that was fetched anew may hold less. */
static bool is_rightly_refused(struct world *world, const struct operation *operation)
{
    kv_rev revision = operation->request.range.revision;
    if (revision == 0)
        return false;
    if (operation->code == ERR_COMPACTED)
        return check_may_be_compacted(world, revision, operation->answered_ns);
    return operation->code == ERR_FUTURE &&
           (revision > operation->newest || operation->store_changed);
}

static void check_read(struct world *world, const struct operation *operation)
{
    const struct sim_model *model = checks_of(world)->model;
    const struct kv_request *request = &operation->request;
    kv_rev at = request->range.revision ? request->range.revision : request->revision;
    if (is_rightly_refused(world, operation))
        return;
    if (operation->code != ERR_OK) {
        fail(world, operation, err_text(operation->code));
        return;
    }
    if (request->revision > sim_model_revision(model)) {
        fail(world, operation, "a revision that nobody wrote");
        return;
    }
    if (at > request->revision) {
        fail(world, operation, "it was told of a revision that its member did not have");
        return;
    }
    const char *what = range_differs(model, &request->range, &request->result.range, at);
    if (what)
        fail(world, operation, what);
}

static const struct kv_op_result *delete_result(const struct operation *operation)
{
    return operation->kind == OP_DELETE || operation->kind == OP_DELETE_RANGE
               ? &operation->request.result.txn.results[0]
               : NULL;
}

static void check_txn(struct world *world, const struct operation *operation,
                      const struct sim_effect *effect)
{
    const struct kv_txn_result *result = &operation->request.result.txn;
    const struct kv_op_result *del = delete_result(operation);
    if (result->succeeded != effect->succeeded) {
        fail(world, operation, "its compares held, or did not, in the log");
    } else if (del && del->del.deleted != effect->deleted) {
        fail(world, operation, "it deleted another number of keys");
    } else if (operation->kind == OP_COMPARE_AND_PUT && !result->succeeded) {
        const char *what =
            range_differs(checks_of(world)->model, &operation->ops[1].range,
                          &result->results[0].range, operation->request.revision);
        if (what)
            fail(world, operation, what);
    }
}

/* A member whose disk is full, or that knows of the alarm, refuses what needs room before it proposes it: such
 * a request never had a number. It is the only refusal of that kind that these clients can meet, since all
 * that they ask is valid; and only once a disk was full. That it left no trace is check_tag's. */
static bool was_refused_unproposed(const struct world *world, const struct operation *operation)
{
    const struct kv_request *request = &operation->request;
    bool needs_room = request->kind == KV_TXN || request->kind == KV_LEASE_GRANT;
    return operation->code == ERR_NO_SPACE && needs_room && request->number == 0 &&
           request->revision == 0 && world->was_full;
}

static bool is_of_lease(const struct operation *operation)
{
    return operation->kind == OP_LEASE_GRANT || operation->kind == OP_LEASE_KEEP_ALIVE;
}

/* A renewal that was applied and whose answer was lost is asked for again by the member; when the lease has
 * ended meanwhile, that is what it says. */
static bool is_renewal_of_the_past(struct world *world, const struct operation *operation,
                                   const struct sim_effect *effect)
{
    size_t count;
    const struct sim_lease *leases = sim_model_leases(checks_of(world)->model, &count);
    if (operation->kind != OP_LEASE_KEEP_ALIVE || operation->code != ERR_NOT_FOUND ||
        effect->code != ERR_OK)
        return false;
    for (size_t i = 0; i < count; i++)
        if (leases[i].id == operation->lease)
            return false;
    return true;
}

static void check_write(struct world *world, const struct operation *operation,
                        const struct effects *effects)
{
    const struct kv_request *request = &operation->request;
    const struct sim_effect *effect = find(effects, request->session, request->number);
    if (!effect && was_refused_unproposed(world, operation))
        return;
    if (!effect)
        fail(world, operation, "it was answered and is not in the log");
    else if (is_renewal_of_the_past(world, operation, effect))
        return;
    else if (effect->code != operation->code)
        fail(world, operation, err_name(effect->code));
    else if (operation->code == ERR_OK && effect->revision != request->revision)
        fail(world, operation, "it has another revision in the log");
    else if (is_of_lease(operation) && operation->code == ERR_OK &&
             (request->leased.id != effect->lease || request->leased.ttl_s != effect->lease_ttl_s))
        fail(world, operation, "it was told of another lease, or of another time");
    else if (request->kind == KV_TXN && operation->code == ERR_OK)
        check_txn(world, operation, effect);
}

/* How often its value was written. */
static void check_tag(struct world *world, const struct operation *operation)
{
    kv_rev revision = 0;
    size_t count = sim_model_count_tag(checks_of(world)->model, operation->tag, &revision);
    bool wrote = operation->outcome == OPERATION_DONE && operation->code == ERR_OK &&
                 operation->request.result.txn.succeeded;
    if (count > 1)
        fail(world, operation, "it happened twice");
    else if (operation->outcome == OPERATION_NOT_DONE && count)
        fail(world, operation, "it happened, and its member said that it did not");
    else if (wrote && count == 0)
        fail(world, operation, "it was acknowledged and did not happen");
    else if (wrote && revision != operation->request.revision)
        fail(world, operation, "it happened at another revision");
    else if (operation->outcome == OPERATION_DONE && !wrote && count)
        fail(world, operation, "it was refused and happened");
}

static void check_answer(struct world *world, const struct operation *operation,
                         const struct effects *effects)
{
    if (operation->outcome == OPERATION_DONE && is_write(operation))
        check_write(world, operation, effects);
    else if (operation->outcome == OPERATION_DONE)
        check_read(world, operation);
    if (has_tag(operation))
        check_tag(world, operation);
}

/* ---- real time ---- */

static int by_answer(const void *left, const void *right)
{
    const struct operation *a = *(struct operation *const *)left,
                           *b = *(struct operation *const *)right;
    if (a->answered_ns != b->answered_ns)
        return a->answered_ns < b->answered_ns ? -1 : 1;
    return a->tag < b->tag ? -1 : a->tag > b->tag;
}

static bool tells(const struct operation *operation)
{
    return operation->outcome == OPERATION_DONE && operation->code == ERR_OK;
}

/* Reads of what a member has, or of the past, promise nothing about now. */
static bool is_strict(const struct operation *operation)
{
    return operation->kind != OP_GET_LOCAL && operation->kind != OP_GET_OLD;
}

static void check_order(struct world *world)
{
    struct clients *clients = world->clients;
    size_t count = clients->operation_count, next = 0;
    struct operation **answered = mem_xalloc((count + 1) * sizeof *answered);
    kv_rev seen = 0;        /* the highest that was told before the current one was asked */
    memcpy(answered, clients->operations, count * sizeof *answered);
    qsort(answered, count, sizeof *answered, by_answer);
    for (size_t i = 0; i < count && !world->has_failed; i++) {
        const struct operation *operation = clients->operations[i];
        for (; next < count && answered[next]->answered_ns < operation->asked_ns; next++)
            if (tells(answered[next]) && answered[next]->request.revision > seen)
                seen = answered[next]->request.revision;
        if (!tells(operation) || !is_strict(operation))
            continue;
        bool wrote = has_tag(operation) && operation->request.result.txn.succeeded;
        if (operation->request.revision < seen + wrote)
            fail(world, operation, "before it was asked a later revision had been told");
    }
    free(answered);
}

void check_history(struct world *world)
{
    struct clients *clients = world->clients;
    struct effects effects = {0};
    replay(world, &effects);
    for (size_t i = 0; i < clients->operation_count && !world->has_failed; i++)
        check_answer(world, clients->operations[i], &effects);
    check_order(world);
    free(effects.all);
    world->totals.operations = clients->operation_count;
    world->totals.acknowledged = clients->acknowledged;
    world->totals.unknown = clients->unknown;
    world->totals.events = clients->events;
}
