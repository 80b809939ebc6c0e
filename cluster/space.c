#include "cluster/space.h"

#include "cluster/node_internal.h"

enum { SPACE_KIND_WORD = PEER_KIND_OWN + 40 };  /* 1 byte: the sender is low, or is not any more */

/* ---- this member ---- */

static void measure(struct node *node)
{
    struct space *space = &node->space;
    uint64_t mark = space->is_low ? 2 * (uint64_t)SPACE_LOW : SPACE_LOW;
    bool is_known = node->snapshotter.disk_total > 0;
    bool is_low = node_was_refused_room(node) || (is_known && node->snapshotter.disk_free < mark);
    if (is_low != space->is_low)
        node_say(node, is_low ? "the disk is nearly full" : "there is room on the disk again");
    space->is_low = is_low;
}

static void run(struct worker_job *job)
{
    struct node *node = container_of(job, struct node, space.job);
    struct err err;
    node->space.code = node->space.gives_back ? home_give_back(node->home, &err)
                                              : home_reserve(node->home, &err);
}

/* A reserve that could not be made is tried again by the next look; one that could not be given back, too. */
static void done(struct worker_job *job)
{
    struct node *node = container_of(job, struct node, space.job);
    struct space *space = &node->space;
    space->in_flight = false;
    if (space->code == ERR_OK) {
        space->is_reserved = !space->gives_back;
        space->is_given_back = space->gives_back;
    }
    TRACE(node->trace, "reserve %s code=%s", space->gives_back ? "given back" : "made",
          err_name(space->code));
    if (space->gives_back && space->code == ERR_OK) {
        node->writer.prepare_not_before_ns = 0;
        node->snapshotter.due_ns = 0;
    }
    node->wake(node->wake_context);
}

static void reserve_turn(struct node *node)
{
    struct space *space = &node->space;
    bool has_plenty = node->snapshotter.disk_total > 0 && node->snapshotter.disk_free >= SPACE_PLENTY;
    bool gives_back = node_was_refused_room(node);
    if (space->in_flight || !node->home ||
        (gives_back ? space->is_given_back : space->is_reserved || !has_plenty))
        return;
    space->in_flight = true;
    space->gives_back = gives_back;
    space->job = (struct worker_job){.run = run, .done = done};
    worker_submit(node->worker, WORKER_WORK, &space->job);
}

/* ---- the others ---- */

bool space_is_frame(uint32_t kind) { return kind == SPACE_KIND_WORD; }

static void forget(struct space *space, size_t i)
{
    space->low[i] = space->low[--space->low_count];
}

void space_on_frame(struct node *node, raft_id from, struct bytes bytes)
{
    struct space *space = &node->space;
    if (bytes.size != 1 || bytes.data[0] > 1)
        return;
    for (size_t i = space->low_count; i-- > 0;)
        if (space->low[i].id == from)
            forget(space, i);
    if (bytes.data[0] && space->low_count < ARRAY_COUNT(space->low))
        space->low[space->low_count++] = (struct space_word){from, node_now(node)};
    node->wake(node->wake_context);
}

static void say(struct node *node, int64_t now)
{
    struct space *space = &node->space;
    bool is_due = space->is_low && now >= space->said_ns + SPACE_PERIOD_NS;
    if (space->is_low == space->said_low && !is_due)
        return;
    uint8_t word = space->is_low;
    node_peers_tell(node, SPACE_KIND_WORD, bytes_of(&word, 1));
    space->said_low = space->is_low;
    space->said_ns = now;
}

bool space_is_low(const struct node *node, raft_id id)
{
    const struct space *space = &node->space;
    if (id == node->identity.member_id)
        return space->is_low;
    for (size_t i = 0; i < space->low_count; i++)
        if (space->low[i].id == id)
            return true;
    return false;
}

/* ---- the alarm ---- */

static bool majority_is_low(const struct node *node, const struct raft_id_set *voters)
{
    size_t low = 0;
    for (size_t i = 0; i < voters->count; i++)
        low += space_is_low(node, voters->ids[i]);
    return low > voters->count / 2;
}

static bool wants_alarm(const struct node *node)
{
    const struct raft_conf_state *state = &node->membership.configuration;
    return node->space.is_low || majority_is_low(node, &state->voters) ||
           majority_is_low(node, &state->voters_outgoing);
}

/* One at a time: what was proposed in this term and is not applied is on its way. */
static void alarm_turn(struct node *node)
{
    struct space *space = &node->space;
    if (raft_role(node->raft) != RAFT_LEADER || node->transfer.lacks_store)
        return;
    raft_term term = raft_current_term(node->raft);
    bool is_raised = store_alarm(node->store), wanted = wants_alarm(node);
    bool is_on_its_way = space->proposed_term == term && space->proposed != is_raised;
    if (wanted == is_raised || is_on_its_way)
        return;
    struct entry_request request = {.kind = ENTRY_ALARM, .alarm_raised = wanted};
    if (proposer_propose_own(&node->proposer, node->raft, &request, clock_wall_ns(node->clock)) != ERR_OK)
        return;
    TRACE(node->trace, "alarm %s", wanted ? "raise" : "clear");
    space->proposed_term = term;
    space->proposed = wanted;
    node->wake(node->wake_context);
}

/* ---- turns ---- */

void space_turn(struct node *node)
{
    struct space *space = &node->space;
    int64_t now = node_now(node);
    if (node->stopping)
        return;
    for (size_t i = space->low_count; i-- > 0;)
        if (now >= space->low[i].heard_ns + SPACE_MEMORY_NS)
            forget(space, i);
    measure(node);
    reserve_turn(node);
    say(node, now);
    alarm_turn(node);
}

bool space_is_watched(const struct node *node)
{
    return node->space.is_low || node_was_refused_room(node) || store_alarm(node->store);
}

int64_t space_next_wake_ns(const struct node *node)
{
    const struct space *space = &node->space;
    int64_t next = space->is_low ? space->said_ns + SPACE_PERIOD_NS : INT64_MAX;
    for (size_t i = 0; i < space->low_count; i++)
        if (space->low[i].heard_ns + SPACE_MEMORY_NS < next)
            next = space->low[i].heard_ns + SPACE_MEMORY_NS;
    return node->stopping ? INT64_MAX : next;
}
