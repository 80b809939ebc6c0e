/* Waits until what was changed has been told to the kernel: asks whoever tells it (another thread may
 * answer), brings the answer back to the loop, and waits no longer than SOCKET_SETTLE_MAX_MS.
 *
 * Invariants
 *   - A wait's done runs exactly once, on the loop, never inside settler_wait; not at all once canceled.
 *   - An answer that comes late, or after the settler is gone, touches nothing of either.
 *
 * Loop thread alone; only the settled that is handed out may be called from any thread.
 */
#ifndef CLUSTER_SETTLER_H
#define CLUSTER_SETTLER_H

#include <stdint.h>

#include "proto/base/list.h"

struct settler;
struct ticket;
struct uv_loop_s;

/* Calls settled(argument) once, from any thread, maybe before it returns. */
typedef void (*settle_call)(void *context, void (*settled)(void *argument), void *argument);

/* Embedded in its owner, who keeps it until done has run or it is canceled. */
struct settle_wait {
    void (*done)(struct settle_wait *wait);     /* filled in by the owner */

    struct ticket *ticket;                      /* NULL: not waiting */
    struct list link;
    uint64_t deadline_ms;
};

struct settler *settler_new(struct uv_loop_s *loop, settle_call settle, void *context);
/* Nobody waits any more. closed runs once, on the loop; the settler is freed before it. */
void settler_close(struct settler *settler, void (*closed)(void *context), void *context);

void settler_wait(struct settler *settler, struct settle_wait *wait);
/* Harmless when it does not wait. */
void settler_cancel(struct settle_wait *wait);

#endif
