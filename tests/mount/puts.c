/* puts DATA WORKERS PREFIX NOTES: writes that nothing but the sessions keeps from being done twice, through the
 * socket of DATA's member, until NOTES.stop is there.
 *
 * Each of the workers has the key PREFIX/WORKER to itself, which nobody made before. It puts the next number
 * there, without any compare, and waits; an answered put is noted in NOTES.WORKER, and the key's version, which
 * counts the puts since the key was made, must then be that number. A worker ends at a put that was done
 * twice, or not at all, or whose outcome was not told, and the others with it; it says what the key has. The
 * status is then 1.
 *
 * After the last put no repeat of it can be told from outside; whoever waits a while looks with
 *
 *     puts DATA WORKERS PREFIX        "WORKER VERSION" for each, read strictly
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster/client.h"

#define PATH_SIZE 4200
#define KEY_SIZE 256

static enum err_code put(struct client *client, struct bytes key, int64_t number, struct err *err)
{
    char value[32];
    struct socket_response response;
    snprintf(value, sizeof value, "%" PRId64, number);
    struct kv_op op = {.kind = KV_OP_PUT, .put = {.key = key, .value = bytes_of_text(value)}};
    struct socket_request request = {.kind = SOCKET_TXN, .txn = {.success = &op, .success_count = 1}};
    return client_call(client, &request, &response, err);
}

/* 0: there is no such key. */
static enum err_code version_of(struct client *client, struct bytes key, int64_t *ret, struct err *err)
{
    struct socket_response response;
    struct socket_request request = {.kind = SOCKET_RANGE, .range = {.key = key}};
    enum err_code code = client_call(client, &request, &response, err);
    if (code == ERR_OK)
        *ret = response.result.range.count ? response.result.range.items[0].version : 0;
    return code;
}

static void write_to(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    ssize_t size = (ssize_t)strlen(text);
    if (file < 0 || pwrite(file, text, (size_t)size, 0) != size) {
        perror(path);
        exit(2);
    }
    close(file);
}

static void note(const char *notes, long worker, int64_t number)
{
    char path[PATH_SIZE], line[32];
    snprintf(path, sizeof path, "%s.%ld", notes, worker);
    snprintf(line, sizeof line, "%012" PRId64 "\n", number);
    write_to(path, line);
}

/* The client that was not told is of no further use. */
static void say_untold(const char *data, struct bytes key, int64_t number, const char *why)
{
    struct client client = {0};
    struct err err = {0};
    int64_t version = -1;
    if (client_open(&client, data, &err) != ERR_OK ||
        version_of(&client, key, &version, &err) != ERR_OK)
        printf("put %" PRId64 ": %s; then: %s\n", number, why, err.text);
    else
        printf("put %" PRId64 ": %s; the key has had %" PRId64 "\n", number, why, version);
    client_close(&client);
}

static int work(const char *data, struct bytes key, const char *notes, long worker)
{
    struct client client = {0};
    struct err err = {0};
    char stop[PATH_SIZE];
    int64_t version = 0, number = 0;
    snprintf(stop, sizeof stop, "%s.stop", notes);
    enum err_code code = client_open(&client, data, &err);
    while (code == ERR_OK && version == number && access(stop, F_OK) != 0) {
        code = put(&client, key, ++number, &err);
        if (code != ERR_OK)
            break;
        note(notes, worker, number);
        code = version_of(&client, key, &version, &err);
    }
    client_close(&client);
    if (code != ERR_OK)
        say_untold(data, key, number, err.text);
    else if (version != number)
        printf("worker %ld: %" PRId64 " puts, and the key has had %" PRId64 "\n", worker, number,
               version);
    if (code == ERR_OK && version == number)
        return 0;
    write_to(stop, "");
    return 1;
}

static int look(const char *data, struct bytes key, long worker)
{
    struct client client = {0};
    struct err err = {0};
    int64_t version = 0;
    enum err_code code = client_open(&client, data, &err);
    if (code == ERR_OK)
        code = version_of(&client, key, &version, &err);
    client_close(&client);
    if (code != ERR_OK)
        fprintf(stderr, "puts: %s\n", err.text);
    else
        printf("%ld %" PRId64 "\n", worker, version);
    return code == ERR_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    int status, worst = 0;
    char name[KEY_SIZE];
    if (argc != 4 && argc != 5)
        return 2;
    for (long worker = 0; worker < atol(argv[2]); worker++) {
        snprintf(name, sizeof name, "%s/%ld", argv[3], worker);
        struct bytes key = bytes_of_text(name);
        if (argc == 4)
            worst |= look(argv[1], key, worker);
        else if (fork() == 0)
            exit(work(argv[1], key, argv[4], worker));
    }
    while (wait(&status) > 0)
        if (!WIFEXITED(status) || WEXITSTATUS(status))
            worst = 1;
    return worst;
}
