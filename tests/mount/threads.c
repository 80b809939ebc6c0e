/* usage: threads FOLDER [ROUNDS]
 *
 * Saves files whose open, writes and close come from different threads, some of which have ended by
 * then, while others wait in calls; after each close another process reads the file. Prints how many
 * saves there were, one commit each.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct save {
    char path[4096];
    char text[200];
    int file;
    int error;
};

static void *open_it(void *argument)
{
    struct save *save = argument;
    save->file = open(save->path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (save->file < 0)
        save->error = errno;
    return NULL;
}

static void *write_first(void *argument)
{
    struct save *save = argument;
    size_t half = strlen(save->text) / 2;
    if (write(save->file, save->text, half) != (ssize_t)half)
        save->error = errno;
    return NULL;
}

static void *write_rest(void *argument)
{
    struct save *save = argument;
    size_t half = strlen(save->text) / 2, rest = strlen(save->text) - half;
    if (write(save->file, save->text + half, rest) != (ssize_t)rest)
        save->error = errno;
    return NULL;
}

static void *close_it(void *argument)
{
    struct save *save = argument;
    if (close(save->file))
        save->error = errno;
    return NULL;
}

static void in_a_thread(void *(*function)(void *), struct save *save)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, save)) {
        perror("threads: pthread_create");
        exit(2);
    }
    pthread_join(thread, NULL);
}

static int read_by_another(const struct save *save)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        char got[sizeof(save->text)] = "";
        int file = open(save->path, O_RDONLY);
        ssize_t size = read(file, got, sizeof(got));
        _exit(size == (ssize_t)strlen(save->text) && !memcmp(got, save->text, (size_t)size) ? 0 : 1);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Who does what: bit 0 a thread opens, 1 writes first, 2 writes the rest, 3 closes; else the caller. */
static int save_by(struct save *save, unsigned who)
{
    void *(*const steps[])(void *) = {open_it, write_first, write_rest, close_it};
    for (unsigned i = 0; i < 4; i++) {
        if (who & (1u << i))
            in_a_thread(steps[i], save);
        else
            steps[i](save);
        if (save->error) {
            printf("step %u of %x: %s\n", i, who, strerror(save->error));
            return 0;
        }
    }
    if (!read_by_another(save)) {
        printf("another process did not read \"%s\" (threads %x)\n", save->text, who);
        return 0;
    }
    return 1;
}

struct worker {
    pthread_t thread;
    const char *folder;
    unsigned number, rounds, failures;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (unsigned i = 0; i < worker->rounds; i++) {
        struct save save = {.file = -1};
        snprintf(save.path, sizeof(save.path), "%s/t%u", worker->folder, worker->number);
        snprintf(save.text, sizeof(save.text), "worker %u, save %u, and a tail", worker->number, i);
        worker->failures += !save_by(&save, i % 16);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct worker workers[4];
    unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 32, failures = 0;
    if (argc < 2)
        return 2;
    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (struct worker){0, argv[1], i, rounds, 0};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            return 2;
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(workers[i].thread, NULL);
        failures += workers[i].failures;
    }
    printf("%u saves\n", 4 * rounds);
    return failures ? 1 : 0;
}
