#include "tests/sim/clients_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/node_internal.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"

#define NOWHERE_NS (20 * NS_PER_MS)     /* before a client looks again for a member that is up */
#define LEASE_TTL_MAX 4

static int64_t earliest(int64_t a, int64_t b) { return a < b ? a : b; }

/* Once all is healed: one that was removed may know nobody who could tell it. */
static bool stays(struct world *world, uint64_t number)
{
    const struct membership *membership = world_membership(world);
    return world->core & bit(number) && !(membership && membership_was_removed(membership, number));
}

uint64_t clients_draw_host(struct world *world, struct rand *rand)
{
    uint64_t up[WORLD_HOSTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < world->host_count; i++) {
        const struct sim_host *host = &world->hosts[i];
        if (world_serves(world, host) && node_membership(host->node)->count &&
            (!world->is_healed || stays(world, host->number)))
            up[count++] = host->number;
    }
    return count ? up[rand_below(rand, count)] : 0;
}

/* ---- life ---- */

struct clients *clients_new(struct world *world)
{
    struct clients *clients = mem_xzalloc(sizeof *clients);
    struct rand rand;
    rand_init(&rand, world->params->seed ^ 0xc11e);
    clients->client_count = (size_t)PARAM(world->params, clients);
    clients->clients = mem_xzalloc(clients->client_count * sizeof *clients->clients);
    clients->wanted = (size_t)PARAM(world->params, operations);
    for (size_t i = 0; i < clients->client_count; i++) {
        clients->clients[i].number = i + 1;
        clients->clients[i].next_ns = world->now_ns;
        rand_init(&clients->clients[i].rand, rand_u64(&rand));
    }
    watchers_init(world, clients, &rand);
    return clients;
}

void clients_free(struct clients *clients)
{
    for (size_t i = 0; i < clients->operation_count; i++) {
        struct operation *operation = clients->operations[i];
        kv_request_release(&operation->request);
        arena_release(&operation->arena);
        free(operation);
    }
    watchers_release(clients);
    free(clients->operations);
    free(clients->clients);
    free(clients);
}

/* ---- what is asked ---- */

static struct bytes text_in(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static struct bytes text_in(struct arena *arena, const char *format, ...)
{
    char text[128];
    va_list list;
    va_start(list, format);
    int size = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return arena_copy(arena, bytes_of(text, (size_t)size));
}

static struct bytes draw_key(struct world *world, struct client *client, struct arena *arena)
{
    uint64_t number = rand_below(&client->rand, (uint64_t)PARAM(world->params, keys));
    return text_in(arena, "/k/%02" PRIu64 "/%02" PRIu64, number % 3, number);
}

/* "TAG:" and then something that differs from tag to tag. */
static struct bytes draw_value(struct world *world, struct client *client, struct operation *operation)
{
    size_t more = (size_t)rand_below(&client->rand, (uint64_t)PARAM(world->params, value_bytes));
    struct bytes tag = text_in(&operation->arena, "%" PRIu64 ":", operation->tag);
    uint8_t *value = arena_alloc(&operation->arena, tag.size + more);
    memcpy(value, tag.data, tag.size);
    memset(value + tag.size, 'a' + (int)(operation->tag % 26), more);
    return bytes_of(value, tag.size + more);
}

static struct kv_op put_op(struct bytes key, struct bytes value, int64_t lease)
{
    return (struct kv_op){.kind = KV_OP_PUT, .put = {.key = key, .value = value, .lease = lease}};
}

static struct kv_op get_op(struct bytes key)
{
    return (struct kv_op){.kind = KV_OP_RANGE, .range = {.key = key}};
}

static void ask_txn(struct operation *operation, size_t success, size_t failure, size_t compares)
{
    operation->request.kind = KV_TXN;
    operation->request.txn = (struct kv_txn){
        .compares = &operation->compare, .compare_count = compares,
        .success = operation->ops, .success_count = success,
        .failure = operation->ops + success, .failure_count = failure,
    };
}

static void ask_compare(struct world *world, struct client *client, struct operation *operation)
{
    struct bytes key = client->seen_key.size ? arena_copy(&operation->arena, client->seen_key)
                                             : draw_key(world, client, &operation->arena);
    operation->compare = (struct kv_compare){
        .key = key, .target = KV_COMPARE_MOD, .result = KV_EQUAL, .number = client->seen_revision};
    operation->ops[0] = put_op(key, draw_value(world, client, operation), 0);
    operation->ops[1] = get_op(key);
    ask_txn(operation, 1, 1, 1);
}

static void ask_delete(struct world *world, struct client *client, struct operation *operation)
{
    struct kv_delete del = {.key = draw_key(world, client, &operation->arena)};
    if (operation->kind == OP_DELETE_RANGE) {
        del.key = text_in(&operation->arena, "/k/%02" PRIu64 "/", rand_below(&client->rand, 3));
        del.range_end = text_in(&operation->arena, "%.*s0", (int)del.key.size - 1, del.key.data);
    }
    operation->ops[0] = (struct kv_op){.kind = KV_OP_DELETE, .del = del};
    operation->ops[1] = put_op(text_in(&operation->arena, "/log/%" PRIu64, client->number),
                               draw_value(world, client, operation), 0);
    ask_txn(operation, 2, 0, 0);
}

static void ask_range(struct world *world, struct client *client, struct operation *operation)
{
    struct kv_range range = {.key = draw_key(world, client, &operation->arena)};
    if (operation->kind == OP_RANGE) {
        range.key = text_in(&operation->arena, "/k/");
        range.range_end = text_in(&operation->arena, "/k0");
        range.limit = (int64_t)rand_below(&client->rand, 4) * 5;
    }
    range.serializable = operation->kind == OP_GET_LOCAL || operation->kind == OP_GET_OLD;
    if (operation->kind == OP_GET_OLD) {        /* now and then what is not past yet */
        uint64_t newest = (uint64_t)operation->newest;
        range.revision = 1 + (kv_rev)rand_below(&client->rand, newest + newest / 16 + 2);
    }
    operation->request.kind = KV_RANGE;
    operation->request.range = range;
}

static void ask_compact(struct client *client, struct operation *operation, struct sim_host *host)
{
    kv_rev newest = store_revision(node_store(host->node));
    operation->request.kind = KV_COMPACT;
    operation->request.compact.revision = 1 + (kv_rev)rand_below(&client->rand, (uint64_t)newest);
    operation->request.compact.physical = rand_below(&client->rand, 2);
}

static void ask_lease(struct world *world, struct client *client, struct operation *operation)
{
    operation->lease = client->lease;
    operation->request.lease.id = client->lease;
    switch (operation->kind) {
    case OP_LEASE_GRANT:
        operation->request.kind = KV_LEASE_GRANT;
        operation->request.lease.id = 0;
        operation->request.lease.ttl_s = 1 + (int64_t)rand_below(&client->rand, LEASE_TTL_MAX);
        break;
    case OP_LEASE_KEEP_ALIVE: operation->request.kind = KV_LEASE_KEEP_ALIVE; break;
    case OP_LEASE_REVOKE: operation->request.kind = KV_LEASE_REVOKE; break;
    default:
        operation->ops[0] = put_op(draw_key(world, client, &operation->arena),
                                   draw_value(world, client, operation), client->lease);
        ask_txn(operation, 1, 0, 0);
    }
}

/* After the healing nobody is done before all have written. */
static bool wants_more(const struct clients *clients)
{
    return clients->operation_count < clients->wanted ||
           (clients->healed_ns && !clients_have_written(clients));
}

/* After the healing every other request is a put, until one was acknowledged. */
static bool must_write(const struct world *world, struct client *client)
{
    if (!world->clients->healed_ns || world->is_ruined || client->has_written)
        return false;
    client->asked_write = !client->asked_write;
    return client->asked_write;
}

static enum operation_kind draw_kind(struct world *world, struct client *client)
{
    static const enum operation_kind kinds[] = {
        OP_PUT, OP_PUT, OP_PUT, OP_COMPARE_AND_PUT, OP_COMPARE_AND_PUT, OP_DELETE, OP_DELETE_RANGE,
        OP_GET, OP_GET, OP_RANGE, OP_GET_LOCAL, OP_GET_OLD,
    };
    if (must_write(world, client))
        return OP_PUT;
    if ((int64_t)rand_below(&client->rand, 1000) < PARAM(world->params, compactions))
        return OP_COMPACT;
    if ((int64_t)rand_below(&client->rand, 1000) < PARAM(world->params, leases)) {
        uint64_t drawn = rand_below(&client->rand, 24);
        if (!client->lease || drawn == 0)
            return OP_LEASE_GRANT;      /* the one it had is left alone, and ends by itself */
        return drawn == 1 ? OP_LEASE_REVOKE : drawn < 10 ? OP_LEASE_KEEP_ALIVE : OP_LEASE_PUT;
    }
    return kinds[rand_below(&client->rand, ARRAY_COUNT(kinds))];
}

static void fill_in(struct world *world, struct client *client, struct operation *operation,
                    struct sim_host *host)
{
    switch (operation->kind) {
    case OP_PUT:
        operation->ops[0] = put_op(draw_key(world, client, &operation->arena),
                                   draw_value(world, client, operation), 0);
        ask_txn(operation, 1, 0, 0);
        break;
    case OP_COMPARE_AND_PUT: ask_compare(world, client, operation); break;
    case OP_DELETE:
    case OP_DELETE_RANGE: ask_delete(world, client, operation); break;
    case OP_COMPACT: ask_compact(client, operation, host); break;
    case OP_LEASE_GRANT:
    case OP_LEASE_KEEP_ALIVE:
    case OP_LEASE_REVOKE:
    case OP_LEASE_PUT: ask_lease(world, client, operation); break;
    default: ask_range(world, client, operation);
    }
}

/* ---- what is answered ---- */

static struct client *client_of(struct operation *operation)
{
    return &operation->world->clients->clients[operation->client - 1];
}

static enum operation_outcome outcome_of(enum err_code code)
{
    enum err_kind kind = err_kind(code);
    if (code == ERR_OK || kind == ERR_KIND_RESULT)
        return OPERATION_DONE;
    return kind == ERR_KIND_RETRY ? OPERATION_NOT_DONE : OPERATION_UNKNOWN;
}

/* What the next compare of this client stands on. */
static void remember(struct client *client, const struct operation *operation)
{
    const struct kv_request *request = &operation->request;
    if (operation->kind == OP_PUT) {
        client->seen_key = operation->ops[0].put.key;
        client->seen_revision = request->revision;
    } else if (operation->kind == OP_GET) {
        client->seen_key = request->range.key;
        client->seen_revision =
            request->result.range.count ? request->result.range.items[0].mod_revision : 0;
    } else if (operation->kind == OP_LEASE_GRANT) {
        client->lease = request->leased.id;
    } else if (operation->kind == OP_LEASE_REVOKE) {
        client->lease = 0;
    }
}

/* Of one that was answered with OK. */
static bool has_written(const struct operation *operation)
{
    switch (operation->kind) {
    case OP_PUT:
    case OP_DELETE:
    case OP_DELETE_RANGE:
    case OP_LEASE_PUT: return true;
    case OP_COMPARE_AND_PUT: return operation->request.result.txn.succeeded;
    default: return false;
    }
}

static bool is_reopening(const struct sim_host *host)
{
    return host->node->reopen.state != REOPEN_FINE;
}

static void answered(struct kv_request *request, enum err_code code)
{
    struct operation *operation = container_of(request, struct operation, request);
    struct world *world = operation->world;
    struct client *client = client_of(operation);
    const struct sim_host *host = world_host(world, operation->host);
    operation->code = code;
    operation->answered_ns = world->now_ns;
    operation->store_changed |= !host->node || is_reopening(host) ||
                                host->node->reopen.times != operation->reopenings;
    if (!host->is_dying)
        operation->outcome = outcome_of(code);
    world_note(world, 4000 + operation->client, (uint64_t)request->revision << 8 | code);
    TRACE(world->trace, "client=%" PRIu64 " tag=%" PRIu64 " kind=%d host=%" PRIu64
          " code=%s revision=%" PRId64, operation->client, operation->tag, (int)operation->kind,
          operation->host, err_name(code), request->revision);
    if (operation->outcome == OPERATION_DONE && code == ERR_OK) {
        world->clients->acknowledged++;
        client->has_written |= world->clients->healed_ns &&
                               operation->asked_ns >= world->clients->healed_ns &&
                               has_written(operation);
        remember(client, operation);
    } else if (code == ERR_NOT_FOUND) {
        client->lease = 0;
    }
    world->clients->unknown +=
        operation->outcome == OPERATION_OPEN || operation->outcome == OPERATION_UNKNOWN;
    client->open = NULL;
    client->next_ns = world->now_ns + (int64_t)rand_below(
                          &client->rand, (uint64_t)PARAM(world->params, think_us) * 1000 + 1);
    if (operation->outcome != OPERATION_DONE)
        client->host = 0;
}

static void ask(struct world *world, struct client *client, struct sim_host *host)
{
    struct clients *clients = world->clients;
    struct operation *operation = mem_xzalloc(sizeof *operation);
    if (clients->operation_count == clients->operation_capacity) {
        clients->operation_capacity =
            clients->operation_capacity ? 2 * clients->operation_capacity : 256;
        clients->operations = mem_xrealloc(clients->operations, clients->operation_capacity *
                                                                    sizeof *clients->operations);
    }
    clients->operations[clients->operation_count++] = operation;
    operation->kind = draw_kind(world, client);
    operation->client = client->number;
    operation->tag = ++clients->tags;
    operation->host = host->number;
    operation->world = world;
    operation->asked_ns = world->now_ns;
    operation->request.done = answered;
    operation->newest = store_revision(node_store(host->node));
    operation->reopenings = host->node->reopen.times;
    operation->store_changed = is_reopening(host);
    fill_in(world, client, operation, host);
    client->open = operation;
    client->next_ns = INT64_MAX;
    kv_submit(node_kv(host->node), &operation->request);
}

/* ---- time ---- */

int64_t clients_next_ns(const struct clients *clients)
{
    int64_t next = INT64_MAX;
    bool more = wants_more(clients);
    for (size_t i = 0; more && i < clients->client_count; i++)
        next = earliest(next, clients->clients[i].next_ns);
    for (size_t i = 0; i < clients->watcher_count; i++)
        next = earliest(next, clients->watchers[i].next_ns);
    return next;
}

static void step_client(struct world *world, struct client *client)
{
    struct sim_host *host = client->host ? world_host(world, client->host) : NULL;
    if (!host || !world_serves(world, host) || rand_below(&client->rand, 30) == 0) {
        client->host = clients_draw_host(world, &client->rand);
        host = client->host ? world_host(world, client->host) : NULL;
    }
    if (!host)
        client->next_ns = world->now_ns + NOWHERE_NS;
    else
        ask(world, client, host);
}

void clients_step(struct world *world)
{
    struct clients *clients = world->clients;
    for (size_t i = 0; i < clients->client_count; i++)
        if (clients->clients[i].next_ns <= world->now_ns && wants_more(clients)) {
            step_client(world, &clients->clients[i]);
            return;
        }
    for (size_t i = 0; i < clients->watcher_count; i++)
        if (clients->watchers[i].next_ns <= world->now_ns) {
            watcher_step(&clients->watchers[i]);
            return;
        }
}

bool clients_are_done(const struct clients *clients)
{
    for (size_t i = 0; i < clients->client_count; i++)
        if (clients->clients[i].open)
            return false;
    return !wants_more(clients);
}

/* Nobody waits for a host that does not stay. */
static void give_up(struct world *world, struct operation *operation)
{
    struct sim_host *host = world_host(world, operation->host);
    if (host->node && !stays(world, host->number))
        kv_cancel(node_kv(host->node), &operation->request);
}

/* So that progress is seen: a few more requests, from now on. */
void clients_heal(struct world *world)
{
    struct clients *clients = world->clients;
    clients->wanted = clients->operation_count + 3 * clients->client_count;
    clients->healed_ns = world->now_ns;
    for (size_t i = 0; i < clients->client_count; i++) {
        clients->clients[i].host = 0;
        if (clients->clients[i].open)
            give_up(world, clients->clients[i].open);
        if (!clients->clients[i].open)
            clients->clients[i].next_ns = world->now_ns;
    }
    for (size_t i = 0; i < clients->watcher_count; i++) {
        struct watcher *watcher = &clients->watchers[i];
        if (watcher->is_open && !stays(world, watcher->host))
            kv_unwatch(node_kv(world_host(world, watcher->host)->node), &watcher->watch);
    }
}

uint64_t clients_asked_hosts(const struct clients *clients)
{
    uint64_t asked = 0;
    for (size_t i = 0; i < clients->client_count; i++)
        if (clients->clients[i].open)
            asked |= bit(clients->clients[i].open->host);
    return asked;
}

bool clients_have_written(const struct clients *clients)
{
    for (size_t i = 0; i < clients->client_count; i++)
        if (!clients->clients[i].has_written)
            return false;
    return true;
}
