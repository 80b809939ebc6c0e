/* A member for the tests of the local socket: a loop in a thread of its own, the real socket, and a kv
 * that keeps sorted keys in memory, without history. It answers from the loop, never inside submit, and
 * as a test wants it: late, in reverse, or only when canceled. */
#ifndef TESTS_UNIT_FAKE_MEMBER_H
#define TESTS_UNIT_FAKE_MEMBER_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "cluster/client.h"
#include "cluster/socket.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "tests/test.h"

struct fake_item {
    struct buf key, value;
    kv_rev create, mod;
    int64_t version;
};

struct fake_member;

/* Who tells the kernel is another thread, as in a mount: it answers as soon as it is let. */
struct fake_notice {
    struct fake_member *member;
    void (*settled)(void *argument);
    void *argument;
};

struct fake_member {
    char *folder;
    uv_loop_t loop;
    uv_async_t wake;                    /* something to do: answers, or the end */
    pthread_t thread;
    struct socket *socket;
    struct kv kv;
    struct fake_item *items;            /* sorted by key */
    size_t count;
    kv_rev revision;
    struct list waiting;                /* requests that have no answer yet */
    /* set by the test */
    atomic_bool is_holding;             /* answer nothing but canceled requests */
    atomic_bool in_reverse;
    atomic_bool is_ending;
    atomic_bool is_silent;              /* nobody is told that the kernel knows */
    atomic_int fail_with;               /* every request ends so */
    /* read by the test */
    atomic_int in_flight, in_flight_max, canceled, settles, stops, ranges, privileged, unprivileged;
    atomic_bool is_closed;
    /* the first writes wait for threads, later ones for nothing */
    struct fake_notice notices[4];
    pthread_t tellers[4];
};

/* ---- the keys ---- */

static inline size_t fake_place(struct fake_member *member, struct bytes key)
{
    size_t low = 0, high = member->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bytes_compare(buf_bytes(&member->items[middle].key), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static inline bool fake_is_in(struct bytes key, struct bytes first, struct bytes end)
{
    if (end.size == 0)
        return bytes_equal(key, first);
    if (end.size == 1 && end.data[0] == 0)
        return bytes_compare(key, first) >= 0;
    return bytes_compare(key, first) >= 0 && bytes_compare(key, end) < 0;
}

static inline bool fake_is_system(struct bytes key)
{
    return bytes_starts_with(key, bytes_of_text(KV_SYSTEM_PREFIX));
}

static inline struct kv_item fake_item_copy(const struct fake_item *item, struct arena *arena,
                                            bool with_value, bool with_size)
{
    struct kv_item copy = {.key = arena_copy(arena, buf_bytes(&item->key)),
                           .create_revision = item->create, .mod_revision = item->mod,
                           .version = item->version};
    if (with_value)
        copy.value = arena_copy(arena, buf_bytes(&item->value));
    if (with_value || with_size)
        copy.size = item->value.size;
    return copy;
}

static inline void fake_range(struct fake_member *member, const struct kv_range *range,
                              struct arena *arena, struct kv_range_result *ret)
{
    *ret = (struct kv_range_result){0};
    ret->items = ARENA_NEW_ARRAY(arena, struct kv_item, member->count + 1);
    for (size_t i = fake_place(member, range->key); i < member->count; i++) {
        struct fake_item *item = &member->items[i];
        struct bytes key = buf_bytes(&item->key);
        if (!fake_is_in(key, range->key, range->range_end))
            break;
        if (fake_is_system(key) && !fake_is_system(range->key))
            continue;
        ret->total++;
        if (range->count_only || (range->limit && ret->count >= (size_t)range->limit))
            continue;
        ret->items[ret->count++] = fake_item_copy(item, arena,
                                                  !range->keys_only && !range->sizes_only,
                                                  range->sizes_only);
    }
    ret->more = !range->count_only && (size_t)ret->total > ret->count;
}

static inline void fake_put(struct fake_member *member, const struct kv_put *put,
                            struct arena *arena, struct kv_op_result *ret)
{
    size_t place = fake_place(member, put->key);
    bool exists = place < member->count &&
                  bytes_equal(buf_bytes(&member->items[place].key), put->key);
    ret->kind = KV_OP_PUT;
    if (!exists) {
        member->items = mem_xrealloc(member->items, (member->count + 1) * sizeof(*member->items));
        memmove(&member->items[place + 1], &member->items[place],
                (member->count - place) * sizeof(*member->items));
        member->count++;
        member->items[place] = (struct fake_item){.create = member->revision};
        buf_append(&member->items[place].key, put->key);
    } else if (put->want_previous) {
        ret->put.has_previous = true;
        ret->put.previous = fake_item_copy(&member->items[place], arena, true, false);
    }
    buf_assign(&member->items[place].value, put->value);
    member->items[place].mod = member->revision;
    member->items[place].version++;
}

static inline void fake_delete(struct fake_member *member, const struct kv_delete *del,
                               struct arena *arena, struct kv_op_result *ret)
{
    ret->kind = KV_OP_DELETE;
    ret->del.previous = ARENA_NEW_ARRAY(arena, struct kv_item, member->count + 1);
    for (size_t i = fake_place(member, del->key); i < member->count;) {
        struct fake_item *item = &member->items[i];
        if (!fake_is_in(buf_bytes(&item->key), del->key, del->range_end))
            break;
        if (fake_is_system(buf_bytes(&item->key)) && !fake_is_system(del->key)) {
            i++;
            continue;
        }
        ret->del.previous[ret->del.deleted++] = fake_item_copy(item, arena, true, false);
        buf_release(&item->key);
        buf_release(&item->value);
        member->count--;
        memmove(item, item + 1, (member->count - i) * sizeof(*item));
    }
    if (!del->want_previous)
        ret->del.previous = NULL;
}

/* ---- the kv ---- */

static inline void fake_txn(struct fake_member *member, struct kv_request *request)
{
    const struct kv_txn *txn = &request->txn;
    struct kv_txn_result *result = &request->result.txn;
    request->result.kind = KV_OP_TXN;
    *result = (struct kv_txn_result){.succeeded = true, .count = txn->success_count};
    result->results = ARENA_NEW_ARRAY(&request->arena, struct kv_op_result, txn->success_count + 1);
    member->revision++;
    for (size_t i = 0; i < txn->success_count; i++) {
        if (txn->success[i].kind == KV_OP_PUT)
            fake_put(member, &txn->success[i].put, &request->arena, &result->results[i]);
        else if (txn->success[i].kind == KV_OP_DELETE)
            fake_delete(member, &txn->success[i].del, &request->arena, &result->results[i]);
    }
}

static inline enum err_code fake_do(struct fake_member *member, struct kv_request *request)
{
    int fail_with = atomic_load(&member->fail_with);
    atomic_fetch_add(request->privileged ? &member->privileged : &member->unprivileged, 1);
    if (fail_with)
        return err_set(&request->err, (enum err_code)fail_with, "as the test wants it");
    if (request->kind == KV_RANGE) {
        atomic_fetch_add(&member->ranges, 1);
        request->result.kind = KV_OP_RANGE;
        fake_range(member, &request->range, &request->arena, &request->result.range);
    } else if (request->kind == KV_TXN) {
        fake_txn(member, request);
    } else if (request->compact.revision > member->revision) {
        return err_set(&request->err, ERR_FUTURE, "%s", err_text(ERR_FUTURE));
    }
    request->revision = member->revision;
    return ERR_OK;
}

static inline void fake_answer(struct fake_member *member, struct kv_request *request)
{
    enum err_code code = request->stage ? err_set(&request->err, ERR_CANCELED, "canceled")
                                        : fake_do(member, request);
    list_remove(&request->link);
    request->owner = NULL;
    atomic_fetch_sub(&member->in_flight, 1);
    request->done(request, code);
}

static inline struct kv_request *fake_next(struct fake_member *member)
{
    struct list *head = &member->waiting;
    bool in_reverse = atomic_load(&member->in_reverse);
    for (struct list *link = in_reverse ? head->previous : head->next; link != head;
         link = in_reverse ? link->previous : link->next) {
        struct kv_request *request = container_of(link, struct kv_request, link);
        if (request->stage || !atomic_load(&member->is_holding))
            return request;
    }
    return NULL;
}

static inline void fake_on_socket_closed(void *context)
{
    struct fake_member *member = context;
    atomic_store(&member->is_closed, true);
    uv_close((uv_handle_t *)&member->wake, NULL);
}

static inline void fake_on_wake(uv_async_t *wake)
{
    struct fake_member *member = container_of(wake, struct fake_member, wake);
    for (struct kv_request *request; (request = fake_next(member));)
        fake_answer(member, request);
    if (atomic_load(&member->is_ending) && member->socket) {
        struct socket *server = member->socket;
        member->socket = NULL;
        socket_close(server, fake_on_socket_closed, member);
    }
}

static inline void fake_submit(struct kv *kv, struct kv_request *request)
{
    struct fake_member *member = container_of(kv, struct fake_member, kv);
    int now = atomic_fetch_add(&member->in_flight, 1) + 1;
    if (now > atomic_load(&member->in_flight_max))
        atomic_store(&member->in_flight_max, now);
    request->owner = kv;
    list_push_back(&member->waiting, &request->link);
    uv_async_send(&member->wake);
}

static inline void fake_cancel(struct kv *kv, struct kv_request *request)
{
    struct fake_member *member = container_of(kv, struct fake_member, kv);
    atomic_fetch_add(&member->canceled, 1);
    request->stage = 1;
    uv_async_send(&member->wake);
}

static inline void fake_status(struct kv *kv, struct kv_status *ret)
{
    struct fake_member *member = container_of(kv, struct fake_member, kv);
    *ret = (struct kv_status){.cluster_id = 11, .member_id = 22, .raft_term = 3,
                              .revision = member->revision, .has_quorum = true};
}

static const struct kv_ops fake_ops = {
    .submit = fake_submit, .cancel = fake_cancel, .status = fake_status,
};

/* ---- the thread ---- */

static inline void *fake_tell(void *context)
{
    struct fake_notice *notice = context;
    while (atomic_load(&notice->member->is_silent))
        poll(NULL, 0, 1);
    notice->settled(notice->argument);
    return NULL;
}

static inline void fake_settle(void *context, void (*settled)(void *), void *argument)
{
    struct fake_member *member = context;
    size_t place = (size_t)atomic_load(&member->settles);
    if (place >= ARRAY_COUNT(member->notices)) {
        settled(argument);
    } else {
        member->notices[place] = (struct fake_notice){member, settled, argument};
        CHECK(pthread_create(&member->tellers[place], NULL, fake_tell, &member->notices[place]) == 0);
    }
    atomic_fetch_add(&member->settles, 1);
}

static inline void fake_stop(void *context)
{
    struct fake_member *member = context;
    atomic_fetch_add(&member->stops, 1);
    atomic_store(&member->is_ending, true);
    uv_async_send(&member->wake);
}

static inline void *fake_thread(void *context)
{
    struct fake_member *member = context;
    uv_run(&member->loop, UV_RUN_DEFAULT);
    return NULL;
}

/* Starts one on a new folder. */
static inline struct fake_member *fake_member_start(void)
{
    struct fake_member *member = mem_xzalloc(sizeof(*member));
    struct err err = {0};
    member->folder = test_folder_new();
    member->kv.ops = &fake_ops;
    member->revision = 1;
    list_init(&member->waiting);
    assert_int_equal(uv_loop_init(&member->loop), 0);
    assert_int_equal(uv_async_init(&member->loop, &member->wake, fake_on_wake), 0);
    char *path = mem_xformat("%s/sock", member->folder);
    struct socket_options options = {.path = path, .kv = &member->kv, .context = member,
                                     .stop = fake_stop, .settle = fake_settle};
    if (socket_open(&member->socket, &member->loop, &options, &err) != ERR_OK)
        fail_msg("%s", err.text);
    free(path);
    assert_int_equal(pthread_create(&member->thread, NULL, fake_thread, member), 0);
    return member;
}

static inline void fake_member_wake(struct fake_member *member) { uv_async_send(&member->wake); }

/* Ends it, if nobody stopped it before, and frees everything. */
static inline void fake_member_end(struct fake_member *member)
{
    if (!atomic_exchange(&member->is_ending, true))
        uv_async_send(&member->wake);
    pthread_join(member->thread, NULL);
    atomic_store(&member->is_silent, false);            /* later than the socket's end */
    for (int i = 0; i < atomic_load(&member->settles) && i < (int)ARRAY_COUNT(member->tellers); i++)
        pthread_join(member->tellers[i], NULL);
    assert_true(atomic_load(&member->is_closed));
    assert_true(list_is_empty(&member->waiting));
    assert_int_equal(uv_loop_close(&member->loop), 0);
    for (size_t i = 0; i < member->count; i++) {
        buf_release(&member->items[i].key);
        buf_release(&member->items[i].value);
    }
    free(member->items);
    test_folder_remove(member->folder);
    free(member);
}

#endif
