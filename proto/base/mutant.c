#include "proto/base/mutant.h"

#ifdef CONCORD_VERIFY
#include <string.h>

#include "proto/base/check.h"

enum mutant mutant_on;

static const struct {
    const char *name, *text;
} table[MUTANT_END] = {
#define X(name, text) [MUTANT_##name] = {#name, text},
    MUTANTS(X)
#undef X
};

void mutant_select(enum mutant mutant)
{
    CHECK(mutant < MUTANT_END);
    mutant_on = mutant;
}

enum mutant mutant_find(const char *name)
{
    for (enum mutant mutant = MUTANT_NONE + 1; mutant < MUTANT_END; mutant++)
        if (strcmp(table[mutant].name, name) == 0)
            return mutant;
    return MUTANT_NONE;
}

const char *mutant_name(enum mutant mutant)
{
    CHECK(mutant > MUTANT_NONE && mutant < MUTANT_END);
    return table[mutant].name;
}

const char *mutant_text(enum mutant mutant)
{
    CHECK(mutant > MUTANT_NONE && mutant < MUTANT_END);
    return table[mutant].text;
}
#endif
