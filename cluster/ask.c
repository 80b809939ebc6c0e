/* What people and joiners ask of the membership.
 *
 *     asker (any member)                         leader
 *     node_ask ── waiting                        work: checked by what it sees
 *        │  ASK, again every ASK_RETRY_MS ──────▶   refused ──────────┐
 *        │                                          node_change ──────┤ when it is applied
 *        ◀──────────────────────────── ANSWER ───────────────────────┘
 *
 * A repeated ASK finds its work, or finds done what it asks for: both are fine. When the leader goes, its
 * work ends with it or is finished by the change it submitted; the asker asks the next one. A change that
 * another one overtook was judged by a membership that is no more: nothing is answered, and the next ASK is
 * judged anew.
 */
#include "cluster/node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/change_check.h"
#include "proto/base/mem.h"

#define TRANSFER_WAIT_NS (2 * ELECTION_DEFAULT_MS * NS_PER_MS)  /* then the core has given it up, too */

enum ask_kind_of_frame {
    ASK_KIND_ASK = PEER_KIND_OWN + 16,
    ASK_KIND_ANSWER,
};

struct ask_work {
    struct list link;               /* of asks.works */
    struct node *node;
    raft_id from;
    struct ask_frame ask;
    raft_id id;                     /* of the member that it is about */
    int64_t until_ns;               /* TRANSFER */
    struct node_change change;      /* the others */
};

struct join_work {
    struct list link;               /* of asks.joins */
    struct node *node;
    raft_id drawn;
    struct node_ask ask;
};

void asks_init(struct node *node)
{
    list_init(&node->asks.waiting);
    list_init(&node->asks.finished);
    list_init(&node->asks.works);
    list_init(&node->asks.joins);
    node->asks.number = (uint64_t)node_now(node) << 16;
}

void asks_release(struct node *node)
{
    struct list *link;
    while ((link = list_pop_front(&node->asks.works)))
        free(container_of(link, struct ask_work, link));
}

/* ---- the asker's side ---- */

static struct node_ask *ask_of(struct list *link)
{
    return container_of(link, struct node_ask, link);
}

static void finish(struct node *node, struct node_ask *ask, enum err_code code, const char *text,
                   raft_id id)
{
    list_remove(&ask->link);
    ask->code = code;
    ask->id = id;
    if (code != ERR_OK)
        err_set(&ask->err, code, "%s", text && text[0] ? text : err_text(code));
    list_push_back(&node->asks.finished, &ask->link);
    node->wake(node->wake_context);
}

void node_ask(struct node *node, struct node_ask *ask)
{
    int64_t timeout_ns = ask->timeout_ms ? ask->timeout_ms * NS_PER_MS : node->timeo_ns;
    ask->number = ++node->asks.number;
    ask->deadline_ns = node_now(node) + timeout_ns;
    ask->tried_ns = INT64_MIN;
    ask->was_sent = false;
    ask->err = (struct err){0};
    ask->id = ask->member.id;
    list_push_back(&node->asks.waiting, &ask->link);
    if (node_is_ending(node))
        finish(node, ask, node_was_removed(node) ? ERR_REMOVED : ERR_CLOSING, NULL, ask->id);
    node->wake(node->wake_context);
}

static bool is_waiting(const struct node *node, const struct node_ask *ask)
{
    for (const struct list *link = node->asks.waiting.next; link != &node->asks.waiting;
         link = link->next)
        if (link == &ask->link)
            return true;
    return false;
}

void node_ask_cancel(struct node *node, struct node_ask *ask)
{
    if (is_waiting(node, ask))
        finish(node, ask, ERR_CANCELED, NULL, ask->id);
}

static void answered(struct node *node, const struct answer_frame *answer)
{
    LIST_FOR_EACH_SAFE (link, &node->asks.waiting) {
        struct node_ask *ask = ask_of(link);
        if (ask->number == answer->number)
            finish(node, ask, answer->code, answer->text, answer->id);
    }
}

/* ---- the leader's side ---- */

static void answer(struct node *node, raft_id to, uint64_t number, enum err_code code,
                   const char *text, raft_id id)
{
    struct answer_frame frame = {.number = number, .code = code, .id = id};
    struct buf body = {0};
    snprintf(frame.text, sizeof frame.text, "%s", code == ERR_OK ? "" : text);
    if (to == node->identity.member_id) {
        answered(node, &frame);
        return;
    }
    answer_frame_encode(&frame, &body);
    if (!node->peers || node->peers_closing ||
        peers_send_frame(node->peers, to, PEER_RAFT, ASK_KIND_ANSWER, buf_bytes(&body)) != ERR_OK)
        TRACE(node->trace, "ask unanswered to=%" PRIu64, to);
    buf_release(&body);
}

static void work_end(struct ask_work *work, enum err_code code, const struct err *err)
{
    struct node *node = work->node;
    list_remove(&work->link);
    node->asks.work_count--;
    TRACE(node->trace, "ask done kind=%" PRIu32 " id=%" PRIu64 " code=%s", work->ask.kind, work->id,
          err_name(code));
    if (code != ERR_CONFLICT)
        answer(node, work->from, work->ask.number, code, err ? err->text : "", work->id);
    free(work);
}

static void on_changed(struct node_change *change, enum err_code code)
{
    work_end(container_of(change, struct ask_work, change), code, &change->err);
}

static void view_make(const struct node *node, struct change_view *ret)
{
    struct raft_status status;
    int64_t silent_ns = node_now(node) - MEMBER_SILENT_MS * NS_PER_MS;
    raft_status(node->raft, &status);
    *ret = (struct change_view){.membership = &node->membership,
                                .last = raftlog_last(&node->raftlog)};
    for (size_t i = 0; i < status.progress_count; i++)
        if (raft_id_set_add(&ret->matched, status.progress[i].id))
            ret->match[i] = status.progress[i].match;
    for (size_t i = 0; i < node->membership.count; i++) {
        raft_id id = node->membership.members[i].id;
        struct peer_status peer;
        bool is_heard = id == node->identity.member_id ||
                        (node->peers && peers_find(node->peers, id, &peer) && peer.connected &&
                         peer.heard && peer.last_contact_ns > silent_ns);
        if (is_heard && !raft_id_set_add(&ret->reachable, id))
            TRACE(node->trace, "more members than there can be");
    }
}

/* What the change is, or that nothing is to be done: count stays 0. */
struct verdict {
    struct raft_conf_change change;
    struct membership_member record;
    raft_id id;
};

static void want(struct verdict *verdict, enum raft_change_type type, raft_id id)
{
    verdict->change.count = 1;
    verdict->change.changes[0] = (struct raft_change){type, id};
    verdict->id = id;
}

static const struct membership_member *same_name(const struct membership *membership,
                                                 const struct membership_member *member)
{
    for (size_t i = 0; i < membership->count; i++)
        if (member->name[0] && strcmp(membership->members[i].name, member->name) == 0)
            return &membership->members[i];
    return NULL;
}

static enum err_code judge_add(const struct node *node, const struct ask_frame *ask,
                               struct verdict *ret, struct err *err)
{
    const struct membership *membership = &node->membership;
    const struct membership_member *known = same_name(membership, &ask->member);
    if (membership_find(membership, ask->member.id))
        return ERR_OK;
    ret->record = ask->member;
    if (known && ask->member.generation > MEMBER_RESERVED &&
        known->generation == ask->member.generation) {
        ret->id = known->id;            /* it took the reserved place already */
        return ERR_OK;
    }
    if (known && known->generation == MEMBER_RESERVED && ask->member.generation > MEMBER_RESERVED &&
        strcmp(known->address, ask->member.address) == 0) {
        ret->record.id = known->id;
        want(ret, RAFT_CHANGE_UPDATE, known->id);
        return ERR_OK;
    }
    if (membership->count == RAFT_MEMBERS_MAX)
        return err_set(err, ERR_READ_ONLY, "the cluster has %d members, and no room for another",
                       RAFT_MEMBERS_MAX);
    want(ret, RAFT_CHANGE_ADD_LEARNER, ask->member.id);
    return ERR_OK;
}

static enum err_code judge_remove(const struct node *node, const struct change_view *view,
                                  const struct ask_frame *ask, struct verdict *ret, struct err *err)
{
    raft_id id = ask->member.id;
    const struct raft_id_set *voters = &node->membership.configuration.voters;
    if (membership_was_removed(&node->membership, id))
        return ERR_OK;
    enum err_code code = change_check_remove(view, id, err);
    bool is_only_voter = voters->count == 1 && raft_id_set_contains(voters, id);
    if (code == ERR_READ_ONLY && ask->force && !is_only_voter)
        code = ERR_OK;
    if (code == ERR_OK)
        want(ret, RAFT_CHANGE_REMOVE, id);
    return code;
}

static enum err_code judge_promote(const struct node *node, const struct change_view *view,
                                   const struct ask_frame *ask, struct verdict *ret,
                                   struct err *err)
{
    enum err_code code = change_check_promote(view, ask->member.id, err);
    if (code == ERR_OK && !membership_is_voter(&node->membership, ask->member.id))
        want(ret, RAFT_CHANGE_ADD_VOTER, ask->member.id);
    return code;
}

static enum err_code judge_update(const struct node *node, const struct ask_frame *ask,
                                  struct verdict *ret, struct err *err)
{
    const struct membership_member *member =
        membership_find(&node->membership, ask->member.id);
    if (!member)
        return err_set(err, ERR_NOT_FOUND, "there is no member %016" PRIx64, ask->member.id);
    ret->record = *member;
    memcpy(ret->record.address, ask->member.address, sizeof ret->record.address);
    if (strcmp(member->address, ask->member.address) != 0)
        want(ret, RAFT_CHANGE_UPDATE, member->id);
    return ERR_OK;
}

static enum err_code judge(struct node *node, const struct ask_frame *ask, struct verdict *ret,
                           struct err *err)
{
    struct change_view view;
    struct membership_context context = {0};
    enum err_code code = ERR_OK;
    view_make(node, &view);
    *ret = (struct verdict){.id = ask->member.id};
    switch (ask->kind) {
    case NODE_ASK_ADD: code = judge_add(node, ask, ret, err); break;
    case NODE_ASK_REMOVE: code = judge_remove(node, &view, ask, ret, err); break;
    case NODE_ASK_PROMOTE: code = judge_promote(node, &view, ask, ret, err); break;
    case NODE_ASK_UPDATE: code = judge_update(node, ask, ret, err); break;
    case NODE_ASK_TRANSFER: return change_check_transfer(&view, ask->member.id, err);
    default: return err_set(err, ERR_INVALID, "the leader does not know what was asked");
    }
    if (code != ERR_OK || !ret->change.count)
        return code;
    context.count = ret->record.id != 0;
    context.members[0] = ret->record;
    return membership_check(&node->membership, &ret->change, &context, err);
}

static bool is_at_work(const struct node *node, raft_id from, uint64_t number)
{
    for (const struct list *link = node->asks.works.next; link != &node->asks.works;
         link = link->next) {
        const struct ask_work *work = container_of(link, struct ask_work, link);
        if (work->from == from && work->ask.number == number)
            return true;
    }
    return false;
}

static void work_begin(struct node *node, raft_id from, const struct ask_frame *ask,
                       const struct verdict *verdict)
{
    struct ask_work *work = mem_xzalloc(sizeof *work);
    work->node = node;
    work->from = from;
    work->ask = *ask;
    work->id = verdict->id;
    list_push_back(&node->asks.works, &work->link);
    node->asks.work_count++;
    if (ask->kind == NODE_ASK_TRANSFER) {
        work->until_ns = node_now(node) + TRANSFER_WAIT_NS;
        node_transfer_leader(node, ask->member.id);
        return;
    }
    work->change.change = verdict->change;
    work->change.members.count = verdict->record.id != 0;
    work->change.members.members[0] = verdict->record;
    work->change.done = on_changed;
    node_change_submit(node, &work->change);
}

/* What it applied says who belongs to the cluster now, once an entry of its own term is committed and
 * applied; before that whoever asks is heard the next time. */
static bool is_sure(const struct node *node)
{
    return raft_role(node->raft) == RAFT_LEADER && raft_committed_in_term(node->raft) &&
           store_applied(node->store) == raft_committed(node->raft) && !node_is_ending(node);
}

static void asked(struct node *node, raft_id from, const struct ask_frame *ask)
{
    struct verdict verdict;
    struct err err = {0};
    if (!is_sure(node) || is_at_work(node, from, ask->number))
        return;
    bool is_led_already =
        ask->kind == NODE_ASK_TRANSFER && ask->member.id == node->identity.member_id;
    enum err_code code = is_led_already ? ERR_OK : judge(node, ask, &verdict, &err);
    bool is_done = is_led_already || (code == ERR_OK && !verdict.change.count &&
                                      ask->kind != NODE_ASK_TRANSFER);
    if (code == ERR_OK && !is_done && node->asks.work_count == ASKS_MAX)
        code = err_set(&err, ERR_BUSY, "the leader has %d changes to make already", ASKS_MAX);
    if (code != ERR_OK || is_done)
        answer(node, from, ask->number, code, err.text,
               code == ERR_OK && !is_led_already ? verdict.id : ask->member.id);
    else
        work_begin(node, from, ask, &verdict);
}

static void watch_transfers(struct node *node, int64_t now)
{
    struct err err = {0};
    LIST_FOR_EACH_SAFE (link, &node->asks.works) {
        struct ask_work *work = container_of(link, struct ask_work, link);
        if (work->ask.kind != NODE_ASK_TRANSFER)
            continue;
        if (raft_leader(node->raft) == work->id) {
            work_end(work, ERR_OK, NULL);
        } else if (now >= work->until_ns) {
            err_set(&err, ERR_TIMEOUT, "it has not taken over within %d ms",
                    2 * ELECTION_DEFAULT_MS);
            work_end(work, ERR_TIMEOUT, &err);
        }
    }
}

/* ---- turns ---- */

static int64_t retry_ns(const struct node_ask *ask)
{
    return ask->tried_ns == INT64_MIN ? INT64_MIN : ask->tried_ns + ASK_RETRY_MS * NS_PER_MS;
}

static void try(struct node *node, struct node_ask *ask, int64_t now)
{
    const struct ask_frame frame = {.number = ask->number, .kind = ask->kind, .force = ask->force,
                                    .member = ask->member};
    raft_id leader = raft_leader(node->raft);
    struct buf body = {0};
    ask->tried_ns = now;
    ask->was_sent = true;
    if (leader == node->identity.member_id) {
        asked(node, leader, &frame);
        return;
    }
    ask_frame_encode(&frame, &body);
    if (!node->peers || node->peers_closing ||
        peers_send_frame(node->peers, leader, PEER_RAFT, ASK_KIND_ASK, buf_bytes(&body)) != ERR_OK)
        TRACE(node->trace, "ask unsent leader=%" PRIu64, leader);
    buf_release(&body);
}

/* One at a time: trying may end any of them. True when there may be another. */
static bool try_one(struct node *node, int64_t now)
{
    LIST_FOR_EACH (link, &node->asks.waiting) {
        struct node_ask *ask = ask_of(link);
        if (now >= ask->deadline_ns) {
            finish(node, ask, ask->was_sent ? ERR_TIMEOUT : ERR_NO_LEADER, NULL, ask->id);
            return true;
        }
        if (raft_leader(node->raft) != RAFT_NOBODY && now >= retry_ns(ask)) {
            try(node, ask, now);
            return true;
        }
    }
    return false;
}

void asks_turn(struct node *node)
{
    int64_t now = node_now(node);
    while (try_one(node, now))
        continue;
    watch_transfers(node, now);
}

int64_t asks_next_wake_ns(const struct node *node)
{
    int64_t next = INT64_MAX;
    for (const struct list *link = node->asks.waiting.next; link != &node->asks.waiting;
         link = link->next) {
        const struct node_ask *ask = container_of(link, struct node_ask, link);
        int64_t due = ask->deadline_ns;
        if (raft_leader(node->raft) != RAFT_NOBODY && retry_ns(ask) < due)
            due = retry_ns(ask);
        next = due < next ? due : next;
    }
    for (const struct list *link = node->asks.works.next; link != &node->asks.works;
         link = link->next) {
        const struct ask_work *work = container_of(link, struct ask_work, link);
        if (work->ask.kind == NODE_ASK_TRANSFER && work->until_ns < next)
            next = work->until_ns;
    }
    return next;
}

/* Whoever asked for this member's own removal, here, has it. */
void asks_fail(struct node *node, enum err_code code)
{
    while (!list_is_empty(&node->asks.waiting)) {
        struct node_ask *ask = ask_of(node->asks.waiting.next);
        bool is_own_removal = node_was_removed(node) && ask->kind == NODE_ASK_REMOVE &&
                              ask->member.id == node->identity.member_id;
        finish(node, ask, is_own_removal ? ERR_OK : ask->was_sent ? ERR_TIMEOUT : code, NULL,
               ask->id);
    }
}

bool asks_deliver(struct node *node)
{
    LIST_HEAD(finished);
    list_splice_back(&finished, &node->asks.finished);
    bool any = !list_is_empty(&finished);
    struct list *link;
    while ((link = list_pop_front(&finished))) {
        struct node_ask *ask = ask_of(link);
        ask->done(ask, ask->code);
    }
    return any;
}

bool asks_is_frame(uint32_t kind) { return kind == ASK_KIND_ASK || kind == ASK_KIND_ANSWER; }

void asks_on_frame(struct node *node, raft_id from, uint32_t kind, struct bytes bytes)
{
    struct ask_frame ask;
    struct answer_frame frame;
    if (kind == ASK_KIND_ASK && ask_frame_decode(bytes, &ask) == ERR_OK)
        asked(node, from, &ask);
    else if (kind == ASK_KIND_ANSWER && answer_frame_decode(bytes, &frame) == ERR_OK)
        answered(node, &frame);
    else
        TRACE(node->trace, "malformed ask from=%" PRIu64, from);
    node->wake(node->wake_context);
}

/* ---- joiners ---- */

static bool is_final(enum err_code code)
{
    return err_kind(code) == ERR_KIND_RESULT;
}

static void join_done(struct node_ask *ask, enum err_code code)
{
    struct join_work *work = container_of(ask, struct join_work, ask);
    struct node *node = work->node;
    list_remove(&work->link);
    if (node->peers && !node->peers_closing) {
        struct join_answer joined = {.cluster_id = node->identity.cluster_id,
                                     .id = ask->id,
                                     .count = node->membership.count};
        memcpy(joined.members, node->membership.members, sizeof joined.members);
        peers_join_answer(node->peers, work->drawn, code == ERR_OK ? &joined : NULL,
                          is_final(code) ? PEER_REFUSED_JOIN : PEER_REFUSED_JOIN_LATER,
                          ask->err.text);
    }
    free(work);
}

void asks_join(struct node *node, const struct join_request *request)
{
    if (node_is_forming(node)) {
        peers_join_answer(node->peers, request->member.id, NULL, PEER_REFUSED_JOIN_LATER,
                          "the cluster forms: its first members have not all met yet");
        return;
    }
    LIST_FOR_EACH (link, &node->asks.joins)
        if (container_of(link, struct join_work, link)->drawn == request->member.id)
            return;                     /* it connected again, and is answered with the first */
    struct join_work *work = mem_xzalloc(sizeof *work);
    work->node = node;
    work->drawn = request->member.id;
    work->ask =
        (struct node_ask){.kind = NODE_ASK_ADD, .member = request->member, .done = join_done};
    list_push_back(&node->asks.joins, &work->link);
    node_ask(node, &work->ask);
}
