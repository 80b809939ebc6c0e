#include "tests/lossy/follow.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define JOURNAL_DESCRIPTOR 990      /* out of the way of programs that close or place low ones */

enum state { UNKNOWN, FOLLOWED, OTHER };

static struct descriptor {
    enum state state;
    bool is_dsync, is_stream;
    uint64_t inode;
} descriptors[DESCRIPTORS_MAX];

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_size;
static int journal = -1;
static uint64_t ids, calls, calls_of_kind[CALL_KINDS], kill_after;
static long sync_us = 200;

static struct fault {
    uint64_t at;
    bool stays;
    int error;
    enum call_kind kind;
} faults[16];
static size_t fault_count;

void *follow_next(const char *name)
{
    void *next = dlsym(RTLD_NEXT, name);
    if (!next)
        follow_die("there is no %s", name);
    return next;
}

/* write(2) without our own: we would follow ourselves. */
static ssize_t write_really(int descriptor, const void *data, size_t size)
{
    REAL(write, ssize_t, int, const void *, size_t);
    return real_write(descriptor, data, size);
}

void follow_die(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text) - 1, format, arguments);
    va_end(arguments);
    size_t length = size < (int)sizeof(text) - 1 ? (size_t)size : sizeof(text) - 2;
    text[length] = '\n';
    if (write_really(2, "liblossy: ", 10) < 0 || write_really(2, text, length + 1) < 0)
        _exit(134);
    abort();
}

void follow_lock(void) { pthread_mutex_lock(&mutex); }
void follow_unlock(void) { pthread_mutex_unlock(&mutex); }

/* --- settings --- */

static enum call_kind kind_of(const char *text)
{
    static const char *const names[] = {"write", "sync", "open", "rename", "unlink", "truncate"};
    for (int kind = 0; kind < CALL_KINDS; kind++)
        if (!strcmp(text, names[kind]))
            return (enum call_kind)kind;
    follow_die("LOSSY_FAIL: no such kind of call \"%s\"", text);
}

static int error_of(const char *text)
{
    if (!strcmp(text, "EIO"))
        return EIO;
    if (!strcmp(text, "ENOSPC"))
        return ENOSPC;
    if (!strcmp(text, "EDQUOT"))
        return EDQUOT;
    follow_die("LOSSY_FAIL: no such error \"%s\"", text);
}

static void read_faults(const char *text)
{
    char *copy = strdup(text), *rest = NULL;
    for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        char *end, error[16], kind[16];
        uint64_t at = strtoull(word, &end, 10);
        bool stays = *end == '+';
        if (sscanf(end + stays, ":%15[A-Z]:%15[a-z]", error, kind) != 2 || fault_count == 16)
            follow_die("LOSSY_FAIL: cannot read \"%s\"", word);
        faults[fault_count++] = (struct fault){at, stays, error_of(error), kind_of(kind)};
    }
    free(copy);
}

static void open_journal(void)
{
    char path[PATH_MAX];
    const char *image = getenv("LOSSY_IMAGE");
    REAL(open, int, const char *, int, ...);
    if (!image)
        follow_die("LOSSY_DIR is set, LOSSY_IMAGE is not");
    snprintf(path, sizeof(path), "%s/journal", image);
    int low = real_open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (low < 0)
        follow_die("%s: %s (lossy-restore init makes it)", path, strerror(errno));
    journal = fcntl(low, F_DUPFD_CLOEXEC, JOURNAL_DESCRIPTOR);
    if (journal < 0)
        journal = low;
    else
        syscall(SYS_close, low);
}

__attribute__((constructor)) static void follow_start(void)
{
    const char *folder = getenv("LOSSY_DIR"), *text;
    if (!folder)
        return;
    if (!realpath(folder, root))
        follow_die("LOSSY_DIR %s: %s", folder, strerror(errno));
    if ((text = getenv("LOSSY_SYNC_US")))
        sync_us = atol(text);
    if ((text = getenv("LOSSY_KILL_AFTER")))
        kill_after = strtoull(text, NULL, 10);
    if ((text = getenv("LOSSY_FAIL")))
        read_faults(text);
    open_journal();
    pthread_atfork(follow_lock, follow_unlock, follow_unlock);
    root_size = strlen(root);       /* from here on we follow */
}

bool follow_fails(enum call_kind kind)
{
    calls++;
    calls_of_kind[kind]++;
    if (calls == kill_after) {
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
    for (size_t i = 0; i < fault_count; i++) {
        struct fault *fault = &faults[i];
        if (fault->kind == kind && (calls_of_kind[kind] == fault->at ||
                                    (fault->stays && calls_of_kind[kind] > fault->at))) {
            errno = fault->error;
            return true;
        }
    }
    return false;
}

/* --- places --- */

/* Takes "." and ".." out of an absolute path, and doubled slashes. */
static void straighten(char *path)
{
    char *to = path, *rest = NULL;
    char copy[2 * PATH_MAX];
    snprintf(copy, sizeof(copy), "%s", path);
    *to = 0;
    for (char *word = strtok_r(copy, "/", &rest); word; word = strtok_r(NULL, "/", &rest)) {
        if (!strcmp(word, "."))
            continue;
        if (!strcmp(word, "..")) {
            char *slash = strrchr(path, '/');
            if (slash)
                *slash = 0;
            continue;
        }
        strcat(path, "/");
        strcat(path, word);
    }
}

static bool is_left_out(const char *place)
{
    const char *name = strrchr(place, '/') ? strrchr(place, '/') + 1 : place;
    return !strcmp(name, "LOG") || !strcmp(name, "LOG.old");
}

/* The place of an absolute straight path. */
static bool place_of(const char *path, char *ret)
{
    if (!root_size || strncmp(path, root, root_size) || (path[root_size] && path[root_size] != '/'))
        return false;
    const char *place = path + root_size + (path[root_size] == '/');
    if (is_left_out(place))
        return false;
    snprintf(ret, PATH_MAX, "%s", place);
    return true;
}

static bool path_of_descriptor(int descriptor, char *ret)
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, ret, PATH_MAX - 1);
    ret[size > 0 ? size : 0] = 0;
    return size > 0;
}

bool follow_path(int at, const char *path, char *ret)
{
    char whole[2 * PATH_MAX], base[PATH_MAX];
    if (!root_size || !path)
        return false;
    if (*path == '/') {
        snprintf(whole, sizeof(whole), "%s", path);
    } else {
        if (at == AT_FDCWD ? !getcwd(base, sizeof(base)) : !path_of_descriptor(at, base))
            return false;
        snprintf(whole, sizeof(whole), "%s/%s", base, path);
    }
    straighten(whole);
    return place_of(whole, ret);
}

/* --- descriptors --- */

static struct descriptor *entry_of(int descriptor)
{
    return root_size && descriptor >= 0 && descriptor < DESCRIPTORS_MAX ? &descriptors[descriptor]
                                                                         : NULL;
}

void follow_opened(int descriptor, const char *place, bool created, bool is_dsync)
{
    struct stat stat;
    struct descriptor *entry = entry_of(descriptor);
    if (!entry || fstat(descriptor, &stat))
        follow_die("\"%s\": descriptor %d is too high, or gone", place, descriptor);
    *entry = (struct descriptor){FOLLOWED, is_dsync, false, stat.st_ino};
    follow_note((struct journal_record){.kind = created ? JOURNAL_CREATE : JOURNAL_OPEN,
                                        .inode = stat.st_ino,
                                        .mode = stat.st_mode & 07777},
                place, "");
}

/* A descriptor that came some other way: opened for reading, by opendir, dup, or inherited. */
static void look_up(int descriptor, const struct stat *stat)
{
    char path[PATH_MAX], place[PATH_MAX];
    descriptors[descriptor] = (struct descriptor){.state = OTHER};
    /* What has no name any more is gone after a loss of power, whatever is written to it. */
    if ((!S_ISREG(stat->st_mode) && !S_ISDIR(stat->st_mode)) || stat->st_nlink == 0 ||
        !path_of_descriptor(descriptor, path) || !place_of(path, place))
        return;
    int flags = fcntl(descriptor, F_GETFL);
    follow_opened(descriptor, place, false, flags > 0 && (flags & O_DSYNC));
}

bool follow_descriptor(int descriptor, uint64_t *ret_inode)
{
    struct descriptor *entry = entry_of(descriptor);
    struct stat stat;
    if (!entry || entry->state == OTHER || fstat(descriptor, &stat))
        return false;
    if (entry->state == UNKNOWN || entry->inode != stat.st_ino)
        look_up(descriptor, &stat);
    *ret_inode = entry->inode;
    return entry->state == FOLLOWED;
}

void follow_closed(int descriptor)
{
    struct descriptor *entry = entry_of(descriptor);
    if (entry)
        *entry = (struct descriptor){0};
}

bool follow_is_dsync(int descriptor) { return descriptors[descriptor].is_dsync; }
bool follow_is_stream(int descriptor)
{
    struct descriptor *entry = entry_of(descriptor);
    return entry && entry->state == FOLLOWED && entry->is_stream;
}
void follow_set_stream(int descriptor) { descriptors[descriptor].is_stream = true; }

/* --- the journal --- */

static void append(const struct iovec *parts, int count)
{
    REAL(writev, ssize_t, int, const struct iovec *, int);
    ssize_t size = 0;
    for (int i = 0; i < count; i++)
        size += (ssize_t)parts[i].iov_len;
    if (real_writev(journal, parts, count) != size)
        follow_die("the journal: %s", strerror(errno));
}

static void note(struct journal_record *record, const char *path, const char *other,
                 const struct iovec *parts, int count)
{
    struct iovec all[IOV_MAX];
    record->magic = JOURNAL_MAGIC;
    record->path_size = (uint32_t)strlen(path);
    record->other_size = (uint32_t)strlen(other);
    all[0] = (struct iovec){record, sizeof(*record)};
    all[1] = (struct iovec){(char *)path, record->path_size};
    all[2] = (struct iovec){(char *)other, record->other_size};
    memcpy(all + 3, parts, (size_t)count * sizeof(*parts));
    append(all, 3 + count);
}

void follow_note(struct journal_record record, const char *path, const char *other)
{
    struct iovec target = {(char *)other, strlen(other)};
    if (record.kind == JOURNAL_SYMLINK) {
        record.data_size = (uint32_t)target.iov_len;
        note(&record, path, "", &target, 1);
    } else {
        note(&record, path, other, NULL, 0);
    }
}

static bool is_zero(const uint8_t *data, size_t size)
{
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

void follow_note_write(uint64_t inode, uint64_t offset, const struct iovec *parts, int count,
                       size_t size)
{
    struct iovec cut[IOV_MAX];
    struct journal_record record = {.kind = JOURNAL_WRITE, .inode = inode, .offset = offset,
                                    .size = size};
    bool zero = true;
    int used = 0;
    for (size_t left = size; used < count && left && used < IOV_MAX - 3; used++) {
        cut[used] = parts[used];
        if (cut[used].iov_len > left)
            cut[used].iov_len = left;
        left -= cut[used].iov_len;
        zero = zero && is_zero(cut[used].iov_base, cut[used].iov_len);
    }
    record.data_size = zero ? 0 : (uint32_t)size;
    note(&record, "", "", cut, zero ? 0 : used);
}

void follow_note_content(int descriptor, uint64_t inode)
{
    uint8_t data[65536];
    uint64_t offset = 0;
    char path[64];
    REAL(open, int, const char *, int, ...);
    REAL(close, int, int);
    /* The stream's own descriptor may be for writing only. */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    int readable = real_open(path, O_RDONLY | O_CLOEXEC);
    for (ssize_t size; (size = pread(readable, data, sizeof(data), (off_t)offset)) != 0;) {
        if (size < 0)
            follow_die("a stream in the folder cannot be read back: %s", strerror(errno));
        struct iovec part = {data, (size_t)size};
        follow_note_write(inode, offset, &part, 1, (size_t)size);
        offset += (uint64_t)size;
    }
    real_close(readable);
    follow_note((struct journal_record){.kind = JOURNAL_TRUNCATE, .inode = inode, .size = offset},
                "", "");
}

bool follow_is_journal(int descriptor) { return journal >= 0 && descriptor == journal; }
uint64_t follow_new_id(void) { return (uint64_t)getpid() << 32 | ++ids; }

void follow_wait_for_disk(void)
{
    struct timespec wait = {sync_us / 1000000, sync_us % 1000000 * 1000};
    if (sync_us > 0)
        nanosleep(&wait, NULL);
}
