#include "cluster/member_call.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/first_members.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

struct work {
    struct node_ask ask;
    struct socket_member_call *call;
};

/* ---- list ---- */

static const struct kv_member_status *status_of(const struct kv_status *status, raft_id id)
{
    for (size_t i = 0; i < status->member_count; i++)
        if (status->members[i].id == id)
            return &status->members[i];
    return NULL;
}

static void list_one(const struct membership_member *member, const struct kv_status *status,
                     bool is_voter, struct buf *ret)
{
    const struct kv_member_status *more = status_of(status, member->id);
    buf_append_format(ret, "%016" PRIx64 " %-16s %-24s %s", member->id,
                      member->name[0] ? member->name : "-",
                      member->address[0] ? member->address : "-", is_voter ? "voter" : "learner");
    if (member->generation == MEMBER_RESERVED)
        buf_append_format(ret, " not-joined");
    if (more && more->is_leader)
        buf_append_format(ret, " leader");
    if (more && more->is_self)
        buf_append_format(ret, " self");
    else if (more && status->leader_id == status->member_id)
        buf_append_format(ret, " match=%" PRIu64, more->match_index);
    if (more && !more->is_self && more->last_contact_ns)
        buf_append_format(ret, " heard=%" PRId64 "ms",
                          (int64_t)(more->last_contact_ns / NS_PER_MS));
    buf_append_u8(ret, '\n');
}

static void list(struct node *node, struct buf *ret)
{
    const struct membership *membership = node_membership(node);
    struct kv_status status;
    kv_status_get(node_kv(node), &status);
    for (size_t i = 0; i < membership->count; i++)
        list_one(&membership->members[i], &status,
                 membership_is_voter(membership, membership->members[i].id), ret);
}

/* ---- asks ---- */

static void on_done(struct node_ask *ask, enum err_code code)
{
    struct work *work = container_of(ask, struct work, ask);
    struct socket_member_call *call = work->call;
    if (code == ERR_OK)
        buf_append_format(&call->text, "%016" PRIx64 "\n", ask->id);
    else
        call->err = ask->err;
    call->work = NULL;
    free(work);
    call->done(call, code);
}

static enum err_code find(struct node *node, struct socket_member_call *call, struct node_ask *ask)
{
    const struct membership *membership = node_membership(node);
    const struct membership_member *member =
        membership_find_word(membership, call->request.target);
    if (!member)
        return err_set(&call->err, ERR_NOT_FOUND, "there is no member \"%.80s\"",
                       call->request.target);
    ask->member = (struct membership_member){.id = member->id};
    return ERR_OK;
}

static enum err_code make_new(struct socket_member_call *call, struct node_ask *ask)
{
    enum err_code code = member_name_check(call->request.target, &call->err);
    if (code == ERR_OK)
        code = member_address_check(call->request.address, &call->err);
    if (code != ERR_OK)
        return code;
    ask->member = (struct membership_member){.id = rand_system_seed() >> 1 | 1,
                                             .generation = MEMBER_RESERVED};
    /* Both were checked to fit. */
    memcpy(ask->member.name, call->request.target, strlen(call->request.target));
    memcpy(ask->member.address, call->request.address, strlen(call->request.address));
    return ERR_OK;
}

static enum err_code make_ask(struct node *node, struct socket_member_call *call,
                              struct node_ask *ask)
{
    ask->done = on_done;
    ask->force = call->request.force;
    switch (call->request.action) {
    case SOCKET_MEMBER_ADD: ask->kind = NODE_ASK_ADD; return make_new(call, ask);
    case SOCKET_MEMBER_REMOVE: ask->kind = NODE_ASK_REMOVE; break;
    case SOCKET_MEMBER_PROMOTE: ask->kind = NODE_ASK_PROMOTE; break;
    case SOCKET_MEMBER_TRANSFER: ask->kind = NODE_ASK_TRANSFER; break;
    case SOCKET_MEMBER_LIST: CHECK(false);
    }
    return find(node, call, ask);
}

void member_call_begin(struct node *node, struct socket_member_call *call)
{
    if (call->request.action == SOCKET_MEMBER_LIST) {
        list(node, &call->text);
        call->done(call, ERR_OK);
        return;
    }
    struct work *work = mem_xzalloc(sizeof *work);
    work->call = call;
    enum err_code code = make_ask(node, call, &work->ask);
    if (code != ERR_OK) {
        free(work);
        call->done(call, code);
        return;
    }
    call->work = work;
    node_ask(node, &work->ask);
}

void member_call_cancel(struct node *node, struct socket_member_call *call)
{
    struct work *work = call->work;
    if (work)
        node_ask_cancel(node, &work->ask);
}
