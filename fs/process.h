/* Thread groups: which process opened a file, whether a request comes from it, whether it is gone.
 *
 * Requests carry thread ids, and programs close from other threads than they open. So the group of the
 * opener is taken when it opens, and "the same process" is tgkill(group, thread, 0) != ESRCH, which
 * needs no privilege and costs half a microsecond. A process is told from a later one with its number
 * by its start time.
 *
 * A thread id of 0 (the caller is not visible from here) belongs to every process: what cannot be told
 * apart is treated as the opener's.
 *
 * A door: process_system() is the real one; tests bring a table of their own. Loop thread alone.
 */
#ifndef FS_PROCESS_H
#define FS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
    pid_t group;                /* 0: unknown */
    uint64_t start;             /* in clock ticks since boot; 0: not asked for, or unknown */
};

struct process_door {
    /* The group of a thread; 0 when there is no such thread. */
    pid_t (*group_of)(struct process_door *door, pid_t thread);
    bool (*is_member)(struct process_door *door, pid_t group, pid_t thread);
    /* When the group began; 0 when it is gone (a zombie without threads is). */
    uint64_t (*start_of)(struct process_door *door, pid_t group);
};

struct process_door *process_system(void);

/* Who this thread belongs to. with_start: it will be asked whether it is gone (costs 10 us
 * the first time). */
struct process process_of(struct process_door *door, pid_t thread, bool with_start);
/* Whether the thread belongs to the process. True for thread 0 and for an unknown process. */
bool process_has(struct process_door *door, const struct process *process, pid_t thread);
/* Whether the process has ended. An unknown one, or one without a start time, counts as gone. */
bool process_is_gone(struct process_door *door, const struct process *process);

/* When the process with this number began, as start_of; asks /proc each time. */
uint64_t process_start(pid_t group);
/* Whether the process that began then has died, and a thread of it has not come back from the kernel. */
bool process_is_stuck(pid_t group, uint64_t start);

/* The core a thread runs on, or ran on last; negative: unknown. Costs 10 us. */
int process_core_of(pid_t thread);

#endif
