/* One table of commands, one program. Called as mount.concordfs it is the helper of mount(8). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/cmd.h"
#include "fs/cmd_mount.h"
#include "proto/base/check.h"

static const struct command commands[] = {
    {"mount", "[-f] [-o OPTION,...] [--data DATA] DIR", "mount the cluster's files", cmd_mount},
    {"umount", "[-l] DIR", "unmount them, and stop the member", cmd_umount},
#define ROW(name, function, arguments, help) {name, arguments, help, function},
    CLUSTER_COMMANDS(ROW)
#undef ROW
    {NULL, NULL, NULL, NULL},
};

static int print_help(void)
{
    printf("usage: concordfs COMMAND [ARGUMENTS]\n\n"
           "One directory that every host agrees on, and that forgets nothing until told to.\n\n");
    cmd_list(commands);
    printf("\n\"concordfs COMMAND --help\" tells more of one; the manual is concordfs(8).\n");
    return cmd_finish("help", CMD_OK);
}

/* mount.concordfs SOURCE DIR [-sfnv] [-o OPTIONS]: the source says nothing here. */
static int run_mount_helper(int argc, char **argv)
{
    char name[] = "mount", option[] = "-o", end[] = "--";
    char *words[6] = {name};
    int count = 1;
    for (int i = 3; i + 1 < argc; i++)
        if (strcmp(argv[i], "-o") == 0) {
            words[count++] = option;
            words[count++] = argv[i + 1];
            break;
        }
    if (argc < 3)
        return cmd_usage("mount", "SOURCE and DIR are needed");
    words[count++] = end;
    words[count++] = argv[2];
    return cmd_mount(count, words);
}

int main(int argc, char **argv)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    if (argc > 0 && strcmp(slash ? slash + 1 : argv[0], "mount.concordfs") == 0)
        return run_mount_helper(argc, argv);
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
        return argc < 2 ? (print_help(), CMD_USAGE) : print_help();
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version")) {
        printf("concordfs %s\n", PACKAGE_VERSION);
        return cmd_finish("version", CMD_OK);
    }
    return cmd_run(commands, argc - 1, argv + 1);
}
