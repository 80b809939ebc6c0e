/* concordfs wal: the log as text. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cluster/client.h"
#include "cluster/cmd.h"
#include "cluster/datadir.h"
#include "proto/base/mem.h"
#include "wal/dump.h"

static const char help[] =
    "usage: concordfs wal dump [DIR]\n"
    "\n"
    "Prints the records of a member's log, one a line: where they stand, type, term, index, size, and\n"
    "whether their checksums hold; never what they contain. Works on damaged logs as far as it can, and\n"
    "on a log in use (whose end may then look torn).\n"
    "\n"
    "  DIR                 the data folder, a folder of its mount, or the log's own folder; without it\n"
    "                      the default data folder\n"
    "\n"
    "Examples:\n"
    "  concordfs wal dump /var/lib/concordfs | tail\n"
    "\n"
    "Exit status: 0 all of it is whole, 1 damaged or unreadable, 2 usage, 3 no log there.\n";

static const struct option options[] = {
    {"help", no_argument, NULL, 'h'},
    {0},
};

static void print_record(void *context, const char *line)
{
    (void)context;
    puts(line);
}

/* A data folder keeps its log in "wal". */
static char *log_folder(const char *folder)
{
    struct stat stat_result;
    char *inner = mem_xformat("%s/wal", folder);
    if (stat(inner, &stat_result) == 0 && S_ISDIR(stat_result.st_mode))
        return inner;
    free(inner);
    return mem_xstrdup(folder);
}

static enum err_code find_folder(const char *place, char **ret_folder, struct err *err)
{
    if (place)
        return client_find(place, ret_folder, err);
    *ret_folder = datadir_default();
    return *ret_folder ? ERR_OK : err_set(err, ERR_INVALID, "no home folder; name the data folder");
}

static int dump(const char *place)
{
    char *folder = NULL, *log = NULL;
    struct err err = {0};
    enum err_code code = find_folder(place, &folder, &err);
    if (code == ERR_OK) {
        log = log_folder(folder);
        code = wal_dump(log, print_record, NULL, &err);
    }
    free(log);
    free(folder);
    return code == ERR_OK ? cmd_finish("wal", CMD_OK) : cmd_fail("wal", code, &err);
}

int cmd_wal(int argc, char **argv)
{
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (option != 'h')
            return cmd_bad_option("wal", option, argv);
        fputs(help, stdout);
        return cmd_finish("wal", CMD_OK);
    }
    if (argc - optind < 1 || strcmp(argv[optind], "dump"))
        return cmd_usage("wal", "\"dump\" is missing");
    if (argc - optind > 2)
        return cmd_usage("wal", "too many arguments");
    return dump(argc - optind == 2 ? argv[optind + 1] : NULL);
}
