/* The kv contract in process: no socket, no serialisation of answers.
 *
 * Writes go to the proposer. Reads are answered from the store: at once on a member that is alone
 * (whatever was answered before is applied here), else after a round of ReadIndex that serves everyone
 * who waits. On the loop only point reads and short chunks are done; the rest goes to a worker.
 *
 * Whatever can be answered inside submit is put on the answered list and told at the end of the turn,
 * so that no callback runs inside its own submit.
 */
#include "cluster/node_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"

#define READ_ROUND_PATIENCE_NS (500 * NS_PER_MS)    /* then it is asked again, with a new id */

static struct node *node_of(struct kv *kv) { return container_of(kv, struct node, kv); }

static struct kv_request *request_of(struct list *link)
{
    return container_of(link, struct kv_request, link);
}

/* kv_request.stage of reads; the proposer has its own numbers below these. */
enum { STAGE_READ = 16, STAGE_READ_JOB };

void reads_init(struct reads *reads)
{
    list_init(&reads->waiting);
    list_init(&reads->asking);
    list_init(&reads->confirmed);
}

void reads_release(struct reads *reads) { blob_unref(reads->context); }

bool reads_are_idle(const struct reads *reads)
{
    return reads->jobs == 0 && list_is_empty(&reads->waiting) && list_is_empty(&reads->asking) &&
           list_is_empty(&reads->confirmed);
}

/* ---- reading ---- */

/* now: the wall's, never below the stamps that were applied; for a guess that people read. */
static enum err_code read_lease(struct store *store, struct kv_request *request, kv_time now)
{
    struct kv_lease_result *leased = &request->leased;
    if (now < store_clock(store))
        now = store_clock(store);
    enum err_code code =
        store_lease(store, request->lease.id, request->lease.want_keys, now, &request->arena,
                    leased, &leased->ttl_s, &request->revision, &request->err);
    if (code)
        *leased = (struct kv_lease_result){.id = request->lease.id, .ttl_s = -1};
    return code;
}

static enum err_code read_now(struct store *store, struct kv_request *request, kv_time now)
{
    switch (request->kind) {
    case KV_RANGE:
        request->result.kind = KV_OP_RANGE;
        return store_range(store, &request->range, &request->arena, &request->result.range,
                           &request->revision, &request->err);
    case KV_LOOKUP:
        return store_lookup(store, &request->lookup, &request->arena, &request->name,
                            &request->revision, &request->err);
    case KV_LIST:
        return store_list(store, &request->list, &request->arena, &request->listing,
                          &request->revision, &request->err);
    case KV_LEASE_TIME_TO_LIVE:
        return read_lease(store, request, now);
    case KV_LEASE_LIST:
        return store_lease_list(store, &request->arena, &request->leased, &request->revision,
                                &request->err);
    default:
        request->revision = store_revision(store);
        return ERR_OK;
    }
}

struct read_job {
    struct worker_job job;
    struct node *node;
    struct kv_request *request;
    kv_time now;
    enum err_code code;
};

static void read_run(struct worker_job *base)
{
    struct read_job *job = container_of(base, struct read_job, job);
    job->code = read_now(job->node->store, job->request, job->now);
}

/* On the loop, where the lessor is. */
static void read_end(struct node *node, struct kv_request *request, enum err_code code)
{
    if (request->kind == KV_LEASE_TIME_TO_LIVE && code == ERR_OK)
        leases_fill(&node->leases, node_now(node), &request->leased);
    proposer_done(&node->proposer, request, code);
}

static void read_done(struct worker_job *base)
{
    struct read_job *job = container_of(base, struct read_job, job);
    struct node *node = job->node;
    node->reads.jobs--;
    read_end(node, job->request, job->code);
    free(job);
    node->wake(node->wake_context);
}

/* Point reads and chunks are short whatever the data; the rest depends. */
static bool is_long(const struct kv_request *request)
{
    if (request->kind == KV_LEASE_LIST || request->kind == KV_LEASE_TIME_TO_LIVE)
        return request->kind == KV_LEASE_LIST || request->lease.want_keys;
    if (request->kind != KV_RANGE || request->range.range_end.size == 0)
        return request->kind == KV_LIST && request->list.limit > RANGE_CHUNK_ROWS;
    return request->range.limit == 0 || request->range.limit > RANGE_CHUNK_ROWS ||
           request->range.sort_order != KV_SORT_NONE;
}

static void serve(struct node *node, struct kv_request *request)
{
    int64_t now = request->kind == KV_CURRENT ? 0 : node_now(node);
    kv_time wall = request->kind == KV_LEASE_TIME_TO_LIVE ? clock_wall_ns(node->clock) : 0;
    bool point = request->kind != KV_LIST &&
                 !(request->kind == KV_RANGE && request->range.range_end.size);
    if (is_long(request) || (!point && now < node->reads.slow_until_ns)) {
        struct read_job *job = mem_xzalloc(sizeof *job);
        *job = (struct read_job){{.run = read_run, .done = read_done}, node, request, wall,
                                 ERR_OK};
        request->stage = STAGE_READ_JOB;
        node->reads.jobs++;
        worker_submit(node->worker, WORKER_WORK, &job->job);
        return;
    }
    enum err_code code = read_now(node->store, request, wall);
    if (now) {
        int64_t end = node_now(node);
        if (end - now > READ_SLOW_NS)
            node->reads.slow_until_ns = end + NS_PER_S;
    }
    read_end(node, request, code);
}

static bool is_serializable(const struct kv_request *request)
{
    switch (request->kind) {
    case KV_RANGE:
        return request->range.serializable;
    case KV_LOOKUP:
        return request->lookup.serializable;
    case KV_LIST:
        return request->list.serializable;
    default:
        return false;
    }
}

/* Alone, leading, and everything that was committed when this term's first entry was is applied:
 * whatever anybody was ever told was applied here first. After a restart that is the end of the
 * replay. */
static bool is_current(struct node *node)
{
    if (!node_is_alone(node) || raft_role(node->raft) != RAFT_LEADER)
        return false;
    struct reads *reads = &node->reads;
    raft_term term = raft_current_term(node->raft);
    if (reads->current_term != term) {
        if (!raft_committed_in_term(node->raft))
            return false;
        reads->current_term = term;
        reads->current_from = raft_committed(node->raft);
    }
    return store_applied(node->store) >= reads->current_from;
}

static void serve_list(struct node *node, struct list *list)
{
    struct list *link;
    while ((link = list_pop_front(list)))
        serve(node, request_of(link));
}

static void ask(struct node *node)
{
    struct reads *reads = &node->reads;
    blob_unref(reads->context);
    reads->context = blob_new(16);
    put_le64(reads->context->data, node->identity.generation ^ rand_u64(&node->rand));
    put_le64(reads->context->data + 8, ++reads->context_count);
    reads->asked_ns = node_now(node);
    if (raft_read_index(node->raft, reads->context) != ERR_OK) {
        blob_unref(reads->context);     /* nobody to ask: the next turn tries again */
        reads->context = NULL;
        list_splice_back(&reads->waiting, &reads->asking);
    }
}

void reads_state(struct node *node, const struct raft_read_state *state)
{
    struct reads *reads = &node->reads;
    if (!reads->context || !bytes_equal(blob_bytes(reads->context), blob_bytes(state->context)))
        return;
    blob_unref(reads->context);
    reads->context = NULL;
    if (list_is_empty(&reads->confirmed) || state->index > reads->index)
        reads->index = state->index;
    list_splice_back(&reads->confirmed, &reads->asking);
}

bool reads_turn(struct node *node)
{
    struct reads *reads = &node->reads;
    bool served = false;
    if (is_current(node)) {
        list_splice_back(&reads->confirmed, &reads->asking);
        list_splice_back(&reads->confirmed, &reads->waiting);
        reads->index = 0;
    }
    bool is_applied = store_applied(node->store) >= reads->index || MUTANT(READ_BEFORE_APPLIED);
    if (!list_is_empty(&reads->confirmed) && is_applied &&
        !node_store_is_held(node)) {
        serve_list(node, &reads->confirmed);
        served = true;
    }
    bool stale = reads->context && node_now(node) - reads->asked_ns > READ_ROUND_PATIENCE_NS;
    if (stale)
        list_splice_back(&reads->waiting, &reads->asking);
    /* A member that is alone never asks: raft would answer at once, with a commit index that a restart
     * may have found too low; is_current knows better. */
    if ((!reads->context || stale) && !list_is_empty(&reads->waiting) &&
        raft_leader(node->raft) != RAFT_NOBODY && !node_is_alone(node)) {
        list_splice_back(&reads->asking, &reads->waiting);
        ask(node);
    }
    return served;
}

static int64_t expire_list(struct node *node, struct list *list, int64_t now_ns)
{
    int64_t next = INT64_MAX;
    LIST_FOR_EACH_SAFE(link, list) {
        struct kv_request *request = request_of(link);
        if (request->deadline_ns <= now_ns) {
            list_remove(link);
            proposer_done(&node->proposer, request, ERR_TIMEOUT);
        } else if (request->deadline_ns < next) {
            next = request->deadline_ns;
        }
    }
    return next;
}

int64_t reads_expire(struct node *node, int64_t now_ns)
{
    struct list *lists[] = {&node->reads.waiting, &node->reads.asking, &node->reads.confirmed};
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        int64_t due = expire_list(node, lists[i], now_ns);
        next = due < next ? due : next;
    }
    return next;
}

void reads_fail(struct node *node, enum err_code code)
{
    struct list *lists[] = {&node->reads.waiting, &node->reads.asking, &node->reads.confirmed};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        struct list *link;
        while ((link = list_pop_front(lists[i])))
            proposer_done(&node->proposer, request_of(link), code);
    }
}

/* ---- the contract ---- */

static bool needs_room(const struct kv_request *request)
{
    return request->kind == KV_TXN ? kv_txn_needs_room(&request->txn)
                                   : request->kind == KV_LEASE_GRANT;
}

/* With the alarm raised, or this member's own disk full, only what frees space may still be proposed, so that
 * the log does not grow by what would be refused; and renewals, which are small and without which a full disk
 * would cost its holders their locks as well. */
static enum err_code check_room(struct node *node, struct kv_request *request)
{
    if (!needs_room(request))
        return ERR_OK;
    if (store_alarm(node->store))
        return err_set(&request->err, ERR_NO_SPACE, "%s", STORE_NO_SPACE);
    if (node_was_refused_room(node))
        return err_set(&request->err, ERR_NO_SPACE, "the disk of this member is full");
    return ERR_OK;
}

static enum err_code refuse(struct node *node, struct kv_request *request)
{
    enum err_code code = ERR_OK;
    if (node_is_ending(node))
        return ERR_CLOSING;
    if (request->kind == KV_RANGE)
        code = kv_validate_range(&request->range, &request->err);
    else if (request->kind == KV_TXN)
        code = kv_validate_txn(&request->txn, &request->err);
    return code ? code : check_room(node, request);
}

/* An id that nobody chose: applying reads no chance, so it is drawn here and travels in the entry. */
static void lease_pick(struct node *node, struct kv_request *request)
{
    int64_t id = request->lease.id;
    while (id == 0)
        id = (int64_t)(rand_u64(&node->rand) >> 1);
    request->leased = (struct kv_lease_result){.id = id};
}

static void submit(struct kv *kv, struct kv_request *request)
{
    struct node *node = node_of(kv);
    CHECK(!request->owner);
    int64_t timeout_ns = request->timeout_ms ? request->timeout_ms * NS_PER_MS : node->timeo_ns;
    request->owner = kv;
    request->err.code = ERR_OK;
    request->err.text[0] = 0;
    request->submitted_ns = node_now(node);
    request->deadline_ns = request->submitted_ns + timeout_ns;
    arena_clear(&request->arena);
    enum err_code code = refuse(node, request);
    if (code != ERR_OK) {
        proposer_done(&node->proposer, request, code);
    } else if (proposer_takes(request)) {
        if (request->kind == KV_LEASE_GRANT)
            lease_pick(node, request);
        proposer_submit(&node->proposer, request);
    } else if (is_serializable(request) && node_store_is_held(node)) {
        request->stage = STAGE_READ;
        list_push_back(&node->reads.confirmed, &request->link);
    } else if (is_serializable(request) ||
               (!node_store_is_held(node) && is_current(node) && list_is_empty(&node->reads.confirmed))) {
        serve(node, request);
    } else {
        request->stage = STAGE_READ;
        list_push_back(&node->reads.waiting, &request->link);
    }
    if (request->deadline_ns < node->next_expire_ns)
        node->next_expire_ns = request->deadline_ns;
    node->wake(node->wake_context);
}

static void cancel(struct kv *kv, struct kv_request *request)
{
    struct node *node = node_of(kv);
    CHECK(request->owner == kv);
    if (request->stage == STAGE_READ_JOB)
        return;                         /* its answer comes by itself, soon */
    if (request->stage == STAGE_READ) {
        list_remove(&request->link);
        proposer_done(&node->proposer, request, ERR_CANCELED);
    } else {
        proposer_cancel(&node->proposer, request);
    }
    node->wake(node->wake_context);
}

static unsigned capabilities(struct kv *kv)
{
    (void)kv;
    return KV_CAN_NAMES | KV_CAN_RENAME | KV_CAN_TIMES | KV_CAN_SYSTEM | KV_CAN_WATCH |
           KV_CAN_OBSERVE | KV_CAN_LEASE;
}

static_assert(KV_MEMBERS_MAX == RAFT_MEMBERS_MAX, "every member is shown");

static void member_status(const struct node *node, const struct membership_member *member,
                          struct kv_member_status *ret)
{
    struct peer_status peer;
    *ret = (struct kv_member_status){
        .id = member->id,
        .is_voter = membership_is_voter(&node->membership, member->id),
        .is_leader = raft_leader(node->raft) == member->id,
        .is_self = member->id == node->identity.member_id,
        .is_low = space_is_low(node, member->id),
    };
    memcpy(ret->name, member->name, sizeof ret->name);
    if (ret->is_self)
        ret->match_index = raftlog_last(&node->raftlog);
    else if (node->peers && peers_find(node->peers, member->id, &peer) &&
             peer.last_contact_ns)
        ret->last_contact_ns = node_now(node) - peer.last_contact_ns + 1;
}

/* What a leader knows of how far the others are. */
static void match_status(const struct node *node, struct kv_status *ret)
{
    struct raft_status status;
    raft_status(node->raft, &status);
    for (size_t i = 0; i < status.progress_count; i++)
        for (size_t k = 0; k < ret->member_count; k++)
            if (ret->members[k].id == status.progress[i].id && !ret->members[k].is_self)
                ret->members[k].match_index = status.progress[i].match;
}

static void status(struct kv *kv, struct kv_status *ret)
{
    struct node *node = node_of(kv);
    struct wal_stats log;
    struct store_settings settings;
    wal_get_stats(node->wal, &log);
    store_settings_get(node->store, &settings);
    *ret = (struct kv_status){
        .cluster_id = node->identity.cluster_id,
        .member_id = node->identity.member_id,
        .leader_id = raft_leader(node->raft),
        .raft_term = raft_current_term(node->raft),
        .raft_index = raftlog_last(&node->raftlog),
        .applied_index = store_applied(node->store),
        .revision = store_revision(node->store),
        .compact_revision = store_compact_revision(node->store),
        .file_size_max = settings.file_size_max,
        .is_alarmed = store_alarm(node->store),
        .no_space = store_alarm(node->store) || node_was_refused_room(node),
        .disk_total = node->snapshotter.disk_total,
        .disk_free = node->snapshotter.disk_free,
        .alone = node_is_alone(node) && node->admits_ns == 0,
        .has_quorum = raft_leader(node->raft) != RAFT_NOBODY,
        .flushes = log.flush_count,
        .log_bytes = log.flushed_bytes,
        .entries = node->applier.queued,
        .clock = store_clock(node->store),
    };
    store_quota_get(node->store, &ret->quota_used, &ret->quota_limit, &ret->key_count);
    if (node->leader_lost_ns)
        ret->quorum_lost_ns = node_now(node) - node->leader_lost_ns;
    snprintf(ret->version, sizeof ret->version, "%s", PACKAGE_VERSION);
    if (node->fault_code != ERR_OK)
        snprintf(ret->last_error, sizeof ret->last_error, "%s", node->fault.text);
    else if (node_was_removed(node))
        snprintf(ret->last_error, sizeof ret->last_error, "%s", err_text(ERR_REMOVED));
    else if (node_was_refused_room(node))
        snprintf(ret->last_error, sizeof ret->last_error, "the disk is full: only deleting works");
    for (size_t i = 0; i < node->membership.count && i < ARRAY_COUNT(ret->members); i++)
        member_status(node, &node->membership.members[i], &ret->members[ret->member_count++]);
    match_status(node, ret);
}

static void observe(struct kv *kv, struct kv_observer *observer)
{
    struct node *node = node_of(kv);
    node->observer = observer;
    node->applier.observer = observer;
}

const struct kv_ops kv_local_ops = {
    .submit = submit,
    .cancel = cancel,
    .capabilities = capabilities,
    .status = status,
    .observe = observe,
    .watch = watches_watch,
    .unwatch = watches_unwatch,
    .watch_pause = watches_pause,
    .watch_resume = watches_resume,
    .watch_progress = watches_progress,
};
