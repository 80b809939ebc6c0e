/* See process.h. /proc is read in one read(2) each; a line that is not as expected counts as "gone",
 * which errs towards publishing what was written.
 *
 * A program that saves often is asked about at each save, and /proc costs more than all else of an OPEN.
 * So what it said is kept, with what proves that it is still so: for a thread's group, tgkill; for the
 * start of a group, a descriptor of the process (pidfd_open(2)), which can be read once the process has
 * ended, also as a zombie, and never stands for a later one with its number. */
#include "fs/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KNOWN_THREADS 64        /* each has one place, by its number */
#define KNOWN_STARTS 16         /* each costs a descriptor */

struct known_start {
    int fd;                     /* of the process */
    pid_t group;                /* 0: the place is free */
    uint64_t start;
};

static struct {
    struct {
        pid_t thread, group;
    } threads[KNOWN_THREADS];
    struct known_start starts[KNOWN_STARTS];
} known;

/* A file of /proc, NUL-terminated. False: there is none, or it is empty. */
static bool read_proc(pid_t id, const char *name, char *to, size_t room)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)id, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, to, room - 1);
    close(fd);
    to[size > 0 ? size : 0] = '\0';
    return size > 0;
}

static bool system_is_member(struct process_door *door, pid_t group, pid_t thread)
{
    (void)door;
    return syscall(SYS_tgkill, group, thread, 0) == 0 || errno != ESRCH;
}

static pid_t system_group_of(struct process_door *door, pid_t thread)
{
    if (system_is_member(door, thread, thread))     /* the first thread has the group's number */
        return thread;
    size_t place = (size_t)thread % KNOWN_THREADS;
    if (known.threads[place].thread == thread &&
        system_is_member(door, known.threads[place].group, thread))
        return known.threads[place].group;
    char text[2048];
    if (!read_proc(thread, "status", text, sizeof(text)))
        return 0;
    const char *line = strstr(text, "\nTgid:");
    pid_t group = line ? (pid_t)strtol(line + 6, NULL, 10) : 0;
    known.threads[place].thread = group > 0 ? thread : 0;
    known.threads[place].group = group;
    return group;
}

enum { STAT_STATE = 3, STAT_THREADS = 20, STAT_START = 22, STAT_CORE = 39 };   /* proc_pid_stat(5) */

/* A field of /proc/PID/stat; NULL: it ends before. They are counted after the command's name, the second,
 * which may hold anything: the last ')' ends it. */
static const char *stat_field(const char *text, int field)
{
    const char *place = strrchr(text, ')');
    for (int at = 2; place && at < field; at++) {
        place = strchr(place, ' ');
        place = place ? place + 1 : NULL;
    }
    return place;
}

enum life { LIFE_GONE, LIFE_RUNS, LIFE_STUCK };

/* *ret_start is when it began, unless it is gone. */
static enum life life_of(pid_t group, uint64_t *ret_start)
{
    char text[1024];
    if (!read_proc(group, "stat", text, sizeof(text)))
        return LIFE_GONE;
    const char *state = stat_field(text, STAT_STATE), *threads = stat_field(text, STAT_THREADS);
    const char *start = stat_field(text, STAT_START);
    bool is_dead = start && (*state == 'Z' || *state == 'X');
    if (!start || (is_dead && strtoull(threads, NULL, 10) <= 1))
        return LIFE_GONE;
    *ret_start = strtoull(start, NULL, 10);
    return is_dead ? LIFE_STUCK : LIFE_RUNS;
}

uint64_t process_start(pid_t group)
{
    uint64_t start = 0;
    return life_of(group, &start) == LIFE_GONE ? 0 : start;
}

bool process_is_stuck(pid_t group, uint64_t start)
{
    uint64_t found = 0;
    return life_of(group, &found) == LIFE_STUCK && found == start;
}

int process_core_of(pid_t thread)
{
    char text[1024];
    if (!read_proc(thread, "stat", text, sizeof(text)))
        return -1;
    const char *core = stat_field(text, STAT_CORE);
    return core ? (int)strtol(core, NULL, 10) : -1;
}

static bool still_runs(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 0;
}

static void forget_start(struct known_start *place)
{
    if (place->group)
        close(place->fd);
    place->group = 0;
}

/* The descriptor comes first: what /proc says afterwards is said of its process, if that still runs. */
static uint64_t system_start_of(struct process_door *door, pid_t group)
{
    (void)door;
    struct known_start *place = &known.starts[(size_t)group % KNOWN_STARTS];
    if (place->group == group && still_runs(place->fd))
        return place->start;
    forget_start(place);
    int fd = (int)syscall(SYS_pidfd_open, group, 0);
    uint64_t start = process_start(group);
    if (fd >= 0 && start && still_runs(fd))
        *place = (struct known_start){fd, group, start};
    else if (fd >= 0)
        close(fd);
    return start;
}

struct process_door *process_system(void)
{
    static struct process_door door = {system_group_of, system_is_member, system_start_of};
    return &door;
}

struct process process_of(struct process_door *door, pid_t thread, bool with_start)
{
    struct process process = {0};
    if (thread <= 0)
        return process;
    process.group = door->group_of(door, thread);
    if (process.group > 0 && with_start)
        process.start = door->start_of(door, process.group);
    return process;
}

bool process_has(struct process_door *door, const struct process *process, pid_t thread)
{
    if (thread <= 0 || process->group <= 0 || thread == process->group)
        return true;
    return door->is_member(door, process->group, thread);
}

bool process_is_gone(struct process_door *door, const struct process *process)
{
    if (process->group <= 0 || process->start == 0)
        return true;
    return door->start_of(door, process->group) != process->start;
}
