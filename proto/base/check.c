#include "proto/base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *file, int line, const char *function, const char *fact)
{
    fprintf(stderr, "concordfs: %s:%d: %s: this must hold and does not: %s\n", file, line,
            function, fact);
    fflush(stderr);
    abort();
}
