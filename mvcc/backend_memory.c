/* Ordered bytes in memory. A skip list of keys; each key has its versions, newest first, numbered by the
 * batch that wrote them. A snapshot is a batch number: what it sees is the newest version at or below
 * it. A crash drops the versions above a number. Versions nobody can see any more, and no crash can
 * bring back, go when their key is written again.
 *
 * Batches are counted into logs of a given size; a log that is replaced is durable at once. So the
 * durable state lags behind the written one by up to a log, as with the real thing.
 */
#include <pthread.h>
#include <stdlib.h>

#include "mvcc/backend.h"
#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "proto/base/limits.h"
#include "proto/base/list.h"
#include "proto/base/mem.h"

#define LEVEL_MAX 16
#define LOG_SIZE_DEFAULT (64 * KIB)

struct version {
    struct version *older;
    uint64_t number;                    /* of the batch that wrote it */
    bool is_delete;
    size_t size;
    uint8_t data[];
};

struct node {
    struct version *newest;
    struct bytes key;                   /* stands behind the tower */
    int height;
    struct node *next[];
};

struct backend_memory {
    pthread_rwlock_t lock;
    struct node *head;
    struct list watched;                /* struct backend_snapshot: the numbers somebody looks at */
    uint64_t batches, durable;
    uint64_t log_number, log_size, log_size_max;
    bool is_open;
    bool is_full, was_refused;          /* see backend_memory_fill */
};

struct backend_snapshot {
    struct list link;
    uint64_t number;
};

struct memory_backend {
    struct backend backend;
    struct backend_memory *memory;
    bool owns_memory;
};

struct memory_iterator {
    struct backend_iterator iterator;
    struct backend_memory *memory;
    struct backend_snapshot snapshot;   /* its own */
    struct node *node;
    const struct version *version;
};

static struct backend_memory *memory_of(struct backend *backend)
{
    return container_of(backend, struct memory_backend, backend)->memory;
}

/* ---- the list ---- */

static struct node *node_new(struct bytes key, int height)
{
    size_t tower = (size_t)height * sizeof(struct node *);
    struct node *node = mem_xzalloc(sizeof(*node) + tower + key.size);
    uint8_t *place = (uint8_t *)node + sizeof(*node) + tower;
    if (key.size)
        memcpy(place, key.data, key.size);
    node->key = bytes_of(place, key.size);
    node->height = height;
    return node;
}

static int height_of(struct bytes key)
{
    uint64_t bits = hash_bytes(LEVEL_MAX, key);
    int height = 1;
    while (height < LEVEL_MAX && (bits & 3) == 0) {
        height++;
        bits >>= 2;
    }
    return height;
}

static void find_below(struct backend_memory *memory, struct bytes key, struct node **below)
{
    struct node *node = memory->head;
    for (int level = LEVEL_MAX - 1; level >= 0; level--) {
        while (node->next[level] && bytes_compare(node->next[level]->key, key) < 0)
            node = node->next[level];
        below[level] = node;
    }
}

static struct node *node_of(struct backend_memory *memory, struct bytes key)
{
    struct node *below[LEVEL_MAX];
    find_below(memory, key, below);
    struct node *node = below[0]->next[0];
    if (node && bytes_equal(node->key, key))
        return node;
    node = node_new(key, height_of(key));
    for (int level = 0; level < node->height; level++) {
        node->next[level] = below[level]->next[level];
        below[level]->next[level] = node;
    }
    return node;
}

static const struct version *version_at(const struct node *node, uint64_t number)
{
    const struct version *version = node->newest;
    while (version && version->number > number)
        version = version->older;
    return version && !version->is_delete ? version : NULL;
}

static void versions_free(struct version *version)
{
    while (version) {
        struct version *older = version->older;
        free(version);
        version = older;
    }
}

/* What lies below the newest version at or below horizon is seen by nobody. */
static void node_trim(struct node *node, uint64_t horizon)
{
    struct version *version = node->newest;
    while (version && version->number > horizon)
        version = version->older;
    if (version) {
        versions_free(version->older);
        version->older = NULL;
    }
}

static uint64_t horizon_of(struct backend_memory *memory)
{
    uint64_t horizon = memory->durable;
    LIST_FOR_EACH(link, &memory->watched) {
        uint64_t number = container_of(link, struct backend_snapshot, link)->number;
        if (number < horizon)
            horizon = number;
    }
    return horizon;
}

/* ---- the disk ---- */

struct backend_memory *backend_memory_new(size_t log_size_max)
{
    struct backend_memory *memory = mem_xzalloc(sizeof(*memory));
    pthread_rwlock_init(&memory->lock, NULL);
    memory->head = node_new(BYTES_EMPTY, LEVEL_MAX);
    list_init(&memory->watched);
    memory->log_number = 1;
    memory->log_size_max = log_size_max ? log_size_max : LOG_SIZE_DEFAULT;
    return memory;
}

void backend_memory_free(struct backend_memory *memory)
{
    if (!memory)
        return;
    CHECK(!memory->is_open);
    for (struct node *node = memory->head, *next; node; node = next) {
        next = node->next[0];
        versions_free(node->newest);
        free(node);
    }
    pthread_rwlock_destroy(&memory->lock);
    free(memory);
}

uint64_t backend_memory_batches(struct backend_memory *memory)
{
    return memory->batches;
}

uint64_t backend_memory_durable(struct backend_memory *memory)
{
    return memory->durable;
}

void backend_memory_crash(struct backend_memory *memory, uint64_t keep)
{
    CHECK(!memory->is_open);
    CHECK(keep >= memory->durable && keep <= memory->batches);
    for (struct node *node = memory->head->next[0]; node; node = node->next[0]) {
        while (node->newest && node->newest->number > keep) {
            struct version *older = node->newest->older;
            free(node->newest);
            node->newest = older;
        }
    }
    memory->batches = memory->durable = keep;
    memory->log_number++;
    memory->log_size = 0;
    memory->was_refused = false;
}

void backend_memory_fill(struct backend_memory *memory, bool is_full)
{
    pthread_rwlock_wrlock(&memory->lock);
    memory->is_full = is_full;
    pthread_rwlock_unlock(&memory->lock);
}

/* With the lock held. */
static enum err_code room_check(struct backend_memory *memory, struct err *err)
{
    memory->was_refused |= memory->is_full;
    return memory->was_refused ? err_set(err, ERR_NO_SPACE, "the disk is full") : ERR_OK;
}

static void log_replace(struct backend_memory *memory)
{
    memory->durable = memory->batches;
    memory->log_number++;
    memory->log_size = 0;
}

/* ---- the door ---- */

static enum err_code memory_get(struct backend *backend, const struct backend_snapshot *snapshot,
                                struct bytes key, struct buf *ret, struct err *err)
{
    (void)err;
    struct backend_memory *memory = memory_of(backend);
    struct node *below[LEVEL_MAX];
    pthread_rwlock_rdlock(&memory->lock);
    find_below(memory, key, below);
    const struct node *node = below[0]->next[0];
    const struct version *version = NULL;
    if (node && bytes_equal(node->key, key))
        version = version_at(node, snapshot ? snapshot->number : memory->batches);
    if (version)
        buf_append(ret, bytes_of(version->data, version->size));
    pthread_rwlock_unlock(&memory->lock);
    return version ? ERR_OK : ERR_NOT_FOUND;
}

static void row_write(struct backend_memory *memory, const struct backend_op *op, uint64_t horizon)
{
    struct node *node = node_of(memory, op->key);
    struct version *version = mem_xalloc(sizeof(*version) + op->value.size);
    *version = (struct version){.older = node->newest,
                                .number = memory->batches,
                                .is_delete = op->is_delete,
                                .size = op->value.size};
    if (op->value.size)
        memcpy(version->data, op->value.data, op->value.size);
    node->newest = version;
    node_trim(node, horizon);
}

static enum err_code memory_write(struct backend *backend, const struct backend_op *ops,
                                  size_t count, struct err *err)
{
    struct backend_memory *memory = memory_of(backend);
    pthread_rwlock_wrlock(&memory->lock);
    enum err_code code = room_check(memory, err);
    if (!code && memory->log_size > memory->log_size_max)
        log_replace(memory);
    uint64_t horizon = horizon_of(memory);
    memory->batches += !code;
    for (size_t i = 0; !code && i < count; i++) {
        row_write(memory, &ops[i], horizon);
        memory->log_size += ops[i].key.size + ops[i].value.size;
    }
    pthread_rwlock_unlock(&memory->lock);
    return code;
}

static void snapshot_start(struct backend_memory *memory, struct backend_snapshot *snapshot,
                           const struct backend_snapshot *same)
{
    pthread_rwlock_wrlock(&memory->lock);
    snapshot->number = same ? same->number : memory->batches;
    list_push_back(&memory->watched, &snapshot->link);
    pthread_rwlock_unlock(&memory->lock);
}

static void snapshot_end(struct backend_memory *memory, struct backend_snapshot *snapshot)
{
    pthread_rwlock_wrlock(&memory->lock);
    list_remove(&snapshot->link);
    pthread_rwlock_unlock(&memory->lock);
}

static struct backend_snapshot *memory_snapshot_new(struct backend *backend, bool passing)
{
    (void)passing;
    struct backend_snapshot *snapshot = mem_xzalloc(sizeof(*snapshot));
    snapshot_start(memory_of(backend), snapshot, NULL);
    return snapshot;
}

static void memory_snapshot_free(struct backend *backend, struct backend_snapshot *snapshot)
{
    snapshot_end(memory_of(backend), snapshot);
    free(snapshot);
}

static enum err_code memory_log_current(struct backend *backend, uint64_t *ret, struct err *err)
{
    (void)err;
    *ret = memory_of(backend)->log_number;
    return ERR_OK;
}

static bool memory_log_exists(struct backend *backend, uint64_t number)
{
    struct backend_memory *memory = memory_of(backend);
    pthread_rwlock_rdlock(&memory->lock);
    bool exists = number >= memory->log_number;
    pthread_rwlock_unlock(&memory->lock);
    return exists;
}

static enum err_code memory_flush(struct backend *backend, struct err *err)
{
    struct backend_memory *memory = memory_of(backend);
    pthread_rwlock_wrlock(&memory->lock);
    enum err_code code = room_check(memory, err);
    if (!code)
        log_replace(memory);
    pthread_rwlock_unlock(&memory->lock);
    return code;
}

static enum err_code memory_forget_logs(struct backend *backend, struct err *err)
{
    (void)backend;
    (void)err;
    return ERR_OK;
}

static void memory_close(struct backend *backend)
{
    struct memory_backend *self = container_of(backend, struct memory_backend, backend);
    CHECK(list_is_empty(&self->memory->watched));
    self->memory->is_open = false;
    if (self->owns_memory)
        backend_memory_free(self->memory);
    free(self);
}

/* ---- iterators ---- */

static struct memory_iterator *iterator_of(const struct backend_iterator *iterator)
{
    return (struct memory_iterator *)container_of(iterator, struct memory_iterator, iterator);
}

static void forward(struct memory_iterator *self, struct node *node)
{
    self->version = NULL;
    while (node && !(self->version = version_at(node, self->snapshot.number)))
        node = node->next[0];
    self->node = node;
}

static void memory_iterator_seek(struct backend_iterator *iterator, struct bytes key)
{
    struct memory_iterator *self = iterator_of(iterator);
    struct node *below[LEVEL_MAX];
    pthread_rwlock_rdlock(&self->memory->lock);
    find_below(self->memory, key, below);
    forward(self, below[0]->next[0]);
    pthread_rwlock_unlock(&self->memory->lock);
}

/* node is the one to look at first; the head is past the front. */
static void backward(struct memory_iterator *self, struct node *node)
{
    struct node *below[LEVEL_MAX];
    self->version = NULL;
    while (node != self->memory->head && !(self->version = version_at(node, self->snapshot.number))) {
        find_below(self->memory, node->key, below);
        node = below[0];
    }
    self->node = node == self->memory->head ? NULL : node;
}

static void memory_iterator_seek_last(struct backend_iterator *iterator)
{
    struct memory_iterator *self = iterator_of(iterator);
    pthread_rwlock_rdlock(&self->memory->lock);
    struct node *node = self->memory->head;
    for (int level = LEVEL_MAX - 1; level >= 0; level--)
        while (node->next[level])
            node = node->next[level];
    backward(self, node);
    pthread_rwlock_unlock(&self->memory->lock);
}

static void memory_iterator_next(struct backend_iterator *iterator)
{
    struct memory_iterator *self = iterator_of(iterator);
    CHECK(self->node);
    pthread_rwlock_rdlock(&self->memory->lock);
    forward(self, self->node->next[0]);
    pthread_rwlock_unlock(&self->memory->lock);
}

static void memory_iterator_previous(struct backend_iterator *iterator)
{
    struct memory_iterator *self = iterator_of(iterator);
    struct node *below[LEVEL_MAX];
    CHECK(self->node);
    pthread_rwlock_rdlock(&self->memory->lock);
    find_below(self->memory, self->node->key, below);
    backward(self, below[0]);
    pthread_rwlock_unlock(&self->memory->lock);
}

static bool memory_iterator_valid(const struct backend_iterator *iterator)
{
    return iterator_of(iterator)->node != NULL;
}

static struct bytes memory_iterator_key(const struct backend_iterator *iterator)
{
    return iterator_of(iterator)->node->key;
}

static struct bytes memory_iterator_value(const struct backend_iterator *iterator)
{
    const struct version *version = iterator_of(iterator)->version;
    return bytes_of(version->data, version->size);
}

static enum err_code memory_iterator_status(const struct backend_iterator *iterator,
                                            struct err *err)
{
    (void)iterator;
    (void)err;
    return ERR_OK;
}

static void memory_iterator_free(struct backend_iterator *iterator)
{
    struct memory_iterator *self = iterator_of(iterator);
    snapshot_end(self->memory, &self->snapshot);
    free(self);
}

static const struct backend_iterator_ops memory_iterator_ops = {
    .seek = memory_iterator_seek,
    .seek_last = memory_iterator_seek_last,
    .next = memory_iterator_next,
    .previous = memory_iterator_previous,
    .valid = memory_iterator_valid,
    .key = memory_iterator_key,
    .value = memory_iterator_value,
    .status = memory_iterator_status,
    .free = memory_iterator_free,
};

static struct backend_iterator *memory_iterator_new(struct backend *backend,
                                                    const struct backend_snapshot *snapshot)
{
    struct memory_iterator *self = mem_xzalloc(sizeof(*self));
    self->iterator.ops = &memory_iterator_ops;
    self->memory = memory_of(backend);
    snapshot_start(self->memory, &self->snapshot, snapshot);
    return &self->iterator;
}

static const struct backend_ops memory_ops = {
    .get = memory_get,
    .write = memory_write,
    .snapshot_new = memory_snapshot_new,
    .snapshot_free = memory_snapshot_free,
    .iterator_new = memory_iterator_new,
    .log_current = memory_log_current,
    .log_exists = memory_log_exists,
    .flush = memory_flush,
    .forget_logs = memory_forget_logs,
    .close = memory_close,
};

struct backend *backend_memory_open(struct backend_memory *memory)
{
    CHECK(!memory->is_open);
    if (memory->was_refused)
        backend_memory_crash(memory, memory->durable);
    struct memory_backend *self = mem_xzalloc(sizeof(*self));
    self->backend.ops = &memory_ops;
    self->memory = memory;
    memory->is_open = true;
    return &self->backend;
}

struct backend *backend_memory_lone(void)
{
    struct backend *backend = backend_memory_open(backend_memory_new(0));
    container_of(backend, struct memory_backend, backend)->owns_memory = true;
    return backend;
}
