#include "tests/sim/sim_join.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"

#define KEEP_UNSYNCED 500       /* of 1000, of a start that ends in a loss of power */
#define TORN 100

/* ---- a folder ---- */

/* Its path is only said: none of the system's calls finds a folder by it. */
static enum err_code open_folder(struct sim_host *host, struct err *err)
{
    static char nowhere[] = "";
    host->join->folder = (struct datadir){.path = nowhere, .lock_fd = -1, .disk = &host->slow_disk};
    return datadir_read_identity(&host->join->folder, err);
}

void sim_join_prepare(struct sim_host *host, bool stays_learner)
{
    struct start *start = mem_xzalloc(sizeof *start);
    struct err err = {0};
    host->join = mem_xzalloc(sizeof *host->join);
    host->join->stays_learner = stays_learner;
    CHECK(open_folder(host, &err) == ERR_OK);
    start->kind = START_JOIN;
    memcpy(start->name, host->identity.name, sizeof start->name);
    memcpy(start->joining.at, host->address, sizeof host->address);
    start->joining.id = host->number;
    start->joining.generation = host->identity.generation;
    CHECK(start_keep(start, &host->join->folder, &err) == ERR_OK);
    free(start);
    host->spent_ns = 0;
}

/* ---- a start that does not come about ---- */

/* What it had opened is closed; its process is gone, the machine maybe with it. */
static bool fail(struct sim_host *host, enum err_code code, const struct err *err)
{
    sim_net_crash(host->net, host->number);
    sim_join_end(host);
    sim_host_disks_crash(host, rand_below(&host->rand, 2), KEEP_UNSYNCED, TORN);
    host->join->code = code;
    host->is_paused = false;
    host->due_ns = INT64_MAX;
    host->spent_ns = 0;
    return sim_host_refused(host, code, err);
}

/* ---- opening ---- */

static void say(void *context, const char *line)
{
    struct sim_host *host = context;
    TRACE(host->trace, "host=%" PRIu64 " says: %s", host->number, line);
}

static enum err_code begin(struct sim_host *host, struct err *err)
{
    struct sim_join *join = host->join;
    enum err_code code = open_folder(host, err);
    return code != ERR_OK
               ? code
               : opening_begin(&join->opening,
                               &(struct opening_options){
                                   .start = {.name = host->identity.name,
                                             .listen = host->address,
                                             .join = join->at,
                                             .learner = join->stays_learner},
                                   .folder = &join->folder,
                                   .clock = &host->clock,
                                   .seed = rand_u64(&host->rand),
                                   .segment_size = SEGMENT_SIZE_MIN,
                                   .trace = host->trace,
                                   .say = say,
                                   .context = host,
                                   .asked = sim_host_wake,
                               }, err);
}

static bool finish(struct sim_host *host)
{
    struct sim_join *join = host->join;
    struct err err = {0};
    bool asked = join->opening.start.kind == START_JOIN;
    join->was_told |= asked && join->opening.asked_code == ERR_OK;
    enum err_code code = opening_finish(&join->opening,
                                        &(struct node_options){
                                            .clock = &host->clock,
                                            .worker = &host->worker,
                                            .home = host->home,
                                            .net = sim_net_host(host->net, host->number),
                                            .log_keep_entries = join->log_keep_entries,
                                            .message_size_max = host->message_size_max,
                                            .inflight_messages_max = host->inflight_messages_max,
                                            .inflight_bytes_max = host->inflight_bytes_max,
                                            .uncommitted_bytes_max = host->uncommitted_bytes_max,
                                            .seed = rand_u64(&host->rand),
                                            .wake = sim_host_wake,
                                            .wake_context = host,
                                        }, &host->node, &err);
    if (code != ERR_OK)
        return fail(host, code, &err);
    join->identity_stood = true;
    opening_begin_arrival(&join->opening, host->node, &join->arrival);
    join->arrives = true;
    return sim_host_began(host, HOST_UP);
}

bool sim_join_start(struct sim_host *host, size_t log_keep_entries)
{
    struct sim_join *join = host->join;
    struct err err = {0};
    host->counters.starts++;
    host->spent_ns = 0;
    join->code = ERR_OK;
    join->log_keep_entries = log_keep_entries;
    enum err_code code = begin(host, &err);
    if (code != ERR_OK)
        return fail(host, code, &err);
    if (opening_is_first(&join->opening))
        sim_host_lose_store(host);
    opening_ask(&join->opening, sim_net_host(host->net, host->number));
    if (!opening_is_asking(&join->opening))
        return finish(host);
    return sim_host_began(host, HOST_ASKING);
}

void sim_join_ask(struct sim_host *host)
{
    struct opening *opening = &host->join->opening;
    host->due_ns = INT64_MAX;
    host->spent_ns = 0;
    opening_turn(opening);
    if (!opening_is_asking(opening)) {
        (void)finish(host);
        return;
    }
    int64_t next = sim_host_world_ns(host, opening_next_wake_ns(opening));
    host->due_ns = next < host->due_ns ? next : host->due_ns;
}

/* ---- afterwards ---- */

int64_t sim_join_arrive(struct sim_host *host, int64_t wake_ns)
{
    struct arrival *arrival = &host->join->arrival;
    arrival_turn(arrival);
    int64_t next = arrival_next_wake_ns(arrival);
    return next < wake_ns ? next : wake_ns;
}

void sim_join_stop(struct sim_host *host)
{
    if (host->join->arrives)
        arrival_stop(&host->join->arrival);
}

bool sim_join_is_idle(const struct sim_host *host)
{
    return !host->join || !host->join->arrives || arrival_is_idle(&host->join->arrival);
}

void sim_join_end(struct sim_host *host)
{
    struct sim_join *join = host->join;
    opening_abandon(&join->opening);
    if (join->arrives)
        arrival_release(&join->arrival);
    join->arrives = false;
}
