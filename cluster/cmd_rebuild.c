/* concordfs rebuild: the store of a member that is stopped is to be fetched from the others. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/client.h"
#include "cluster/cmd.h"
#include "cluster/datadir.h"
#include "mvcc/home.h"

static const char help[] =
    "usage: concordfs rebuild [--keep] [--data DIR]\n"
    "\n"
    "Gives up the store of a member that does not run, and has its next start fetch another from the\n"
    "member that leads. Its log, its votes and its identity stay: it is the same member, votes at once, and\n"
    "serves when the state is there. For a member that was fenced because its state was not the others', or\n"
    "whose store is damaged. The old store stays on the disk until the new one has taken its place.\n"
    "\n"
    "  --keep              the store was right after all: call it off, and serve it again\n"
    "  --data DIR          the member's data folder\n"
    "\n"
    "A member that is alone has nobody to fetch from: its next start says so, and keeps the store.\n"
    "\n"
    "Examples:\n"
    "  concordfs rebuild --data /var/lib/concordfs && concordfs mount /cfg\n"
    "\n"
    "Exit status: 0 done, 1 failed (it runs), 2 usage, 3 it is no member's data folder.\n";

enum { OPTION_DATA = 256, OPTION_KEEP };

static const struct option options[] = {
    {"data", required_argument, NULL, OPTION_DATA},
    {"keep", no_argument, NULL, OPTION_KEEP},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static enum err_code judge(const struct datadir *folder, enum home_verdict verdict,
                           struct err *err)
{
    struct home *home = NULL;
    if (!folder->has_identity)
        return err_set(err, ERR_NOT_FOUND, "\"%s\" is no member's data folder", folder->path);
    enum err_code code = home_leveldb_new(folder->path, &home, err);
    if (code == ERR_OK)
        code = home_judge(home, verdict, err);
    home_leveldb_free(home);
    return code;
}

static void say_done(const struct datadir *folder, enum home_verdict verdict)
{
    if (verdict == HOME_SOUND)
        printf("\"%s\" keeps its store\n", folder->identity.name);
    else
        printf("the next start of \"%s\" fetches its store from the other members\n",
               folder->identity.name);
}

static int rebuild(const char *place, enum home_verdict verdict)
{
    struct datadir folder = {.lock_fd = -1};
    struct err err = {0};
    char *path = NULL;
    enum err_code code = ERR_OK;
    if (place)
        code = client_find(place, &path, &err);
    else if (!(path = datadir_default()))
        code = err_set(&err, ERR_INVALID, "no home folder; name the data folder with --data");
    if (code == ERR_OK)
        code = datadir_open(&folder, path, &err);
    if (code == ERR_OK)
        code = judge(&folder, verdict, &err);
    if (code == ERR_OK)
        say_done(&folder, verdict);
    datadir_close(&folder);
    free(path);
    return code == ERR_OK ? cmd_finish("rebuild", CMD_OK) : cmd_fail("rebuild", code, &err);
}

int cmd_rebuild(int argc, char **argv)
{
    enum home_verdict verdict = HOME_TO_FETCH;
    const char *data = NULL;
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return cmd_finish("rebuild", CMD_OK);
        }
        if (option == OPTION_KEEP)
            verdict = HOME_SOUND;
        else if (option == OPTION_DATA)
            data = optarg;
        else
            return cmd_bad_option("rebuild", option, argv);
    }
    if (optind < argc)
        return cmd_usage("rebuild", "too many arguments");
    return rebuild(data, verdict);
}
