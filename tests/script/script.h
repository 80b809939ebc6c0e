/* Scripts of conversations: a command, "----", the full answer. The form is that of etcd-io/raft's
 * data-driven tests: '#' comments, `name arg key=value key=(v,v)`, optional input lines, "----",
 * the expected output up to an empty line (between doubled "----" when it has empty lines). */
#ifndef TESTS_SCRIPT_SCRIPT_H
#define TESTS_SCRIPT_SCRIPT_H

#include "proto/base/bytes.h"

#define SCRIPT_ARGS_MAX 64
#define SCRIPT_VALUES_MAX 64

struct script_arg {
    char *key;
    size_t value_count;
    char *values[SCRIPT_VALUES_MAX];
};

/* Strings are borrowed from the script and live until the next command. */
struct script_command {
    char *name;
    size_t arg_count;
    struct script_arg args[SCRIPT_ARGS_MAX];
    char *input;                /* the lines before "----", each with its newline */
};

/* The nth argument that has no values, as a number; 0 when there is none. */
uint64_t script_id(const struct script_command *command, size_t nth);
/* The value of key=value, or fallback. */
const char *script_value(const struct script_command *command, const char *key,
                         const char *fallback);
bool script_flag(const struct script_command *command, const char *key);

/* Appends the answer to a command; an unknown command is answered with false. */
typedef bool script_function(void *context, const struct script_command *command,
                             struct buf *output);

/* Runs text; out gets the script with each answer replaced by the real one. Returns how many
 * answers differ, log lines (DEBUG INFO WARN ERROR FATAL) left out on both sides. Differences are
 * printed to stderr with the file's name. */
size_t script_run(char *text, const char *name, script_function *function, void *context,
                  struct buf *out);

#endif
