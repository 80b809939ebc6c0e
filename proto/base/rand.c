#include "proto/base/rand.h"

#include <errno.h>
#include <sys/random.h>

#include "proto/base/check.h"

void rand_init(struct rand *rand, uint64_t seed)
{
    rand->state = 0;
    rand->increment = (seed << 1) | 1;
    rand_u32(rand);
    rand->state += seed;
    rand_u32(rand);
}

uint32_t rand_u32(struct rand *rand)
{
    uint64_t old = rand->state;
    rand->state = old * UINT64_C(6364136223846793005) + rand->increment;
    uint32_t shifted = (uint32_t)(((old >> 18) ^ old) >> 27);
    uint32_t turn = (uint32_t)(old >> 59);
    return (shifted >> turn) | (shifted << ((32 - turn) & 31));
}

uint64_t rand_u64(struct rand *rand)
{
    uint64_t high = rand_u32(rand);
    return high << 32 | rand_u32(rand);
}

uint64_t rand_below(struct rand *rand, uint64_t bound)
{
    CHECK(bound > 0);
    /* Values below the threshold would make the low results a little likelier: draw again. */
    uint64_t threshold = (0 - bound) % bound;
    for (;;) {
        uint64_t value = rand_u64(rand);
        if (value >= threshold)
            return value % bound;
    }
}

bool rand_chance(struct rand *rand, uint64_t parts, uint64_t whole)
{
    return rand_below(rand, whole) < parts;
}

uint64_t rand_system_seed(void)
{
    uint64_t seed = 0;
    while (seed == 0) {
        ssize_t size = getrandom(&seed, sizeof seed, 0);
        CHECK(size == sizeof seed || (size < 0 && errno == EINTR));
        if (size != (ssize_t)sizeof seed)
            seed = 0;
    }
    return seed;
}
