#include "fs/follow.h"

#include <sched.h>

#include "fs/process.h"

/* For a moment the thread may run on that core alone, which moves it; then again wherever it might. */
static bool system_move(int core)
{
    cpu_set_t allowed, only;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || core >= CPU_SETSIZE ||
        !CPU_ISSET(core, &allowed))
        return false;
    CPU_ZERO(&only);
    CPU_SET(core, &only);
    if (sched_setaffinity(0, sizeof(only), &only) != 0)
        return false;
    return sched_setaffinity(0, sizeof(allowed), &allowed) == 0;
}

const struct follow_door *follow_system(void)
{
    static const struct follow_door door = {process_core_of, sched_getcpu, system_move};
    return &door;
}

void follow_init(struct follow *follow, const struct follow_door *door)
{
    *follow = (struct follow){.door = door, .due = FOLLOW_DUE_MIN};
}

static void look(struct follow *follow)
{
    int core = follow->door->core_of(follow->thread);
    bool together = core == follow->door->own_core();
    if (together)
        follow->due = FOLLOW_DUE_MIN;
    else if (follow->due < FOLLOW_DUE_MAX)
        follow->due *= 2;
    if (!together && core >= 0 && !follow->door->move(core))
        follow->due = FOLLOW_DUE_MAX;
}

void follow_request(struct follow *follow, pid_t thread)
{
    if (thread <= 0)
        return;
    if (thread != follow->thread) {
        follow->thread = thread;
        follow->count = 0;
        follow->due = FOLLOW_DUE_MIN;
    }
    if (++follow->count < follow->due)
        return;
    follow->count = 0;
    look(follow);
}
