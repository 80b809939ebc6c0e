#include "tests/fleet/check.h"

#include <stdlib.h>

#include "proto/base/mem.h"

#define STATES_MAX UINT64_C(20000000)   /* of one group's search; 160 MiB at eight bytes each, half full */
#define WRONG_LINES_MAX 20              /* that are told; the others are counted */

void verdict_wrong(struct verdict *verdict, const struct history *history,
                   const struct operation *operation, const char *what)
{
    verdict->violations++;
    if (verdict->violations > WRONG_LINES_MAX)
        return;
    buf_append_format(&verdict->text, "%s: ", what);
    if (operation)
        operation_print(history, operation, &verdict->text);
    buf_append_u8(&verdict->text, '\n');
}

/* ---- which names belong together ---- */

static uint32_t root_of(uint32_t *parents, uint32_t path)
{
    while (parents[path] != path)
        path = parents[path] = parents[parents[path]];
    return path;
}

static uint32_t *join_names(const struct history *history)
{
    uint32_t *parents = mem_xalloc((history->path_count + 1) * sizeof *parents);
    for (uint32_t i = 0; i < history->path_count; i++)
        parents[i] = i;
    for (size_t i = 0; i < history->count; i++) {
        const struct operation *operation = &history->operations[i];
        if (operation->kind == OPERATION_RENAME)
            parents[root_of(parents, operation->path)] = root_of(parents, operation->to);
    }
    return parents;
}

struct group {
    uint32_t *operations;
    size_t count, capacity;
    bool is_changed;            /* by more than appends */
    uint32_t names;
};

static void group_add(struct group *group, uint32_t number, const struct operation *operation)
{
    if (group->count == group->capacity) {
        group->capacity = group->capacity ? 2 * group->capacity : 64;
        group->operations = mem_xrealloc(group->operations, group->capacity * sizeof *group->operations);
    }
    group->operations[group->count++] = number;
    group->is_changed |= operation->kind != OPERATION_APPEND && operation->kind != OPERATION_READ;
}

/* ---- the whole ---- */

static void check_alone(const struct history *history, const struct operation *operation,
                        struct verdict *verdict)
{
    bool may_tell = operation->kind == OPERATION_RENAME || operation->kind == OPERATION_CREATE;
    verdict->counts[operation->kind][operation->outcome]++;
    if (operation->outcome == OUTCOME_TOLD && !may_tell)
        verdict_wrong(verdict, history, operation, "the folder is there, and was not seen");
    if (operation->value.is_torn)
        verdict_wrong(verdict, history, operation, "what was read is not what anyone wrote");
}

void check_history(const struct history *history, struct verdict *ret)
{
    uint32_t *roots = join_names(history);
    struct group *groups = mem_xzalloc((history->path_count + 1) * sizeof *groups);
    *ret = (struct verdict){0};
    for (uint32_t i = 0; i < history->count; i++) {
        const struct operation *operation = &history->operations[i];
        check_alone(history, operation, ret);
        group_add(&groups[root_of(roots, operation->path)], i, operation);
    }
    for (uint32_t i = 0; i < history->path_count; i++)
        groups[root_of(roots, i)].names++;
    for (size_t i = 0; i < history->path_count; i++) {
        struct group *group = &groups[i];
        if (group->names > GROUP_NAMES_MAX)
            verdict_wrong(ret, history, NULL, "renames join more names than this judge can take");
        else if (group->count && group->is_changed)
            check_search(history, group->operations, group->count, STATES_MAX, ret);
        else if (group->count)
            check_appends(history, group->operations, group->count, ret);
        free(group->operations);
    }
    free(groups);
    free(roots);
}
