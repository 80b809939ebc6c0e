#include "tests/sim/sim_kernel.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"

static struct sim_kernel *sim_of(struct kernel *kernel)
{
    return container_of(kernel, struct sim_kernel, kernel);
}

static bool sim_answer(struct kernel *kernel, void *token, enum kernel_kind kind,
                       const struct kernel_answer *answer)
{
    struct sim_kernel *sim = sim_of(kernel);
    struct sim_call *call = token;
    (void)kind;
    CHECK(!call->answered);
    call->answered = true;
    call->op = NULL;
    call->answer = *answer;
    buf_assign(&call->data, answer->data);
    call->answer.data = buf_bytes(&call->data);
    bool refused = sim->refuse_next;
    sim->refuse_next = false;
    return !refused;
}

static void sim_expect_interrupt(struct kernel *kernel, void *token, struct fs_op *op)
{
    (void)kernel;
    ((struct sim_call *)token)->op = op;
}

static size_t sim_add_entry(struct kernel *kernel, void *token, uint8_t *to, size_t room,
                            const char *name, const struct kernel_entry *entry, off_t next, bool plus)
{
    struct sim_entry head = {.next = next, .node = plus ? entry->node : 0,
                             .ino = entry->attr.st_ino, .mode = entry->attr.st_mode,
                             .name_size = (uint32_t)strlen(name)};
    size_t size = sizeof(head) + head.name_size + 1;
    (void)kernel;
    (void)token;
    if (size > room)
        return size;
    memcpy(to, &head, sizeof(head));
    memcpy(to + sizeof(head), name, head.name_size + 1);
    return size;
}

static void sim_poll_end(struct kernel *kernel, void *poll, bool wake)
{
    struct sim_poll *ended = poll;
    (void)kernel;
    CHECK(!ended->has_ended);
    ended->has_ended = true;
    ended->was_woken = wake;
}

static int sim_note(struct kernel *kernel, const struct kernel_note *note)
{
    struct sim_kernel *sim = sim_of(kernel);
    pthread_mutex_lock(&sim->mutex);
    if (sim->note_count < SIM_NOTES_MAX)
        sim->notes[sim->note_count++] = *note;
    pthread_mutex_unlock(&sim->mutex);
    return 0;
}

static const struct kernel_ops sim_ops = {.answer = sim_answer,
                                          .expect_interrupt = sim_expect_interrupt,
                                          .add_entry = sim_add_entry, .poll_end = sim_poll_end, .note = sim_note};

void sim_kernel_init(struct sim_kernel *kernel, struct fs *fs)
{
    memset(kernel, 0, sizeof(*kernel));
    kernel->kernel.ops = &sim_ops;
    kernel->fs = fs;
    list_init(&kernel->calls);
    pthread_mutex_init(&kernel->mutex, NULL);
}

void sim_kernel_release(struct sim_kernel *kernel)
{
    while (!list_is_empty(&kernel->calls))
        sim_call_free(container_of(kernel->calls.next, struct sim_call, link));
    pthread_mutex_destroy(&kernel->mutex);
}

struct sim_call *sim_send(struct sim_kernel *kernel, const struct kernel_request *request)
{
    struct sim_call *call = mem_xzalloc(sizeof(*call));
    struct kernel_request copy = *request;
    list_push_back(&kernel->calls, &call->link);
    copy.token = call;
    fs_receive(kernel->fs, &copy);
    return call;
}

void sim_interrupt(struct sim_kernel *kernel, struct sim_call *call)
{
    (void)kernel;
    if (call->op)
        fs_interrupt(call->op);
}

void sim_call_free(struct sim_call *call)
{
    CHECK(call->answered);
    list_remove(&call->link);
    buf_release(&call->data);
    free(call);
}
