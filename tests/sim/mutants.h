/* Each planted bug (proto/base/mutant.h) is switched on in runs of fresh seeds until a checker notices: the
 * checkers and the runs are those of every day, and know nothing of the switch, which stands in the child
 * process alone.
 *
 * A run that fails counts as a catch when what it broke is safety (or a CHECK of the program), and when the
 * same seed without the bug passes.
 */
#ifndef TESTS_SIM_MUTANTS_H
#define TESTS_SIM_MUTANTS_H

#include <stddef.h>
#include <stdint.h>

struct mutants_options {
    char *const *names;         /* count of them; none: all */
    size_t count;
    uint64_t from;              /* the first seed; each mutant goes on with the next */
    int64_t seconds;            /* for each, at most */
    size_t jobs;                /* processes at a time */
    const char *folder;         /* of LevelDB, as run_here; NULL: in memory */
};

/* Prints a line for each, and how long they took. Exit status: 1 when one was not caught, 2 when there is
 * none of a name, or this is no debug build. */
int mutants_run(const struct mutants_options *options);

#endif
