/* once WORKERS DIR NOTES: calls that say so when they are done twice, until NOTES.stop is there.
 *
 * Each of the workers goes round: it appends the line "WORKER NUMBER" to DIR/log, which all share, makes a
 * file that must not be there, renames it, removes it, makes a folder and removes it. When its append was closed
 * without an error, NOTES.WORKER holds that number. A call that fails ends its worker with a sentence; the
 * status is then 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_SIZE 4200

static int append(const char *folder, unsigned worker, unsigned long number)
{
    char path[PATH_SIZE], line[64];
    snprintf(path, sizeof path, "%s/log", folder);
    int size = snprintf(line, sizeof line, "%u %lu\n", worker, number);
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0)
        return -1;
    int written = write(file, line, (size_t)size) == size ? 0 : -1;
    return close(file) || written ? -1 : 0;
}

static int make(const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return file < 0 ? -1 : close(file);
}

static void note(const char *notes, unsigned worker, unsigned long number)
{
    char path[PATH_SIZE], line[32];
    snprintf(path, sizeof path, "%s.%u", notes, worker);
    int size = snprintf(line, sizeof line, "%012lu\n", number);
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0 || pwrite(file, line, (size_t)size, 0) != size) {
        perror(path);
        exit(2);
    }
    close(file);
}

static int go_round(const char *folder, const char *notes, unsigned worker, unsigned long number,
                    const char **ret_call)
{
    char one[PATH_SIZE], other[PATH_SIZE];
    snprintf(one, sizeof one, "%s/one-%u", folder, worker);
    snprintf(other, sizeof other, "%s/other-%u", folder, worker);
#define CALL(call)                                                                                 \
    if ((*ret_call = #call, call))                                                                 \
        return -1;
    CALL(append(folder, worker, number))
    note(notes, worker, number);
    CALL(make(one))
    CALL(rename(one, other))
    CALL(unlink(other))
    CALL(mkdir(one, 0755))
    CALL(rmdir(one))
#undef CALL
    return 0;
}

static int work(const char *folder, const char *notes, unsigned worker)
{
    char stop[PATH_SIZE];
    const char *call = NULL;
    snprintf(stop, sizeof stop, "%s.stop", notes);
    for (unsigned long number = 1; access(stop, F_OK) != 0; number++) {
        if (go_round(folder, notes, worker, number, &call) != 0) {
            printf("worker %u, round %lu, %s: %s\n", worker, number, call, strerror(errno));
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    int status, worst = 0;
    if (argc != 4)
        return 2;
    for (unsigned i = 0; i < (unsigned)atoi(argv[1]); i++)
        if (fork() == 0)
            exit(work(argv[2], argv[3], i));
    while (wait(&status) > 0)
        if (!WIFEXITED(status) || WEXITSTATUS(status))
            worst = 1;
    return worst;
}
