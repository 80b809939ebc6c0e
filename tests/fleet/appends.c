/* A file that is only appended to and read: the order of its lines in the end is the order of its appends,
 * and how many lines a reader saw says when it looked. So it is enough that
 *   - every acknowledged line is there once, every line was asked for, none is there twice,
 *   - what each reader saw is how the file begins,
 *   - real time is kept: who asked after an answer finds at least what that answer told.
 * That takes the time of sorting, so files may be long. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "tests/fleet/check.h"

struct line {
    struct bytes id;
    uint32_t place;             /* 1 for the first in the file */
    bool was_asked;
};

struct appends {
    const struct history *history;
    struct verdict *verdict;
    const struct operation **operations;        /* in the order of asking */
    size_t count;
    struct line *lines;                         /* by id */
    uint32_t line_count;
    uint64_t *hashes;                           /* of the file's first n lines */
};

static void wrong(struct appends *appends, const struct operation *operation, const char *what)
{
    verdict_wrong(appends->verdict, appends->history, operation, what);
}

static bool tells(const struct operation *operation)
{
    return operation->kind == OPERATION_READ && operation->outcome == OUTCOME_OK &&
           !operation->value.is_torn;
}

/* Whoever saw most saw the file as it ended. */
static const struct operation *longest_read(const struct appends *appends)
{
    const struct operation *best = NULL;
    for (size_t i = 0; i < appends->count; i++) {
        const struct operation *operation = appends->operations[i];
        if (tells(operation) &&
            (!best || operation->value.count > best->value.count ||
             (operation->value.count == best->value.count && !best->listed && operation->listed)))
            best = operation;
    }
    return best;
}

static int by_id(const void *left, const void *right)
{
    const struct line *a = left, *b = right;
    size_t size = a->id.size < b->id.size ? a->id.size : b->id.size;
    int order = size ? memcmp(a->id.data, b->id.data, size) : 0;
    return order ? order : (a->id.size > b->id.size) - (a->id.size < b->id.size);
}

static void list_lines(struct appends *appends, const struct operation *last)
{
    struct value value = {0};
    uint32_t count = last->value.count;
    const char *text = last->listed;
    appends->lines = mem_xzalloc((count + 1) * sizeof *appends->lines);
    appends->hashes = mem_xzalloc((count + 1) * sizeof *appends->hashes);
    for (; *text; text += *text == '+') {
        size_t size = strcspn(text, "+");
        struct line *line = &appends->lines[appends->line_count++];
        line->id = bytes_of(text, size);
        line->place = appends->line_count;
        value_add(&value, line->id);
        appends->hashes[appends->line_count] = value.hash;
        text += size;
    }
    CHECK(appends->line_count == count);
    if (count)
        qsort(appends->lines, count, sizeof *appends->lines, by_id);
    for (uint32_t i = 1; i < count; i++)
        if (by_id(&appends->lines[i - 1], &appends->lines[i]) == 0)
            wrong(appends, last, "a line stands in it twice");
}

static struct line *find_line(const struct appends *appends, const char *id)
{
    struct line wanted = {.id = bytes_of(id, strlen(id))};
    return appends->line_count ? bsearch(&wanted, appends->lines, appends->line_count, sizeof wanted, by_id)
                               : NULL;
}

static void check_line(struct appends *appends, const struct operation *operation)
{
    struct line *line = find_line(appends, operation->id);
    if (line)
        line->was_asked = true;
    if (!line && operation->outcome == OUTCOME_OK)
        wrong(appends, operation, "the append was acknowledged and is lost");
    else if (line && operation->outcome == OUTCOME_NONE)
        wrong(appends, operation, "the append was refused and is there");
}

static void check_read(struct appends *appends, const struct operation *operation)
{
    const struct value *value = &operation->value;
    if (value->is_torn)
        wrong(appends, operation, "what was read is not what anyone wrote");
    else if (value->count > appends->line_count || value->hash != appends->hashes[value->count])
        wrong(appends, operation, "what was read is not how the file begins");
}

/* ---- real time ---- */

/* The number of lines that the file has when this is answered, as its answer tells; 0: it does not. */
static uint32_t told_by(const struct appends *appends, const struct operation *operation)
{
    if (tells(operation))
        return operation->value.count;
    if (operation->kind != OPERATION_APPEND || operation->outcome != OUTCOME_OK)
        return 0;
    const struct line *line = find_line(appends, operation->id);
    return line ? line->place : 0;
}

static int by_answer(const void *left, const void *right)
{
    const struct operation *a = *(const struct operation *const *)left,
                           *b = *(const struct operation *const *)right;
    if (a->answered != b->answered)
        return a->answered < b->answered ? -1 : 1;
    return a->asked < b->asked ? -1 : a->asked > b->asked;
}

static void check_order_of(struct appends *appends, const struct operation *operation, uint32_t seen)
{
    if (tells(operation) && operation->value.count < seen)
        wrong(appends, operation, "a read that goes back: more had been seen before it was asked for");
    if (operation->kind != OPERATION_APPEND)
        return;
    const struct line *line = find_line(appends, operation->id);
    if (line && line->place <= seen)
        wrong(appends, operation, "the line stands before one that was there when it was asked for");
}

static void check_order(struct appends *appends)
{
    size_t next = 0;
    uint32_t seen = 0;          /* the most that was told before the current one was asked */
    const struct operation **answered = mem_xalloc((appends->count + 1) * sizeof *answered);
    memcpy(answered, appends->operations, appends->count * sizeof *answered);
    qsort(answered, appends->count, sizeof *answered, by_answer);
    for (size_t i = 0; i < appends->count; i++) {
        const struct operation *operation = appends->operations[i];
        for (; next < appends->count && answered[next]->answered < operation->asked; next++) {
            uint32_t told = told_by(appends, answered[next]);
            seen = told > seen ? told : seen;
        }
        check_order_of(appends, operation, seen);
    }
    free(answered);
}

static void check_all(struct appends *appends, const struct operation *last)
{
    list_lines(appends, last);
    for (size_t i = 0; i < appends->count; i++) {
        const struct operation *operation = appends->operations[i];
        if (operation->kind == OPERATION_APPEND)
            check_line(appends, operation);
        else if (operation->outcome == OUTCOME_OK)
            check_read(appends, operation);
    }
    for (uint32_t i = 0; i < appends->line_count; i++)
        if (!appends->lines[i].was_asked)
            wrong(appends, last, "a line stands in it that nobody wrote");
    check_order(appends);
}

void check_appends(const struct history *history, const uint32_t *operations, size_t count,
                   struct verdict *verdict)
{
    struct appends appends = {.history = history, .verdict = verdict, .count = count};
    CHECK(count > 0);
    appends.operations = mem_xalloc(count * sizeof *appends.operations);
    for (size_t i = 0; i < count; i++)
        appends.operations[i] = &history->operations[operations[i]];
    const struct operation *last = longest_read(&appends);
    verdict->appended_files++;
    if (!last || !last->listed)
        wrong(&appends, appends.operations[0], "nobody read all lines of this file in the end");
    else
        check_all(&appends, last);
    free(appends.operations);
    free(appends.lines);
    free(appends.hashes);
}
