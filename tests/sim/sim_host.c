#include "tests/sim/sim_host.h"

#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cluster/node_internal.h"
#include "cluster/transfer.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"
#include "tests/sim/sim_join.h"

#define WALL_START_NS (1700000000LL * NS_PER_S)
#define DRAIN_MAX 200           /* jobs that a dying process may still finish */
#define SYNCS_DYING 12          /* of the store's folder, that it may still ask for: a flip and more */
#define TURNS_MAX 10000         /* of one host at one instant: more is a loop without an end */

static int64_t draw(struct rand *rand, int64_t min, int64_t max)
{
    return max > min ? min + (int64_t)rand_below(rand, (uint64_t)(max - min + 1)) : min;
}

/* ---- clocks ---- */

static int64_t monotonic_at(const struct sim_host *host, int64_t world_ns)
{
    int64_t passed = world_ns - host->base_ns;
    return host->offset_ns + passed / 1000000 * host->rate + passed % 1000000 * host->rate / 1000000;
}

int64_t sim_host_monotonic_ns(const struct sim_host *host)
{
    return monotonic_at(host, *host->world_now_ns);
}

static int64_t monotonic_ns(struct clock *door)
{
    struct sim_host *host = container_of(door, struct sim_host, clock);
    return monotonic_at(host, *host->world_now_ns + host->spent_ns);
}

static int64_t wall_ns(struct clock *door)
{
    struct sim_host *host = container_of(door, struct sim_host, clock);
    return WALL_START_NS + *host->world_now_ns + host->wall_offset_ns + host->spent_ns;
}

int64_t sim_host_world_ns(const struct sim_host *host, int64_t ns)
{
    int64_t wanted = ns - host->offset_ns;
    if (ns == INT64_MAX)
        return INT64_MAX;
    if (wanted <= 0)
        return *host->world_now_ns;
    int64_t passed = wanted / host->rate * 1000000 + wanted % host->rate * 1000000 / host->rate;
    return host->base_ns + passed + 1;
}

void sim_host_set_rate(struct sim_host *host, int64_t rate)
{
    host->offset_ns = sim_host_monotonic_ns(host);
    host->base_ns = *host->world_now_ns;
    host->rate = rate;
}

/* ---- a disk that takes time ---- */

static struct sim_host *host_of_disk(struct disk *door)
{
    return container_of(door, struct sim_host, slow_disk);
}

static void spend_sync(struct sim_host *host)
{
    int64_t spent_ns = draw(&host->rand, host->costs.sync_min, host->costs.sync_max);
    host->spent_ns += spent_ns;
    if (host->slow_above_ns && spent_ns > host->slow_above_ns && !host->is_dying) {
        host->counters.slow_disks++;
        host->slow_above_ns = 0;
    }
}

void sim_host_slow(struct sim_host *host, int64_t sync_max_ns)
{
    host->slow_above_ns = host->costs.sync_max;
    host->costs.sync_max = sync_max_ns;
}

void sim_host_count_met(struct sim_host *host)
{
    struct sim_disk_met met = sim_disk_take_met(host->disk), *sum = &host->counters.disk;
    sum->flush_errors += met.flush_errors;
    sum->io_errors += met.io_errors;
    sum->stops += met.stops;
    sum->bad_sectors += met.bad_sectors;
}

static enum err_code disk_open_slow(struct disk *door, const char *name, enum disk_open_flags flags,
                                    uint64_t size, struct disk_file **ret_file, uint64_t *ret_size,
                                    struct err *err)
{
    return disk_open(sim_disk_door(host_of_disk(door)->disk), name, flags, size, ret_file, ret_size,
                     err);
}

static void disk_close_slow(struct disk *door, struct disk_file *file)
{
    disk_close(sim_disk_door(host_of_disk(door)->disk), file);
}

static enum err_code disk_read_slow(struct disk *door, struct disk_file *file, uint64_t offset,
                                    void *to, size_t size, enum disk_read_flags flags,
                                    size_t *ret_size, struct err *err)
{
    return disk_read(sim_disk_door(host_of_disk(door)->disk), file, offset, to, size, flags,
                     ret_size, err);
}

static enum err_code disk_write_slow(struct disk *door, struct disk_file *file, uint64_t offset,
                                     const void *from, size_t size, bool durable, struct err *err)
{
    if (durable)
        spend_sync(host_of_disk(door));
    return disk_write(sim_disk_door(host_of_disk(door)->disk), file, offset, from, size, durable,
                      err);
}

static enum err_code disk_sync_slow(struct disk *door, struct disk_file *file, struct err *err)
{
    spend_sync(host_of_disk(door));
    return disk_sync(sim_disk_door(host_of_disk(door)->disk), file, err);
}

static enum err_code disk_make_folder_slow(struct disk *door, const char *name, struct err *err)
{
    return disk_make_folder(sim_disk_door(host_of_disk(door)->disk), name, err);
}

static enum err_code disk_sync_folder_slow(struct disk *door, const char *name, struct err *err)
{
    spend_sync(host_of_disk(door));
    return disk_sync_folder(sim_disk_door(host_of_disk(door)->disk), name, err);
}

static enum err_code disk_list_slow(struct disk *door, const char *folder,
                                    void (*on_name)(void *context, const char *name), void *context,
                                    struct err *err)
{
    return disk_list(sim_disk_door(host_of_disk(door)->disk), folder, on_name, context, err);
}

static enum err_code disk_rename_slow(struct disk *door, const char *from, const char *to,
                                      struct err *err)
{
    return disk_rename(sim_disk_door(host_of_disk(door)->disk), from, to, err);
}

static enum err_code disk_remove_slow(struct disk *door, const char *name, struct err *err)
{
    return disk_remove(sim_disk_door(host_of_disk(door)->disk), name, err);
}

static const struct disk_calls slow_calls = {
    disk_open_slow, disk_close_slow, disk_read_slow, disk_write_slow, disk_sync_slow,
    disk_make_folder_slow, disk_sync_folder_slow, disk_list_slow, disk_rename_slow,
    disk_remove_slow,
};

/* ---- workers ---- */

static size_t running_in(const struct sim_host *host, enum worker_lane lane)
{
    size_t count = 0;
    for (size_t i = 0; i < host->job_count; i++)
        count += host->jobs[i].lane == lane && host->jobs[i].running;
    return count;
}

/* Jobs of a lane begin in the order in which they were submitted. */
static void begin_jobs(struct sim_host *host)
{
    for (size_t i = 0; i < host->job_count; i++) {
        struct sim_job *job = &host->jobs[i];
        size_t room = job->lane == WORKER_WORK ? 2 : 1;
        if (job->running || running_in(host, job->lane) >= room)
            continue;
        job->running = true;
        job->due_ns = *host->world_now_ns + draw(&host->rand, host->costs.job_min,
                                                 host->costs.job_max);
    }
}

static void submit(struct worker *door, enum worker_lane lane, struct worker_job *job)
{
    struct sim_host *host = container_of(door, struct sim_host, worker);
    CHECK(host->job_count < SIM_JOBS_MAX);
    host->jobs[host->job_count++] = (struct sim_job){.job = job, .lane = lane};
    begin_jobs(host);
}

static void remove_job(struct sim_host *host, size_t place)
{
    host->job_count--;
    memmove(&host->jobs[place], &host->jobs[place + 1],
            (host->job_count - place) * sizeof host->jobs[0]);
}

/* The loop hears of a job some time after it ran. */
static void step_job(struct sim_host *host, size_t place)
{
    struct sim_job *job = &host->jobs[place];
    if (!job->ran) {
        int64_t spent = host->spent_ns;
        host->spent_ns = 0;
        job->job->run(job->job);
        job->ran = true;
        job->due_ns = *host->world_now_ns + host->spent_ns +
                      draw(&host->rand, host->costs.job_min, host->costs.job_max) / 4;
        host->spent_ns = spent;
        return;
    }
    struct worker_job *done = job->job;
    remove_job(host, place);
    done->done(done);
    begin_jobs(host);
}

static size_t next_job(const struct sim_host *host)
{
    size_t best = host->job_count;
    for (size_t i = 0; i < host->job_count; i++)
        if (host->jobs[i].running &&
            (best == host->job_count || host->jobs[i].due_ns < host->jobs[best].due_ns))
            best = i;
    return best;
}

/* ---- life ---- */

void sim_host_wake(void *context)
{
    struct sim_host *host = context;
    host->due_ns = *host->world_now_ns;
}

static const uint64_t GENERATION_BASE = 0x9e3779b97f4a7c15u;

struct membership_member sim_host_record(uint64_t number)
{
    struct membership_member record = {.id = number};
    snprintf(record.name, sizeof record.name, "m%" PRIu64, number);
    snprintf(record.address, sizeof record.address, "h:%" PRIu64, number);
    return record;
}

static void new_home(struct sim_host *host)
{
    struct err err = {0};
    if (!host->folder) {
        host->memory = home_memory_new(host->log_size_max);
        host->home = home_memory_door(host->memory);
    } else if (home_leveldb_new(host->folder, &host->home, &err) != ERR_OK) {
        fprintf(stderr, "simulate: %s\n", err.text);
        abort();
    }
}

static void free_home(struct sim_host *host)
{
    if (host->memory)
        home_memory_free(host->memory);
    else
        home_leveldb_free(host->home);
    host->memory = NULL;
    host->home = NULL;
}

/* As it ends with its process: nothing is tidied up behind it. */
static void abandon_home(struct sim_host *host)
{
    char *away = mem_xformat("%s-away", host->folder);
    CHECK(rename(host->folder, away) == 0);
    free_home(host);
    CHECK(rename(away, host->folder) == 0);
    free(away);
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *place)
{
    (void)stat;
    (void)type;
    return place->level == 0 ? 0 : remove(path);
}

static void empty_folder(const char *folder)
{
    CHECK(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

void sim_host_init(struct sim_host *host, const struct sim_host_options *options)
{
    *host = (struct sim_host){
        .number = options->number,
        .state = HOST_DOWN,
        .world_now_ns = options->world_now_ns,
        .net = options->net,
        .trace = options->trace,
        .message_size_max = options->message_size_max,
        .inflight_messages_max = options->inflight_messages_max,
        .inflight_bytes_max = options->inflight_bytes_max,
        .uncommitted_bytes_max = options->uncommitted_bytes_max,
        .clock = {monotonic_ns, wall_ns},
        .worker = {submit},
        .slow_disk = {&slow_calls},
        .rate = 1000000,
        .due_ns = INT64_MAX,
        .identity = {options->cluster_id, options->number, GENERATION_BASE * options->number, ""},
    };
    rand_init(&host->rand, options->seed);
    host->offset_ns = NS_PER_S + (int64_t)rand_below(&host->rand, 1000 * NS_PER_S);
    host->base_ns = *options->world_now_ns;
    host->disk = sim_disk_new(rand_u64(&host->rand));
    struct membership_member record = sim_host_record(options->number);
    memcpy(host->identity.name, record.name, sizeof host->identity.name);
    memcpy(host->address, record.address, sizeof host->address);
    host->folder = options->folder ? mem_xstrdup(options->folder) : NULL;
    host->log_size_max = options->log_size_max;
    host->durable = host->folder ? sim_folder_new(host->folder) : NULL;
    new_home(host);
}

void sim_host_lose_store(struct sim_host *host)
{
    CHECK(!host->node);
    free_home(host);
    if (host->folder) {
        empty_folder(host->folder);
        sim_folder_settle(host->durable);
    }
    new_home(host);
}

void sim_host_empty(struct sim_host *host, const struct membership_member *members, size_t count)
{
    sim_host_lose_store(host);
    sim_host_count_met(host);
    sim_disk_free(host->disk);
    host->disk = sim_disk_new(rand_u64(&host->rand));
    host->identity.generation = rand_u64(&host->rand) | 2;
    sim_host_fill(host, false);
    sim_host_format(host, members, count);
}

void sim_host_fill(struct sim_host *host, bool is_full)
{
    host->full_unmet = is_full && !(host->node && node_was_refused_room(host->node));
    sim_disk_limit(host->disk, is_full ? 1 : 0);
    if (host->memory)
        home_memory_fill(host->memory, is_full);
    else
        sim_folder_fill(host->durable, is_full);
}

bool sim_host_is_forming(const struct sim_host *host)
{
    return host->forms && (host->state == HOST_UP || host->state == HOST_DOWN) &&
           !host->own_generations.formed;
}

bool sim_host_is_changing(const struct sim_host *host)
{
    if (!host->node)
        return host->is_changing;
    if (host->node->writer.commit_durable < host->node->membership.index)
        return true;
    const struct raftlog *log = &host->node->raftlog;
    raft_index index = raft_applied(host->node->raft) + 1;
    for (index = index < raftlog_first(log) ? raftlog_first(log) : index; index <= raftlog_last(log);
         index++)
        if (raftlog_get(log, index)->type != ENTRY_NORMAL)
            return true;
    return false;
}

static void end_process(struct sim_host *host)
{
    struct err ignored = {0};
    host->is_changing = sim_host_is_changing(host);
    if (host->node) {
        host->configuration = node_membership(host->node)->configuration;
        if (host->is_dying)
            node_abandon(host->node);
        else    /* after an error its data are as after a kill */
            (void)!node_close(host->node, &ignored);
    }
    host->node = NULL;
    host->is_stopping = false;
    if (host->join)
        sim_join_end(host);
    host->due_ns = INT64_MAX;
    host->is_paused = false;
}

void sim_host_release(struct sim_host *host)
{
    if (sim_host_runs(host))
        sim_host_crash(host, false, 1000, 0);
    free(host->join);
    sim_disk_free(host->disk);
    free_home(host);
    sim_folder_free(host->durable);
    free(host->folder);
}

static enum err_code open_wal(struct sim_host *host, bool create, struct wal **ret,
                              struct wal_recovery *ret_recovery, struct err *err)
{
    struct wal_options options = {
        .disk = &host->slow_disk,
        .folder = "wal",
        .segment_size = SEGMENT_SIZE_MIN,
        .identity = {host->identity.cluster_id, host->identity.member_id,
                     host->identity.generation},
        .create = create,
        .trace = host->trace,
    };
    return wal_open(&options, ret, ret_recovery, err);
}

static struct store_options store_options(const struct sim_host *host, bool create)
{
    return (struct store_options){
        .cluster_id = host->identity.cluster_id,
        .member_id = host->identity.member_id,
        .generation = host->identity.generation,
        .create = create,
        .trace = host->trace,
    };
}

void sim_host_format(struct sim_host *host, const struct membership_member *members, size_t count)
{
    struct store *store = NULL;
    struct wal *wal = NULL;
    struct wal_recovery recovery = {0};
    struct err err = {0};
    struct store_options options = store_options(host, true);
    bool lacks;
    enum err_code code = transfer_open_store(host->home, &options, NULL, &store, &lacks, &err);
    if (code == ERR_OK)
        code = open_wal(host, true, &wal, &recovery, &err);
    if (code == ERR_OK && count && host->forms)
        code = generations_begin(&host->own_generations, sim_disk_door(host->disk), &err);
    if (code == ERR_OK && count)
        code = node_bootstrap(store, wal, members, count, &err);
    if (code == ERR_OK)
        code = wal_close(wal, &err);
    if (code != ERR_OK) {
        fprintf(stderr, "simulate: a first start failed: %s\n", err.text);
        abort();
    }
    store_close(store);
    wal_recovery_release(&recovery);
    if (host->durable)
        sim_folder_settle(host->durable);
}

bool sim_host_began(struct sim_host *host, enum sim_host_state state)
{
    host->state = state;
    host->busy_until_ns = *host->world_now_ns + host->spent_ns;
    host->spent_ns = 0;
    host->due_ns = *host->world_now_ns;
    return true;
}

bool sim_host_refused(struct sim_host *host, enum err_code code, const struct err *err)
{
    host->counters.refusals++;
    host->state = code == ERR_CORRUPT ? HOST_REFUSED : HOST_DOWN;
    snprintf(host->last_refusal, sizeof host->last_refusal, "%s", err->text);
    TRACE(host->trace, "host=%" PRIu64 " refused: %s", host->number, err->text);
    return false;
}

bool sim_host_start(struct sim_host *host, const struct membership_member *known, size_t count,
                    size_t log_keep_entries)
{
    struct wal_recovery recovery = {0};
    struct err err = {0};
    CHECK(host->state == HOST_DOWN);
    if (host->join)
        return sim_join_start(host, log_keep_entries);
    struct node_options options = {
        .identity = host->identity,
        .clock = &host->clock,
        .worker = &host->worker,
        .recovery = &recovery,
        .home = host->home,
        .net = sim_net_host(host->net, host->number),
        .listen_address = host->address,
        .generations = host->generations,
        .known = known,
        .known_count = count,
        .log_keep_entries = log_keep_entries,
        .message_size_max = host->message_size_max,
        .inflight_messages_max = host->inflight_messages_max,
        .inflight_bytes_max = host->inflight_bytes_max,
        .uncommitted_bytes_max = host->uncommitted_bytes_max,
        .seed = rand_u64(&host->rand),
        .trace = host->trace,
        .wake = sim_host_wake,
        .wake_context = host,
    };
    enum err_code code = ERR_OK;
    host->counters.starts++;
    host->spent_ns = 0;
    if (host->forms) {
        options.generations = &host->own_generations;
        code = generations_open(&host->own_generations, &host->slow_disk, &err);
    }
    if (code == ERR_OK)
        code = open_wal(host, false, &options.wal, &recovery, &err);
    if (code != ERR_OK)
        return sim_host_refused(host, code, &err);
    struct store_options with = store_options(host, false);
    code = transfer_open_store(host->home, &with, &recovery, &options.store, &options.lacks_store,
                               &err);
    if (code != ERR_OK)
        wal_abandon(options.wal);
    else
        code = node_open(&host->node, &options, &err);
    wal_recovery_release(&recovery);
    if (code != ERR_OK)
        return sim_host_refused(host, code, &err);
    return sim_host_began(host, HOST_UP);
}

/* The disk and the store's folder stop together: what one was told of the other has to be there. From the disk's
 * last call on no sync of the folder counts, and behind a sync that is the folder's last the disk does nothing. */
static void stop_both(struct sim_host *host, uint64_t *last_call)
{
    if (sim_disk_calls(host->disk) >= *last_call) {
        sim_folder_stop(host->durable, 0);
    } else if (sim_folder_has_stopped(host->durable)) {
        *last_call = sim_disk_calls(host->disk);
        sim_disk_stop(host->disk, *last_call);
    }
}

/* What a dying process still does: some jobs get done, then nothing reaches the disk any more, and the
 * rest end without effect on it. What it writes to the store's folder behind its last sync goes with the power;
 * where the machine goes on it would stay, so there all of its syncs count. */
static void drain(struct sim_host *host, bool power)
{
    uint64_t alive = rand_below(&host->rand, 4), last_call = UINT64_MAX;
    bool stops_folder = host->durable && power;
    if (stops_folder && rand_below(&host->rand, 2))
        sim_folder_stop(host->durable, rand_below(&host->rand, SYNCS_DYING));
    for (size_t i = 0; i < DRAIN_MAX && host->job_count; i++) {
        if (i == alive && last_call == UINT64_MAX) {
            last_call = sim_disk_calls(host->disk) + 1;
            sim_disk_stop(host->disk, last_call);
        }
        if (stops_folder)
            stop_both(host, &last_call);
        size_t place = next_job(host);
        CHECK(place < host->job_count);
        step_job(host, place);
    }
    CHECK(host->job_count == 0);
}

/* LevelDB's own log is never read again, whatever of it is left, so that what its tables lack is lost with the
 * process. They may have got all of it just before. */
static void let_tables_catch_up(struct sim_host *host)
{
    struct err ignored = {0};
    struct backend *backend = host->node ? store_backend(host->node->store) : NULL;
    if (backend && rand_below(&host->rand, 3) == 0)
        (void)!backend->ops->flush(backend, &ignored);
}

static void home_crash(struct sim_host *host, bool power)
{
    if (host->memory) {
        home_memory_crash(host->memory, &host->rand);
        return;
    }
    abandon_home(host);
    if (power && rand_below(&host->rand, 3)) {
        sim_folder_crash(host->durable);
        host->counters.restored_folders++;
    } else if (power) {
        sim_folder_settle(host->durable);
    }
    new_home(host);
}

void sim_host_disks_crash(struct sim_host *host, bool power, unsigned keep, unsigned torn)
{
    if (power)
        sim_disk_crash(host->disk, keep, torn);
    else
        sim_disk_kill(host->disk);
    home_crash(host, power);
}

void sim_host_crash(struct sim_host *host, bool power, unsigned keep, unsigned torn)
{
    CHECK(sim_host_runs(host));
    sim_host_count_met(host);
    host->is_dying = true;
    if (host->join)
        sim_join_stop(host);
    drain(host, power);
    (void)sim_disk_take_met(host->disk);        /* what met a dying process was part of its death */
    sim_net_crash(host->net, host->number);
    if (host->durable)
        let_tables_catch_up(host);
    end_process(host);
    sim_host_disks_crash(host, power, keep, torn);
    host->counters.kills += !power;
    host->counters.power_losses += power;
    host->is_dying = false;
    host->state = HOST_DOWN;
    host->job_count = 0;
}

void sim_host_stop(struct sim_host *host)
{
    CHECK(host->state == HOST_UP && !host->is_stopping);
    host->is_stopping = true;
    if (host->join)
        sim_join_stop(host);
    node_stop(host->node);
    sim_host_wake(host);
}

bool sim_host_is_stopped(const struct sim_host *host)
{
    return host->is_stopping && node_is_stopped(host->node) && sim_join_is_idle(host);
}

void sim_host_close(struct sim_host *host, bool power, unsigned keep, unsigned torn)
{
    CHECK(sim_host_is_stopped(host) && host->job_count == 0);
    sim_host_count_met(host);
    host->spent_ns = 0;
    end_process(host);
    sim_net_crash(host->net, host->number);
    sim_host_disks_crash(host, power, keep, torn);
    host->state = HOST_DOWN;
}

/* ---- time ---- */

int64_t sim_host_next_ns(const struct sim_host *host)
{
    if (!sim_host_runs(host) || host->is_paused)
        return INT64_MAX;
    int64_t next = host->due_ns;
    size_t place = next_job(host);
    if (place < host->job_count && host->jobs[place].due_ns < next)
        next = host->jobs[place].due_ns;
    return next > host->busy_until_ns ? next : host->busy_until_ns;
}

static void turn(struct sim_host *host)
{
    host->due_ns = INT64_MAX;
    host->spent_ns = 0;
    for (int i = 0; node_turn(host->node); i++)
        CHECK(i < TURNS_MAX);
    int64_t wake_ns = node_next_wake_ns(host->node);
    if (host->join)
        wake_ns = sim_join_arrive(host, wake_ns);
    int64_t next = sim_host_world_ns(host, wake_ns);
    if (next < host->due_ns)
        host->due_ns = next;
    host->busy_until_ns = *host->world_now_ns + host->spent_ns;
    host->spent_ns = 0;
}

static void note_full(struct sim_host *host)
{
    if (!host->full_unmet || !(sim_disk_has_limited(host->disk) ||
                               (host->node && node_was_refused_room(host->node))))
        return;
    host->counters.full_disks++;
    host->full_unmet = false;
}

void sim_host_advance(struct sim_host *host)
{
    int64_t now = *host->world_now_ns;
    size_t place = next_job(host);
    if (place < host->job_count && host->jobs[place].due_ns <= now)
        step_job(host, place);
    else if (host->due_ns <= now && !host->node)
        sim_join_ask(host);
    else if (host->due_ns <= now)
        turn(host);
    note_full(host);
}

bool sim_host_has_failed(const struct sim_host *host, struct err *ret_err)
{
    return host->node && node_fault(host->node, ret_err) != ERR_OK;
}
