/* usage: fleet-judge HISTORY..              whether the history in these files is linearizable
 *        fleet-judge --about NAME HISTORY.. what was done to names that end in NAME, in the order of asking
 *
 * Prints a count for each kind of operation, then what is wrong. Exit status 0: nothing; 1: a violation, or a
 * search that was given up; 2: the files hold no history. */
#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"
#include "tests/fleet/check.h"

static bool read_file(struct history *history, const char *path, struct err *err)
{
    struct buf text = {0};
    FILE *file = fopen(path, "r");
    size_t got = file ? 1 : 0;
    while (got > 0) {
        buf_reserve(&text, 1 << 16);
        got = fread(text.data + text.size, 1, 1 << 16, file);
        text.size += got;
    }
    bool is_read = file && !ferror(file);
    if (file)
        fclose(file);
    enum err_code code = is_read ? history_read(history, buf_bytes(&text), err)
                                 : err_set(err, ERR_IO, "it cannot be read");
    if (code != ERR_OK)
        fprintf(stderr, "%s: %s\n", path, err->text);
    buf_release(&text);
    return code == ERR_OK;
}

static bool ends_in(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && !strcmp(text + size - end_size, end);
}

static void print_about(const struct history *history, const char *name)
{
    for (size_t i = 0; i < history->count; i++) {
        const struct operation *operation = &history->operations[i];
        struct buf text = {0};
        if (!ends_in(history->paths[operation->path], name) &&
            !(operation->kind == OPERATION_RENAME && ends_in(history->paths[operation->to], name)))
            continue;
        operation_print(history, operation, &text);
        printf("%.*s\n", (int)text.size, (const char *)text.data);
        buf_release(&text);
    }
}

static void print_counts(const struct verdict *verdict)
{
    uint64_t sums[OUTCOME_COUNT] = {0}, all = 0;
    for (int kind = 0; kind < OPERATION_KIND_COUNT; kind++) {
        printf("%s:", operation_kind_name((enum operation_kind)kind));
        for (int outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
            uint64_t count = verdict->counts[kind][outcome];
            printf(" %llu %s", (unsigned long long)count, outcome_name((enum outcome)outcome));
            sums[outcome] += count;
            all += count;
        }
        printf("\n");
    }
    printf("operations: %llu, of them %llu ok, %llu told, %llu none, %llu unknown\n",
           (unsigned long long)all, (unsigned long long)sums[OUTCOME_OK],
           (unsigned long long)sums[OUTCOME_TOLD], (unsigned long long)sums[OUTCOME_NONE],
           (unsigned long long)sums[OUTCOME_UNKNOWN]);
}

static int judge(const struct history *history)
{
    struct verdict verdict;
    check_history(history, &verdict);
    print_counts(&verdict);
    printf("judged: %llu groups of names in %llu states, %llu files of appends\n",
           (unsigned long long)verdict.groups, (unsigned long long)verdict.states,
           (unsigned long long)verdict.appended_files);
    printf("%.*sviolations: %llu, undecided: %llu\n", (int)verdict.text.size,
           verdict.text.size ? (const char *)verdict.text.data : "",
           (unsigned long long)verdict.violations, (unsigned long long)verdict.undecided);
    int status = verdict.violations || verdict.undecided;
    buf_release(&verdict.text);
    return status;
}

int main(int argc, char **argv)
{
    struct history history = {0};
    struct err err;
    int first = argc > 2 && !strcmp(argv[1], "--about") ? 3 : 1;
    if (first >= argc) {
        fputs("usage: fleet-judge [--about NAME] HISTORY..\n", stderr);
        return 2;
    }
    for (int i = first; i < argc; i++)
        if (!read_file(&history, argv[i], &err))
            return 2;
    if (history_finish(&history, &err) != ERR_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    int status = 0;
    if (first == 3)
        print_about(&history, argv[2]);
    else
        status = judge(&history);
    history_release(&history);
    return status;
}
