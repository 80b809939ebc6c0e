/* concordfs compact: forget history. */
#include <getopt.h>
#include <stdio.h>

#include "cluster/cmd.h"
#include "cluster/cmd_print.h"

static const char help[] =
    "usage: concordfs compact [OPTION..] REVISION\n"
    "\n"
    "Forgets what was replaced or deleted before REVISION, on every member. The newest version of each\n"
    "key stays, and so does every revision from REVISION on. There is no way back.\n"
    "\n"
    "  --physical          return when the rows are gone, not when that is decided\n"
    "  --data DIR          the member: its data folder, or a folder of its mount\n"
    "\n"
    "Examples:\n"
    "  concordfs compact 120\n"
    "  concordfs compact --physical \"$(cat ~/cfg/.fs/revision)\"\n"
    "\n"
    "Exit status: 0 done, 1 failed (the revision is in the future, or compacted already), 2 usage.\n";

enum { OPTION_PHYSICAL = 256, OPTION_DATA };

static const struct option options[] = {
    {"physical", no_argument, NULL, OPTION_PHYSICAL},
    {"data", required_argument, NULL, OPTION_DATA},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int compact_run(const char *data, const struct kv_compact *compact)
{
    struct client client = {0};
    struct socket_response response;
    struct err err = {0};
    struct socket_request request = {.kind = SOCKET_COMPACT, .compact = *compact};
    enum err_code code = client_open(&client, data, &err);
    if (code == ERR_OK)
        code = client_call(&client, &request, &response, &err);
    client_close(&client);
    if (code != ERR_OK)
        return cmd_fail("compact", code, &err);
    printf("compacted revision %lld\n", (long long)compact->revision);
    return cmd_finish("compact", CMD_OK);
}

int cmd_compact(int argc, char **argv)
{
    struct kv_compact compact = {0};
    const char *data = NULL;
    long long revision = 0;
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        switch (option) {
        case OPTION_PHYSICAL: compact.physical = true; break;
        case OPTION_DATA: data = optarg; break;
        case 'h': fputs(help, stdout); return cmd_finish("compact", CMD_OK);
        default: return cmd_bad_option("compact", option, argv);
        }
    }
    if (argc - optind != 1)
        return cmd_usage("compact", argc > optind ? "too many arguments" : "REVISION is missing");
    if (cmd_parse_number(argv[optind], 1, INT64_MAX, &revision) != ERR_OK)
        return cmd_usage("compact", "REVISION is no number above 0: \"%s\"", argv[optind]);
    compact.revision = revision;
    return compact_run(data, &compact);
}
