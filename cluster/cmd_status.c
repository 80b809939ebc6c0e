/* concordfs status, stop: how a member is, and its end. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "cluster/cmd.h"
#include "cluster/cmd_print.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"

#define STOP_POLL_MS 10

static const char status_help[] =
    "usage: concordfs status [DIR]\n"
    "\n"
    "Prints how a member is, one fact a line: data folder, leader, quorum, revision, keys, quota, lag,\n"
    "flushes, members, last error. The same as DIR/.fs/status of a mount.\n"
    "\n"
    "  DIR, --data DIR     the member: its data folder, or a folder of its mount; the mount of the\n"
    "                      working directory, the default data folder or the only mount without it\n"
    "\n"
    "Examples:\n"
    "  concordfs status\n"
    "  concordfs status ~/cfg | grep ^revision:\n"
    "\n"
    "Exit status: 0 it answered, 1 it does not run or did not answer, 2 usage.\n";

static const char stop_help[] =
    "usage: concordfs stop [DIR]\n"
    "\n"
    "Stops a member, and with it its mount, and returns when it has ended. What is saved stays\n"
    "saved. Only root and the member's own user may do this.\n"
    "\n"
    "  DIR, --data DIR     the member: its data folder, or a folder of its mount\n"
    "\n"
    "Examples:\n"
    "  concordfs stop ~/cfg\n"
    "  concordfs stop --data /var/lib/concordfs\n"
    "\n"
    "Exit status: 0 stopped, 1 failed or not running, 2 usage.\n";

enum { OPTION_DATA = 256 };

static const struct option options[] = {
    {"data", required_argument, NULL, OPTION_DATA},
    {"help", no_argument, NULL, 'h'},
    {0},
};

/* The one argument both commands have. *ret_done: nothing is left to do but return the status. */
static int parse_place(const char *command, const char *help, int argc, char **argv,
                       const char **ret_place, bool *ret_done)
{
    int option;
    *ret_done = true;
    optind = 0;
    while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        switch (option) {
        case OPTION_DATA: *ret_place = optarg; break;
        case 'h': fputs(help, stdout); return cmd_finish(command, CMD_OK);
        default: return cmd_bad_option(command, option, argv);
        }
    }
    if (argc - optind > 1 || (argc - optind == 1 && *ret_place))
        return cmd_usage(command, "too many arguments");
    if (optind < argc)
        *ret_place = argv[optind];
    *ret_done = false;
    return CMD_OK;
}

static int ask_status(const char *place)
{
    struct client client = {0};
    struct socket_response response;
    struct err err = {0};
    struct socket_request request = {.kind = SOCKET_STATUS};
    enum err_code code = client_open(&client, place, &err);
    if (code == ERR_OK)
        code = client_call(&client, &request, &response, &err);
    if (code == ERR_OK)
        print_bytes(response.status);
    client_close(&client);
    return code == ERR_OK ? cmd_finish("status", CMD_OK) : cmd_fail("status", code, &err);
}

/* ---- stop ---- */

static enum err_code ask_stop(const char *folder, struct err *err)
{
    struct client client = {0};
    struct socket_response response;
    struct socket_request request = {.kind = SOCKET_STOP};
    enum err_code code = client_open(&client, folder, err);
    if (code == ERR_OK)
        code = client_call(&client, &request, &response, err);
    client_close(&client);
    return code;
}

/* A member holds its folder's lock until it has sealed its log and let go of everything. */
static enum err_code wait_for_lock(const char *folder, struct err *err)
{
    char *path = mem_xformat("%s/lock", folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC), left_ms = SOCKET_ANSWER_MAX_S * 1000;
    free(path);
    if (fd < 0)
        return errno == ENOENT ? ERR_OK : err_set_errno(err, errno, "cannot open the lock");
    while (flock(fd, LOCK_SH | LOCK_NB) != 0 && left_ms > 0) {
        poll(NULL, 0, STOP_POLL_MS);
        left_ms -= STOP_POLL_MS;
    }
    close(fd);
    return left_ms > 0 ? ERR_OK
                       : err_set(err, ERR_TIMEOUT, "the member still runs after %d s",
                                 SOCKET_ANSWER_MAX_S);
}

static int stop(const char *place)
{
    char *folder = NULL;
    struct err err = {0};
    enum err_code code = client_find(place, &folder, &err);
    if (code == ERR_OK)
        code = ask_stop(folder, &err);
    if (code == ERR_OK)
        code = wait_for_lock(folder, &err);
    free(folder);
    return code == ERR_OK ? cmd_finish("stop", CMD_OK) : cmd_fail("stop", code, &err);
}

int cmd_status(int argc, char **argv)
{
    const char *place = NULL;
    bool is_done;
    int status = parse_place("status", status_help, argc, argv, &place, &is_done);
    return is_done ? status : ask_status(place);
}

int cmd_stop(int argc, char **argv)
{
    const char *place = NULL;
    bool is_done;
    int status = parse_place("stop", stop_help, argc, argv, &place, &is_done);
    return is_done ? status : stop(place);
}
