/* What the commands share: failing with a sentence, numbers, the table. */
#include "cluster/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/kv.h"

int cmd_fail(const char *command, enum err_code code, const struct err *err)
{
    const char *text = err && err->text[0] ? err->text : err_text(code);
    const char *note = err_kind(code) == ERR_KIND_UNKNOWN ? " (it may have happened)" : "";
    fflush(stdout);
    fprintf(stderr, "concordfs %s: %s%s\n", command, text, note);
    return code == ERR_NOT_FOUND ? CMD_NOT_FOUND : CMD_FAILED;
}

int cmd_usage(const char *command, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "concordfs %s: ", command);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "; \"concordfs %s --help\" tells more\n", command);
    return CMD_USAGE;
}

int cmd_bad_option(const char *command, int option, char **argv)
{
    const char *word = argv[optind - 1];
    if (option == ':')
        return cmd_usage(command, "option needs a value: \"%s\"", word);
    return cmd_usage(command, "unknown option: \"%s\"", word);
}

int cmd_parse_keys(const char *command, struct cmd_keys keys, int count, char **words,
                   struct bytes *ret_key, struct buf *ret_end)
{
    if (count < 1 || count > 2)
        return cmd_usage(command, count ? "too many arguments" : "KEY is missing");
    if (keys.is_prefix + keys.is_from_key + (count == 2) > 1)
        return cmd_usage(command, "only one of END, --prefix and --from-key");
    *ret_key = bytes_of_text(words[0]);
    bool is_all = ret_key->size == 0 && (keys.is_prefix || keys.is_from_key);
    if (count == 2)
        buf_append(ret_end, bytes_of_text(words[1]));
    else if (is_all || keys.is_from_key)
        buf_append_u8(ret_end, 0);
    else if (keys.is_prefix)
        kv_prefix_end(ret_end, *ret_key);
    if (is_all)
        *ret_key = bytes_of("", 1);
    return CMD_OK;
}

enum err_code cmd_parse_number(const char *text, long long minimum, long long maximum,
                               long long *ret_number)
{
    if (!*text || text[strspn(text, "0123456789")])
        return ERR_INVALID;
    errno = 0;
    long long number = strtoll(text, NULL, 10);
    if (errno || number < minimum || number > maximum)
        return ERR_INVALID;
    *ret_number = number;
    return ERR_OK;
}

int cmd_finish(const char *command, int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "concordfs %s: cannot write the answer: %s\n", command, strerror(errno));
    return CMD_FAILED;
}

int cmd_run(const struct command *table, int argc, char **argv)
{
    for (const struct command *row = table; row->name; row++)
        if (!strcmp(row->name, argv[0]))
            return row->run(argc, argv);
    fprintf(stderr, "concordfs: unknown command: \"%s\"; \"concordfs --help\" lists them all\n",
            argv[0]);
    return CMD_USAGE;
}

void cmd_list(const struct command *table)
{
    for (const struct command *row = table; row->name; row++) {
        int width = printf("  %s %s", row->name, row->arguments);
        printf("%*s%s\n", width < 30 ? 30 - width : 1, "", row->help);
    }
}
