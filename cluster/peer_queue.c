#include "cluster/peer_queue.h"

#include <stdlib.h>

#include "cluster/frame.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"

#define NO_ANSWER SIZE_MAX

void peer_queue_init(struct peer_queue *queue, struct mem *mem)
{
    *queue = (struct peer_queue){.mem = mem, .answer = NO_ANSWER};
}

void peer_queue_release(struct peer_queue *queue)
{
    bool snapshot;
    peer_queue_clear(queue, &snapshot);
    free(queue->items);
    peer_queue_init(queue, queue->mem);
}

/* Room for one more item at the end: what was taken from the front is reused before it grows. */
static void make_room(struct peer_queue *queue)
{
    if (queue->end < queue->capacity)
        return;
    size_t used = queue->end - queue->begin;
    if (queue->begin > queue->capacity / 2) {
        memmove(queue->items, queue->items + queue->begin, used * sizeof(*queue->items));
        if (queue->answer != NO_ANSWER)
            queue->answer -= queue->begin;
        queue->begin = 0;
        queue->end = used;
        return;
    }
    queue->capacity = queue->capacity ? queue->capacity * 2 : 16;
    queue->items = mem_xrealloc(queue->items, queue->capacity * sizeof(*queue->items));
}

static void drop_at(struct peer_queue *queue, size_t place)
{
    struct queued_message *item = &queue->items[place];
    raft_message_free(queue->mem, item->message);
    item->message = NULL;
    queue->count--;
    queue->bytes -= item->size;
    if (queue->answer == place)
        queue->answer = NO_ANSWER;
}

/* The item at begin has a message, or there is none at all. */
static void skip_empty(struct peer_queue *queue)
{
    while (queue->begin < queue->end && !queue->items[queue->begin].message)
        queue->begin++;
    if (queue->begin == queue->end)
        queue->begin = queue->end = 0;
}

bool peer_queue_push(struct peer_queue *queue, const struct raft_message *message)
{
    bool answer = message->type == RAFT_MSG_APP_RESP;
    size_t size = frame_message_size(message);
    if (size > FRAME_SIZE_MAX || queue->count == PEER_QUEUE_MESSAGES_MAX ||
        queue->bytes + size > PEER_QUEUE_BYTES_MAX)
        return false;
    struct raft_message *clone = raft_message_clone(queue->mem, message);
    if (!clone)
        return false;
    if (answer && queue->answer != NO_ANSWER) {
        drop_at(queue, queue->answer);
        skip_empty(queue);
    }
    make_room(queue);
    if (answer)
        queue->answer = queue->end;
    queue->items[queue->end++] = (struct queued_message){clone, size};
    queue->count++;
    queue->bytes += size;
    VERIFY(peer_queue_validate(queue));
    return true;
}

const struct queued_message *peer_queue_front(const struct peer_queue *queue)
{
    return queue->begin < queue->end ? &queue->items[queue->begin] : NULL;
}

void peer_queue_pop(struct peer_queue *queue)
{
    CHECK(queue->begin < queue->end);
    drop_at(queue, queue->begin);
    skip_empty(queue);
}

size_t peer_queue_batch(const struct peer_queue *queue, size_t *ret_count)
{
    size_t bytes = 0, count = 0;
    for (size_t i = queue->begin; i < queue->end; i++) {
        const struct queued_message *item = &queue->items[i];
        if (!item->message)
            continue;
        if (count && bytes + item->size > FRAME_MESSAGES_BYTES)
            break;
        bytes += item->size;
        count++;
    }
    *ret_count = count;
    return bytes;
}

size_t peer_queue_clear(struct peer_queue *queue, bool *ret_snapshot)
{
    size_t count = queue->count;
    *ret_snapshot = false;
    for (const struct queued_message *front; (front = peer_queue_front(queue));) {
        *ret_snapshot |= front->message->type == RAFT_MSG_SNAP;
        peer_queue_pop(queue);
    }
    VERIFY(peer_queue_validate(queue));
    return count;
}

void peer_queue_validate(const struct peer_queue *queue)
{
    size_t count = 0, bytes = 0, answer = NO_ANSWER;
    CHECK(queue->begin <= queue->end && queue->end <= queue->capacity);
    for (size_t i = queue->begin; i < queue->end; i++) {
        const struct queued_message *item = &queue->items[i];
        CHECK(item->message || i > queue->begin);
        if (!item->message)
            continue;
        count++;
        bytes += item->size;
        if (item->message->type == RAFT_MSG_APP_RESP) {
            CHECK(answer == NO_ANSWER);
            answer = i;
        }
    }
    CHECK(count == queue->count && bytes == queue->bytes && answer == queue->answer);
    CHECK(count <= PEER_QUEUE_MESSAGES_MAX && bytes <= PEER_QUEUE_BYTES_MAX);
}
