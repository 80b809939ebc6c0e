/* Door: time. The real one reads the system's clocks (clock_uv.c needs no libuv but stands beside its
 * kin), the simulated one is a number that a test moves. */
#ifndef CLUSTER_CLOCK_H
#define CLUSTER_CLOCK_H

#include <stdint.h>

#include "proto/base/limits.h"

struct clock {
    int64_t (*monotonic_ns)(struct clock *clock);   /* never goes back; for timeouts */
    int64_t (*wall_ns)(struct clock *clock);        /* since 1970; for stamps alone */
};

static inline int64_t clock_monotonic_ns(struct clock *clock) { return clock->monotonic_ns(clock); }
static inline int64_t clock_wall_ns(struct clock *clock) { return clock->wall_ns(clock); }

/* The system's; shared, never ends, any thread. */
struct clock *clock_system(void);

#endif
