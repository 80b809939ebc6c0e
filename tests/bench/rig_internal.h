/* Between the caller of a rig and its processes. */
#ifndef TESTS_BENCH_RIG_INTERNAL_H
#define TESTS_BENCH_RIG_INTERNAL_H

#include "cluster/start.h"
#include "tests/bench/rig.h"

enum rig_order {
    RIG_STATUS,         /* answered at once */
    RIG_PUTS,           /* answered when all puts are */
    RIG_PUTS_STOP,      /* ends an endless RIG_PUTS; has no answer of its own */
    RIG_APPLIED,        /* answered when index is applied */
    RIG_FLOOR_PUTS,
    RIG_FLOOR_FLUSHES,
};

struct rig_command {
    enum rig_order order;
    struct rig_puts puts;
    uint64_t index;
    long count;
    size_t batch;
};

struct rig_answer {
    enum rig_order order;
    struct rig_status status;
    int64_t ns;         /* PUTS, FLOOR_PUTS: what they took; APPLIED: when */
};

/* The life of a process; returns when the other end of fd closes, or with a sentence on stderr. */
struct rig_process {
    int fd;                             /* SOCK_SEQPACKET */
    struct rig_shared *shared;
    const char *data_path, *log_path;
    struct start_options start;
};
void rig_member_main(const struct rig_process *process);
void rig_floor_main(const struct rig_process *process);

#endif
