/* concordfs status, stop: how a member is, and its end. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/socket.h>

#include "cluster/cmd.h"
#include "cluster/cmd_print.h"

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
    "Stops a member, and with it its mount, and returns when it has let go of its clients. What is\n"
    "saved stays saved. Only root and the member's own user may do this.\n"
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

/* A member that stops closes its connections. */
static enum err_code wait_for_end(const struct client *client, struct err *err)
{
    char byte;
    ssize_t got;
    do
        got = recv(client->fd, &byte, 1, 0);
    while (got > 0 || (got < 0 && errno == EINTR));
    if (got < 0 && errno != ECONNRESET)
        return err_set_errno(err, errno, "the member does not end");
    return ERR_OK;
}

static int ask(const char *command, const char *place, enum socket_kind kind)
{
    struct client client = {0};
    struct socket_response response;
    struct err err = {0};
    struct socket_request request = {.kind = kind};
    enum err_code code = client_open(&client, place, &err);
    if (code == ERR_OK)
        code = client_call(&client, &request, &response, &err);
    if (code == ERR_OK && kind == SOCKET_STATUS)
        print_bytes(response.status);
    if (code == ERR_OK && kind == SOCKET_STOP)
        code = wait_for_end(&client, &err);
    client_close(&client);
    return code == ERR_OK ? cmd_finish(command, CMD_OK) : cmd_fail(command, code, &err);
}

int cmd_status(int argc, char **argv)
{
    const char *place = NULL;
    bool is_done;
    int status = parse_place("status", status_help, argc, argv, &place, &is_done);
    return is_done ? status : ask("status", place, SOCKET_STATUS);
}

int cmd_stop(int argc, char **argv)
{
    const char *place = NULL;
    bool is_done;
    int status = parse_place("stop", stop_help, argc, argv, &place, &is_done);
    return is_done ? status : ask("stop", place, SOCKET_STOP);
}
