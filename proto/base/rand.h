/* The only source of chance: a seeded generator (PCG32: O'Neill, "PCG: A Family of Simple Fast
 * Space-Efficient Statistically Good Algorithms", 2014). Equal seeds give equal runs. */
#ifndef PROTO_BASE_RAND_H
#define PROTO_BASE_RAND_H

#include <stdbool.h>
#include <stdint.h>

struct rand {
    uint64_t state, increment;
};

void rand_init(struct rand *rand, uint64_t seed);
uint32_t rand_u32(struct rand *rand);
uint64_t rand_u64(struct rand *rand);
/* Uniform in [0, bound); bound above 0. */
uint64_t rand_below(struct rand *rand, uint64_t bound);
/* True with probability parts/whole. */
bool rand_chance(struct rand *rand, uint64_t parts, uint64_t whole);

/* A seed from the system's entropy, for identities and first seeds. Never 0. Aborts without one. */
uint64_t rand_system_seed(void);

#endif
