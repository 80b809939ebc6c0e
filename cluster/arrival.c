#include "cluster/arrival.h"

#include <inttypes.h>
#include <stdio.h>

#include "proto/base/limits.h"

#define RETRY_NS (300 * NS_PER_MS)      /* a step that did not come about: an election */
#define PROGRESS_NS (1 * NS_PER_S)
#define SAY_AGAIN_NS (10 * NS_PER_S)    /* the same reason once more */

void arrival_init(struct arrival *arrival, const struct arrival_options *options)
{
    *arrival = (struct arrival){.options = *options};
}

static int64_t now_of(const struct arrival *arrival)
{
    return clock_monotonic_ns(arrival->options.clock);
}

/* ---- what is to be done ---- */

enum step { STEP_NONE, STEP_CATCH_UP, STEP_VOTE, STEP_ADDRESS };

static enum step step_of(const struct arrival *arrival)
{
    const struct node *node = arrival->options.node;
    const struct membership *membership = node_membership(node);
    const struct membership_member *self = membership_find(membership, arrival->options.self);
    if (arrival->is_stopping || node_was_removed(node) || node_is_forming(node) ||
        node_fault(node, NULL) != ERR_OK)
        return STEP_NONE;
    if (node_lacks_store(node))
        return STEP_CATCH_UP;
    bool is_voter = self && membership_is_voter(membership, arrival->options.self);
    if (!is_voter && !arrival->is_current)
        return STEP_CATCH_UP;
    if (self && arrival->options.address[0] &&
        strcmp(self->address, arrival->options.address) != 0)
        return STEP_ADDRESS;
    return self && !is_voter && !arrival->options.stays_learner ? STEP_VOTE : STEP_NONE;
}

bool arrival_is_behind(const struct arrival *arrival)
{
    return step_of(arrival) == STEP_CATCH_UP;
}

/* ---- what is said ---- */

static void say(struct arrival *arrival, const char *line)
{
    int64_t now = now_of(arrival);
    if (strcmp(line, arrival->last_line) == 0 && now - arrival->said_ns < SAY_AGAIN_NS)
        return;
    snprintf(arrival->last_line, sizeof arrival->last_line, "%s", line);
    arrival->said_ns = now;
    arrival->options.say(arrival->options.context, line);
}

static void tell_progress(struct arrival *arrival, int64_t now)
{
    const struct node *node = arrival->options.node;
    const struct raft *raft = node_raft(node);
    char line[128];
    uint64_t done, whole;
    if (!arrival->options.progress || now < arrival->progress_ns)
        return;
    arrival->progress_ns = now + PROGRESS_NS;
    raft_index committed = raft_committed(raft), applied = raft_applied(raft);
    if (node_arrival(node, &done, &whole))
        snprintf(line, sizeof line, "the state arrives: %" PRIu64 " of %" PRIu64 " KiB", done / KIB,
                 whole / KIB);
    else if (raft_leader(raft) == RAFT_NOBODY || applied == 0)
        snprintf(line, sizeof line, "waiting for the leader to connect");
    else
        snprintf(line, sizeof line, "catching up: %" PRIu64 " entries behind",
                 committed > applied ? committed - applied : 0);
    arrival->options.progress(arrival->options.context, line);
}

/* ---- steps ---- */

static void wait(struct arrival *arrival)
{
    arrival->next_ns = now_of(arrival) + RETRY_NS;
}

static void on_current(struct kv_request *request, enum err_code code)
{
    struct arrival *arrival = container_of(request, struct arrival, current);
    arrival->in_flight = false;
    if (code == ERR_OK) {
        arrival->is_current = true;
        say(arrival, "caught up with the cluster");
    } else {
        wait(arrival);
    }
}

static void catch_up(struct arrival *arrival)
{
    arrival->in_flight = true;
    arrival->current.kind = KV_CURRENT;
    arrival->current.done = on_current;
    kv_submit(node_kv(arrival->options.node), &arrival->current);
}

static void on_asked(struct node_ask *ask, enum err_code code)
{
    struct arrival *arrival = container_of(ask, struct arrival, ask);
    char line[ERR_TEXT_SIZE];
    bool is_vote = ask->kind == NODE_ASK_PROMOTE;
    arrival->in_flight = false;
    wait(arrival);          /* the membership here may still be behind */
    if (code == ERR_OK)
        snprintf(line, sizeof line, is_vote ? "this member votes from now on"
                                            : "the others know this member's new address");
    else
        snprintf(line, sizeof line, "%s %.300s",
                 is_vote ? "no vote yet:" : "the others do not know this member's new address yet:",
                 ask->err.text);
    if (!arrival->is_stopping)
        say(arrival, line);
}

static void ask(struct arrival *arrival, enum node_ask_kind kind)
{
    arrival->in_flight = true;
    arrival->ask = (struct node_ask){.kind = kind, .done = on_asked};
    arrival->ask.member.id = arrival->options.self;
    snprintf(arrival->ask.member.address, sizeof arrival->ask.member.address, "%s",
             arrival->options.address);
    node_ask(arrival->options.node, &arrival->ask);
}

void arrival_turn(struct arrival *arrival)
{
    int64_t now = now_of(arrival);
    enum step step = step_of(arrival);
    if (step == STEP_CATCH_UP)
        tell_progress(arrival, now);
    if (arrival->in_flight || now < arrival->next_ns)
        return;
    switch (step) {
    case STEP_NONE: return;
    case STEP_CATCH_UP: catch_up(arrival); return;
    case STEP_VOTE: ask(arrival, NODE_ASK_PROMOTE); return;
    case STEP_ADDRESS: ask(arrival, NODE_ASK_UPDATE); return;
    }
}

int64_t arrival_next_wake_ns(const struct arrival *arrival)
{
    enum step step = step_of(arrival);
    int64_t next = INT64_MAX;
    if (step != STEP_NONE && !arrival->in_flight)
        next = arrival->next_ns;
    if (step == STEP_CATCH_UP && arrival->options.progress && arrival->progress_ns < next)
        next = arrival->progress_ns;
    return next;
}

void arrival_stop(struct arrival *arrival) { arrival->is_stopping = true; }
bool arrival_is_idle(const struct arrival *arrival) { return !arrival->in_flight; }
void arrival_release(struct arrival *arrival) { kv_request_release(&arrival->current); }
