/* Disks that lose what they had promised: bits that flip, sectors that cannot be read, a store that is gone.
 *
 * The atlas: a copy is damaged when it may lack what its host promised. Of every majority that could
 * decide, enough copies stay undamaged; a fault that would break this is not done. Down is not damaged:
 * what is down comes back with everything it promised. (damage_majority breaks it on purpose, once: then
 * the members must stop, and tell nothing wrong.)
 *
 * A damaged host must refuse to start, and say where the damage is. So the places are those of which a
 * member can know: below the last record of the log that says by standing there that all before it was
 * durable. (What follows looks like a tear; one member cannot tell.) Damage to what the log does not
 * use must not keep it from starting.
 */
#include "tests/sim/faults_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "tests/sim/sim_join.h"
#include "wal/record.h"

#define SEGMENTS_MAX 8
#define SEGMENT_NUMBERS 4000    /* what a run may come to */
#define NAME_SIZE 64

/* ---- the atlas ---- */

bool damage_leaves_majority(const struct raft_id_set *voters, uint64_t damaged)
{
    size_t good = 0;
    for (size_t i = 0; i < voters->count; i++)
        good += !(damaged & bit(voters->ids[i]));
    return voters->count == 0 || good > voters->count / 2;
}

void damage_without_doubtful(const struct world *world, struct raft_id_set *voters)
{
    for (uint64_t number = 1; number < 64; number++)
        if (world->operator.doubtful & ~world->damaged & bit(number))
            raft_id_set_remove(voters, number);
}

/* Also if damaged ones come to vote whose vote was asked for and not answered: more of the others do no harm. */
static bool leaves_majority(const struct world *world, const struct raft_id_set *voters,
                            uint64_t damaged)
{
    if (voters->count == 0)
        return true;
    struct raft_id_set all = *voters;
    for (uint64_t number = 1; number < 64; number++)
        if (world->operator.coming & damaged & bit(number))
            (void)!raft_id_set_add(&all, number);
    struct raft_id_set sure = all;
    damage_without_doubtful(world, &sure);
    return damage_leaves_majority(&all, damaged) &&
           sure.count > 0 && damage_leaves_majority(&sure, damaged);
}

/* Whether some host acts by a configuration that could not decide any more, or will when it comes back. */
static bool breaks_someone(struct world *world, uint64_t damaged)
{
    for (size_t i = 0; i < world->host_count; i++) {
        const struct sim_host *host = &world->hosts[i];
        if (host->state == HOST_GONE || host->state == HOST_REFUSED)
            continue;
        const struct raft_conf_state *state =
            host->node ? &node_membership(host->node)->configuration : &host->configuration;
        if (!leaves_majority(world, &state->voters, damaged) ||
            !leaves_majority(world, &state->voters_outgoing, damaged))
            return true;
    }
    return false;
}

/* Each of them is waited for until then. */
bool damage_is_forming(const struct world *world)
{
    for (size_t i = 0; i < world->host_count; i++)
        if (!(world->emptied & bit(world->hosts[i].number)) && sim_host_is_forming(&world->hosts[i]))
            return true;
    return false;
}

static bool may_damage(struct world *world, const struct sim_host *host)
{
    return world_membership(world) && !damage_is_forming(world) && !faults_is_changing(world) &&
           !breaks_someone(world, world->damaged | world->silent | bit(host->number));
}

/* One that never got as far as to be a member has promised nothing, and need not miss it. */
static bool is_sound(struct world *world, const struct sim_host *host)
{
    bool has_begun = !host->join || host->join->identity_stood;
    return has_begun && (host->state == HOST_UP || host->state == HOST_DOWN) &&
           !((world->damaged | world->silent) & bit(host->number));
}

/* One that is up goes down first. */
struct sim_host *damage_draw_victim(struct world *world)
{
    struct sim_host *host = faults_draw_host(world, is_sound);
    if (!host || !may_damage(world, host))
        return NULL;
    if (host->state == HOST_UP)
        faults_go_down(world, host, faults_below(world, 2));
    return host;
}

/* ---- places in a log ---- */

static size_t segments_of(const struct sim_host *host, char names[SEGMENTS_MAX][NAME_SIZE])
{
    size_t found = 0;
    for (unsigned number = 1; number < SEGMENT_NUMBERS && found < SEGMENTS_MAX; number++) {
        snprintf(names[found], NAME_SIZE, "wal/%016x.seg", number);
        found += sim_disk_has(host->disk, names[found]);
    }
    return found;
}

/* Where the last record of a segment stands that proves all before it. */
static uint64_t proven_size(const struct sim_host *host, const char *name)
{
    struct wal_identity identity = {host->identity.cluster_id, host->identity.member_id,
                                    host->identity.generation};
    uint64_t size = 0, proven = 0;
    const uint8_t *bytes = sim_disk_look(host->disk, name, &size);
    struct record record;
    struct record_place place = {.seed = record_seed(&identity)};
    while (place.offset < size) {
        if (record_decode(bytes_of(bytes + place.offset, size - place.offset), place.seed, &record))
            break;
        if (place.offset == 0) {
            place.segment = record.segment;
            place.previous = record.previous;
            place.opening = record.opening;
        }
        if (record_check(&record, &place))
            break;
        if (record_is_durable_mark(record.type))
            proven = place.offset;
        record_pass(&place, &record);
    }
    return proven;
}

/* A place whose damage must be noticed. False: there is none yet. */
static bool proven_place(struct world *world, const struct sim_host *host, char name[NAME_SIZE],
                         uint64_t *ret_offset)
{
    char names[SEGMENTS_MAX][NAME_SIZE];
    size_t found = segments_of(host, names);
    if (found == 0)
        return false;
    size_t place = faults_below(world, found);
    uint64_t size = 0;
    (void)sim_disk_look(host->disk, names[place], &size);
    if (place == found - 1)
        size = proven_size(host, names[place]);
    if (size == 0)
        return false;
    memcpy(name, names[place], NAME_SIZE);
    *ret_offset = faults_below(world, size);
    return true;
}

/* ---- the damage ---- */

static void note_damage(struct world *world, struct sim_host *host, const char *name)
{
    world->damaged |= bit(host->number);
    if (name)
        world->damaged_logs |= bit(host->number);
    TRACE(world->trace, "host=%" PRIu64 " damaged: %s", host->number, name ? name : "no store");
}

static void flip(struct world *world, struct sim_host *host, const char *name, uint64_t offset)
{
    uint64_t size;
    uint8_t byte = sim_disk_look(host->disk, name, &size)[offset];
    CHECK(offset < size);
    byte ^= (uint8_t)(1 << faults_below(world, 8));
    sim_disk_poke(host->disk, name, offset, &byte, 1);
}

static bool flip_log(struct world *world, struct sim_host *host)
{
    char name[NAME_SIZE];
    uint64_t offset;
    if (!proven_place(world, host, name, &offset))
        return false;
    note_damage(world, host, name);
    faults_count(world, WORLD_bit_flips);
    flip(world, host, name, offset);
    return true;
}

/* It counts when it is read. */
static bool fail_log_sector(struct world *world, struct sim_host *host)
{
    char name[NAME_SIZE];
    uint64_t offset;
    if (!proven_place(world, host, name, &offset))
        return false;
    note_damage(world, host, name);
    sim_disk_fail_sector(host->disk, name, offset);
    return true;
}

static void lose_store(struct world *world, struct sim_host *host)
{
    note_damage(world, host, NULL);
    faults_count(world, WORLD_lost_stores);
    sim_host_lose_store(host);
}

void damage_flip_bit(struct world *world)
{
    struct sim_host *host = damage_draw_victim(world);
    if (host)
        (void)flip_log(world, host);
}

void damage_sector(struct world *world)
{
    struct sim_host *host = damage_draw_victim(world);
    if (host)
        (void)fail_log_sector(world, host);
}

void damage_lose_store(struct world *world)
{
    struct sim_host *host = damage_draw_victim(world);
    if (host)
        lose_store(world, host);
}

/* Whether one of the first is left that remembers this one. If none is, those that were emptied begin another
 * cluster; the program's is another by its ids, too, where the list has one member. */
static bool is_remembered(const struct world *world, const struct sim_host *host, size_t count)
{
    for (uint64_t number = 1; number <= count; number++)
        if (number != host->number && !(world->emptied & bit(number)))
            return true;
    return false;
}

/* One of the first members, with all that it promised. It starts again like all of them did, and may wait for
 * ever, but is not to be one of them again (design: generations). */
void damage_empty(struct world *world)
{
    struct sim_host *host = world->hosts[0].forms ? damage_draw_victim(world) : NULL;
    size_t count = (size_t)PARAM(world->params, members);
    struct membership_member members[WORLD_HOSTS_MAX];
    if (!host || host->number > count || !is_remembered(world, host, count))
        return;
    for (size_t i = 0; i < count; i++)
        members[i] = sim_host_record(i + 1);
    note_damage(world, host, NULL);
    faults_count(world, WORLD_emptied_voters);
    world->emptied |= bit(host->number);
    sim_host_empty(host, members, count);
}

bool damage_told_emptied(struct world *world, struct sim_host *host)
{
    bool is_emptied = world->emptied & bit(host->number);
    if (!is_emptied)
        world_fail(world, "host %" PRIu64 " was told that it was emptied, and it was not",
                   host->number);
    return is_emptied;
}

/* Of a file that waits to become part of the log: nobody was promised anything of it. */
void damage_spare_log(struct world *world)
{
    static const char *const suffixes[] = {"zero", "used"};
    struct sim_host *host = faults_draw_host(world, faults_is_down);
    char name[NAME_SIZE];
    uint64_t size = 0;
    for (unsigned number = 1; host && number < SEGMENT_NUMBERS; number++)
        for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
            snprintf(name, sizeof name, "wal/%016x.%s", number, suffixes[i]);
            if (!sim_disk_look(host->disk, name, &size) || size == 0)
                continue;
            faults_count(world, WORLD_spare_flips);
            flip(world, host, name, faults_below(world, size));
            return;
        }
}

/* ---- what a damaged host must do ---- */

/* The start came to the damage: it did not ask in vain, or meet another fault, before. */
static bool met_damage(const struct sim_host *host)
{
    return host->state == HOST_REFUSED ||
           (host->state == HOST_DOWN && strstr(host->last_refusal, "wal/") &&
            !strstr(host->last_refusal, "made to fail at call"));
}

void damage_check_start(struct world *world, struct sim_host *host)
{
    bool is_damaged = world->damaged & ~world->emptied & bit(host->number);
    if (host->state == HOST_UP && is_damaged)
        world_fail(world, "host %" PRIu64 " started though its disk had lost what it promised",
                   host->number);
    else if (host->state == HOST_REFUSED && !is_damaged && !(world->emptied & bit(host->number)))
        world_fail(world, "host %" PRIu64 " was refused and nothing had damaged it: %s",
                   host->number, host->last_refusal);
    else if (met_damage(host) && (world->damaged_logs & bit(host->number)) &&
             (!strstr(host->last_refusal, "wal/") || !strstr(host->last_refusal, "offset")))
        world_fail(world, "host %" PRIu64 " was refused without file and offset: %s", host->number,
                   host->last_refusal);
}

/* ---- a majority ---- */

static void damage_somehow(struct world *world, struct sim_host *host)
{
    uint64_t drawn = faults_below(world, 3);
    if (host->state == HOST_UP)
        world_crash_host(world, host, true);
    bool is_done = drawn == 0 ? false : drawn == 1 ? flip_log(world, host)
                                                   : fail_log_sector(world, host);
    if (!is_done)
        lose_store(world, host);
}

/* A voter of a configuration that could still decide; NULL: no configuration could. */
static struct sim_host *next_victim(struct world *world, uint64_t lost)
{
    for (size_t i = 0; i < world->host_count; i++) {
        const struct sim_host *host = &world->hosts[i];
        if (host->state == HOST_GONE || host->state == HOST_REFUSED)
            continue;
        const struct raft_id_set *voters = host->node
                                               ? &node_membership(host->node)->configuration.voters
                                               : &host->configuration.voters;
        if (voters->count == 0 || !damage_leaves_majority(voters, lost))
            continue;
        size_t first = faults_below(world, voters->count);
        for (size_t k = 0; k < voters->count; k++) {
            uint64_t id = voters->ids[(first + k) % voters->count];
            if (!(lost & bit(id)))
                return world_host(world, id);
        }
    }
    return NULL;
}

bool damage_majority(struct world *world)
{
    const struct membership *membership = world_membership(world);
    uint64_t lost = world->damaged, before = world->damaged;
    struct sim_host *host;
    if (!membership || damage_is_forming(world) || faults_is_changing(world) ||
        membership->configuration.voters_outgoing.count)
        return false;
    for (size_t i = 0; i < world->host_count; i++)
        if (world->hosts[i].state == HOST_REFUSED || world->hosts[i].state == HOST_GONE)
            lost |= bit(world->hosts[i].number);
    while ((host = next_victim(world, lost)))
        lost |= bit(host->number);
    for (size_t i = 0; i < world->host_count; i++) {
        host = &world->hosts[i];
        bool is_there = host->state == HOST_UP || host->state == HOST_DOWN;
        if (is_there && (lost & ~before & bit(host->number)))
            damage_somehow(world, host);
    }
    return true;
}
