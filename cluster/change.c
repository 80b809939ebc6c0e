/* Changes of the membership: asked for here, proposed until they are seen in the log.
 *
 * The leader may drop a change (one is pending) or put an empty entry in its place, and a forwarded one
 * may be lost; so it is proposed again every CHANGE_RETRY_NS. Several copies may then come to be in the log,
 * some of them late. All say on which membership the change was decided, so the first moves it on, and
 * answers whoever asked, and the others are refused on every member (membership.h, M6).
 *
 * A member that is alone says so no longer as soon as a change is asked for, and proposes it when what a
 * mount believed because of that has run out (proto/kv.h, KV_ALONE_MS).
 */
#include "cluster/node_internal.h"

#define CHANGE_RETRY_NS (500 * NS_PER_MS)

static struct node_change *change_of(struct list *link)
{
    return container_of(link, struct node_change, link);
}

static void finish(struct node *node, struct node_change *change, enum err_code code,
                   const struct err *err)
{
    change->code = code;
    if (code != ERR_OK && err)
        change->err = *err;
    else if (code != ERR_OK)
        err_set(&change->err, code, "%s", err_text(code));
    list_push_back(&node->changed, &change->link);
}

void node_change_submit(struct node *node, struct node_change *change)
{
    int64_t timeout_ns =
        change->timeout_ms ? change->timeout_ms * NS_PER_MS : node->timeo_ns;
    change->members.token[0] = node->identity.member_id ^ node->identity.generation;
    change->members.token[1] = rand_u64(&node->rand) << 20 | (++node->change_count & 0xfffff);
    change->members.decided_on = node->membership.index;
    change->deadline_ns = node_now(node) + timeout_ns;
    change->tried_ns = INT64_MIN;
    change->was_proposed = false;
    change->err = (struct err){0};
    if (node_is_ending(node))
        finish(node, change, ERR_CLOSING, NULL);
    else
        list_push_back(&node->changes, &change->link);
    node->wake(node->wake_context);
}

static void propose(struct node *node, struct node_change *change)
{
    struct buf context = {0};
    membership_context_encode(&change->members, &context);
    change->change.context = buf_bytes(&context);
    enum err_code code = raft_propose_conf_change(node->raft, &change->change, false);
    change->change.context = BYTES_EMPTY;
    buf_release(&context);
    change->was_proposed |= node_core_failed(node, code) == ERR_OK;
    change->tried_ns = node_now(node);
}

/* Whether a mount of this member may still believe that nobody else changes anything. */
static bool waits_for_mount(struct node *node, int64_t now)
{
    if (!node_is_alone(node) || !node->observer)
        return false;
    if (node->admits_ns == 0)
        node->admits_ns = now + KV_ADMIT_MS * NS_PER_MS;
    return now < node->admits_ns;
}

/* Nothing of what was asked for is on its way: it is alone as before. */
static void end_waiting(struct node *node, bool was_proposed)
{
    if (!was_proposed && list_is_empty(&node->changes))
        node->admits_ns = 0;
}

/* The core may have refused it for now: then, too, it is asked again later, not at once. */
static int64_t retry_ns(const struct node_change *change)
{
    return change->tried_ns == INT64_MIN ? INT64_MIN : change->tried_ns + CHANGE_RETRY_NS;
}

void changes_turn(struct node *node)
{
    int64_t now = node_now(node);
    LIST_FOR_EACH_SAFE(link, &node->changes) {
        struct node_change *change = change_of(link);
        if (now >= change->deadline_ns) {
            list_remove(link);
            finish(node, change, change->was_proposed ? ERR_TIMEOUT : ERR_NO_LEADER, NULL);
            end_waiting(node, change->was_proposed);
        } else if (raft_leader(node->raft) != RAFT_NOBODY && now >= retry_ns(change) &&
                   !waits_for_mount(node, now)) {
            propose(node, change);
        }
    }
}

void changes_applied(struct node *node, const uint64_t token[2], enum err_code code,
                     const struct err *err)
{
    LIST_FOR_EACH_SAFE(link, &node->changes) {
        struct node_change *change = change_of(link);
        if (change->members.token[0] == token[0] && change->members.token[1] == token[1]) {
            list_remove(link);
            finish(node, change, code, err);
        }
    }
}

void changes_fail(struct node *node, enum err_code code)
{
    struct list *link;
    while ((link = list_pop_front(&node->changes))) {
        struct node_change *change = change_of(link);
        finish(node, change, change->was_proposed ? ERR_TIMEOUT : code, NULL);
    }
}

bool changes_deliver(struct node *node)
{
    LIST_HEAD(changed);
    list_splice_back(&changed, &node->changed);
    bool any = !list_is_empty(&changed);
    struct list *link;
    while ((link = list_pop_front(&changed))) {
        struct node_change *change = change_of(link);
        change->done(change, change->code);
    }
    return any;
}

int64_t changes_next_wake_ns(const struct node *node)
{
    int64_t next = INT64_MAX;
    for (const struct list *link = node->changes.next; link != &node->changes; link = link->next) {
        const struct node_change *change = container_of(link, struct node_change, link);
        /* Without a leader it waits for one: that is a turn by itself. */
        bool again = change->tried_ns != INT64_MIN && raft_leader(node->raft) != RAFT_NOBODY;
        int64_t due = again ? retry_ns(change) : INT64_MAX;
        if (change->tried_ns == INT64_MIN && node->admits_ns)
            due = node->admits_ns;
        due = change->deadline_ns < due ? change->deadline_ns : due;
        next = due < next ? due : next;
    }
    return next;
}
