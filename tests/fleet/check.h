/* Whether a history (history.h) is linearizable: whether each operation can be thought of as happening at
 * one moment between its question and its answer, so that everyone saw what the moments before had made
 * (Herlihy and Wing, "Linearizability", 1990).
 *
 * Files that are only appended to and read are judged by the order that their lines have in the end
 * (appends.c), all others by a search for such moments (search.c), names that renames join together.
 *
 * What a file is to the model (design 2 to 4; the name is what readers see, the file is what a handle has):
 *   - create makes an empty file where there is none; its fill gives that very file its line.
 *   - save gives the file its line alone, or makes one; append adds its line, or makes one with it. Each
 *     is one change, made between open and the end of close.
 *   - rename puts the file at another name, over what stood there.
 *   - A save, append or fill whose file went away from its name after it was opened may change nothing, and
 *     still be acknowledged: it wrote into a file without a name.
 *   - A save that took EMPTIED_AFTER_NS or longer, or failed, may have emptied the file first: after five
 *     seconds without a write an open with O_TRUNC is taken for all there is.
 *   - What is of unknown outcome happens at any moment after its question, or never.
 *
 * Not judged: which of its names a file lost when two hosts renamed it at once, attributes, listings. */
#ifndef TESTS_FLEET_CHECK_H
#define TESTS_FLEET_CHECK_H

#include "tests/fleet/history.h"

#define GROUP_NAMES_MAX 8               /* that renames may join */
#define EMPTIED_AFTER_NS INT64_C(4500000000)

struct verdict {
    uint64_t counts[OPERATION_KIND_COUNT][OUTCOME_COUNT];
    uint64_t appended_files, groups;    /* files judged by appends.c, groups of names by search.c */
    uint64_t states;                    /* that the search went through */
    uint64_t violations;
    uint64_t undecided;                 /* groups whose search was given up; neither good nor bad */
    struct buf text;                    /* what is wrong, lines for people */
};

/* history is finished. Release verdict->text. */
void check_history(const struct history *history, struct verdict *ret);

/* Pieces of it, of operations by number. */
void check_appends(const struct history *history, const uint32_t *operations, size_t count,
                   struct verdict *verdict);
void check_search(const struct history *history, const uint32_t *operations, size_t count,
                  uint64_t states_max, struct verdict *verdict);

/* Adds a line about an operation (NULL: none) to what is wrong, and counts it. */
void verdict_wrong(struct verdict *verdict, const struct history *history,
                   const struct operation *operation, const char *what);

#endif
