/* usage: fleet-client mix|append CLIENT SEED MOUNT FOLDER HISTORY
 *        fleet-client last CLIENT MOUNT HISTORY OTHER-HISTORY..
 *
 * A client of one host: does things to files below MOUNT/FOLDER, one after the other, and writes down what it
 * asked and what came of it (history.h), until it is told to end (SIGTERM, heeded between two of them).
 *
 *   mix      create, save, append, rename, read, on pairs of names that all hosts share
 *   append   appends to one file that all hosts share, and reads it
 *   last     reads all names that the other histories speak of, once
 *
 * The names change every EPOCH_NS, so that each group of them has a short history; now and then a name of
 * the epoch before is read. A line is its ID, a space, and as many "=" as the ID says, so that half a line,
 * or two in one, is no line.
 *
 * Everything is done below the root of a mount that is held open: a mount that was killed and mended is never
 * mistaken for the empty folder that it stands on, and when it is dead nothing is asked. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/crc32c.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"
#include "tests/fleet/history.h"

#define FUSE_MAGIC 0x65735546
#define EPOCH_NS INT64_C(8000000000)
#define PAIRS 3
#define LISTED_MAX 100                  /* lines; of more, their number and hash are written down */
#define PATH_SIZE 256
#define ID_SIZE 64
#define LINE_SIZE 4096

struct client {
    const char *name, *mount, *folder;
    int root, history;
    struct rand rand;
    unsigned lines;
    bool lists_all;
    struct buf content;
};

static int64_t now_ns(void)
{
    struct timespec time;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void sleep_us(uint64_t us)
{
    struct timespec time = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    (void)nanosleep(&time, NULL);
}

/* ---- the history ---- */

static void write_down(struct client *client, const char *line)
{
    size_t size = strlen(line);
    if (write(client->history, line, size) != (ssize_t)size) {
        fprintf(stderr, "%s: the history cannot be written: %s\n", client->name, strerror(errno));
        exit(2);
    }
}

static void ask(struct client *client, const char *what)
{
    char *line = mem_xformat("%s ? %lld %s\n", client->name, (long long)now_ns(), what);
    write_down(client, line);
    free(line);
}

static void answer(struct client *client, const char *outcome)
{
    char *line = mem_xformat("%s ! %lld %s\n", client->name, (long long)now_ns(), outcome);
    write_down(client, line);
    free(line);
}

static void answer_errno(struct client *client, const char *outcome, int error)
{
    const char *name = strerrorname_np(error);
    char *text = mem_xformat("%s:%s", outcome, name ? name : "?");
    answer(client, text);
    free(text);
    if (error == ENOTCONN || error == ECONNABORTED) {
        close(client->root);
        client->root = -1;
    }
}

/* ---- the mount ---- */

/* False: it is dead, or is not there. */
static bool has_root(struct client *client)
{
    struct statfs stat;
    if (client->root < 0)
        client->root = open(client->mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (client->root >= 0 && fstatfs(client->root, &stat) == 0 && stat.f_type == FUSE_MAGIC)
        return true;
    /* A mount without a quorum does not answer this, and is alive. */
    if (client->root >= 0 && errno == ETIMEDOUT)
        return true;
    if (client->root >= 0)
        close(client->root);
    client->root = -1;
    return false;
}

static const char *next_id(struct client *client)
{
    static char id[ID_SIZE];
    snprintf(id, sizeof id, "%s.%u", client->name, ++client->lines);
    return id;
}

/* A few are long. */
static size_t padding_of(struct bytes id)
{
    uint32_t crc = crc32c(0, id);
    return crc % 64 == 0 ? 2000 : crc % 40;
}

static size_t make_line(const char *id, char *ret)
{
    size_t size = strlen(id), padding = padding_of(bytes_of(id, size));
    memcpy(ret, id, size);
    ret[size++] = ' ';
    memset(ret + size, '=', padding);
    size += padding;
    ret[size++] = '\n';
    return size;
}

/* The ID of the line at the beginning of what is left; empty: there is no whole line. */
static struct bytes take_line(struct bytes *rest)
{
    const char *data = (const char *)rest->data;
    const char *space = memchr(data, ' ', rest->size);
    struct bytes none = {0};
    if (!space || space == data)
        return none;
    struct bytes id = bytes_of(data, (size_t)(space - data));
    size_t padding = padding_of(id), size = id.size + 1 + padding + 1;
    if (size > rest->size || data[size - 1] != '\n')
        return none;
    for (size_t i = 0; i < padding; i++)
        if (space[1 + i] != '=')
            return none;
    *rest = bytes_skip(*rest, size);
    return id;
}

/* ---- operations ---- */

static bool write_line(int file, const char *id)
{
    char line[LINE_SIZE];
    size_t size = make_line(id, line);
    return write(file, line, size) == (ssize_t)size;
}

/* True: written and closed. */
static bool write_and_close(int file, const char *id, int *ret_error)
{
    bool written = write_line(file, id);
    *ret_error = written ? 0 : errno;
    if (close(file) == 0)
        return written;
    if (written)
        *ret_error = errno;
    return false;
}

/* Nothing of these was begun. */
static bool is_refusal(int error)
{
    return error == EROFS || error == ESTALE || error == ENFILE || error == EMFILE || error == ETIMEDOUT;
}

static void do_write(struct client *client, const char *kind, const char *path, int flags)
{
    int error;
    const char *id = next_id(client);
    char *what = mem_xformat("%s %s %s", kind, path, id);
    ask(client, what);
    free(what);
    /* Without O_EXCL an open makes nothing; so one that failed left nothing. */
    int file = openat(client->root, path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    if (file < 0 && errno == ENOENT)
        answer(client, "ENOENT");
    else if (file < 0)
        answer_errno(client, is_refusal(errno) ? "none" : "unknown", errno);
    else if (write_and_close(file, id, &error))
        answer(client, "ok");
    else
        answer_errno(client, "unknown", error);
}

static void do_fill(struct client *client, const char *path, int file)
{
    int error;
    const char *id = next_id(client);
    char *what = mem_xformat("fill %s %s", path, id);
    ask(client, what);
    free(what);
    if (write_and_close(file, id, &error))
        answer(client, "ok");
    else        /* ESTALE: someone else has changed it since, and this is kept as a conflict */
        answer_errno(client, error == ESTALE ? "none" : "unknown", error);
}

static void do_create(struct client *client, const char *path)
{
    char *what = mem_xformat("create %s", path);
    ask(client, what);
    free(what);
    int file = openat(client->root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file >= 0) {
        answer(client, "ok");
        if (rand_chance(&client->rand, 1, 4))
            sleep_us(rand_below(&client->rand, 5000));
        do_fill(client, path, file);
    } else if (errno == EEXIST || errno == ENOENT) {
        answer(client, errno == EEXIST ? "EEXIST" : "ENOENT");
    } else {
        answer_errno(client, errno == EROFS ? "none" : "unknown", errno);
    }
}

static void do_rename(struct client *client, const char *from, const char *to)
{
    char *what = mem_xformat("rename %s %s", from, to);
    ask(client, what);
    free(what);
    if (renameat(client->root, from, client->root, to) == 0)
        answer(client, "ok");
    else if (errno == ENOENT)
        answer(client, "ENOENT");
    else
        answer_errno(client, errno == EROFS ? "none" : "unknown", errno);
}

static bool read_whole(int file, struct buf *ret)
{
    ssize_t got = 1;
    buf_clear(ret);
    while (got > 0) {
        buf_reserve(ret, 65536);
        got = read(file, ret->data + ret->size, 65536);
        ret->size += got > 0 ? (size_t)got : 0;
    }
    return got == 0;
}

/* What was read, as a history says it. */
static void answer_content(struct client *client)
{
    struct bytes rest = buf_bytes(&client->content);
    struct value value = {0};
    struct buf text = {0};
    buf_append_format(&text, "ok %s", rest.size ? "" : ".");
    while (rest.size) {
        struct bytes id = take_line(&rest);
        if (!id.size)
            break;
        buf_append_format(&text, "%s%.*s", value.count ? "+" : "", (int)id.size, (const char *)id.data);
        value_add(&value, id);
    }
    if (rest.size) {
        buf_clear(&text);
        buf_append_format(&text, "ok torn:%zu", client->content.size - rest.size);
        fprintf(stderr, "%s: torn, from byte %zu of %zu on: \"%.*s\"\n", client->name,
                client->content.size - rest.size, client->content.size,
                rest.size < 200 ? (int)rest.size : 200, (const char *)rest.data);
    } else if (value.count > LISTED_MAX && !client->lists_all) {
        buf_clear(&text);
        buf_append_format(&text, "ok *%u:%llx", value.count, (unsigned long long)value.hash);
    }
    buf_append_u8(&text, 0);
    answer(client, (const char *)text.data);
    buf_release(&text);
}

static void do_read(struct client *client, const char *path)
{
    char *what = mem_xformat("read %s", path);
    ask(client, what);
    free(what);
    int file = openat(client->root, path, O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) {
        answer(client, "ok -");
        return;
    }
    bool is_read = file >= 0 && read_whole(file, &client->content);
    int error = errno;
    if (file >= 0)
        close(file);
    if (is_read)
        answer_content(client);
    else
        answer_errno(client, "none", error);
}

/* ---- what is done ---- */

static void draw_name(struct client *client, bool of_now, uint64_t pair, char which, char *ret)
{
    long long epoch = (long long)(now_ns() / EPOCH_NS) - !of_now;
    snprintf(ret, PATH_SIZE, "%s/e%lld-%llu-%c", client->folder, epoch, (unsigned long long)pair, which);
}

static void do_mixed(struct client *client)
{
    char one[PATH_SIZE], other[PATH_SIZE];
    uint64_t what = rand_below(&client->rand, 100), pair = rand_below(&client->rand, PAIRS);
    char which = rand_chance(&client->rand, 1, 2) ? 'x' : 'y';
    bool of_now = what >= 8;
    draw_name(client, of_now, pair, which, one);
    draw_name(client, of_now, pair, which == 'x' ? 'y' : 'x', other);
    if (what < 48)
        do_read(client, one);
    else if (what < 62)
        do_create(client, one);
    else if (what < 74)
        do_write(client, "save", one, O_TRUNC);
    else if (what < 86)
        do_write(client, "append", one, O_APPEND);
    else
        do_rename(client, one, other);
}

static void do_append(struct client *client)
{
    char path[PATH_SIZE];
    uint64_t what = rand_below(&client->rand, 100);
    draw_name(client, what >= 5, 0, 'a', path);
    if (what < 30)
        do_read(client, path);
    else
        do_write(client, "append", path, O_APPEND);
}

static volatile sig_atomic_t is_over;

static void on_term(int signal)
{
    (void)signal;
    is_over = 1;
}

/* A signal must not end what is being asked. */
static void heed_term(sigset_t *ret_usual)
{
    sigset_t term;
    struct sigaction action = {.sa_handler = on_term};
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    CHECK(sigprocmask(SIG_BLOCK, &term, ret_usual) == 0 && sigaction(SIGTERM, &action, NULL) == 0);
}

static void run(struct client *client, bool is_mixed)
{
    sigset_t usual, blocked;
    heed_term(&usual);
    while (!is_over) {
        if (has_root(client) && is_mixed)
            do_mixed(client);
        else if (client->root >= 0)
            do_append(client);
        CHECK(sigprocmask(SIG_SETMASK, &usual, &blocked) == 0);
        sleep_us(client->root < 0 ? 20000 : rand_below(&client->rand, is_mixed ? 12000 : 60000));
        CHECK(sigprocmask(SIG_SETMASK, &blocked, NULL) == 0);
    }
}

/* ---- the last reads ---- */

static bool read_history(const char *path, struct history *history)
{
    struct buf text = {0};
    struct err err;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    bool is_read = file >= 0 && read_whole(file, &text) &&
                   history_read(history, buf_bytes(&text), &err) == ERR_OK;
    if (file >= 0)
        close(file);
    buf_release(&text);
    return is_read;
}

static int read_last(struct client *client, char **others)
{
    struct history history = {0};
    bool is_good = has_root(client);
    client->lists_all = true;
    for (; *others && is_good; others++)
        is_good = read_history(*others, &history);
    for (size_t i = 0; i < history.path_count && is_good; i++)
        do_read(client, history.paths[i]);
    history_release(&history);
    if (!is_good)
        fprintf(stderr, "%s: the mount or a history cannot be read\n", client->name);
    return is_good ? 0 : 1;
}

static int usage(void)
{
    fputs("usage: fleet-client mix|append CLIENT SEED MOUNT FOLDER HISTORY\n"
          "       fleet-client last CLIENT MOUNT HISTORY OTHER-HISTORY..\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    struct client client = {.root = -1};
    bool is_last = argc > 5 && !strcmp(argv[1], "last");
    bool is_mixed = argc == 7 && !strcmp(argv[1], "mix");
    if (!is_last && !is_mixed && (argc != 7 || strcmp(argv[1], "append") != 0))
        return usage();
    client.name = argv[2];
    client.mount = is_last ? argv[3] : argv[4];
    const char *path = is_last ? argv[4] : argv[6];
    client.history = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (client.history < 0 || strlen(client.name) + 12 > ID_SIZE) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 2;
    }
    int status = 0;
    if (is_last) {
        status = read_last(&client, argv + 5);
    } else {
        rand_init(&client.rand, strtoull(argv[3], NULL, 10));
        client.folder = argv[5];
        run(&client, is_mixed);
    }
    buf_release(&client.content);
    return status;
}
