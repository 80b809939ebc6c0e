#include "cluster/propose.h"

#include "proto/base/limits.h"
#include "proto/base/mutant.h"

#include <inttypes.h>
#include <stdlib.h>

static_assert(PROPOSE_RING_SIZE > SESSION_OPEN_MAX, "every open number has a slot");

/* kv_request.stage */
enum { STAGE_WAITING = 1, STAGE_OPEN, STAGE_ANSWERED };

#define SESSION_OPEN_PATIENCE_NS 500000000LL   /* an opening unanswered so long is tried again */

static struct proposal *slot(struct proposer *proposer, uint64_t number)
{
    return &proposer->ring[number & (PROPOSE_RING_SIZE - 1)];
}

static struct kv_request *request_of(struct list *link)
{
    return container_of(link, struct kv_request, link);
}

static bool is_of_lease(const struct kv_request *request)
{
    return request->kind == KV_LEASE_GRANT || request->kind == KV_LEASE_REVOKE ||
           request->kind == KV_LEASE_KEEP_ALIVE;
}

void proposer_init(struct proposer *proposer, kv_time last_stamp, struct trace *trace)
{
    *proposer = (struct proposer){.next_number = 1, .lowest_open = 1, .last_stamp = last_stamp,
                                  .trace = trace};
    list_init(&proposer->waiting);
    list_init(&proposer->answered);
}

void proposer_release(struct proposer *proposer)
{
    CHECK(list_is_empty(&proposer->waiting) && list_is_empty(&proposer->answered));
    for (size_t i = 0; i < PROPOSE_RING_SIZE; i++)
        blob_unref(proposer->ring[i].payload);
}

void proposer_done(struct proposer *proposer, struct kv_request *request, enum err_code code)
{
    request->stage = STAGE_ANSWERED;
    if (code != ERR_OK && request->err.code != code)
        err_set(&request->err, code, "%s", err_text(code));
    request->err.code = code;
    list_push_back(&proposer->answered, &request->link);
}

bool proposer_takes(const struct kv_request *request)
{
    return request->kind == KV_TXN || request->kind == KV_COMPACT || is_of_lease(request);
}

void proposer_submit(struct proposer *proposer, struct kv_request *request)
{
    CHECK(proposer_takes(request));
    if (proposer->waiting_count >= PROPOSE_WAITING_MAX) {
        proposer_done(proposer, request, ERR_BUSY);
        return;
    }
    request->stage = STAGE_WAITING;
    list_push_back(&proposer->waiting, &request->link);
    proposer->waiting_count++;
}

/* The number is answered: its slot is free, and the lowest open one may rise. */
static void close_number(struct proposer *proposer, uint64_t number)
{
    struct proposal *proposal = slot(proposer, number);
    blob_unref(proposal->payload);
    *proposal = (struct proposal){0};
    proposer->open_count--;
    while (proposer->lowest_open < proposer->next_number &&
           !slot(proposer, proposer->lowest_open)->payload)
        proposer->lowest_open++;
}

void proposer_cancel(struct proposer *proposer, struct kv_request *request)
{
    if (request->stage == STAGE_ANSWERED)
        return;
    if (request->stage == STAGE_WAITING) {
        list_remove(&request->link);
        proposer->waiting_count--;
    } else {
        CHECK(slot(proposer, request->number)->request == request);
        slot(proposer, request->number)->request = NULL;
    }
    proposer_done(proposer, request, ERR_CANCELED);
}

kv_time proposer_next_stamp(struct proposer *proposer, kv_time wall_ns)
{
    kv_time stamp = wall_ns > proposer->last_stamp ? wall_ns : proposer->last_stamp + 1;
    proposer->last_stamp = stamp;
    return stamp;
}

/* The leader's node stamps what it appends; whoever forwards leaves the slot empty. */
static void stamp(struct proposer *proposer, struct raft *raft, kv_time wall_ns, struct blob *payload)
{
    bool leads = raft_role(raft) == RAFT_LEADER;
    entry_stamp_set(payload, leads ? proposer_next_stamp(proposer, wall_ns) : 0);
}

static struct blob *encode(const struct proposer *proposer, const struct kv_request *request)
{
    struct entry_request entry = {
        .session = proposer->session,
        .number = request->number,
        .lowest_open = proposer->lowest_open,
        .privileged = request->privileged,
    };
    switch (request->kind) {
    case KV_TXN:
        entry.kind = ENTRY_TXN;
        entry.txn = request->txn;
        break;
    case KV_COMPACT:
        entry.kind = ENTRY_COMPACT;
        entry.compact = request->compact;
        break;
    case KV_LEASE_GRANT:
        entry.kind = ENTRY_LEASE_GRANT;
        entry.lease = (struct kv_lease){.id = request->leased.id, .ttl_s = request->lease.ttl_s};
        break;
    default:
        entry.kind =
            request->kind == KV_LEASE_REVOKE ? ENTRY_LEASE_REVOKE : ENTRY_LEASE_RENEW;
        entry.lease.id = request->lease.id;
    }
    return entry_request_encode(&entry);
}

/* Stamps an entry and gives it to the core. Takes the payload, which nobody else holds. */
static enum err_code propose_one(struct proposer *proposer, struct raft *raft, struct blob *payload,
                                 kv_time wall_ns)
{
    stamp(proposer, raft, wall_ns, payload);
    struct entry entry = {.type = ENTRY_NORMAL, .payload = payload};
    enum err_code code = raft_propose(raft, &entry, 1);
    blob_unref(payload);
    return code;
}

enum err_code proposer_propose_own(struct proposer *proposer, struct raft *raft,
                                   const struct entry_request *request, kv_time wall_ns)
{
    return propose_one(proposer, raft, entry_request_encode(request), wall_ns);
}

enum err_code proposer_propose_again(struct proposer *proposer, struct raft *raft,
                                     const struct blob *payload, kv_time wall_ns)
{
    return propose_one(proposer, raft, blob_copy(blob_bytes(payload)), wall_ns);
}

/* Whether it stands in the log, and will be told here. Of a member that follows that is so only as long as its
 * log is the leader's. */
static bool is_held(const struct proposer *proposer, const struct raft *raft, struct blob *payload)
{
    struct entry entry = {.type = ENTRY_NORMAL, .payload = payload};
    return proposer->pending && pending_holds(proposer->pending, &entry, raft_applied(raft));
}

static bool dropped(enum err_code code) { return code == ERR_NO_LEADER || code == ERR_BUSY; }

static enum err_code open_session(struct proposer *proposer, struct raft *raft, kv_time wall_ns,
                                  uint64_t nonce)
{
    if (proposer->nonce && wall_ns >= proposer->opening_since_ns &&
        wall_ns - proposer->opening_since_ns < SESSION_OPEN_PATIENCE_NS)
        return ERR_OK;
    struct entry_request request = {.kind = ENTRY_SESSION_OPEN,
                                    .number = proposer->nonce ? proposer->nonce : nonce};
    struct blob *payload = entry_request_encode(&request);
    enum err_code code = ERR_OK;
    if (is_held(proposer, raft, payload)) {
        blob_unref(payload);
    } else {
        code = propose_one(proposer, raft, payload, wall_ns);
        if (code == ERR_OK)
            TRACE(proposer->trace, "propose session-open");
    }
    if (code == ERR_OK) {
        proposer->nonce = request.number;
        proposer->opening_since_ns = wall_ns;
    }
    return dropped(code) ? ERR_OK : code;
}

/* A request whose encoding no entry can hold is answered here. */
static bool too_big(struct proposer *proposer, struct kv_request *request, struct blob *payload)
{
    if (payload->size <= REQUEST_SIZE_MAX + ENTRY_STAMP_SIZE + KEY_SIZE_MAX)
        return false;
    err_set(&request->err, ERR_TOO_BIG, "request is too large");
    request->session = request->number = 0;     /* the next one gets it */
    proposer_done(proposer, request, ERR_TOO_BIG);
    return true;
}

static void take_back(struct proposer *proposer, struct kv_request **requests, size_t count)
{
    while (count-- > 0) {
        struct proposal *proposal = slot(proposer, requests[count]->number);
        blob_unref(proposal->payload);
        *proposal = (struct proposal){0};
        proposer->open_count--;
        proposer->next_number--;
        requests[count]->stage = STAGE_WAITING;
        list_push_front(&proposer->waiting, &requests[count]->link);
        proposer->waiting_count++;
    }
}

static enum err_code fill_batch(struct proposer *proposer, struct raft *raft, int64_t now_ns,
                                kv_time wall_ns, size_t *ret_count)
{
    struct entry entries[PROPOSE_BATCH_MAX];
    struct kv_request *requests[PROPOSE_BATCH_MAX];
    size_t count = 0;
    while (count < PROPOSE_BATCH_MAX && !list_is_empty(&proposer->waiting) &&
           proposer->next_number - proposer->lowest_open < SESSION_OPEN_MAX) {
        struct kv_request *request = request_of(list_pop_front(&proposer->waiting));
        proposer->waiting_count--;
        request->number = proposer->next_number;
        request->session = proposer->session;
        struct blob *payload = encode(proposer, request);
        if (too_big(proposer, request, payload)) {
            blob_unref(payload);
            continue;
        }
        stamp(proposer, raft, wall_ns, payload);
        request->stage = STAGE_OPEN;
        *slot(proposer, proposer->next_number) = (struct proposal){.request = request, .payload = payload, .sent_ns = now_ns};
        proposer->next_number++;
        proposer->open_count++;
        TRACE(proposer->trace, "propose number=%" PRIu64 " bytes=%u", request->number,
              payload->size);
        entries[count] = (struct entry){.type = ENTRY_NORMAL, .payload = payload};
        requests[count++] = request;
    }
    *ret_count = count;
    if (count == 0)
        return ERR_OK;
    enum err_code code = raft_propose(raft, entries, count);
    if (code != ERR_OK) {
        take_back(proposer, requests, count);
        *ret_count = 0;
    }
    return dropped(code) ? ERR_OK : code;
}

enum err_code proposer_fill(struct proposer *proposer, struct raft *raft, int64_t now_ns,
                            kv_time wall_ns, uint64_t nonce)
{
    if (raft_leader(raft) == RAFT_NOBODY)
        return ERR_OK;
    if (!proposer->session)
        return open_session(proposer, raft, wall_ns, nonce);
    enum err_code code = ERR_OK;
    size_t count = 1;
    while (code == ERR_OK && count > 0)
        code = fill_batch(proposer, raft, now_ns, wall_ns, &count);
    return code;
}

static bool is_due(const struct proposal *proposal, bool leads, int64_t before_ns)
{
    return before_ns == 0 || proposal->refused || (!leads && proposal->sent_ns <= before_ns);
}

enum err_code proposer_repeat(struct proposer *proposer, struct raft *raft, int64_t now_ns,
                              int64_t before_ns, kv_time wall_ns)
{
    bool leads = raft_role(raft) == RAFT_LEADER;
    if (!before_ns)
        proposer->opening_since_ns = 0;
    enum err_code code = ERR_OK;
    for (uint64_t number = proposer->lowest_open;
         code == ERR_OK && number < proposer->next_number; number++) {
        struct proposal *proposal = slot(proposer, number);
        if (!proposal->payload || !is_due(proposal, leads, before_ns))
            continue;
        proposal->sent_ns = now_ns;
        proposal->refused = false;
        if ((leads || before_ns) && is_held(proposer, raft, proposal->payload))
            continue;
        code = proposer_propose_again(proposer, raft, proposal->payload, wall_ns);
        proposal->refused = dropped(code);
        proposal->repeated |= !proposal->refused;
        if (proposal->refused)
            code = ERR_OK;
    }
    return code;
}

static struct proposal *find(struct proposer *proposer, uint64_t session, uint64_t number)
{
    if (session == 0 || session != proposer->session || number < proposer->lowest_open ||
        number >= proposer->next_number || !slot(proposer, number)->payload)
        return NULL;
    return slot(proposer, number);
}

static const struct kv_request *waiter(const struct proposer *proposer, const struct entry *entry)
{
    uint64_t session = 0, number = 0;
    if (!pending_name(entry, &session, &number))
        return NULL;
    const struct proposal *proposal = find((struct proposer *)proposer, session, number);
    return proposal ? proposal->request : NULL;
}

bool proposer_wants(const struct proposer *proposer, const struct entry *entry)
{
    return waiter(proposer, entry) != NULL;
}

bool proposer_is_own(const struct proposer *proposer, const struct entry *entry)
{
    const struct kv_request *request = waiter(proposer, entry);
    return request && !request->is_guest;
}

static void session_opened(struct proposer *proposer, const struct store_result *result)
{
    if (result->number != proposer->nonce || proposer->nonce == 0)
        return;
    proposer->session = result->session;
    proposer->next_number = proposer->lowest_open = 1;
    proposer->nonce = 0;
    TRACE(proposer->trace, "session open");
}

/* The session is gone. What was sent once did not happen and is sent again in the next session; what
 * was repeated may have happened. */
static void session_lost(struct proposer *proposer)
{
    LIST_HEAD(again);
    for (uint64_t number = proposer->lowest_open; number < proposer->next_number; number++) {
        struct proposal *proposal = slot(proposer, number);
        struct kv_request *request = proposal->request;
        if (request && proposal->repeated) {
            proposer_done(proposer, request, ERR_SESSION_LOST);
        } else if (request) {
            request->stage = STAGE_WAITING;
            list_push_back(&again, &request->link);
            proposer->waiting_count++;
        }
        blob_unref(proposal->payload);
        *proposal = (struct proposal){0};
    }
    list_splice_back(&again, &proposer->waiting);   /* the older ones first */
    list_splice_back(&proposer->waiting, &again);
    proposer->open_count = 0;
    proposer->session = 0;
    proposer->next_number = proposer->lowest_open = 1;
}

void proposer_answer(struct proposer *proposer, struct store_result *result)
{
    if (result->stamp > proposer->last_stamp)
        proposer->last_stamp = result->stamp;
    if (result->is_session_open) {
        session_opened(proposer, result);
        return;
    }
    struct proposal *proposal = find(proposer, result->session, result->number);
    if (!proposal)
        return;
    if (result->code == ERR_SESSION_LOST) {
        session_lost(proposer);
        return;
    }
    struct kv_request *request = proposal->request;
    if (request) {
        request->revision = result->revision;
        if (result->code != ERR_OK)
            request->err = result->err;
        if (is_of_lease(request))
            request->leased = (struct kv_lease_result){.id = result->lease.id,
                                                       .ttl_s = result->lease.ttl_s,
                                                       .granted_ttl_s = result->lease.ttl_s};
        else
            request->result = result->result;
        arena_release(&request->arena);
        request->arena = result->arena;
        result->arena = (struct arena){0};
        TRACE(proposer->trace, "answer number=%" PRIu64 " code=%s revision=%" PRId64,
              result->number, err_name(result->code), result->revision);
        proposer_done(proposer, request, result->code);
    }
    close_number(proposer, result->number);
}

int64_t proposer_expire(struct proposer *proposer, int64_t now_ns, bool has_leader)
{
    int64_t next = INT64_MAX;
    LIST_FOR_EACH_SAFE(link, &proposer->waiting) {
        struct kv_request *request = request_of(link);
        if (request->deadline_ns <= now_ns) {
            list_remove(link);
            proposer->waiting_count--;
            proposer_done(proposer, request, has_leader ? ERR_BUSY : ERR_NO_LEADER);
        } else if (request->deadline_ns < next) {
            next = request->deadline_ns;
        }
    }
    for (uint64_t number = proposer->lowest_open; number < proposer->next_number; number++) {
        struct proposal *proposal = slot(proposer, number);
        if (!proposal->request)
            continue;
        if (proposal->request->deadline_ns <= now_ns) {
            proposer_done(proposer, proposal->request,
                          MUTANT(UNKNOWN_TOLD_AS_UNDONE) ? ERR_NO_LEADER : ERR_TIMEOUT);
            proposal->request = NULL;
        } else if (proposal->request->deadline_ns < next) {
            next = proposal->request->deadline_ns;
        }
    }
    return next;
}

bool proposer_is_waited_for(const struct proposer *proposer)
{
    if (proposer->waiting_count)
        return true;
    for (uint64_t number = proposer->lowest_open; number < proposer->next_number; number++)
        if (proposer->ring[number & (PROPOSE_RING_SIZE - 1)].request)
            return true;
    return false;
}

void proposer_fail(struct proposer *proposer, enum err_code code)
{
    struct list *link;
    while ((link = list_pop_front(&proposer->waiting))) {
        proposer->waiting_count--;
        proposer_done(proposer, request_of(link), code);
    }
    for (uint64_t number = proposer->lowest_open; number < proposer->next_number; number++) {
        struct proposal *proposal = slot(proposer, number);
        if (proposal->request)
            proposer_done(proposer, proposal->request, ERR_TIMEOUT);
        proposal->request = NULL;
    }
}
