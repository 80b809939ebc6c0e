#include "tests/script/script.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"

/* --- arguments -------------------------------------------------------------------------------- */

uint64_t script_id(const struct script_command *command, size_t nth)
{
    for (size_t i = 0; i < command->arg_count; i++)
        if (command->args[i].value_count == 0 && nth-- == 0)
            return strtoull(command->args[i].key, NULL, 10);
    return 0;
}

const char *script_value(const struct script_command *command, const char *key,
                         const char *fallback)
{
    for (size_t i = 0; i < command->arg_count; i++)
        if (command->args[i].value_count > 0 && strcmp(command->args[i].key, key) == 0)
            return command->args[i].values[0];
    return fallback;
}

bool script_flag(const struct script_command *command, const char *key)
{
    return strcmp(script_value(command, key, "false"), "true") == 0;
}

static void parse_values(struct script_arg *arg, char *text)
{
    for (char *value = strtok(text, "(), "); value; value = strtok(NULL, "(), ")) {
        CHECK(arg->value_count < SCRIPT_VALUES_MAX);
        arg->values[arg->value_count++] = value;
    }
}

/* Cuts the next word off; blanks within parentheses do not end it. */
static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, " ");
    int depth = 0;
    if (!*word)
        return NULL;
    char *end = word;
    for (; *end && (depth > 0 || *end != ' '); end++)
        depth += (*end == '(') - (*end == ')');
    *rest = *end ? end + 1 : end;
    *end = 0;
    return word;
}

static void parse_command(struct script_command *command, char *line)
{
    command->name = next_word(&line);
    command->arg_count = 0;
    for (char *word = next_word(&line); word; word = next_word(&line)) {
        CHECK(command->arg_count < SCRIPT_ARGS_MAX);
        struct script_arg *arg = &command->args[command->arg_count++];
        *arg = (struct script_arg){.key = word};
    }
    for (size_t i = 0; i < command->arg_count; i++) {
        char *equals = strchr(command->args[i].key, '=');
        if (!equals)
            continue;
        *equals = 0;
        parse_values(&command->args[i], equals + 1);
    }
}

/* --- lines ------------------------------------------------------------------------------------ */

struct reader {
    char *rest;
    size_t line;
};

/* The next line without its newline; NULL at the end. */
static char *next_line(struct reader *reader)
{
    char *line = reader->rest;
    if (!*line)
        return NULL;
    char *end = strchrnul(line, '\n');
    reader->rest = *end ? end + 1 : end;
    *end = 0;
    reader->line++;
    return line;
}

static void append_line(struct buf *buf, const char *line)
{
    buf_append_format(buf, "%s\n", line);
}

static void read_expected(struct reader *reader, struct buf *expected)
{
    char *line = next_line(reader);
    if (line && strcmp(line, "----") == 0) {
        while ((line = next_line(reader)) && strcmp(line, "----") != 0)
            append_line(expected, line);
        next_line(reader);
        return;
    }
    for (; line && *line; line = next_line(reader))
        append_line(expected, line);
}

static bool is_log_line(const char *line, size_t size)
{
    static const char *const levels[] = {"DEBUG", "INFO", "WARN", "ERROR", "FATAL"};
    while (size > 0 && *line == ' ') {
        line++;
        size--;
    }
    for (size_t i = 0; i < ARRAY_COUNT(levels); i++) {
        size_t length = strlen(levels[i]);
        if (size >= length && memcmp(line, levels[i], length) == 0 &&
            (size == length || line[length] == ' '))
            return true;
    }
    return false;
}

/* What is compared: no log lines; nothing at all counts as ok. */
static void normalize(struct bytes from, struct buf *to)
{
    while (from.size > 0) {
        const uint8_t *end = memchr(from.data, '\n', from.size);
        size_t size = end ? (size_t)(end - from.data) : from.size;
        if (!is_log_line((const char *)from.data, size)) {
            buf_append(to, bytes_of(from.data, size));
            buf_append_u8(to, '\n');
        }
        from = bytes_skip(from, size + 1);
    }
    if (to->size == 0)
        append_line(to, "ok");
}

/* --- running ---------------------------------------------------------------------------------- */

static void write_answer(struct buf *out, struct bytes answer)
{
    bool blank = memmem(answer.data, answer.size, "\n\n", 2) != NULL;
    append_line(out, blank ? "----\n----" : "----");
    buf_append(out, answer);
    if (blank)
        append_line(out, "----\n----");
    buf_append_u8(out, '\n');
}

static bool compare(const char *name, size_t line, struct bytes expected, struct bytes actual)
{
    struct buf left = {0}, right = {0};
    normalize(expected, &left);
    normalize(actual, &right);
    bool equal = bytes_equal(buf_bytes(&left), buf_bytes(&right));
    if (!equal)
        fprintf(stderr, "%s:%zu: expected\n%.*s%s:%zu: but was\n%.*s", name, line, (int)left.size,
                (char *)left.data, name, line, (int)right.size, (char *)right.data);
    buf_release(&left);
    buf_release(&right);
    return equal;
}

static void run_command(struct script_command *command, script_function *function, void *context,
                        struct buf *answer)
{
    if (!function(context, command, answer))
        append_line(answer, "unknown command");
    if (answer->size == 0)
        append_line(answer, "ok");
    if (answer->data[answer->size - 1] != '\n')
        buf_append_u8(answer, '\n');
}

size_t script_run(char *text, const char *name, script_function *function, void *context,
                  struct buf *out)
{
    struct reader reader = {.rest = text};
    struct script_command command;
    struct buf input = {0}, expected = {0}, answer = {0};
    size_t different = 0;
    for (char *line = next_line(&reader); line; line = next_line(&reader)) {
        append_line(out, line);
        if (*line == 0 || *line == '#')
            continue;
        size_t number = reader.line;
        parse_command(&command, line);
        buf_clear(&input);
        buf_clear(&expected);
        buf_clear(&answer);
        while ((line = next_line(&reader)) && strcmp(line, "----") != 0)
            append_line(&input, line);
        buf_append(out, buf_bytes(&input));
        buf_append_u8(&input, 0);
        command.input = (char *)input.data;
        read_expected(&reader, &expected);
        run_command(&command, function, context, &answer);
        write_answer(out, buf_bytes(&answer));
        different += !compare(name, number, buf_bytes(&expected), buf_bytes(&answer));
    }
    buf_release(&input);
    buf_release(&expected);
    buf_release(&answer);
    return different;
}
