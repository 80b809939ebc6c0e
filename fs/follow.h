/* Nearness: a thread that asks, waits for the answer and asks again is served from its own core in half
 * the time that two cores need, because neither has to be woken for the other. The scheduler leaves
 * two threads where they are, together or apart, for seconds. So the serving thread looks now and then
 * where the one that it serves runs, and goes there.
 *
 * Never: for callers that take turns, who may well run on several cores; and it pins nothing: the
 * scheduler may move the thread at any time, within what it was allowed before. A scheduler that parts
 * the two each time has it looked after ever more seldom.
 *
 * One thread: the serving one.
 */
#ifndef FS_FOLLOW_H
#define FS_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FOLLOW_DUE_MIN 64               /* requests in a row of one thread before the first look: what a
                                           look costs is a hundredth of them */
#define FOLLOW_DUE_MAX 1024             /* where it is of no use, look and move cost one part in a hundred */

/* Who knows about cores; follow_system() unless a test says otherwise. */
struct follow_door {
    int (*core_of)(pid_t thread);       /* negative: unknown */
    int (*own_core)(void);
    bool (*move)(int core);             /* false: not allowed there */
};

struct follow {
    const struct follow_door *door;
    pid_t thread;
    uint32_t count, due;
};

const struct follow_door *follow_system(void);
void follow_init(struct follow *follow, const struct follow_door *door);
/* A request of this thread has come; 0 (the kernel's own, or one that is not visible) does not count. */
void follow_request(struct follow *follow, pid_t thread);

#endif
