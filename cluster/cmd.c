/* What the commands share: failing with a sentence, numbers, the table. */
#include "cluster/cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
