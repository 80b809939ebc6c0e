/* A folder path, and beside it path-durable with two kinds of files, by the number of an inode:
 *
 *     pin-N      a link: as long as it is there, N belongs to no other file
 *     kept-N     what was in it at its last sync; not for what is linked
 *
 * and, in memory, the names of each folder below path at its last sync. A folder that was removed and made
 * again under the same name has another inode, and nothing durable in it.
 */
#include "tests/sim/sim_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"

#define PATH_SIZE 4096
#define CHUNK_SIZE 65536

struct pin {
    ino_t inode;
    off_t size;                 /* at its last sync; -1: it was never synced */
    bool is_linked;             /* it does not change any more */
};

struct name {
    char *text;
    ino_t inode;
    bool is_folder;
};

struct listing {
    char *folder;               /* below path; "": path itself */
    ino_t inode;
    struct name *names;
    size_t count;
};

struct sim_folder {
    struct sim_folder *next;
    char *path, *beside;
    uint64_t syncs_left;
    bool is_full;
    struct pin *pins;
    size_t pin_count;
    struct listing *listings;
    size_t listing_count;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sim_folder *folders;      /* under lock, with all that is in them */
static atomic_int full_count;           /* of them; while it is zero, no write looks for a folder */

/* ---- paths ---- */

static char *path_in(const char *folder, const char *name)
{
    return name[0] ? mem_xformat("%s/%s", folder, name) : mem_xstrdup(folder);
}

static char *below(const struct sim_folder *folder, const char *inner, const char *name)
{
    char *outer = path_in(folder->path, inner), *path = path_in(outer, name);
    free(outer);
    return path;
}

static char *beside(const struct sim_folder *folder, const char *kind, ino_t inode)
{
    return mem_xformat("%s/%s-%" PRIuMAX, folder->beside, kind, (uintmax_t)inode);
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static bool is_for_good(const char *path)
{
    const char *name = strrchr(path, '/');
    return ends_with(path, ".ldb") || ends_with(path, ".sst") ||
           strncmp(name ? name + 1 : path, "reserve", 7) == 0;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *place)
{
    (void)stat;
    (void)type;
    return place->level == 0 ? 0 : remove(path);
}

static void empty(const char *path)
{
    CHECK(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

static void copy_file(const char *from, const char *to)
{
    char chunk[CHUNK_SIZE];
    ssize_t size;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(in >= 0 && out >= 0);
    while ((size = read(in, chunk, sizeof chunk)) > 0)
        CHECK(syscall(SYS_write, out, chunk, (size_t)size) == size);
    CHECK(size == 0 && close(in) == 0 && close(out) == 0);
}

/* ---- files ---- */

static struct pin *pin_find(struct sim_folder *folder, ino_t inode)
{
    for (size_t i = 0; i < folder->pin_count; i++)
        if (folder->pins[i].inode == inode)
            return &folder->pins[i];
    return NULL;
}

/* By a link, so that it is one file that is looked at, whatever happens to its name. NULL: it has gone. */
static struct pin *pin_take(struct sim_folder *folder, const char *path, bool follow)
{
    struct stat found;
    char *fresh = path_in(folder->beside, "fresh");
    bool is_there = linkat(AT_FDCWD, path, AT_FDCWD, fresh, follow ? AT_SYMLINK_FOLLOW : 0) == 0;
    CHECK(is_there || errno == ENOENT);
    struct pin *pin = NULL;
    if (is_there) {
        CHECK(stat(fresh, &found) == 0);
        pin = pin_find(folder, found.st_ino);
    }
    if (is_there && !pin) {
        char *name = beside(folder, "pin", found.st_ino);
        CHECK(rename(fresh, name) == 0);
        free(name);
        folder->pins = mem_xrealloc(folder->pins, (folder->pin_count + 1) * sizeof *pin);
        pin = &folder->pins[folder->pin_count++];
        *pin = (struct pin){.inode = found.st_ino, .size = -1};
    } else if (is_there) {
        CHECK(unlink(fresh) == 0);
    }
    free(fresh);
    return pin;
}

static void content_take(struct sim_folder *folder, struct pin *pin, const char *path)
{
    struct stat found;
    char *from = beside(folder, "pin", pin->inode), *to = beside(folder, "kept", pin->inode);
    CHECK(stat(from, &found) == 0);
    pin->is_linked = is_for_good(path);
    if (!pin->is_linked)
        copy_file(from, to);
    pin->size = found.st_size;
    free(from);
    free(to);
}

/* ---- names ---- */

static struct listing *listing_find(struct sim_folder *folder, const char *inner)
{
    for (size_t i = 0; i < folder->listing_count; i++)
        if (strcmp(folder->listings[i].folder, inner) == 0)
            return &folder->listings[i];
    return NULL;
}

static void listing_empty(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->names[i].text);
    free(listing->names);
    listing->names = NULL;
    listing->count = 0;
}

static struct listing *listing_of(struct sim_folder *folder, const char *inner, ino_t inode)
{
    struct listing *listing = listing_find(folder, inner);
    if (!listing) {
        folder->listings =
            mem_xrealloc(folder->listings, (folder->listing_count + 1) * sizeof *listing);
        listing = &folder->listings[folder->listing_count++];
        *listing = (struct listing){.folder = mem_xstrdup(inner), .inode = inode};
    }
    if (listing->inode != inode)
        listing_empty(listing);
    listing->inode = inode;
    return listing;
}

static void name_add(struct listing *listing, const char *text, ino_t inode, bool is_folder)
{
    size_t i = 0;
    while (i < listing->count && strcmp(listing->names[i].text, text) != 0)
        i++;
    if (i == listing->count) {
        listing->names = mem_xrealloc(listing->names, (i + 1) * sizeof *listing->names);
        listing->names[listing->count++].text = mem_xstrdup(text);
    }
    listing->names[i].inode = inode;
    listing->names[i].is_folder = is_folder;
}

static void name_take(struct sim_folder *folder, struct listing *listing, const char *text)
{
    struct stat found;
    char *path = below(folder, listing->folder, text);
    bool is_folder = lstat(path, &found) == 0 && S_ISDIR(found.st_mode);
    struct pin *pin = is_folder ? NULL : pin_take(folder, path, false);
    if (is_folder || pin)
        name_add(listing, text, is_folder ? found.st_ino : pin->inode, is_folder);
    free(path);
}

static void listing_take(struct sim_folder *folder, const char *inner, ino_t inode)
{
    struct listing *listing = listing_of(folder, inner, inode);
    char *path = path_in(folder->path, inner);
    DIR *dir = opendir(path);
    CHECK(dir);
    listing_empty(listing);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            name_take(folder, listing, entry->d_name);
    closedir(dir);
    free(path);
}

/* That the folders on the way to something are there. */
static void way_take(struct sim_folder *folder, const char *inner)
{
    struct stat outer_is, is;
    for (const char *end = inner + strcspn(inner, "/"); inner[0]; end += strcspn(end, "/")) {
        char *part = mem_xformat("%.*s", (int)(end - inner), inner);
        char *last = strrchr(part, '/');
        char *outer = last ? mem_xformat("%.*s", (int)(last - part), part) : mem_xstrdup("");
        char *path = path_in(folder->path, part), *outer_path = path_in(folder->path, outer);
        if (stat(path, &is) == 0 && stat(outer_path, &outer_is) == 0 && S_ISDIR(is.st_mode))
            name_add(listing_of(folder, outer, outer_is.st_ino), last ? last + 1 : part, is.st_ino,
                     true);
        free(path);
        free(outer_path);
        free(outer);
        free(part);
        if (!*end++)
            break;
    }
}

/* ---- the system's calls ---- */

static struct sim_folder *folder_around(const char *path)
{
    for (struct sim_folder *one = folders; one; one = one->next) {
        size_t length = strlen(one->path);
        if (strncmp(path, one->path, length) == 0 && (path[length] == '/' || path[length] == '\0'))
            return one;
    }
    return NULL;
}

static struct sim_folder *folder_of(int fd, char *ret_path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, ret_path, PATH_SIZE - 1);
    ret_path[size > 0 ? size : 0] = '\0';
    return folder_around(ret_path);
}

static void take(struct sim_folder *folder, int fd, const char *path)
{
    struct stat is;
    const char *inner = path + strlen(folder->path);
    inner += inner[0] == '/';
    CHECK(fstat(fd, &is) == 0);
    if (is.st_nlink == 0)
        return;
    if (S_ISDIR(is.st_mode)) {
        listing_take(folder, inner, is.st_ino);
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        struct pin *pin = pin_take(folder, link, true);
        if (pin)
            content_take(folder, pin, path);
    }
    way_take(folder, inner);
}

/* False: it is none of ours. */
static bool is_taken(int fd)
{
    char path[PATH_SIZE];
    pthread_mutex_lock(&lock);
    struct sim_folder *folder = folders ? folder_of(fd, path) : NULL;
    if (folder && folder->syncs_left) {
        take(folder, fd, path);
        folder->syncs_left--;
    }
    pthread_mutex_unlock(&lock);
    return folder;
}

int fsync(int fd) { return is_taken(fd) ? 0 : (int)syscall(SYS_fsync, fd); }

int fdatasync(int fd) { return is_taken(fd) ? 0 : (int)syscall(SYS_fdatasync, fd); }

static bool has_no_room(int fd)
{
    char path[PATH_SIZE];
    if (!atomic_load(&full_count))
        return false;
    pthread_mutex_lock(&lock);
    const struct sim_folder *folder = folder_of(fd, path);
    bool is_full = folder && folder->is_full;
    pthread_mutex_unlock(&lock);
    errno = ENOSPC;
    return is_full;
}

ssize_t write(int fd, const void *from, size_t size)
{
    return has_no_room(fd) ? -1 : syscall(SYS_write, fd, from, size);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t offset)
{
    return has_no_room(fd) ? -1 : syscall(SYS_pwrite64, fd, from, size, offset);
}

int posix_fallocate(int fd, off_t offset, off_t size)
{
    return has_no_room(fd) ? ENOSPC : syscall(SYS_fallocate, fd, 0, offset, size) == 0 ? 0 : errno;
}

int statvfs(const char *path, struct statvfs *ret)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int code = fstatvfs(fd, ret);
    if (code == 0 && has_no_room(fd))
        ret->f_bavail = ret->f_bfree = 0;
    close(fd);
    return code;
}

/* ---- what is left ---- */

static void file_put(struct sim_folder *folder, const struct pin *pin, const char *to)
{
    struct stat found;
    char *pinned = beside(folder, "pin", pin->inode), *kept = beside(folder, "kept", pin->inode);
    CHECK(stat(pinned, &found) == 0);
    if (pin->size < 0) {
        int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        CHECK(fd >= 0 && close(fd) == 0);
    } else if (pin->is_linked) {
        CHECK(found.st_size == pin->size);
        CHECK(link(pinned, to) == 0);
    } else {
        copy_file(kept, to);
    }
    free(pinned);
    free(kept);
}

static void folder_put(struct sim_folder *folder, const char *inner, ino_t inode)
{
    const struct listing *listing = listing_find(folder, inner);
    for (size_t i = 0; listing && listing->inode == inode && i < listing->count; i++) {
        const struct name *name = &listing->names[i];
        char *to = below(folder, inner, name->text);
        if (name->is_folder) {
            char *deeper = inner[0] ? path_in(inner, name->text) : mem_xstrdup(name->text);
            CHECK(mkdir(to, 0700) == 0);
            folder_put(folder, deeper, name->inode);
            free(deeper);
        } else {
            file_put(folder, pin_find(folder, name->inode), to);
        }
        free(to);
    }
}

static void forget(struct sim_folder *folder)
{
    for (size_t i = 0; i < folder->listing_count; i++) {
        listing_empty(&folder->listings[i]);
        free(folder->listings[i].folder);
    }
    free(folder->listings);
    free(folder->pins);
    folder->listings = NULL;
    folder->pins = NULL;
    folder->listing_count = folder->pin_count = 0;
    empty(folder->beside);
}

static void settle_in(struct sim_folder *folder, const char *inner)
{
    struct stat is;
    char *path = path_in(folder->path, inner);
    CHECK(stat(path, &is) == 0);
    listing_take(folder, inner, is.st_ino);
    size_t place = (size_t)(listing_find(folder, inner) - folder->listings);
    for (size_t i = 0; i < folder->listings[place].count; i++) {
        const struct name *name = &folder->listings[place].names[i];
        char *deeper = inner[0] ? path_in(inner, name->text) : mem_xstrdup(name->text);
        if (name->is_folder)
            settle_in(folder, deeper);
        else
            content_take(folder, pin_find(folder, name->inode), deeper);
        free(deeper);
    }
    free(path);
}

static void settle(struct sim_folder *folder)
{
    forget(folder);
    settle_in(folder, "");
    folder->syncs_left = UINT64_MAX;
}

void sim_folder_settle(struct sim_folder *folder)
{
    pthread_mutex_lock(&lock);
    settle(folder);
    pthread_mutex_unlock(&lock);
}

void sim_folder_crash(struct sim_folder *folder)
{
    struct stat is;
    pthread_mutex_lock(&lock);
    CHECK(stat(folder->path, &is) == 0);
    empty(folder->path);
    folder_put(folder, "", is.st_ino);
    settle(folder);
    pthread_mutex_unlock(&lock);
}

void sim_folder_stop(struct sim_folder *folder, uint64_t after)
{
    pthread_mutex_lock(&lock);
    folder->syncs_left = after;
    pthread_mutex_unlock(&lock);
}

bool sim_folder_has_stopped(struct sim_folder *folder)
{
    pthread_mutex_lock(&lock);
    bool has_stopped = folder->syncs_left == 0;
    pthread_mutex_unlock(&lock);
    return has_stopped;
}

void sim_folder_fill(struct sim_folder *folder, bool is_full)
{
    pthread_mutex_lock(&lock);
    atomic_fetch_add(&full_count, (int)is_full - (int)folder->is_full);
    folder->is_full = is_full;
    pthread_mutex_unlock(&lock);
}

/* ---- life ---- */

struct sim_folder *sim_folder_new(const char *path)
{
    struct sim_folder *folder = mem_xzalloc(sizeof *folder);
    folder->path = realpath(path, NULL);
    CHECK(folder->path);
    folder->beside = mem_xformat("%s-durable", folder->path);
    CHECK(mkdir(folder->beside, 0700) == 0);
    pthread_mutex_lock(&lock);
    settle(folder);
    folder->next = folders;
    folders = folder;
    pthread_mutex_unlock(&lock);
    return folder;
}

void sim_folder_free(struct sim_folder *folder)
{
    if (!folder)
        return;
    sim_folder_fill(folder, false);
    pthread_mutex_lock(&lock);
    struct sim_folder **place = &folders;
    while (*place != folder)
        place = &(*place)->next;
    *place = folder->next;
    forget(folder);
    pthread_mutex_unlock(&lock);
    CHECK(rmdir(folder->beside) == 0);
    free(folder->path);
    free(folder->beside);
    free(folder);
}
