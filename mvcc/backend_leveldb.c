/* Ordered bytes on LevelDB. Everything is written without sync: LevelDB's tables are our checkpoint, and
 * our own log is the log, so what LevelDB logged is moved aside before each opening and never read
 * (google/leveldb#193: a sync covers the current log alone, not the one before it).
 *
 * A log file that is gone is proof: LevelDB unlinks it after the table with its rows, and the MANIFEST
 * that names the table, were synced.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mvcc/backend.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"

#define CACHE_SIZE (8 * MIB)            /* blocks */
#define TABLE_SIZE (8 * MIB)            /* of one table; a few large ones are opened less often */
#define OPEN_FILES_MAX 200              /* tables kept open, 1.5 GiB of them: opening one again reads
                                           its index and filter, and dwarfs the read it is for */
#define FILTER_BITS 10                  /* per row: one look in a hundred is in vain */
#define BATCH_KEPT_MAX (4 * MIB)        /* a larger write batch is given back to the heap */

struct backend_snapshot {
    const leveldb_snapshot_t *snapshot;
    leveldb_readoptions_t *options;
};

struct leveldb_backend {
    struct backend backend;
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_readoptions_t *read;
    leveldb_writeoptions_t *write;
    leveldb_writebatch_t *batch;        /* the writer's, used again */
    char *folder;
    int lock;                           /* descriptor of folder/OWNER, locked */
};

struct leveldb_iterator {
    struct backend_iterator iterator;
    leveldb_iterator_t *it;
};

static struct leveldb_backend *self_of(struct backend *backend)
{
    return container_of(backend, struct leveldb_backend, backend);
}

/* LevelDB's texts end with the system's word for the errno. */
static bool is_of_full_disk(const char *text)
{
    return strstr(text, strerror(ENOSPC)) || strstr(text, strerror(EDQUOT));
}

/* Frees LevelDB's text. */
static enum err_code error_of(char *text, const char *what, struct err *err)
{
    enum err_code code = strstr(text, "Corruption") ? ERR_CORRUPT
                         : is_of_full_disk(text)    ? ERR_NO_SPACE
                                                    : ERR_IO;
    err_set(err, code, "%s: %s", what, text);
    leveldb_free(text);
    return code;
}

/* ---- the folder ---- */

static bool is_log(const char *name, uint64_t *ret_number)
{
    char *end;
    if (name[0] < '0' || name[0] > '9')
        return false;
    *ret_number = strtoull(name, &end, 10);
    return strcmp(end, ".log") == 0;
}

/* Calls visit for each log file of a folder, and stops at its first error. */
static enum err_code for_each_log(const char *folder, void *context,
                                  enum err_code (*visit)(void *context, const char *name,
                                                         uint64_t number, struct err *err),
                                  struct err *err)
{
    enum err_code code = ERR_OK;
    uint64_t number;
    DIR *dir = opendir(folder);
    if (!dir)
        return err_set_errno(err, errno, "open folder '%s'", folder);
    errno = 0;
    for (struct dirent *entry; !code && (entry = readdir(dir)); errno = 0)
        if (is_log(entry->d_name, &number))
            code = visit(context, entry->d_name, number, err);
    if (!code && errno)
        code = err_set_errno(err, errno, "read folder '%s'", folder);
    closedir(dir);
    return code;
}

/* A name in folder/aside that is not taken: earlier openings may have left a log of the same number. */
static char *aside_name(const char *folder, uint64_t number)
{
    for (unsigned turn = 0;; turn++) {
        char *path = mem_xformat("%s/aside/%u-%06llu.log", folder, turn, (unsigned long long)number);
        if (access(path, F_OK) != 0)
            return path;
        free(path);
    }
}

static enum err_code log_move_aside(void *context, const char *name, uint64_t number,
                                    struct err *err)
{
    const char *folder = context;
    enum err_code code = ERR_OK;
    char *from = mem_xformat("%s/%s", folder, name);
    char *to = aside_name(folder, number);
    if (rename(from, to) != 0) {
        code = err_set_errno(err, errno, "move '%s' aside", from);
        code = code == ERR_NO_SPACE ? code : ERR_IO;
    }
    free(from);
    free(to);
    return code;
}

static enum err_code logs_move_aside(const char *folder, struct err *err)
{
    char *aside = mem_xformat("%s/aside", folder);
    enum err_code code = ERR_OK;
    if (mkdir(aside, 0700) != 0 && errno != EEXIST)
        code = err_set_errno(err, errno, "make folder '%s'", aside);
    free(aside);
    return code ? code : for_each_log(folder, (void *)(uintptr_t)folder, log_move_aside, err);
}

static enum err_code log_highest(void *context, const char *name, uint64_t number, struct err *err)
{
    (void)name;
    (void)err;
    uint64_t *highest = context;
    if (number > *highest)
        *highest = number;
    return ERR_OK;
}

static enum err_code folder_sync(const char *folder, struct err *err)
{
    enum err_code code = ERR_OK;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "open folder '%s'", folder);
    if (fsync(fd) != 0)
        code = err_set_errno(err, errno, "sync folder '%s'", folder);
    close(fd);
    return code;
}

/* LevelDB locks its folder when it opens it, which is after the logs were moved: somebody else's logs
 * must not be. A lock of our own comes first, and is held as long as the store is open. */
static enum err_code folder_lock(const char *folder, int *ret, struct err *err)
{
    char *path = mem_xformat("%s/OWNER", folder);
    enum err_code code = ERR_OK;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        code = err_set_errno(err, errno, "open '%s'", path);
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        code = err_set(err, ERR_IO, "the store in '%s' is open in another process", folder);
    if (code && fd >= 0)
        close(fd);
    free(path);
    *ret = code ? -1 : fd;
    return code == ERR_NOT_FOUND ? ERR_IO : code;
}

/* ---- the door ---- */

static enum err_code leveldb_door_get(struct backend *backend,
                                      const struct backend_snapshot *snapshot, struct bytes key,
                                      struct buf *ret, struct err *err)
{
    struct leveldb_backend *self = self_of(backend);
    char *text = NULL;
    size_t size;
    char *value = leveldb_get(self->db, snapshot ? snapshot->options : self->read,
                              (const char *)key.data, key.size, &size, &text);
    if (text)
        return error_of(text, "read a row of the store", err);
    if (!value)
        return ERR_NOT_FOUND;
    buf_append(ret, bytes_of(value, size));
    leveldb_free(value);
    return ERR_OK;
}

static enum err_code batch_hand_over(struct leveldb_backend *self, struct err *err)
{
    char *text = NULL;
    leveldb_write(self->db, self->write, self->batch, &text);
    return text ? error_of(text, "write to the store", err) : ERR_OK;
}

static enum err_code leveldb_door_write(struct backend *backend, const struct backend_op *ops,
                                        size_t count, struct err *err)
{
    struct leveldb_backend *self = self_of(backend);
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        const char *key = (const char *)ops[i].key.data;
        if (ops[i].is_delete)
            leveldb_writebatch_delete(self->batch, key, ops[i].key.size);
        else
            leveldb_writebatch_put(self->batch, key, ops[i].key.size,
                                   (const char *)ops[i].value.data, ops[i].value.size);
        size += ops[i].key.size + ops[i].value.size;
    }
    enum err_code code = batch_hand_over(self, err);
    if (size > BATCH_KEPT_MAX) {
        leveldb_writebatch_destroy(self->batch);
        self->batch = leveldb_writebatch_create();
    } else {
        leveldb_writebatch_clear(self->batch);
    }
    return code;
}

static leveldb_readoptions_t *read_options(const leveldb_snapshot_t *snapshot)
{
    leveldb_readoptions_t *options = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(options, 1);
    if (snapshot)
        leveldb_readoptions_set_snapshot(options, snapshot);
    return options;
}

static struct backend_snapshot *leveldb_door_snapshot_new(struct backend *backend, bool passing)
{
    struct backend_snapshot *snapshot = mem_xzalloc(sizeof(*snapshot));
    snapshot->snapshot = leveldb_create_snapshot(self_of(backend)->db);
    snapshot->options = read_options(snapshot->snapshot);
    leveldb_readoptions_set_fill_cache(snapshot->options, !passing);
    return snapshot;
}

static void leveldb_door_snapshot_free(struct backend *backend, struct backend_snapshot *snapshot)
{
    leveldb_readoptions_destroy(snapshot->options);
    leveldb_release_snapshot(self_of(backend)->db, snapshot->snapshot);
    free(snapshot);
}

static enum err_code leveldb_door_log_current(struct backend *backend, uint64_t *ret,
                                              struct err *err)
{
    struct leveldb_backend *self = self_of(backend);
    uint64_t highest = 0;
    enum err_code code = for_each_log(self->folder, &highest, log_highest, err);
    if (!code && highest == 0)
        code = err_set(err, ERR_IO, "the store in '%s' has no log file", self->folder);
    if (!code)
        *ret = highest;
    return code;
}

static bool leveldb_door_log_exists(struct backend *backend, uint64_t number)
{
    struct leveldb_backend *self = self_of(backend);
    char *path = mem_xformat("%s/%06llu.log", self->folder, (unsigned long long)number);
    bool gone = access(path, F_OK) != 0 && errno == ENOENT;
    free(path);
    return !gone;
}

/* Compacting an interval without rows replaces the memtable and its log; an empty batch brings out an
 * error that this left behind. */
static enum err_code leveldb_door_flush(struct backend *backend, struct err *err)
{
    struct leveldb_backend *self = self_of(backend);
    leveldb_compact_range(self->db, "\xff", 1, "\xff\xff", 2);
    return batch_hand_over(self, err);
}

static enum err_code aside_delete(void *context, const char *name, uint64_t number,
                                  struct err *err)
{
    (void)number;
    char *path = mem_xformat("%s/%s", (const char *)context, name);
    enum err_code code = ERR_OK;
    if (unlink(path) != 0)
        code = err_set_errno(err, errno, "delete '%s'", path);
    free(path);
    return code;
}

/* Names in aside begin "0-000123.log": every file in it goes. */
static enum err_code leveldb_door_forget_logs(struct backend *backend, struct err *err)
{
    char *aside = mem_xformat("%s/aside", self_of(backend)->folder);
    enum err_code code = ERR_OK;
    DIR *dir = opendir(aside);
    if (!dir)
        code = err_set_errno(err, errno, "open folder '%s'", aside);
    for (struct dirent *entry; !code && (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            code = aside_delete(aside, entry->d_name, 0, err);
    if (dir)
        closedir(dir);
    free(aside);
    return code;
}

static void leveldb_door_close(struct backend *backend)
{
    struct leveldb_backend *self = self_of(backend);
    if (self->db)
        leveldb_close(self->db);
    leveldb_options_destroy(self->options);
    leveldb_cache_destroy(self->cache);
    leveldb_filterpolicy_destroy(self->filter);
    leveldb_readoptions_destroy(self->read);
    leveldb_writeoptions_destroy(self->write);
    leveldb_writebatch_destroy(self->batch);
    close(self->lock);
    free(self->folder);
    free(self);
}

/* ---- iterators ---- */

static leveldb_iterator_t *it_of(const struct backend_iterator *iterator)
{
    return container_of(iterator, const struct leveldb_iterator, iterator)->it;
}

static void leveldb_door_iter_seek(struct backend_iterator *iterator, struct bytes key)
{
    leveldb_iter_seek(it_of(iterator), (const char *)key.data, key.size);
}

static void leveldb_door_iter_seek_last(struct backend_iterator *iterator)
{
    leveldb_iter_seek_to_last(it_of(iterator));
}

static void leveldb_door_iter_next(struct backend_iterator *iterator)
{
    leveldb_iter_next(it_of(iterator));
}

static void leveldb_door_iter_previous(struct backend_iterator *iterator)
{
    leveldb_iter_prev(it_of(iterator));
}

static bool leveldb_door_iter_valid(const struct backend_iterator *iterator)
{
    return leveldb_iter_valid(it_of(iterator));
}

static struct bytes leveldb_door_iter_key(const struct backend_iterator *iterator)
{
    size_t size;
    const char *data = leveldb_iter_key(it_of(iterator), &size);
    return bytes_of(data, size);
}

static struct bytes leveldb_door_iter_value(const struct backend_iterator *iterator)
{
    size_t size;
    const char *data = leveldb_iter_value(it_of(iterator), &size);
    return bytes_of(data, size);
}

static enum err_code leveldb_door_iter_status(const struct backend_iterator *iterator,
                                              struct err *err)
{
    char *text = NULL;
    leveldb_iter_get_error(it_of(iterator), &text);
    return text ? error_of(text, "read rows of the store", err) : ERR_OK;
}

static void leveldb_door_iter_free(struct backend_iterator *iterator)
{
    struct leveldb_iterator *self = container_of(iterator, struct leveldb_iterator, iterator);
    leveldb_iter_destroy(self->it);
    free(self);
}

static const struct backend_iterator_ops leveldb_iterator_ops = {
    .seek = leveldb_door_iter_seek,
    .seek_last = leveldb_door_iter_seek_last,
    .next = leveldb_door_iter_next,
    .previous = leveldb_door_iter_previous,
    .valid = leveldb_door_iter_valid,
    .key = leveldb_door_iter_key,
    .value = leveldb_door_iter_value,
    .status = leveldb_door_iter_status,
    .free = leveldb_door_iter_free,
};

static struct backend_iterator *leveldb_door_iterator_new(struct backend *backend,
                                                          const struct backend_snapshot *snapshot)
{
    struct leveldb_backend *self = self_of(backend);
    struct leveldb_iterator *iterator = mem_xzalloc(sizeof(*iterator));
    iterator->iterator.ops = &leveldb_iterator_ops;
    iterator->it = leveldb_create_iterator(self->db, snapshot ? snapshot->options : self->read);
    return &iterator->iterator;
}

static const struct backend_ops leveldb_ops = {
    .get = leveldb_door_get,
    .write = leveldb_door_write,
    .snapshot_new = leveldb_door_snapshot_new,
    .snapshot_free = leveldb_door_snapshot_free,
    .iterator_new = leveldb_door_iterator_new,
    .log_current = leveldb_door_log_current,
    .log_exists = leveldb_door_log_exists,
    .flush = leveldb_door_flush,
    .forget_logs = leveldb_door_forget_logs,
    .close = leveldb_door_close,
};

/* ---- opening ---- */

static enum err_code folder_prepare(const struct backend_leveldb_options *options, int *ret_lock,
                                    struct err *err)
{
    char *current = mem_xformat("%s/CURRENT", options->folder);
    enum err_code code = ERR_OK;
    bool exists = access(current, F_OK) == 0;
    if (!exists && !options->create)
        code = err_set(err, ERR_NOT_FOUND, "no store in '%s'", options->folder);
    else if (!exists && mkdir(options->folder, 0700) != 0 && errno != EEXIST)
        code = err_set_errno(err, errno, "make folder '%s'", options->folder);
    free(current);
    if (!code)
        code = folder_lock(options->folder, ret_lock, err);
    if (code)
        return code;
    code = logs_move_aside(options->folder, err);
    if (!code)
        code = folder_sync(options->folder, err);
    if (code)
        close(*ret_lock);
    return code;
}

static void options_set(struct leveldb_backend *self,
                        const struct backend_leveldb_options *options)
{
    size_t buffer = options->write_buffer_size ? options->write_buffer_size : WRITE_BUFFER_SIZE;
    self->options = leveldb_options_create();
    self->cache = leveldb_cache_create_lru(CACHE_SIZE);
    self->filter = leveldb_filterpolicy_create_bloom(FILTER_BITS);
    leveldb_options_set_create_if_missing(self->options, options->create);
    leveldb_options_set_paranoid_checks(self->options, 1);
    leveldb_options_set_write_buffer_size(self->options, buffer);
    leveldb_options_set_max_file_size(self->options, TABLE_SIZE);
    leveldb_options_set_max_open_files(self->options, OPEN_FILES_MAX);
    leveldb_options_set_cache(self->options, self->cache);
    leveldb_options_set_filter_policy(self->options, self->filter);
    self->read = read_options(NULL);
    self->write = leveldb_writeoptions_create();
    self->batch = leveldb_writebatch_create();
}

enum err_code backend_leveldb_open(struct backend **ret,
                                   const struct backend_leveldb_options *options, struct err *err)
{
    char *text = NULL;
    int lock;
    enum err_code code = folder_prepare(options, &lock, err);
    if (code)
        return code;
    struct leveldb_backend *self = mem_xzalloc(sizeof(*self));
    self->backend.ops = &leveldb_ops;
    self->lock = lock;
    self->folder = mem_xstrdup(options->folder);
    options_set(self, options);
    self->db = leveldb_open(self->options, self->folder, &text);
    /* LevelDB has replaced CURRENT and leaves that to a later sync. What is found counts as durable from here on,
     * and the CURRENT of before names a MANIFEST whose last edits a process that died may never have synced. */
    if (!self->db)
        code = error_of(text, "open the store", err);
    else
        code = folder_sync(self->folder, err);
    if (code)
        leveldb_door_close(&self->backend);
    else
        *ret = &self->backend;
    return code;
}
