/* See process.h. /proc is read in one read(2) each; a line that is not as expected counts as "gone",
 * which errs towards publishing what was written. */
#include "fs/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

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
    char text[2048];
    if (!read_proc(thread, "status", text, sizeof(text)))
        return 0;
    const char *line = strstr(text, "\nTgid:");
    return line ? (pid_t)strtol(line + 6, NULL, 10) : 0;
}

/* Fields of /proc/PID/stat are counted after the command's name, which may hold anything: the last ')'
 * ends it. Then: state (3), ..., num_threads (20), itrealvalue (21), starttime (22). */
static uint64_t system_start_of(struct process_door *door, pid_t group)
{
    (void)door;
    char text[1024];
    if (!read_proc(group, "stat", text, sizeof(text)))
        return 0;
    char *place = strrchr(text, ')');
    if (!place || place[1] != ' ')
        return 0;
    place += 2;
    char state = *place;
    unsigned long long threads = 0, start = 0;
    for (int field = 3; field <= 22 && place; field++) {
        if (field == 20)
            threads = strtoull(place, NULL, 10);
        if (field == 22)
            start = strtoull(place, NULL, 10);
        place = strchr(place, ' ');
        place = place ? place + 1 : NULL;
    }
    if ((state == 'Z' || state == 'X') && threads <= 1)
        return 0;
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
