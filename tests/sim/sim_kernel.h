/* A kernel for tests: requests are made by function calls, answers and notes are kept. */
#ifndef TESTS_SIM_SIM_KERNEL_H
#define TESTS_SIM_SIM_KERNEL_H

#include <pthread.h>

#include "fs/fs.h"

/* One request on its way, and its answer. */
struct sim_call {
    struct list link;
    bool answered;
    struct kernel_answer answer;        /* its data is a copy: data */
    struct buf data;
    struct fs_op *op;                   /* may be interrupted */
};

/* What a POLL request gives along, to be woken. */
struct sim_poll {
    bool has_ended, was_woken;
};

/* One entry of a listing's data; the name and a NUL follow. */
struct sim_entry {
    off_t next;
    uint64_t node, ino;
    uint32_t mode, name_size;
};

#define SIM_NOTES_MAX 256

struct sim_kernel {
    struct kernel kernel;
    struct fs *fs;
    struct list calls;
    bool refuse_next;                   /* the caller of the next answer has gone */
    pthread_mutex_t mutex;              /* notes come from two threads */
    struct kernel_note notes[SIM_NOTES_MAX];
    size_t note_count;                  /* names in notes are not kept */
};

void sim_kernel_init(struct sim_kernel *kernel, struct fs *fs);
void sim_kernel_release(struct sim_kernel *kernel);

/* Sends it; the answer may be there when it returns. */
struct sim_call *sim_send(struct sim_kernel *kernel, const struct kernel_request *request);
void sim_interrupt(struct sim_kernel *kernel, struct sim_call *call);
void sim_call_free(struct sim_call *call);

#endif
