#include "cluster/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/limits.h"
#include "proto/base/mem.h"

#define LOG_SIZE_MAX (1 * MIB)      /* of DATA/log, then it is put aside once */
#define PROGRESS_MARK 'p'           /* on the pipe: a line follows; any other byte is the status */

/* ---- what is said ---- */

void daemon_say(const struct daemon *daemon, const char *line)
{
    char stamp[32] = "";
    time_t now = time(NULL);
    struct tm parts;
    if (!daemon->foreground && gmtime_r(&now, &parts))
        strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ ", &parts);
    fprintf(stderr, "%sconcordfs: %s\n", stamp, line);
    fflush(stderr);
}

static void show(const char *line)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
}

/* A parent that is gone does not matter. */
static void write_pipe(int fd, const void *from, size_t size)
{
    while (size && write(fd, from, size) < 0 && errno == EINTR)
        continue;
}

void daemon_progress(const struct daemon *daemon, const char *line)
{
    if (daemon->ready_fd >= 0) {
        char *message = mem_xformat("%c%s\n", PROGRESS_MARK, line);
        write_pipe(daemon->ready_fd, message, strlen(message));
        free(message);
    } else if (daemon->foreground) {
        show(line);
    }
}

void daemon_tell(struct daemon *daemon, int status, const char *sentence)
{
    char byte = (char)status;
    if (daemon->foreground && isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    if (daemon->ready_fd < 0)
        return;
    write_pipe(daemon->ready_fd, &byte, 1);
    if (sentence)
        write_pipe(daemon->ready_fd, sentence, strlen(sentence));
    close(daemon->ready_fd);
    daemon->ready_fd = -1;
}

/* From here on stderr is DATA/log. */
static void say_into_log(const struct daemon *daemon)
{
    char *path = mem_xformat("%s/log", daemon->data_path);
    char *aside = mem_xformat("%s/log.1", daemon->data_path);
    struct stat found;
    if (stat(path, &found) == 0 && found.st_size > LOG_SIZE_MAX)
        rename(path, aside);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
    }
    if (fd >= 0 || null >= 0)
        dup2(fd >= 0 ? fd : null, STDERR_FILENO);
    if (fd >= 0)
        close(fd);
    if (null >= 0)
        close(null);
    free(path);
    free(aside);
}

/* ---- into the background ---- */

/* Up to the end of the line; what does not fit is left out. */
static void read_line(FILE *pipe, char *to, size_t size)
{
    size_t used = 0;
    for (int byte; (byte = getc(pipe)) != EOF && byte != '\n';)
        if (used < size - 1)
            to[used++] = (char)byte;
    to[used] = 0;
}

/* Lines of progress, then a status byte and a sentence. No status: the child died. */
static int listen_to_child(const struct daemon *daemon, FILE *pipe)
{
    char line[ERR_TEXT_SIZE + 1];
    int kind, status = -1;
    bool shown = false;
    while (status < 0 && (kind = getc(pipe)) != EOF) {
        bool is_progress = kind == PROGRESS_MARK;
        if (!is_progress)
            status = kind;
        read_line(pipe, line, sizeof(line));
        if (is_progress)
            show(line);
        shown |= is_progress;
    }
    if (shown && isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    if (status < 0)
        fprintf(stderr, "concordfs %s: the daemon ended before it served\n", daemon->command);
    else if (status != CMD_OK)
        fprintf(stderr, "concordfs %s: %s\n", daemon->command, line);
    return status < 0 ? CMD_FAILED : status;
}

static int wait_for_child(const struct daemon *daemon, int fd)
{
    FILE *pipe = fdopen(fd, "r");
    if (!pipe)
        return CMD_FAILED;
    int status = listen_to_child(daemon, pipe);
    fclose(pipe);
    return status;
}

int daemon_run(struct daemon *daemon, int (*run)(void *context), void *context)
{
    int ends[2];
    pid_t child = -1;
    signal(SIGPIPE, SIG_IGN);
    daemon->ready_fd = -1;
    if (daemon->foreground)
        return run(context);
    if (pipe2(ends, O_CLOEXEC) != 0 || (child = fork()) < 0) {
        fprintf(stderr, "concordfs %s: %s\n", daemon->command, strerror(errno));
        return CMD_FAILED;
    }
    if (child > 0) {
        close(ends[1]);
        return wait_for_child(daemon, ends[0]);
    }
    close(ends[0]);
    daemon->ready_fd = ends[1];
    setsid();
    if (chdir("/") != 0)
        return CMD_FAILED;
    say_into_log(daemon);
    return run(context);
}

/* ---- the command line ---- */

bool daemon_take_option(int option, const char *value, struct start_options *ret)
{
    switch (option) {
    case DAEMON_NAME: ret->name = value; return true;
    case DAEMON_LISTEN: ret->listen = value; return true;
    case DAEMON_ADVERTISE: ret->advertise = value; return true;
    case DAEMON_CLUSTER: ret->cluster = value; return true;
    case DAEMON_JOIN: ret->join = value; return true;
    case DAEMON_LEARNER: ret->learner = true; return true;
    default: return false;
    }
}

enum err_code daemon_try_folder(const char *data_path, const struct start_options *options,
                                struct err *err)
{
    struct datadir folder = {.lock_fd = -1};
    struct start *start = mem_xzalloc(sizeof *start);
    enum err_code code = datadir_open(&folder, data_path, err);
    if (code == ERR_OK)
        code = start_decide(start, options, &folder, err);
    datadir_close(&folder);
    free(start);
    return code;
}

char *daemon_absolute_path(const char *path)
{
    char *here = path[0] == '/' ? NULL : realpath(".", NULL);
    char *whole = here ? mem_xformat("%s/%s", here, path) : mem_xstrdup(path);
    free(here);
    return whole;
}

int daemon_exit(enum err_code code)
{
    return code == ERR_OK ? CMD_OK : code == ERR_REMOVED ? CMD_REMOVED : CMD_FAILED;
}
