#include "cluster/datadir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cluster/textfile.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "proto/base/note.h"

#define IDENTITY "identity"
#define IDENTITY_SIZE_MAX 1024
#define WAL "wal"

char *datadir_default(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (geteuid() == 0)
        return mem_xstrdup("/var/lib/concordfs");
    if (state && state[0] == '/')
        return mem_xformat("%s/concordfs", state);
    if (home && home[0] == '/')
        return mem_xformat("%s/.local/state/concordfs", home);
    return NULL;
}

char *datadir_path(const struct datadir *dir, const char *name)
{
    return mem_xformat("%s/%s", dir->path, name);
}

static enum err_code make_folders(const char *path, struct err *err)
{
    char *partial = mem_xstrdup(path);
    enum err_code code = ERR_OK;
    for (char *at = partial + 1; code == ERR_OK; at++) {
        bool last = *at == '\0';
        if (*at != '/' && !last)
            continue;
        *at = '\0';
        if (mkdir(partial, 0700) != 0 && errno != EEXIST)
            code = err_set_errno(err, errno, "create folder \"%s\"", partial);
        if (last)
            break;
        *at = '/';
    }
    free(partial);
    return code;
}

static enum err_code take_lock(struct datadir *dir, struct err *err)
{
    char *path = datadir_path(dir, "lock");
    enum err_code code = ERR_OK;
    dir->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (dir->lock_fd < 0) {
        code = err_set_errno(err, errno, "open \"%s\"", path);
    } else if (flock(dir->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        char holder[32] = "";
        ssize_t size = pread(dir->lock_fd, holder, sizeof holder - 1, 0);
        holder[size > 0 ? strcspn(holder, "\n") : 0] = '\0';
        code = err_set(err, ERR_BUSY, "\"%s\" is in use by process %s: stop it, or choose another"
                       " folder with --data", dir->path, holder[0] ? holder : "(unknown)");
    } else {
        char text[32];
        snprintf(text, sizeof text, "%ld\n", (long)getpid());
        code = note_overwrite(dir->lock_fd, path, text, err);
    }
    free(path);
    return code;
}

static int identity_format(const struct identity *identity, char *text, size_t size)
{
    return snprintf(text, size,
                    "concordfs data folder\n"
                    "format %d\n"
                    "cluster %016" PRIx64 "\n"
                    "member %016" PRIx64 "\n"
                    "generation %016" PRIx64 "\n"
                    "name %s\n",
                    DATADIR_FORMAT, identity->cluster_id, identity->member_id,
                    identity->generation, identity->name);
}

static enum err_code identity_parse(const char *text, const char *path, struct identity *ret,
                                    struct err *err)
{
    int format = 0;
    if (sscanf(text, "concordfs data folder\nformat %d\n", &format) != 1 ||
        format != DATADIR_FORMAT)
        return err_set(err, ERR_CORRUPT,
                       "\"%s\" has format %d and this program knows format %d: use the version "
                       "that wrote it", path, format, DATADIR_FORMAT);
    if (sscanf(text,
               "concordfs data folder\nformat %*d\ncluster %16" SCNx64 "\nmember %16" SCNx64
               "\ngeneration %16" SCNx64 "\nname %63[^\n]",
               &ret->cluster_id, &ret->member_id, &ret->generation, ret->name) < 3)
        return err_set(err, ERR_CORRUPT, "\"%s\" lacks a line", path);
    return ERR_OK;
}

enum err_code datadir_read_identity(struct datadir *dir, struct err *err)
{
    char *path = datadir_path(dir, IDENTITY), *text = NULL;
    struct buf content = {0};
    enum err_code code = textfile_read(dir->disk, IDENTITY, &content, err);
    if (code == ERR_OK) {
        text = bytes_to_text(buf_bytes(&content));
        code = identity_parse(text, path, &dir->identity, err);
        dir->has_identity = code == ERR_OK;
    } else if (code == ERR_NOT_FOUND) {
        code = ERR_OK;
    } else if (code == ERR_CORRUPT) {
        code = err_set(err, code,
                       "\"%s\" is damaged (its checksum does not fit): restore the file from a "
                       "copy, or move the whole folder away to begin a new cluster", path);
    }
    free(text);
    buf_release(&content);
    free(path);
    return code;
}

enum err_code datadir_open(struct datadir *dir, const char *path, struct err *err)
{
    *dir = (struct datadir){.lock_fd = -1};
    struct stat stat_buffer;
    enum err_code code = make_folders(path, err);
    if (code == ERR_OK && (stat(path, &stat_buffer) != 0 || !S_ISDIR(stat_buffer.st_mode)))
        code = err_set(err, ERR_INVALID, "\"%s\" is not a folder", path);
    if (code == ERR_OK && !(dir->path = realpath(path, NULL)))
        code = err_set_errno(err, errno, "resolve \"%s\"", path);
    if (code == ERR_OK)
        code = take_lock(dir, err);
    if (code == ERR_OK)
        code = disk_posix_new(dir->path, &dir->disk, err);
    if (code == ERR_OK)
        code = datadir_read_identity(dir, err);
    if (code != ERR_OK)
        datadir_close(dir);
    return code;
}

void datadir_close(struct datadir *dir)
{
    disk_posix_free(dir->disk);
    if (dir->path && dir->lock_fd >= 0)
        close(dir->lock_fd);
    free(dir->path);
    *dir = (struct datadir){.lock_fd = -1};
}

/* ---- clearing ---- */

struct names {
    char **names;
    size_t count;
};

static void note_name(void *context, const char *name)
{
    struct names *found = context;
    found->names = mem_xrealloc(found->names, (found->count + 1) * sizeof found->names[0]);
    found->names[found->count++] = mem_xformat("%s/%s", WAL, name);
}

enum err_code datadir_clear(struct datadir *dir, struct err *err)
{
    struct names found = {0};
    CHECK(!dir->has_identity);
    enum err_code code = disk_list(dir->disk, WAL, note_name, &found, err);
    if (code == ERR_NOT_FOUND)
        code = ERR_OK;
    for (size_t i = 0; i < found.count; i++) {
        if (code == ERR_OK)
            code = disk_remove(dir->disk, found.names[i], err);
        free(found.names[i]);
    }
    free(found.names);
    return code == ERR_OK ? textfile_remove(dir->disk, "generations", err) : code;
}

static enum err_code remove_tree(const char *path, struct err *err)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return ERR_OK;
    DIR *folder = errno == EISDIR || errno == EPERM ? opendir(path) : NULL;
    if (!folder)
        return err_set_errno(err, errno, "remove \"%s\"", path);
    enum err_code code = ERR_OK;
    struct dirent *entry;
    while (code == ERR_OK && (entry = readdir(folder))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        char *file = mem_xformat("%s/%s", path, entry->d_name);
        code = remove_tree(file, err);
        free(file);
    }
    closedir(folder);
    if (code == ERR_OK && rmdir(path) != 0)
        code = err_set_errno(err, errno, "remove folder \"%s\"", path);
    return code;
}

/* A store-N that nothing names any more is removed by whoever opens the stores. */
enum err_code datadir_clear_stores(struct datadir *dir, struct err *err)
{
    CHECK(!dir->has_identity);
    const char *names[] = {"store", "current", "arrival", "verdict"};
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < ARRAY_COUNT(names); i++) {
        char *path = datadir_path(dir, names[i]);
        code = remove_tree(path, err);
        free(path);
    }
    return code;
}

enum err_code datadir_set_identity(struct datadir *dir, const struct identity *identity,
                                   struct err *err)
{
    char text[IDENTITY_SIZE_MAX];
    int size = identity_format(identity, text, sizeof text);
    CHECK(size > 0 && (size_t)size < sizeof text);
    enum err_code code = textfile_write(dir->disk, IDENTITY, bytes_of(text, (size_t)size), err);
    if (code == ERR_OK) {
        dir->identity = *identity;
        dir->has_identity = true;
    }
    return code;
}

enum err_code datadir_drop_identity(struct datadir *dir, struct err *err)
{
    enum err_code code = textfile_remove(dir->disk, IDENTITY, err);
    if (code == ERR_OK)
        dir->has_identity = false;
    return code;
}
