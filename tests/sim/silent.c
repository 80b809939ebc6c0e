/* A row of a store that changes and that nothing tells of: no checksum, no error. Whoever applies an entry
 * that meets it does something else than the others. Such a member may be read from by nobody until its store
 * has been replaced, so no client asks it from the damage on; what it must do by itself is to find out when
 * the members compare, say so, stay refused, and come back with a store of the others.
 *
 * What is damaged and has not shown yet looks like any other store, and a copy of it would be damaged, too.
 * So none is made of it here.
 *
 * Of every majority that can decide, enough stores are sound (may_damage), else the wrong ones are right.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mvcc/index.h"
#include "proto/base/check.h"
#include "tests/sim/faults_internal.h"

/* ---- the damage ---- */

#define VERSION_MAX 0x40        /* with a host's number it still is a varint of one byte */
static_assert(VERSION_MAX + WORLD_HOSTS_MAX < 0x80, "see above");

/* Where the version's number stands in the name's row of a live key; 0: it has none, or a long one. */
static size_t version_place(struct bytes row)
{
    struct cursor cursor = cursor_of(row);
    uint8_t flags = cursor_u8(&cursor);
    (void)cursor_varint(&cursor);       /* main, sub, the head's flags, its time */
    (void)cursor_varint(&cursor);
    (void)cursor_u8(&cursor);
    (void)cursor_le64(&cursor);
    size_t place = row.size - cursor.rest.size;
    uint8_t version = cursor_u8(&cursor);
    return !cursor.failed && (flags & 1) && version < VERSION_MAX ? place : 0;
}

/* The nth such row; false when there are fewer. *count is how many were passed. */
static bool find_row(struct backend *backend, uint64_t nth, uint64_t *count, struct buf *ret_key,
                     struct buf *ret_value)
{
    struct backend_iterator *iterator = backend->ops->iterator_new(backend, NULL);
    struct bytes first = BYTES_LITERAL("d/k/");
    bool found = false;
    *count = 0;
    iterator->ops->seek(iterator, first);
    for (; !found && iterator->ops->valid(iterator); iterator->ops->next(iterator)) {
        struct bytes key = iterator->ops->key(iterator);
        if (!bytes_starts_with(key, first))
            break;
        if (!version_place(iterator->ops->value(iterator)) || (*count)++ != nth)
            continue;
        buf_assign(ret_key, key);
        buf_assign(ret_value, iterator->ops->value(iterator));
        found = true;
    }
    iterator->ops->free(iterator);
    return found;
}

/* Written and durable: no crash takes it back. On each host another damage: chance does not damage two alike,
 * and two of three who are wrong in the same way are right. False: the disk is full. */
static bool damage_row(struct backend *backend, uint64_t number, struct buf *key, struct buf *value)
{
    value->data[version_place(buf_bytes(value))] += (uint8_t)number;
    struct backend_op op = {.key = buf_bytes(key), .value = buf_bytes(value)};
    if (backend->ops->write(backend, &op, 1, NULL) != ERR_OK)
        return false;
    CHECK(backend->ops->flush(backend, NULL) == ERR_OK);
    return true;
}

static bool damage_store(struct world *world, struct sim_host *host)
{
    struct backend *backend = backend_memory_open(home_memory_current(host->memory));
    struct buf key = {0}, value = {0};
    uint64_t count = 0;
    (void)find_row(backend, UINT64_MAX, &count, &key, &value);
    bool found = count && find_row(backend, faults_below(world, count), &count, &key, &value);
    if (found)
        found = damage_row(backend, host->number, &key, &value);
    backend_close(backend);
    buf_release(&key);
    buf_release(&value);
    return found;
}

void silent_damage(struct world *world)
{
    struct sim_host *host = damage_draw_victim(world);
    if (!host || !host->memory || !home_memory_current(host->memory) ||
        home_verdict(host->home) != HOME_SOUND ||
        !damage_store(world, host))
        return;
    faults_count(world, WORLD_silent_flips);
    home_memory_refuse_copies(host->memory);
    world->silent |= bit(host->number);
    world->silent_stores[host->number - 1] = home_memory_current(host->memory);
    TRACE(world->trace, "host=%" PRIu64 " damaged: a row of its store", host->number);
}

/* ---- what it must do ---- */

/* By its leader's word alone a sound member may be fenced, where the leader is the one that is damaged and
 * the others cannot be heard. Then its operator looks at both, and keeps it. */
void silent_fenced(struct world *world, struct sim_host *host, const struct err *err)
{
    faults_count(world, WORLD_fenced);
    bool by_leader = strstr(err->text, "the leader has") != NULL;
    if (by_leader && world->silent && !(world->silent & bit(host->number)))
        CHECK(home_judge(host->home, HOME_SOUND, NULL) == ERR_OK);
    else if (!(world->silent & bit(host->number)))
        world_fail(world, "host %" PRIu64 " was fenced and nothing had damaged its store: %s",
                   host->number, err->text);
    else if (home_verdict(host->home) != HOME_CONDEMNED)
        world_fail(world, "host %" PRIu64 " was fenced and keeps its store", host->number);
}

void silent_after(struct world *world, struct sim_host *host)
{
    if (!(world->silent & bit(host->number)) || node_lacks_store(host->node) ||
        host->node->transfer.in.state == IN_INSTALLING ||
        home_memory_current(host->memory) == world->silent_stores[host->number - 1])
        return;
    world->silent &= ~bit(host->number);
    faults_count(world, WORLD_rebuilt_stores);
    TRACE(world->trace, "host=%" PRIu64 " has a sound store", host->number);
}

/* A store that is condemned is not opened; then its operator does what the sentence says. */
bool silent_before_start(struct world *world, struct sim_host *host)
{
    if (!(world->silent & bit(host->number)) || home_verdict(host->home) != HOME_CONDEMNED)
        return true;
    if (faults_below(world, 2)) {
        CHECK(home_judge(host->home, HOME_TO_FETCH, NULL) == ERR_OK);
        return true;
    }
    if (!sim_host_start(host, NULL, 0, (size_t)PARAM(world->params, log_keep)))
        return false;
    world_fail(world, "host %" PRIu64 " opened a store that was condemned", host->number);
    return true;
}

void silent_heal(struct world *world, struct sim_host *host)
{
    if (!(world->silent & bit(host->number)) ||
        (host->state != HOST_UP && host->state != HOST_DOWN))
        return;
    if (host->state == HOST_UP)
        world_crash_host(world, host, false);
    CHECK(home_judge(host->home, HOME_TO_FETCH, NULL) == ERR_OK);
}
