/* A command that becomes a daemon: mount and serve. In the background the parent waits on a pipe until the
 * child serves, so that its exit status tells; what the child says then goes to DATA/log.
 *
 * The fork comes before anything of a member is opened, because LevelDB's thread would stay behind.
 */
#ifndef CLUSTER_DAEMON_H
#define CLUSTER_DAEMON_H

#include <stdbool.h>

#include "cluster/cmd.h"
#include "cluster/start.h"

struct daemon {
    const char *command;        /* "mount" */
    const char *data_path;      /* borrowed */
    bool foreground;
    int ready_fd;               /* the parent waits on its other end; -1: nobody does */
};

/* Calls run(context) here, or in a child in the background. Returns the exit status: run's, or what the
 * child told. The folder of data_path exists. */
int daemon_run(struct daemon *daemon, int (*run)(void *context), void *context);

/* A line for the operator: on standard error, or with the time in DATA/log. */
void daemon_say(const struct daemon *daemon, const char *line);
/* How far it is: on the terminal of whoever waits. */
void daemon_progress(const struct daemon *daemon, const char *line);
/* It serves (CMD_OK), or ends with that status and sentence: the parent goes. Once; later calls are passed
 * over. */
void daemon_tell(struct daemon *daemon, int status, const char *sentence);

/* ---- what their command lines share ---- */

/* Takes --name, --listen, --advertise, --cluster, --join, --learner. False: another option. */
enum daemon_option {
    DAEMON_NAME = 300,
    DAEMON_LISTEN,
    DAEMON_ADVERTISE,
    DAEMON_CLUSTER,
    DAEMON_JOIN,
    DAEMON_LEARNER
};
bool daemon_take_option(int option, const char *value, struct start_options *ret);
/* For tables of getopt_long. */
#define DAEMON_LONG_OPTIONS                                                                        \
    {"name", required_argument, NULL, DAEMON_NAME},                                                \
    {"listen", required_argument, NULL, DAEMON_LISTEN},                                            \
    {"advertise", required_argument, NULL, DAEMON_ADVERTISE},                                      \
    {"cluster", required_argument, NULL, DAEMON_CLUSTER},                                          \
    {"join", required_argument, NULL, DAEMON_JOIN}, {"learner", no_argument, NULL, DAEMON_LEARNER}
#define DAEMON_OPTIONS_HELP                                                                        \
    "      --name NAME        of the member, for people and commands; else the host's name\n"      \
    "      --listen H:P       take connections of other members there\n"                           \
    "      --advertise H:P    where they connect to, if that is another address\n"                 \
    "      --cluster LIST     begin a cluster of several: NAME=H:P,... the same on each\n"         \
    "      --join H:P         become a member of the cluster that this one belongs to\n"           \
    "      --learner          with --join: never vote\n"                                           \
    "  All of these are said once; later starts remember them.\n"

/* The folder exists and is free, and the options fit it: refused while the user listens. */
enum err_code daemon_try_folder(const char *data_path, const struct start_options *options,
                                struct err *err) MUST_USE;
/* In memory that the caller frees. */
char *daemon_absolute_path(const char *path);
/* The exit status of a member that ended so. */
int daemon_exit(enum err_code code);

#endif
