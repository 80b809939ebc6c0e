/* Sessions live in memory, loaded once; their rows are rewritten from there, once per batch. They stand
 * in a table by id and in a list by last use: stamps only grow, so the list is in their order, and what
 * expires is always at its front.
 *
 * Column s: 's', id (big endian) -> last stamp (8 bytes), lowest open number, how many answers follow,
 * and for each, in the order of numbers: number less the one before (the first: less the lowest), status,
 * revision.
 */
#include "mvcc/session.h"

#include <stdlib.h>

#include "mvcc/index.h"
#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "proto/base/limits.h"
#include "proto/base/list.h"
#include "proto/base/mem.h"
#include "proto/base/mutant.h"
#include "proto/base/varint.h"

#define ROW_KEY_SIZE 9
#define TABLE_SIZE_FIRST 64             /* a power of two */

struct answer {
    uint64_t number;
    kv_rev revision;
    uint32_t status;
};

struct session {
    struct list by_use;                 /* oldest first */
    struct session *next;               /* of its bucket */
    uint64_t id, lowest;
    kv_time last;
    struct answer *answers;             /* by number */
    size_t count, capacity;
    bool is_dirty;
};

struct sessions {
    struct backend *backend;
    struct batch *batch;
    struct list by_use;
    struct session **table;
    size_t table_size, count;
};

/* ---- the table ---- */

static struct session **bucket_of(const struct sessions *sessions, uint64_t id)
{
    return &sessions->table[hash_u64(id) & (sessions->table_size - 1)];
}

static struct session *session_find(const struct sessions *sessions, uint64_t id)
{
    struct session *session = *bucket_of(sessions, id);
    while (session && session->id != id)
        session = session->next;
    return session;
}

static void table_grow(struct sessions *sessions)
{
    free(sessions->table);
    sessions->table_size *= 2;
    sessions->table = mem_xzalloc(sessions->table_size * sizeof(*sessions->table));
    LIST_FOR_EACH(link, &sessions->by_use)
    {
        struct session *session = container_of(link, struct session, by_use);
        struct session **bucket = bucket_of(sessions, session->id);
        session->next = *bucket;
        *bucket = session;
    }
}

static struct session *session_add(struct sessions *sessions, uint64_t id)
{
    struct session *session = mem_xzalloc(sizeof(*session));
    session->id = id;
    list_push_back(&sessions->by_use, &session->by_use);
    if (++sessions->count > sessions->table_size) {
        table_grow(sessions);
    } else {
        struct session **bucket = bucket_of(sessions, id);
        session->next = *bucket;
        *bucket = session;
    }
    return session;
}

static void session_remove(struct sessions *sessions, struct session *session)
{
    struct session **place = bucket_of(sessions, session->id);
    while (*place != session)
        place = &(*place)->next;
    *place = session->next;
    list_remove(&session->by_use);
    sessions->count--;
    free(session->answers);
    free(session);
}

struct sessions *sessions_new(struct backend *backend, struct batch *batch)
{
    struct sessions *sessions = mem_xzalloc(sizeof(*sessions));
    sessions->backend = backend;
    sessions->batch = batch;
    list_init(&sessions->by_use);
    sessions->table_size = TABLE_SIZE_FIRST;
    sessions->table = mem_xzalloc(sessions->table_size * sizeof(*sessions->table));
    return sessions;
}

static void sessions_clear(struct sessions *sessions)
{
    LIST_FOR_EACH_SAFE(link, &sessions->by_use)
        session_remove(sessions, container_of(link, struct session, by_use));
}

void sessions_free(struct sessions *sessions)
{
    if (!sessions)
        return;
    sessions_clear(sessions);
    free(sessions->table);
    free(sessions);
}

/* ---- rows ---- */

static struct bytes row_key(uint8_t to[ROW_KEY_SIZE], uint64_t id)
{
    to[0] = COLUMN_SESSION;
    put_be64(to + 1, id);
    return bytes_of(to, ROW_KEY_SIZE);
}

static void row_put(struct sessions *sessions, struct session *session)
{
    uint8_t key[ROW_KEY_SIZE];
    struct buf row = {0};
    uint64_t before = session->lowest;
    buf_append_le64(&row, (uint64_t)session->last);
    buf_append_varint(&row, session->lowest);
    buf_append_varint(&row, session->count);
    for (size_t i = 0; i < session->count; i++) {
        const struct answer *answer = &session->answers[i];
        buf_append_varint(&row, answer->number - before);
        buf_append_varint(&row, answer->status);
        buf_append_varint(&row, (uint64_t)answer->revision);
        before = answer->number;
    }
    batch_put(sessions->batch, row_key(key, session->id), buf_bytes(&row));
    buf_release(&row);
    session->is_dirty = false;
}

static bool answers_decode(struct cursor *cursor, struct session *session, uint64_t count)
{
    uint64_t number = session->lowest;
    if (count > SESSION_OPEN_MAX)
        return false;
    session->answers = mem_xzalloc((count ? count : 1) * sizeof(*session->answers));
    session->capacity = count;
    for (; session->count < count && !cursor->failed; session->count++) {
        uint64_t step = cursor_varint(cursor);
        if (session->count && step == 0)
            return false;
        number += step;
        uint64_t status = cursor_varint(cursor);
        kv_rev revision = (kv_rev)cursor_varint(cursor);
        if (number - session->lowest >= SESSION_OPEN_MAX || status > UINT32_MAX)
            return false;
        session->answers[session->count] = (struct answer){number, revision, (uint32_t)status};
    }
    return !cursor->failed && cursor->rest.size == 0;
}

static enum err_code row_load(struct sessions *sessions, struct bytes key, struct bytes value,
                              struct err *err)
{
    struct cursor cursor = cursor_of(value);
    if (key.size != ROW_KEY_SIZE)
        return err_set(err, ERR_CORRUPT, "a row of column 's' of the store does not decode");
    struct session *session = session_add(sessions, get_be64(key.data + 1));
    session->last = (kv_time)cursor_le64(&cursor);
    session->lowest = cursor_varint(&cursor);
    uint64_t count = cursor_varint(&cursor);
    if (!answers_decode(&cursor, session, count))
        return err_set(err, ERR_CORRUPT, "session %llu of the store does not decode",
                       (unsigned long long)session->id);
    return ERR_OK;
}

static int by_last_use(const void *left, const void *right)
{
    const struct session *a = *(struct session *const *)left, *b = *(struct session *const *)right;
    if (a->last != b->last)
        return a->last < b->last ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void sort_by_use(struct sessions *sessions)
{
    struct session **all = mem_xzalloc((sessions->count + 1) * sizeof(*all));
    size_t count = 0;
    LIST_FOR_EACH(link, &sessions->by_use)
        all[count++] = container_of(link, struct session, by_use);
    qsort(all, count, sizeof(*all), by_last_use);
    for (size_t i = 0; i < count; i++) {
        list_remove(&all[i]->by_use);
        list_push_back(&sessions->by_use, &all[i]->by_use);
    }
    free(all);
}

enum err_code sessions_load(struct sessions *sessions, struct err *err)
{
    static const uint8_t first = COLUMN_SESSION;
    struct backend_iterator *iterator =
        sessions->backend->ops->iterator_new(sessions->backend, NULL);
    enum err_code code = ERR_OK;
    sessions_clear(sessions);
    iterator->ops->seek(iterator, bytes_of(&first, 1));
    while (!code && iterator->ops->valid(iterator)) {
        struct bytes key = iterator->ops->key(iterator);
        if (key.data[0] != COLUMN_SESSION)
            break;
        code = row_load(sessions, key, iterator->ops->value(iterator), err);
        iterator->ops->next(iterator);
    }
    if (!code)
        code = iterator->ops->status(iterator, err);
    iterator->ops->free(iterator);
    if (!code)
        sort_by_use(sessions);
    return code;
}

/* ---- life ---- */

static void session_end(struct sessions *sessions, struct session *session)
{
    uint8_t key[ROW_KEY_SIZE];
    batch_delete(sessions->batch, row_key(key, session->id));
    session_remove(sessions, session);
}

static void session_use(struct sessions *sessions, struct session *session, kv_time stamp)
{
    session->last = stamp;
    session->is_dirty = true;
    list_remove(&session->by_use);
    list_push_back(&sessions->by_use, &session->by_use);
}

enum err_code sessions_expire(struct sessions *sessions, kv_time stamp, struct err *err)
{
    (void)err;
    while (!list_is_empty(&sessions->by_use)) {
        struct session *oldest = container_of(sessions->by_use.next, struct session, by_use);
        if (stamp < oldest->last || stamp - oldest->last < SESSION_IDLE_NS)
            break;
        session_end(sessions, oldest);
    }
    return ERR_OK;
}

enum err_code sessions_open(struct sessions *sessions, uint64_t index, uint64_t nonce,
                            kv_time stamp, struct err *err)
{
    (void)nonce;
    if (session_find(sessions, index))
        return err_set(err, ERR_CORRUPT, "session %llu is open before its entry was applied",
                       (unsigned long long)index);
    session_use(sessions, session_add(sessions, index), stamp);
    return ERR_OK;
}

enum err_code sessions_close(struct sessions *sessions, uint64_t id, struct err *err)
{
    struct session *session = session_find(sessions, id);
    (void)err;
    if (session)
        session_end(sessions, session);
    return ERR_OK;
}

/* ---- use ---- */

/* The place of number among the answers, or where it would stand. */
static size_t answer_place(const struct session *session, uint64_t number)
{
    size_t low = 0, high = session->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (session->answers[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void answers_forget(struct session *session, uint64_t lowest)
{
    if (lowest <= session->lowest)
        return;
    size_t gone = answer_place(session, lowest);
    session->lowest = lowest;
    session->count -= gone;
    if (gone && session->count)
        memmove(session->answers, session->answers + gone,
                session->count * sizeof(*session->answers));
}

enum err_code sessions_begin(struct sessions *sessions, uint64_t id, uint64_t number,
                             uint64_t lowest_open, kv_time stamp, enum session_verdict *ret,
                             uint32_t *ret_status, kv_rev *ret_revision, struct err *err)
{
    struct session *session = session_find(sessions, id);
    (void)err;
    *ret = SESSION_UNKNOWN;
    if (!session)
        return ERR_OK;
    session_use(sessions, session, stamp);
    /* The request itself is open. */
    answers_forget(session, lowest_open < number ? lowest_open : number);
    if (number < session->lowest || number - session->lowest >= SESSION_OPEN_MAX)
        return ERR_OK;
    size_t place = answer_place(session, number);
    *ret = SESSION_PROCEED;
    if (place < session->count && session->answers[place].number == number) {
        *ret = SESSION_REPEATED;
        *ret_status = session->answers[place].status;
        *ret_revision = session->answers[place].revision;
    }
    return ERR_OK;
}

void sessions_finish(struct sessions *sessions, uint64_t id, uint64_t number, uint32_t status,
                     kv_rev revision)
{
    struct session *session = session_find(sessions, id);
    CHECK(session && session->is_dirty);
    if (MUTANT(REPEAT_APPLIED))
        return;
    size_t place = answer_place(session, number);
    CHECK(place == session->count || session->answers[place].number != number);
    CHECK(session->count < SESSION_OPEN_MAX);
    if (session->count == session->capacity) {
        session->capacity = session->capacity ? 2 * session->capacity : 8;
        session->answers = mem_xrealloc(session->answers,
                                        session->capacity * sizeof(*session->answers));
    }
    memmove(session->answers + place + 1, session->answers + place,
            (session->count - place) * sizeof(*session->answers));
    session->answers[place] = (struct answer){number, revision, status};
    session->count++;
}

/* Those used in this batch stand at the end of the list. */
void sessions_flush(struct sessions *sessions)
{
    for (struct list *link = sessions->by_use.previous; link != &sessions->by_use;
         link = link->previous) {
        struct session *session = container_of(link, struct session, by_use);
        if (!session->is_dirty || MUTANT(ANSWERS_NOT_KEPT))
            break;
        row_put(sessions, session);
    }
}

bool sessions_exists(struct backend *backend, uint64_t id)
{
    uint8_t key[ROW_KEY_SIZE];
    struct buf row = {0};
    enum err_code code = backend->ops->get(backend, NULL, row_key(key, id), &row, NULL);
    buf_release(&row);
    return code == ERR_OK;
}
