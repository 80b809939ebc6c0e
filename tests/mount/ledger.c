/* usage: ledger run [--seed N] [--workers N] [--operations N] DIR LEDGER
 *        ledger verify DIR LEDGER
 *
 * The witness of crash tests: a process of its own that saves files through the mount DIR, and keeps a
 * ledger (an absolute path) outside of it of what was promised.
 *
 * run starts workers; worker N works in DIR/wN, alone, and writes LEDGER.N. Before each operation it
 * notes what it intends and what will then be true, and after its last system call has returned 0 it
 * notes that, flushed to the disk. It ends with its operations, or at the first call that fails: the
 * mount is gone. After SIGTERM each worker ends when its operation has.
 *
 * verify, on a mount that has come back, says of each worker: every name has what the last
 * acknowledged operation gave it; where one operation was intended and not acknowledged its names may
 * have, all of them, what it intends instead; nothing else is there. Exit status 1 and a line for each
 * name otherwise.
 *
 * A ledger line:
 *     S NAME STATE               true at the start
 *     I NUMBER NAME STATE [NAME STATE]     intended: afterwards these names have these states
 *     M NUMBER NAME STATE        intended with it: may be seen in between
 *     A NUMBER                   acknowledged
 *     E NUMBER TEXT              a call failed
 * STATE is "-" for absent, "d:MODE" for a folder, "l:CRC" for a link, else "f:MODE:SIZE:CRC".
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/check.h"
#include "proto/base/crc32c.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#define NAMES 12                    /* f0 .. f11 of a worker; and their temporary forms */
#define STATE_SIZE 64
#define CONTENT_MAX 200000

/* --- states of names --- */

static void state_of_content(mode_t mode, struct bytes content, char *ret)
{
    snprintf(ret, STATE_SIZE, "f:%o:%zu:%08x", (unsigned)(mode & 07777), content.size,
             crc32c(0, content));
}

static bool read_content(const char *path, struct buf *ret)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : 1;
    buf_clear(ret);
    while (size > 0) {
        buf_reserve(ret, 65536);
        size = read(file, ret->data + ret->size, 65536);
        ret->size += size > 0 ? (size_t)size : 0;
    }
    if (file >= 0)
        close(file);
    return size == 0;
}

/* False: it cannot be told, errno says why. */
static bool state_of_path(const char *path, char *ret)
{
    struct stat stat;
    struct buf content = {0};
    bool told = true;
    if (lstat(path, &stat)) {
        snprintf(ret, STATE_SIZE, "-");
        return errno == ENOENT;
    }
    if (S_ISDIR(stat.st_mode)) {
        snprintf(ret, STATE_SIZE, "d:%o", (unsigned)(stat.st_mode & 07777));
    } else if (S_ISLNK(stat.st_mode)) {
        char target[4096];
        ssize_t size = readlink(path, target, sizeof(target));
        told = size >= 0;
        snprintf(ret, STATE_SIZE, "l:%08x", told ? crc32c(0, bytes_of(target, (size_t)size)) : 0);
    } else {
        told = read_content(path, &content);
        state_of_content(stat.st_mode, buf_bytes(&content), ret);
        if (told && (size_t)stat.st_size != content.size) {
            fprintf(stderr, "%s: stat says %lld bytes, read gives %zu\n", path,
                    (long long)stat.st_size, content.size);
            told = false;
            errno = EIO;
        }
    }
    buf_release(&content);
    return told;
}

/* --- a worker --- */

struct worker {
    struct rand rand;
    int ledger;
    uint64_t number;                /* of the operation */
    struct model {
        char state;                 /* '-', 'f', 'l', 'd' */
        mode_t mode;
        struct buf content;
    } models[NAMES];
};

static void ledger_line(struct worker *worker, bool flush, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void ledger_line(struct worker *worker, bool flush, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (write(worker->ledger, line, (size_t)size) != size ||
        (flush && fdatasync(worker->ledger))) {
        perror("ledger: the ledger itself");
        exit(2);
    }
}

static const char *state_of_model(const struct model *model, char *ret)
{
    switch (model->state) {
    case 'f': state_of_content(model->mode, buf_bytes(&model->content), ret); break;
    case 'l': snprintf(ret, STATE_SIZE, "l:%08x", crc32c(0, buf_bytes(&model->content))); break;
    case 'd': snprintf(ret, STATE_SIZE, "d:%o", (unsigned)model->mode); break;
    default: snprintf(ret, STATE_SIZE, "-"); break;
    }
    return ret;
}

static void intend(struct worker *worker, size_t name)
{
    char state[STATE_SIZE];
    ledger_line(worker, false, "I %llu f%zu %s\n", (unsigned long long)worker->number, name,
                state_of_model(&worker->models[name], state));
}

/* Bytes that no other operation writes. */
static void fill(struct worker *worker, struct buf *to, size_t size)
{
    uint64_t state = rand_u64(&worker->rand);
    buf_append_format(to, "[%llu]", (unsigned long long)worker->number);
    while (size--) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        buf_append_u8(to, (uint8_t)(state >> 56));
    }
}

static size_t draw_size(struct worker *worker)
{
    switch (rand_below(&worker->rand, 8)) {
    case 0: return 0;
    case 1: return (size_t)rand_below(&worker->rand, CONTENT_MAX / 2);
    case 2: return 4096;
    default: return (size_t)rand_below(&worker->rand, 2000);
    }
}

/* Writes all of it in one to three calls. */
static bool write_parts(struct worker *worker, int file, struct bytes content)
{
    for (unsigned left = 1 + (unsigned)rand_below(&worker->rand, 3); content.size; left--) {
        size_t part = left > 1 ? (size_t)rand_below(&worker->rand, content.size) + 1 : content.size;
        ssize_t size = write(file, content.data, part);
        if (size <= 0)
            return false;
        content = bytes_skip(content, (size_t)size);
        if (left == 1)
            left = 2;
    }
    return true;
}

static bool save(struct worker *worker, const char *path, int flags, struct bytes content)
{
    int file = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);
    if (file < 0)
        return false;
    bool written = write_parts(worker, file, content);
    int error = errno;
    if (written && rand_chance(&worker->rand, 1, 8))
        written = fsync(file) == 0;
    if (close(file))
        return false;
    errno = error;
    return written;
}

static bool operate_overwrite(struct worker *worker, size_t name, const char *path)
{
    struct model *model = &worker->models[name];
    if (model->state != 'f')
        model->mode = 0644;
    model->state = 'f';
    buf_clear(&model->content);
    fill(worker, &model->content, draw_size(worker));
    intend(worker, name);
    return save(worker, path, O_CREAT | O_TRUNC, buf_bytes(&model->content));
}

/* The open alone makes an empty file; people lock with it. */
static bool operate_exclusive(struct worker *worker, size_t name, const char *path)
{
    struct model *model = &worker->models[name];
    char empty[STATE_SIZE];
    model->state = 'f';
    model->mode = 0644;
    buf_clear(&model->content);
    state_of_content(model->mode, BYTES_EMPTY, empty);
    ledger_line(worker, false, "M %llu f%zu %s\n", (unsigned long long)worker->number, name, empty);
    fill(worker, &model->content, draw_size(worker));
    intend(worker, name);
    return save(worker, path, O_CREAT | O_EXCL, buf_bytes(&model->content));
}

static bool operate_append(struct worker *worker, size_t name, const char *path)
{
    struct model *model = &worker->models[name];
    size_t before = model->content.size;
    fill(worker, &model->content, (size_t)rand_below(&worker->rand, 500));
    intend(worker, name);
    return save(worker, path, O_APPEND, bytes_skip(buf_bytes(&model->content), before));
}

static bool operate_in_place(struct worker *worker, size_t name, const char *path)
{
    struct model *model = &worker->models[name];
    struct buf part = {0};
    size_t offset = (size_t)rand_below(&worker->rand, model->content.size + 100);
    fill(worker, &part, (size_t)rand_below(&worker->rand, 300));
    while (model->content.size < offset + part.size)
        buf_append_u8(&model->content, 0);
    memcpy(model->content.data + offset, part.data, part.size);
    intend(worker, name);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    bool written = file >= 0 && pwrite(file, part.data, part.size, (off_t)offset) ==
                                    (ssize_t)part.size;
    buf_release(&part);
    return file >= 0 && close(file) == 0 && written;
}

static bool operate_truncate(struct worker *worker, size_t name, const char *path)
{
    struct model *model = &worker->models[name];
    model->content.size = (size_t)rand_below(&worker->rand, model->content.size + 1);
    intend(worker, name);
    return truncate(path, (off_t)model->content.size) == 0;
}

static bool operate_chmod(struct worker *worker, size_t name, const char *path)
{
    struct model *model = &worker->models[name];
    model->mode = 0600 | (mode_t)rand_below(&worker->rand, 0100);
    intend(worker, name);
    return chmod(path, model->mode) == 0;
}

static bool operate_unlink(struct worker *worker, size_t name, const char *path)
{
    struct model *model = &worker->models[name];
    bool is_folder = model->state == 'd';
    model->state = '-';
    buf_clear(&model->content);
    intend(worker, name);
    return (is_folder ? rmdir(path) : unlink(path)) == 0;
}

static bool operate_mkdir(struct worker *worker, size_t name, const char *path)
{
    worker->models[name].state = 'd';
    worker->models[name].mode = 0755;
    intend(worker, name);
    return mkdir(path, 0755) == 0;
}

static bool operate_symlink(struct worker *worker, size_t name, const char *path)
{
    struct model *model = &worker->models[name];
    char target[64];
    snprintf(target, sizeof(target), "no/such/%llu", (unsigned long long)worker->number);
    model->state = 'l';
    buf_assign(&model->content, bytes_of_text(target));
    intend(worker, name);
    return symlink(target, path) == 0;
}

/* Onto any name that rename(2) allows: a file over a file or a link, a folder over a folder. */
static bool operate_rename(struct worker *worker, size_t name, const char *path)
{
    struct model *model = &worker->models[name];
    size_t other = (size_t)rand_below(&worker->rand, NAMES);
    struct model *target = &worker->models[other];
    if (other == name || (target->state != '-' && (target->state == 'd') != (model->state == 'd')))
        return operate_chmod(worker, name, path);
    char to[32], state[STATE_SIZE];
    snprintf(to, sizeof(to), "f%zu", other);
    struct model moved = *model;
    *model = (struct model){'-', 0, {0}};
    buf_release(&target->content);
    *target = moved;
    ledger_line(worker, false, "I %llu f%zu - f%zu %s\n", (unsigned long long)worker->number, name,
                other, state_of_model(target, state));
    return rename(path, to) == 0;
}

/* A save as editors do it: a temporary file, flushed, renamed over the old one. */
static bool operate_replace(struct worker *worker, size_t name, const char *path)
{
    struct model *model = &worker->models[name];
    struct buf content = {0};
    char state[STATE_SIZE];
    unsigned long long number = worker->number;
    fill(worker, &content, draw_size(worker));
    state_of_content(0644, buf_bytes(&content), state);
    ledger_line(worker, false, "I %llu tmp %s\n", number, state);
    bool saved = save(worker, "tmp", O_CREAT | O_TRUNC, buf_bytes(&content));
    if (saved) {
        ledger_line(worker, true, "A %llu\n", number);
        worker->number++;
        ledger_line(worker, false, "I %llu tmp - f%zu %s\n", number + 1, name, state);
        saved = rename("tmp", path) == 0;
    }
    buf_release(&model->content);
    *model = (struct model){'f', 0644, content};
    return saved;
}

typedef bool operation_function(struct worker *worker, size_t name, const char *path);

static operation_function *draw_operation(struct worker *worker, char state)
{
    static operation_function *const absent[] = {operate_overwrite, operate_exclusive, operate_mkdir,
                                        operate_symlink, operate_replace};
    static operation_function *const file[] = {
        operate_overwrite, operate_overwrite, operate_replace,  operate_append, operate_append,
        operate_in_place,  operate_truncate,  operate_chmod,    operate_unlink, operate_rename};
    static operation_function *const folder[] = {operate_chmod, operate_unlink, operate_rename};
    static operation_function *const link[] = {operate_unlink, operate_rename};
#define DRAW(table) table[rand_below(&worker->rand, ARRAY_COUNT(table))]
    switch (state) {
    case '-': return DRAW(absent);
    case 'f': return DRAW(file);
    case 'd': return DRAW(folder);
    default: return DRAW(link);
    }
}

/* A link cannot be chmodded: where a rename falls back to that it is left alone. */
static bool operate(struct worker *worker)
{
    size_t name = (size_t)rand_below(&worker->rand, NAMES);
    char path[32];
    struct model *model = &worker->models[name];
    operation_function *operation = draw_operation(worker, model->state);
    if ((model->state == 'l' && operation == operate_rename) ||
        (operation == operate_append && model->content.size > CONTENT_MAX))
        operation = operate_unlink;
    snprintf(path, sizeof(path), "f%zu", name);
    worker->number++;
    if (!operation(worker, name, path)) {
        ledger_line(worker, true, "E %llu %s\n", (unsigned long long)worker->number,
                    strerror(errno));
        return false;
    }
    ledger_line(worker, true, "A %llu\n", (unsigned long long)worker->number);
    return true;
}

/* Shared with the workers: a signal of their own would interrupt a save. */
static volatile sig_atomic_t *stopping;

/* SIGTERM and the ends of the workers are waited for, and interrupt nothing. */
static void hear_of_the_end(sigset_t *ret)
{
    void *shared = mmap(NULL, sizeof(*stopping), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                        -1, 0);
    CHECK(shared != MAP_FAILED);
    stopping = shared;
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGCHLD);
    CHECK(sigprocmask(SIG_BLOCK, ret, NULL) == 0);
}

/* What the workers ended with: the worst. */
static int wait_for(unsigned workers, const sigset_t *signals)
{
    int signal, status, worst = 0;
    while (workers) {
        CHECK(sigwait(signals, &signal) == 0);
        if (signal == SIGTERM)
            *stopping = signal;
        for (; workers && waitpid(-1, &status, WNOHANG) > 0; workers--)
            if (!WIFEXITED(status) || WEXITSTATUS(status))
                worst = 2;
    }
    return worst;
}

/* What an earlier run left is the start of this one. */
static bool start_from_folder(struct worker *worker)
{
    char left[STATE_SIZE];
    if (!state_of_path("tmp", left))
        return false;
    ledger_line(worker, false, "S tmp %s\n", left);
    for (size_t i = 0; i < NAMES; i++) {
        struct model *model = &worker->models[i];
        struct stat stat;
        char path[32], state[STATE_SIZE], target[4096];
        snprintf(path, sizeof(path), "f%zu", i);
        *model = (struct model){'-', 0, {0}};
        if (lstat(path, &stat)) {
            if (errno != ENOENT)
                return false;
            continue;
        }
        model->mode = stat.st_mode & 07777;
        if (S_ISDIR(stat.st_mode)) {
            model->state = 'd';
        } else if (S_ISLNK(stat.st_mode)) {
            ssize_t size = readlink(path, target, sizeof(target));
            model->state = 'l';
            buf_assign(&model->content, bytes_of(target, size > 0 ? (size_t)size : 0));
        } else {
            model->state = 'f';
            if (!read_content(path, &model->content))
                return false;
        }
        ledger_line(worker, false, "S %s %s\n", path, state_of_model(model, state));
    }
    return true;
}

/* The new ledger takes the place of the last run's when it knows all that this run starts from: where
 * the mount goes away before, the old one still holds. */
static bool start(struct worker *worker, const char *folder, const char *ledger)
{
    char *new = mem_xformat("%s.new", ledger);
    worker->ledger = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (worker->ledger < 0) {
        perror(new);
        exit(2);
    }
    bool started = (mkdir(folder, 0755) == 0 || errno == EEXIST) && chdir(folder) == 0 &&
                   start_from_folder(worker) && rename(new, ledger) == 0;
    if (!started)
        unlink(new);
    free(new);
    return started;
}

static int work(const char *folder, const char *ledger, uint64_t seed, uint64_t operations)
{
    static struct worker worker;
    rand_init(&worker.rand, seed);
    umask(022);
    if (!start(&worker, folder, ledger))
        return 0;
    while (!*stopping && operations-- && operate(&worker))
        continue;
    for (size_t i = 0; i < NAMES; i++)
        buf_release(&worker.models[i].content);
    return 0;
}

static int run(const char *folder, const char *ledger, uint64_t seed, unsigned workers,
               uint64_t operations)
{
    sigset_t signals;
    hear_of_the_end(&signals);
    for (unsigned i = 0; i < workers; i++) {
        if (fork() == 0) {
            char *below = mem_xformat("%s/w%u", folder, i);
            char *path = mem_xformat("%s.%u", ledger, i);
            int result = work(below, path, seed * 1000 + i, operations);
            free(below);
            free(path);
            exit(result);
        }
    }
    return wait_for(workers, &signals);
}

/* --- verify --- */

struct fact {
    char name[32], state[STATE_SIZE];
};

struct facts {
    struct fact all[2 * NAMES];
    size_t count;
};

struct book {                   /* what a ledger says */
    struct facts known;         /* true */
    struct facts intended;      /* or else these, all of them */
    struct facts between;       /* or else these */
    uint64_t number, acknowledged;
    char error[1024];
};

static struct fact *fact_of(struct facts *facts, const char *name)
{
    for (size_t i = 0; i < facts->count; i++)
        if (!strcmp(facts->all[i].name, name))
            return &facts->all[i];
    return NULL;
}

static void learn(struct facts *facts, const char *name, const char *state)
{
    struct fact *fact = fact_of(facts, name);
    CHECK(fact || facts->count < ARRAY_COUNT(facts->all));
    if (!fact)
        fact = &facts->all[facts->count++];
    snprintf(fact->name, sizeof(fact->name), "%s", name);
    snprintf(fact->state, sizeof(fact->state), "%s", state);
}

static void acknowledge(struct book *book)
{
    for (size_t i = 0; i < book->intended.count; i++)
        learn(&book->known, book->intended.all[i].name, book->intended.all[i].state);
    book->intended.count = book->between.count = 0;
    book->acknowledged++;
}

static void read_line(struct book *book, char *line)
{
    char a[32], b[STATE_SIZE], c[32], d[STATE_SIZE];
    unsigned long long number;
    if (sscanf(line, "S %31s %63s", a, b) == 2) {
        learn(&book->known, a, b);
    } else if (sscanf(line, "M %llu %31s %63s", &number, a, b) == 3) {
        learn(&book->between, a, b);
    } else if (line[0] == 'I') {
        int words = sscanf(line, "I %llu %31s %63s %31s %63s", &number, a, b, c, d);
        CHECK(words == 3 || words == 5);
        learn(&book->intended, a, b);
        if (words == 5)
            learn(&book->intended, c, d);
    } else if (line[0] == 'A') {
        acknowledge(book);
    } else if (line[0] == 'E') {
        snprintf(book->error, sizeof(book->error), "%.*s", (int)strcspn(line, "\n"), line);
    }
}

static bool read_book(const char *path, struct book *book)
{
    char line[1024];
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    /* A line that was cut was not acknowledged to anyone. */
    while (fgets(line, sizeof(line), file) && strchr(line, '\n'))
        read_line(book, line);
    fclose(file);
    return true;
}

/* Whether all these names are in these states. */
static bool holds(const char *folder, struct facts *facts)
{
    for (size_t i = 0; i < facts->count; i++) {
        char state[STATE_SIZE];
        char *path = mem_xformat("%s/%s", folder, facts->all[i].name);
        bool same = state_of_path(path, state) && !strcmp(state, facts->all[i].state);
        free(path);
        if (!same)
            return false;
    }
    return facts->count > 0;
}

static int check_names(const char *folder, struct book *book)
{
    int wrong = 0;
    for (size_t i = 0; i < book->known.count; i++) {
        struct fact *fact = &book->known.all[i];
        char state[STATE_SIZE];
        char *path = mem_xformat("%s/%s", folder, fact->name);
        if (!state_of_path(path, state)) {
            printf("%s: %s\n", path, strerror(errno));
            wrong++;
        } else if (strcmp(state, fact->state)) {
            printf("%s: is %s, must be %s\n", path, state, fact->state);
            wrong++;
        }
        free(path);
    }
    return wrong;
}

static int check_nothing_else(const char *folder, struct book *book)
{
    int wrong = 0;
    DIR *listing = opendir(folder);
    if (!listing && errno == ENOENT)
        return 0;               /* what must be there has been looked for */
    if (!listing) {
        printf("%s: %s\n", folder, strerror(errno));
        return 1;
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(listing));) {
        struct fact *fact = fact_of(&book->known, entry->d_name);
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (!fact || !strcmp(fact->state, "-")) {
            printf("%s/%s: nothing was ever acknowledged or intended there\n", folder,
                   entry->d_name);
            wrong++;
        }
    }
    if (errno) {
        printf("%s: %s\n", folder, strerror(errno));
        wrong++;
    }
    closedir(listing);
    return wrong;
}

static int verify_worker(const char *folder, const char *path, uint64_t *acknowledged)
{
    static struct book book;
    book = (struct book){0};
    if (!read_book(path, &book))
        return -1;
    /* What was intended last, if it is there, is as good as acknowledged. */
    if (holds(folder, &book.intended)) {
        acknowledge(&book);
        book.acknowledged--;
    } else if (holds(folder, &book.between)) {
        book.intended = book.between;
        acknowledge(&book);
        book.acknowledged--;
    }
    int wrong = check_names(folder, &book) + check_nothing_else(folder, &book);
    if (wrong)
        printf("%s: the worker ended with: %s\n", path, *book.error ? book.error : "nothing");
    *acknowledged += book.acknowledged;
    return wrong;
}

static int verify(const char *folder, const char *ledger)
{
    uint64_t acknowledged = 0;
    int wrong = 0, found = 0;
    for (unsigned i = 0; found >= 0; i++) {
        char *below = mem_xformat("%s/w%u", folder, i);
        char *path = mem_xformat("%s.%u", ledger, i);
        found = verify_worker(below, path, &acknowledged);
        wrong += found > 0 ? found : 0;
        free(below);
        free(path);
        if (found < 0 && i == 0) {
            fprintf(stderr, "ledger: there is no %s.0\n", ledger);
            return 2;
        }
    }
    printf("%llu acknowledged, %d wrong\n", (unsigned long long)acknowledged, wrong);
    return wrong ? 1 : 0;
}

static int usage(void)
{
    fputs("usage: ledger run [--seed N] [--workers N] [--operations N] DIR LEDGER\n"
          "       ledger verify DIR LEDGER\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, operations = UINT64_MAX, workers = 4;
    int i = 2;
    if (argc < 2)
        return usage();
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        uint64_t number = strtoull(argv[i + 1], NULL, 0);
        if (!strcmp(argv[i], "--seed"))
            seed = number;
        else if (!strcmp(argv[i], "--workers"))
            workers = number;
        else if (!strcmp(argv[i], "--operations"))
            operations = number;
        else
            return usage();
    }
    if (argc - i != 2 || argv[i + 1][0] != '/')
        return usage();
    if (!strcmp(argv[1], "run"))
        return run(argv[i], argv[i + 1], seed, (unsigned)workers, operations);
    if (!strcmp(argv[1], "verify"))
        return verify(argv[i], argv[i + 1]);
    return usage();
}
