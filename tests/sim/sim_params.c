#include "tests/sim/sim_params.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/rand.h"

static const struct {
    const char *name;
    int64_t low, high;
    const char *text;
} table[SIM_PARAM_COUNT] = {
#define X(name, low, high, text) {#name, low, high, text},
    SIM_PARAMS(X)
#undef X
};

/* Small values are as likely as large ones: the square of an even draw. */
static int64_t draw(struct rand *rand, int64_t low, int64_t high)
{
    uint64_t part = rand_below(rand, 1001);
    if (low == 0 && rand_below(rand, 4) == 0)
        return 0;
    return low + (int64_t)((uint64_t)(high - low) * part / 1000 * part / 1000);
}

void sim_params_draw(struct sim_params *params, uint64_t seed)
{
    struct rand rand;
    rand_init(&rand, seed);
    params->seed = seed;
    for (int i = 0; i < SIM_PARAM_COUNT; i++)
        params->value[i] = draw(&rand, table[i].low, table[i].high);
    /* Three and five are what people run. */
    if (rand_below(&rand, 2) == 0)
        params->value[SIM_members] = 3 + 2 * (int64_t)rand_below(&rand, 2);
}

bool sim_params_set(struct sim_params *params, const char *text)
{
    const char *equals = strchr(text, '=');
    char *end = NULL;
    if (!equals)
        return false;
    long long value = strtoll(equals + 1, &end, 10);
    for (int i = 0; i < SIM_PARAM_COUNT; i++)
        if (strlen(table[i].name) == (size_t)(equals - text) &&
            strncmp(table[i].name, text, (size_t)(equals - text)) == 0 && *end == 0 &&
            end != equals + 1 && value >= 0) {
            params->value[i] = value;
            return true;
        }
    return false;
}

const char *sim_param_name(enum sim_param param) { return table[param].name; }
int64_t sim_param_low(enum sim_param param) { return table[param].low; }

void sim_params_print(const struct sim_params *params, FILE *to)
{
    for (int i = 0; i < SIM_PARAM_COUNT; i++)
        fprintf(to, "  %-16s %8" PRId64 "  %s\n", table[i].name, params->value[i], table[i].text);
}
