#include "tests/fleet/history.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/hash.h"
#include "proto/base/mem.h"

#define WORDS_MAX 6

static const char *const kind_names[OPERATION_KIND_COUNT] = {
    "create", "fill", "save", "append", "rename", "read",
};
static const char *const outcome_names[OUTCOME_COUNT] = {"ok", "told", "none", "unknown"};

const char *operation_kind_name(enum operation_kind kind) { return kind_names[kind]; }
const char *outcome_name(enum outcome outcome) { return outcome_names[outcome]; }

void value_add(struct value *value, struct bytes id)
{
    value->is_there = true;
    value->count++;
    value->hash = hash_u64(value->hash + hash_bytes(value->count, id));
}

void history_release(struct history *history)
{
    for (size_t i = 0; i < history->path_count; i++)
        free(history->paths[i]);
    for (size_t i = 0; i < history->text_count; i++)
        free(history->texts[i]);
    free(history->operations);
    free(history->paths);
    free(history->texts);
    *history = (struct history){0};
}

/* ---- values ---- */

static bool parse_listed(const char *text, struct value *ret)
{
    while (*text) {
        size_t size = strcspn(text, "+");
        if (size == 0)
            return false;
        value_add(ret, bytes_of(text, size));
        text += size + (text[size] == '+');
    }
    return true;
}

static bool parse_counted(const char *text, struct value *ret)
{
    char *end;
    unsigned long count = strtoul(text + 1, &end, 10);
    ret->is_there = true;
    ret->count = (uint32_t)count;
    if (end == text + 1 || *end != ':' || count > UINT32_MAX)
        return false;
    ret->hash = strtoull(end + 1, &end, 16);
    return *end == 0;
}

static bool parse_value(char *text, struct operation *operation)
{
    struct value *value = &operation->value;
    if (!strncmp(text, "torn:", 5)) {
        value->is_there = value->is_torn = true;
        return true;
    }
    if (*text == '*')
        return parse_counted(text, value);
    operation->listed = "";
    if (!strcmp(text, "-"))
        return true;
    value->is_there = true;
    if (!strcmp(text, "."))
        return true;
    operation->listed = text;
    return parse_listed(text, value);
}

/* ---- lines ---- */

struct reader {
    struct history *history;
    size_t first;                       /* operation of this text */
};

static uint32_t path_number(struct history *history, const char *path)
{
    for (size_t i = history->path_count; i-- > 0;)     /* most are about the newest ones */
        if (!strcmp(history->paths[i], path))
            return (uint32_t)i;
    if (history->path_count == history->path_capacity) {
        history->path_capacity = history->path_capacity ? 2 * history->path_capacity : 64;
        history->paths = mem_xrealloc(history->paths, history->path_capacity * sizeof *history->paths);
    }
    history->paths[history->path_count] = mem_xstrdup(path);
    return (uint32_t)history->path_count++;
}

static bool parse_time(const char *word, int64_t *ret)
{
    char *end;
    *ret = strtoll(word, &end, 10);
    return *word && !*end && *ret >= 0;
}

static bool parse_question(struct reader *reader, char *words[], size_t count)
{
    struct history *history = reader->history;
    struct operation operation = {.client = words[0], .outcome = OUTCOME_UNKNOWN, .answered = TIME_NEVER};
    size_t kind = 0;
    if (count < 5 || !parse_time(words[2], &operation.asked))
        return false;
    while (kind < OPERATION_KIND_COUNT && strcmp(kind_names[kind], words[3]))
        kind++;
    bool is_short = kind == OPERATION_CREATE || kind == OPERATION_READ;
    if (kind == OPERATION_KIND_COUNT || count != (is_short ? 5 : 6))
        return false;
    operation.kind = (enum operation_kind)kind;
    operation.path = path_number(history, words[4]);
    if (kind == OPERATION_RENAME)
        operation.to = path_number(history, words[5]);
    else if (!is_short)
        operation.id = words[5];
    if (history->count == history->capacity) {
        history->capacity = history->capacity ? 2 * history->capacity : 1024;
        history->operations =
            mem_xrealloc(history->operations, history->capacity * sizeof *history->operations);
    }
    history->operations[history->count++] = operation;
    return true;
}

static struct operation *last_of_client(struct reader *reader, const char *client)
{
    struct history *history = reader->history;
    for (size_t i = history->count; i-- > reader->first;)
        if (!strcmp(history->operations[i].client, client))
            return &history->operations[i];
    return NULL;
}

static bool parse_outcome(char *words[], size_t count, struct operation *operation)
{
    char *word = words[3];
    if (!strcmp(word, "ok")) {
        operation->outcome = OUTCOME_OK;
        return operation->kind == OPERATION_READ ? count == 5 && parse_value(words[4], operation)
                                                 : count == 4;
    }
    operation->error = word;
    if (!strcmp(word, "EEXIST") || !strcmp(word, "ENOENT"))
        operation->outcome = OUTCOME_TOLD;
    else if (!strncmp(word, "none:", 5))
        operation->outcome = OUTCOME_NONE;
    else if (strncmp(word, "unknown:", 8) != 0)
        return false;
    return count == 4;
}

static bool parse_answer(struct reader *reader, char *words[], size_t count)
{
    struct operation *operation = last_of_client(reader, words[0]);
    int64_t time;
    if (count < 4 || !operation || operation->answered != TIME_NEVER || operation->error ||
        !parse_time(words[2], &time) || time < operation->asked || !parse_outcome(words, count, operation))
        return false;
    if (operation->outcome != OUTCOME_UNKNOWN)
        operation->answered = time;
    return true;
}

static bool parse_line(struct reader *reader, char *line)
{
    char *words[WORDS_MAX], *rest = line;
    size_t count = 0;
    for (char *word; (word = strsep(&rest, " "));) {
        if (count == WORDS_MAX || !*word)
            return false;
        words[count++] = word;
    }
    if (count < 2)
        return false;
    if (!strcmp(words[1], "?"))
        return parse_question(reader, words, count);
    return !strcmp(words[1], "!") && parse_answer(reader, words, count);
}

enum err_code history_read(struct history *history, struct bytes text, struct err *err)
{
    struct reader reader = {.history = history, .first = history->count};
    char *copy = mem_xalloc(text.size + 1), *rest = copy;
    if (text.size)
        memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    history->texts = mem_xrealloc(history->texts, (history->text_count + 1) * sizeof *history->texts);
    history->texts[history->text_count++] = copy;
    /* A line that was cut off was its client's last, and of something that nobody answered. */
    for (size_t number = 1; rest && strchr(rest, '\n'); number++) {
        char *line = strsep(&rest, "\n");
        char *said = mem_xstrdup(line);
        bool is_good = !*line || parse_line(&reader, line);
        if (!is_good)
            err_set(err, ERR_INVALID, "line %zu is not of a history: \"%.100s\"", number, said);
        free(said);
        if (!is_good)
            return ERR_INVALID;
    }
    return ERR_OK;
}

/* ---- the whole ---- */

static int by_asking(const void *left, const void *right)
{
    const struct operation *a = left, *b = right;
    if (a->asked != b->asked)
        return a->asked < b->asked ? -1 : 1;
    return a->answered < b->answered ? -1 : a->answered > b->answered;
}

/* The last thing that this client asked before it. */
static uint32_t find_create(const struct history *history, uint32_t fill)
{
    const struct operation *wanted = &history->operations[fill];
    for (uint32_t i = fill; i-- > 0;) {
        const struct operation *operation = &history->operations[i];
        if (strcmp(operation->client, wanted->client))
            continue;
        return operation->kind == OPERATION_CREATE && operation->path == wanted->path &&
                       operation->outcome == OUTCOME_OK
                   ? i
                   : fill;
    }
    return fill;
}

enum err_code history_finish(struct history *history, struct err *err)
{
    if (history->count)
        qsort(history->operations, history->count, sizeof *history->operations, by_asking);
    for (uint32_t i = 0; i < history->count; i++) {
        struct operation *operation = &history->operations[i];
        if (operation->kind != OPERATION_FILL)
            continue;
        operation->create = find_create(history, i);
        if (operation->create == i)
            return err_set(err, ERR_INVALID, "a fill of \"%s\" by %s has no create before it",
                           history->paths[operation->path], operation->client);
    }
    return ERR_OK;
}

void operation_print(const struct history *history, const struct operation *operation, struct buf *ret)
{
    buf_append_format(ret, "%s %s %s", operation->client, kind_names[operation->kind],
                      history->paths[operation->path]);
    if (operation->kind == OPERATION_RENAME)
        buf_append_format(ret, " to %s", history->paths[operation->to]);
    if (operation->id)
        buf_append_format(ret, " %s", operation->id);
    buf_append_format(ret, ", asked %lld", (long long)operation->asked);
    if (operation->outcome == OUTCOME_UNKNOWN)
        buf_append_format(ret, ", of unknown outcome");
    else
        buf_append_format(ret, ", answered %lld: %s", (long long)operation->answered,
                          operation->error ? operation->error : "ok");
    if (operation->kind == OPERATION_READ && operation->outcome == OUTCOME_OK)
        buf_append_format(ret, ", %u lines%s%.300s", operation->value.count,
                          operation->listed ? ": " : "", operation->listed ? operation->listed : "");
    if (operation->kind == OPERATION_READ && !operation->value.is_there &&
        operation->outcome == OUTCOME_OK)
        buf_append_format(ret, ", no file");
}
