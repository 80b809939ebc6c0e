/* Stores in folders of a data folder. Small files say what the folders are:
 *
 *     current     the folder of the current store; absent: "store"
 *     arrival     the folder of a finished arrival, and its id; absent: there is none
 *
 *     verdict     what is thought of the current store: its folder, and the verdict's number; absent: nothing
 *                 bad. One about another folder counts for nothing and goes.
 *
 * Each is replaced by rename and synced with its folder, after everything in the folder that it names is
 * on disk. An arrival's life, and what a start finds after a crash at that point:
 *
 *     store-1/ being written              store; store-1 is named by nobody and goes
 *     finish: files and folder synced,
 *       compared, opened, read            the same
 *     arrival -> store-1                  store, and store-1 as a finished arrival
 *     flip: current -> store-1            store-1; arrival names what is current and goes, so does store
 *     arrival removed, store removed      the same
 *
 * Numbers of folders: the one after the current store's. One arrives at a time, so that is enough.
 */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "mvcc/home_files.h"
#include "mvcc/home_internal.h"
#include "proto/base/check.h"
#include "proto/base/crc32c.h"
#include "proto/base/mem.h"

/* What arrives goes to the disk in steps, two of them at a time: whoever flushes on the same disk meanwhile
 * waits for no more than those. */
#define STEP_BYTES (128 * KIB)
#define RANGE_WAIT                                                                                       \
    (SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)
#define UNSYNCED_MAX 16     /* files that are written, and not yet for good */
#define SPACE_RESERVE (4 * WRITE_BUFFER_SIZE)   /* LevelDB's own, when it opens what has arrived */

#define CURRENT "current"
#define ARRIVAL "arrival"
#define VERDICT "verdict"
#define COPIES "copies"
#define RESERVE "reserve"

enum arrival_state {
    ARRIVAL_NONE,
    ARRIVAL_OPEN,                       /* bytes come in */
    ARRIVAL_FAILED,                     /* they no longer do: of use to nobody */
    ARRIVAL_FINISHED,
};

struct arrival {
    enum arrival_state state;
    uint64_t number;                    /* of its folder */
    uint64_t id;
    struct home_manifest manifest;      /* until it is finished */
    struct home_position position;
    int fd;                             /* of the file at position, once it has a byte; -1 */
    int unsynced[UNSYNCED_MAX];         /* of the files before it, the last ones */
    size_t unsynced_count;
};

struct leveldb_home {
    struct home home;
    char *path;                         /* of the data folder */
    uint64_t current;                   /* number of the current store's folder; 0: store */
    enum home_verdict verdict;          /* on the current one */
    struct arrival arrival;
    pthread_mutex_t lock;               /* of the two below */
    uint64_t copies_made, copies_open;
};

struct leveldb_copy {
    struct home_copy copy;
    char *folder;
};

static struct leveldb_home *self_of(struct home *home)
{
    return container_of(home, struct leveldb_home, home);
}

static char *store_path(const struct leveldb_home *self, uint64_t number)
{
    return number ? mem_xformat("%s/store-%" PRIu64, self->path, number)
                  : mem_xformat("%s/store", self->path);
}

static enum err_code store_remove(const struct leveldb_home *self, uint64_t number,
                                  struct err *err)
{
    char *path = store_path(self, number);
    enum err_code code = files_remove(path, err);
    free(path);
    return code;
}

static enum err_code remove_in(const struct leveldb_home *self, const char *name, struct err *err)
{
    char *path = mem_xformat("%s/%s", self->path, name);
    enum err_code code = files_remove(path, err);
    free(path);
    return code;
}

/* ---- the small files ---- */

static enum err_code point(const struct leveldb_home *self, const char *name, uint64_t number,
                           uint64_t id, struct err *err)
{
    struct buf text = {0};
    buf_append_format(&text, "concordfs %s\nfolder %" PRIu64 "\nid %016" PRIx64 "\n", name, number,
                      id);
    buf_append_format(&text, "crc32c %08x\n", crc32c(0, buf_bytes(&text)));
    enum err_code code = files_replace(self->path, name, buf_bytes(&text), err);
    buf_release(&text);
    return code;
}

/* Whatever is not exactly what point writes is damaged. */
static bool pointed_parse(const char *text, const char *name, uint64_t *ret_number, uint64_t *ret_id)
{
    uint64_t number, id;
    char same[128], found[16];
    if (sscanf(text, "concordfs %15s folder %" SCNu64 " id %" SCNx64, found, &number, &id) != 3)
        return false;
    int size = snprintf(same, sizeof(same),
                        "concordfs %s\nfolder %" PRIu64 "\nid %016" PRIx64 "\n", name, number, id);
    uint32_t crc = crc32c(0, bytes_of(same, (size_t)size));
    snprintf(same + size, sizeof(same) - (size_t)size, "crc32c %08x\n", crc);
    *ret_number = number;
    *ret_id = id;
    return strcmp(text, same) == 0;
}

/* NOT_FOUND: there is no such file. */
static enum err_code pointed(const struct leveldb_home *self, const char *name,
                             uint64_t *ret_number, uint64_t *ret_id, struct err *err)
{
    struct buf text = {0};
    char *path = mem_xformat("%s/%s", self->path, name);
    enum err_code code = files_read(path, &text, err);
    buf_append_u8(&text, 0);
    if (!code && !pointed_parse((const char *)text.data, name, ret_number, ret_id))
        code = err_set(err, ERR_CORRUPT, "'%s' is damaged: it names no folder of a store", path);
    free(path);
    buf_release(&text);
    return code;
}

/* ---- the current store ---- */

static enum err_code door_open(struct home *home, bool create, struct backend **ret,
                               struct err *err)
{
    char *folder = store_path(self_of(home), self_of(home)->current);
    struct backend_leveldb_options options = {.folder = folder, .create = create};
    enum err_code code = backend_leveldb_open(ret, &options, err);
    free(folder);
    return code;
}

/* ---- copies ---- */

static uint64_t copy_number(struct leveldb_home *self, int open_more)
{
    pthread_mutex_lock(&self->lock);
    if (open_more > 0)
        self->copies_open++;
    else
        self->copies_open--;
    uint64_t number = open_more > 0 ? ++self->copies_made : 0;
    pthread_mutex_unlock(&self->lock);
    return number;
}

static enum err_code copies_folder(const struct leveldb_home *self, struct err *err)
{
    char *path = mem_xformat("%s/" COPIES, self->path);
    enum err_code code = files_make_folder(path, err);
    free(path);
    return code;
}

/* What cannot be removed goes at the next start. */
static void copy_free(struct leveldb_copy *copy)
{
    struct leveldb_home *self = self_of(copy->copy.home);
    char *beside = mem_xformat("%s-peek", copy->folder);
    (void)!files_remove(beside, NULL);
    (void)!files_remove(copy->folder, NULL);
    free(beside);
    free(copy->folder);
    home_manifest_release(&copy->copy.manifest);
    store_mark_release(&copy->copy.mark);
    free(copy);
    copy_number(self, -1);
}

static void door_copy_close(struct home_copy *copy)
{
    copy_free(container_of(copy, struct leveldb_copy, copy));
}

static enum err_code door_copy_open(struct home *home, struct backend *backend,
                                    struct home_copy **ret, struct err *err)
{
    struct leveldb_home *self = self_of(home);
    struct leveldb_copy *copy = mem_xzalloc(sizeof(*copy));
    copy->copy.home = home;
    copy->folder = mem_xformat("%s/" COPIES "/%" PRIu64, self->path, copy_number(self, 1));
    char *store = store_path(self, self->current);
    enum err_code code = copies_folder(self, err);
    if (!code)
        code = leveldb_copy_make(store, backend, copy->folder, &copy->copy.manifest,
                                 &copy->copy.mark, err);
    free(store);
    if (code)
        copy_free(copy);
    else
        *ret = &copy->copy;
    return code;
}

static enum err_code door_copy_read(struct home_copy *base, size_t file, uint64_t offset, void *to,
                                    size_t size, struct err *err)
{
    struct leveldb_copy *copy = container_of(base, struct leveldb_copy, copy);
    enum err_code code = home_manifest_bounds(&base->manifest, file, offset, size, err);
    if (code)
        return code;
    char *path = mem_xformat("%s/%s", copy->folder, base->manifest.files[file].name);
    code = files_read_at(path, offset, to, size, err);
    free(path);
    return code;
}

/* ---- what arrives ---- */

static void arrival_forget(struct leveldb_home *self)
{
    if (self->arrival.fd >= 0)
        close(self->arrival.fd);
    for (size_t i = 0; i < self->arrival.unsynced_count; i++)
        close(self->arrival.unsynced[i]);
    home_manifest_release(&self->arrival.manifest);
    self->arrival = (struct arrival){.fd = -1};
}

/* The file that names a folder goes for good before the folder does: the folder of the next arrival has
 * the same name. A finish that failed may have left one. */
static enum err_code arrival_unname(struct leveldb_home *self, struct err *err)
{
    enum err_code code = remove_in(self, ARRIVAL, err);
    return code ? code : files_sync_folder(self->path, err);
}

static enum err_code door_incoming_discard(struct home *home, struct err *err)
{
    struct leveldb_home *self = self_of(home);
    if (self->arrival.state == ARRIVAL_NONE)
        return ERR_OK;
    enum err_code code = arrival_unname(self, err);
    if (!code)
        code = store_remove(self, self->arrival.number, err);
    if (!code)
        arrival_forget(self);
    return code;
}

static enum err_code door_room(struct home *home, uint64_t *ret_total, uint64_t *ret_free,
                               struct err *err)
{
    struct statvfs disk;
    if (statvfs(self_of(home)->path, &disk) != 0)
        return files_failed(err, "ask for the room of", self_of(home)->path);
    *ret_total = (uint64_t)disk.f_blocks * disk.f_frsize;
    *ret_free = (uint64_t)disk.f_bavail * disk.f_frsize;
    return ERR_OK;
}

static enum err_code room_check(struct home *home, const struct home_manifest *manifest,
                                struct err *err)
{
    uint64_t total, room = 0, need = home_manifest_bytes(manifest) + SPACE_RESERVE;
    enum err_code code = door_room(home, &total, &room, err);
    if (code || room >= need)
        return code;
    return err_set(err, ERR_NO_SPACE,
                   "a store of %" PRIu64 " MiB arrives, and '%s' has room for %" PRIu64 " MiB",
                   need / MIB, self_of(home)->path, room / MIB);
}

static enum err_code arrival_start(struct leveldb_home *self, const struct home_manifest *manifest,
                                   struct err *err)
{
    uint64_t number = self->current + 1;
    char *folder = store_path(self, number);
    enum err_code code = room_check(&self->home, manifest, err);
    if (!code)
        code = files_remove(folder, err);
    if (!code)
        code = files_make_folder(folder, err);
    free(folder);
    if (code)
        return code;
    self->arrival = (struct arrival){
        .state = ARRIVAL_OPEN, .number = number, .id = manifest->id, .fd = -1};
    home_manifest_copy(manifest, &self->arrival.manifest);
    return ERR_OK;
}

static enum err_code door_incoming_begin(struct home *home, const struct home_manifest *manifest,
                                         struct home_position *ret, struct err *err)
{
    struct leveldb_home *self = self_of(home);
    const struct arrival *arrival = &self->arrival;
    enum err_code code = ERR_OK;
    if (arrival->state == ARRIVAL_FINISHED && arrival->id == manifest->id) {
        *ret = (struct home_position){manifest->count, 0};
        return ERR_OK;
    }
    if (arrival->state == ARRIVAL_FINISHED)
        return err_set(err, ERR_BUSY, "another store has arrived and is not installed yet");
    bool goes_on = arrival->state == ARRIVAL_OPEN &&
                   home_manifest_equal(&arrival->manifest, manifest);
    if (!goes_on)
        code = leveldb_copy_check(manifest, err);
    if (!goes_on && !code)
        code = door_incoming_discard(home, err);
    if (!goes_on && !code)
        code = arrival_start(self, manifest, err);
    if (!code)
        *ret = arrival->position;
    return code;
}

static char *arrival_file(const struct leveldb_home *self, size_t file)
{
    char *folder = store_path(self, self->arrival.number);
    char *path = mem_xformat("%s/%s", folder, self->arrival.manifest.files[file].name);
    free(folder);
    return path;
}

static enum err_code file_begin(struct arrival *arrival, const char *path, struct err *err)
{
    if (arrival->fd >= 0)
        return ERR_OK;
    arrival->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return arrival->fd < 0 ? files_failed(err, "create", path) : ERR_OK;
}

/* The oldest. Its bytes are on the disk; the filesystem's own record of them comes by itself meanwhile. */
static enum err_code unsynced_end(struct leveldb_home *self, struct err *err)
{
    struct arrival *arrival = &self->arrival;
    size_t file = arrival->position.file - arrival->unsynced_count;
    int fd = arrival->unsynced[0];
    enum err_code code = ERR_OK;
    memmove(arrival->unsynced, arrival->unsynced + 1, --arrival->unsynced_count * sizeof fd);
    if (fsync(fd) != 0) {
        char *path = arrival_file(self, file);
        code = files_failed(err, "sync", path);
        free(path);
    }
    close(fd);
    return code;
}

/* The file before position is whole. */
static enum err_code file_end(struct leveldb_home *self, struct err *err)
{
    struct arrival *arrival = &self->arrival;
    arrival->unsynced[arrival->unsynced_count++] = arrival->fd;
    arrival->fd = -1;
    return arrival->unsynced_count < UNSYNCED_MAX ? ERR_OK : unsynced_end(self, err);
}

/* Where the kernel has no such call, the flush at the file's end does it all. An error that is told here is not
 * told again there. */
static enum err_code range_send(int fd, const char *path, uint64_t offset, unsigned flags,
                                struct err *err)
{
    if (sync_file_range(fd, (off_t)offset, STEP_BYTES, flags) == 0)
        return ERR_OK;
    bool is_lost = errno == EIO || errno == ENOSPC || errno == EDQUOT;
    return is_lost ? files_failed(err, "write", path) : ERR_OK;
}

/* A step is on its way while the next one is written; then it is waited for. */
static enum err_code steps_write(int fd, const char *path, uint64_t offset, struct bytes rest,
                                 struct err *err)
{
    enum err_code code = ERR_OK;
    for (size_t size; !code && rest.size; rest = bytes_skip(rest, size), offset += size) {
        size = rest.size < STEP_BYTES ? rest.size : STEP_BYTES;
        code = files_write_at(fd, path, offset, bytes_of(rest.data, size), err);
        if (!code)
            code = range_send(fd, path, offset, SYNC_FILE_RANGE_WRITE, err);
        if (!code && offset >= STEP_BYTES)
            code = range_send(fd, path, offset - STEP_BYTES, RANGE_WAIT, err);
    }
    return code;
}

static enum err_code rest_write(struct leveldb_home *self, struct bytes rest, struct err *err)
{
    struct arrival *arrival = &self->arrival;
    char *path = arrival_file(self, arrival->position.file);
    enum err_code code = file_begin(arrival, path, err);
    if (!code)
        code = steps_write(arrival->fd, path, arrival->position.offset, rest, err);
    if (!code && home_position_advance(&arrival->manifest, &arrival->position, rest.size))
        code = file_end(self, err);
    free(path);
    if (code)
        arrival->state = ARRIVAL_FAILED;
    return code;
}

static enum err_code door_incoming_write(struct home *home, size_t file, uint64_t offset,
                                         struct bytes from, struct home_position *ret,
                                         struct err *err)
{
    struct leveldb_home *self = self_of(home);
    struct arrival *arrival = &self->arrival;
    if (arrival->state != ARRIVAL_OPEN)
        return err_set(err, ERR_INVALID, "no store is arriving");
    enum err_code code =
        home_position_rest(&arrival->manifest, &arrival->position, file, offset, &from, err);
    if (!code && from.size)
        code = rest_write(self, from, err);
    if (!code)
        *ret = arrival->position;
    return code;
}

/* ---- finishing ---- */

static enum err_code file_compare(const struct leveldb_home *self, size_t i, struct err *err)
{
    const struct home_file *file = &self->arrival.manifest.files[i];
    uint64_t size;
    uint32_t crc;
    char *path = arrival_file(self, i);
    enum err_code code = files_sum(path, &size, &crc, err);
    free(path);
    if (!code && size != file->size)
        code = err_set(err, ERR_CORRUPT,
                       "'%s' has arrived with %" PRIu64 " bytes, its sender has %" PRIu64,
                       file->name, size, file->size);
    if (!code && crc != file->crc)
        code = err_set(err, ERR_CORRUPT, "'%s' has arrived with other bytes than its sender has",
                       file->name);
    return code;
}

/* What the sender's disk has damaged passes every comparison; LevelDB's own checksums tell. */
static enum err_code rows_read(struct backend *backend, struct err *err)
{
    struct backend_iterator *iterator = backend->ops->iterator_new(backend, NULL);
    iterator->ops->seek(iterator, BYTES_EMPTY);
    while (iterator->ops->valid(iterator))
        iterator->ops->next(iterator);
    enum err_code code = iterator->ops->status(iterator, err);
    iterator->ops->free(iterator);
    return code;
}

static enum err_code arrival_verify(struct leveldb_home *self, const char *folder, struct err *err)
{
    struct backend *backend = NULL;
    struct backend_leveldb_options options = {.folder = folder};
    enum err_code code = ERR_OK;
    for (size_t i = 0; !code && i < self->arrival.manifest.count; i++)
        code = file_compare(self, i, err);
    if (!code)
        code = leveldb_copy_fits(folder, &self->arrival.manifest, err);
    if (!code)
        code = backend_leveldb_open(&backend, &options, err);
    if (!code)
        code = rows_read(backend, err);
    backend_close(backend);
    if (code == ERR_NOT_FOUND)
        code = err_set(err, ERR_CORRUPT, "what has arrived in '%s' is no store", folder);
    return code;
}

static enum err_code door_incoming_finish(struct home *home, struct err *err)
{
    struct leveldb_home *self = self_of(home);
    struct arrival *arrival = &self->arrival;
    if (arrival->state == ARRIVAL_FINISHED)
        return ERR_OK;
    if (arrival->state != ARRIVAL_OPEN || arrival->position.file < arrival->manifest.count)
        return err_set(err, ERR_INVALID, "the store has not arrived whole");
    char *folder = store_path(self, arrival->number);
    enum err_code code = ERR_OK;
    while (!code && arrival->unsynced_count)
        code = unsynced_end(self, err);
    if (!code)
        code = arrival_verify(self, folder, err);
    /* Opening it has replaced CURRENT. */
    if (!code)
        code = files_sync_folder(folder, err);
    if (!code)
        code = point(self, ARRIVAL, arrival->number, arrival->id, err);
    free(folder);
    arrival->state = code ? ARRIVAL_FAILED : ARRIVAL_FINISHED;
    return code;
}

static enum err_code door_incoming_open(struct home *home, struct backend **ret, struct err *err)
{
    struct leveldb_home *self = self_of(home);
    if (self->arrival.state != ARRIVAL_FINISHED)
        return err_set(err, ERR_NOT_FOUND, "no store has arrived");
    char *folder = store_path(self, self->arrival.number);
    struct backend_leveldb_options options = {.folder = folder};
    enum err_code code = backend_leveldb_open(ret, &options, err);
    if (code == ERR_NOT_FOUND)
        code = err_set(err, ERR_CORRUPT, "the store that has arrived in '%s' is gone", folder);
    free(folder);
    return code;
}

/* ---- the flip ---- */

/* What cannot be removed goes at the next start. */
static void old_remove(struct leveldb_home *self, uint64_t number)
{
    (void)!remove_in(self, ARRIVAL, NULL);
    (void)!remove_in(self, VERDICT, NULL);
    (void)!store_remove(self, number, NULL);
}

static enum err_code door_flip(struct home *home, struct err *err)
{
    struct leveldb_home *self = self_of(home);
    uint64_t old = self->current, number = self->arrival.number;
    if (self->arrival.state != ARRIVAL_FINISHED)
        return err_set(err, ERR_INVALID, "no store has arrived");
    char *folder = store_path(self, number);
    enum err_code code = files_sync_folder(folder, err);
    free(folder);
    if (!code)
        code = point(self, CURRENT, number, self->arrival.id, err);
    if (code)
        return code;
    self->current = number;
    self->verdict = HOME_SOUND;
    arrival_forget(self);
    old_remove(self, old);
    return ERR_OK;
}

/* ---- the verdict ---- */

static enum err_code door_judge(struct home *home, enum home_verdict verdict, struct err *err)
{
    struct leveldb_home *self = self_of(home);
    enum err_code code;
    if (verdict == HOME_SOUND) {
        code = remove_in(self, VERDICT, err);
        code = code ? code : files_sync_folder(self->path, err);
    } else {
        code = point(self, VERDICT, self->current, verdict, err);
    }
    if (!code)
        self->verdict = verdict;
    return code;
}

static enum home_verdict door_verdict(const struct home *home)
{
    return container_of(home, const struct leveldb_home, home)->verdict;
}

/* ---- room ---- */

/* A copy of the folder may have made holes of it. */
static bool reserve_is_whole(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 && found.st_size == HOME_RESERVE_SIZE &&
           (uint64_t)found.st_blocks * 512 >= HOME_RESERVE_SIZE;
}

static enum err_code reserve_allocate(const char *path, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return files_failed(err, "create", path);
    do
        errno = posix_fallocate(fd, 0, HOME_RESERVE_SIZE);
    while (errno == EINTR);
    enum err_code code = errno ? files_failed(err, "allocate", path) : ERR_OK;
    if (!code && fsync(fd) != 0)
        code = files_failed(err, "sync", path);
    close(fd);
    return code;
}

/* Under another name until it is whole: what a crash leaves half made goes at the next start. */
static enum err_code reserve_make(struct leveldb_home *self, const char *path, struct err *err)
{
    char *fresh = mem_xformat("%s.new", path);
    enum err_code code = reserve_allocate(fresh, err);
    if (!code && rename(fresh, path) != 0)
        code = files_failed(err, "rename", fresh);
    if (code)
        (void)!files_remove(fresh, NULL);
    free(fresh);
    return code ? code : files_sync_folder(self->path, err);
}

static enum err_code door_reserve(struct home *home, struct err *err)
{
    struct leveldb_home *self = self_of(home);
    uint64_t total, room = 0;
    char *path = mem_xformat("%s/" RESERVE, self->path);
    enum err_code code = ERR_OK;
    if (!reserve_is_whole(path)) {
        code = door_room(home, &total, &room, err);
        if (!code && room < HOME_RESERVE_SIZE + SPACE_LOW)
            code = err_set(err, ERR_NO_SPACE, "'%s' has too little room to set some aside",
                           self->path);
        if (!code)
            code = reserve_make(self, path, err);
    }
    free(path);
    return code;
}

static enum err_code door_give_back(struct home *home, struct err *err)
{
    enum err_code code = remove_in(self_of(home), RESERVE, err);
    return code ? code : files_sync_folder(self_of(home)->path, err);
}

static enum err_code reserve_load(struct leveldb_home *self, struct err *err)
{
    uint64_t total, room = 0;
    char *path = mem_xformat("%s/" RESERVE, self->path);
    enum err_code code = door_room(&self->home, &total, &room, err);
    if (!code && access(path, F_OK) == 0 && (room < SPACE_LOW || !reserve_is_whole(path)))
        code = door_give_back(&self->home, err);
    free(path);
    return code;
}

static const struct home_ops leveldb_home_ops = {
    .open = door_open,
    .copy_open = door_copy_open,
    .copy_read = door_copy_read,
    .copy_close = door_copy_close,
    .incoming_begin = door_incoming_begin,
    .incoming_write = door_incoming_write,
    .incoming_finish = door_incoming_finish,
    .incoming_open = door_incoming_open,
    .incoming_discard = door_incoming_discard,
    .flip = door_flip,
    .judge = door_judge,
    .verdict = door_verdict,
    .room = door_room,
    .reserve = door_reserve,
    .give_back = door_give_back,
};

/* ---- a start ---- */

static enum err_code is_folder(const struct leveldb_home *self, uint64_t number, bool *ret,
                               struct err *err)
{
    char *path = store_path(self, number);
    enum err_code code = ERR_OK;
    *ret = access(path, F_OK) == 0;
    if (!*ret && errno != ENOENT)
        code = files_failed(err, "look at", path);
    free(path);
    return code;
}

static enum err_code current_load(struct leveldb_home *self, struct err *err)
{
    uint64_t number = 0, id;
    bool is_there = true;
    enum err_code code = pointed(self, CURRENT, &number, &id, err);
    if (code)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    code = is_folder(self, number, &is_there, err);
    if (!code && !is_there)
        code = err_set(err, ERR_CORRUPT, "'%s/" CURRENT "' names the folder store-%" PRIu64
                       ", which is gone", self->path, number);
    self->current = number;
    return code;
}

/* One that has become the current store is no arrival any more. */
static enum err_code arrival_load(struct leveldb_home *self, struct err *err)
{
    uint64_t number = 0, id = 0;
    bool is_there = false;
    enum err_code code = pointed(self, ARRIVAL, &number, &id, err);
    if (code)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    code = is_folder(self, number, &is_there, err);
    if (!code && (!is_there || number == self->current))
        return arrival_unname(self, err);
    if (!code)
        self->arrival = (struct arrival){
            .state = ARRIVAL_FINISHED, .number = number, .id = id, .fd = -1};
    return code;
}

static enum err_code verdict_load(struct leveldb_home *self, struct err *err)
{
    uint64_t number = 0, verdict = 0;
    enum err_code code = pointed(self, VERDICT, &number, &verdict, err);
    if (code)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    if (number != self->current)
        return remove_in(self, VERDICT, err);
    if (verdict != HOME_CONDEMNED && verdict != HOME_TO_FETCH)
        return err_set(err, ERR_CORRUPT, "'%s/" VERDICT "' has a verdict that is not known here",
                       self->path);
    self->verdict = (enum home_verdict)verdict;
    return ERR_OK;
}

/* Whether a name in the data folder is a store's, and one that nothing names. */
static bool is_left_behind(const struct leveldb_home *self, const char *name)
{
    uint64_t number = 0;
    char *end = NULL;
    if (strcmp(name, "store") != 0) {
        if (strncmp(name, "store-", 6) != 0 || name[6] < '0' || name[6] > '9')
            return strcmp(name, COPIES) == 0 || strcmp(name, CURRENT ".new") == 0 ||
                   strcmp(name, ARRIVAL ".new") == 0 || strcmp(name, VERDICT ".new") == 0 ||
                   strcmp(name, RESERVE ".new") == 0;
        number = strtoull(name + 6, &end, 10);
        if (*end)
            return false;
    }
    return number != self->current &&
           !(self->arrival.state == ARRIVAL_FINISHED && number == self->arrival.number);
}

static enum err_code sweep(struct leveldb_home *self, struct err *err)
{
    DIR *dir = opendir(self->path);
    if (!dir)
        return files_failed(err, "open folder", self->path);
    enum err_code code = ERR_OK;
    errno = 0;
    for (struct dirent *entry; !code && (entry = readdir(dir)); errno = 0)
        if (is_left_behind(self, entry->d_name))
            code = remove_in(self, entry->d_name, err);
    if (!code && errno)
        code = files_failed(err, "read folder", self->path);
    closedir(dir);
    return code;
}

enum err_code home_leveldb_new(const char *data_folder, struct home **ret, struct err *err)
{
    struct leveldb_home *self = mem_xzalloc(sizeof(*self));
    self->home.ops = &leveldb_home_ops;
    self->path = mem_xstrdup(data_folder);
    self->arrival.fd = -1;
    pthread_mutex_init(&self->lock, NULL);
    enum err_code code = current_load(self, err);
    if (!code)
        code = arrival_load(self, err);
    if (!code)
        code = verdict_load(self, err);
    if (!code)
        code = sweep(self, err);
    if (!code)
        code = reserve_load(self, err);
    if (code) {
        home_leveldb_free(&self->home);
        return code;
    }
    *ret = &self->home;
    return ERR_OK;
}

void home_leveldb_free(struct home *home)
{
    if (!home)
        return;
    struct leveldb_home *self = self_of(home);
    CHECK(self->copies_open == 0);
    if (self->arrival.state != ARRIVAL_FINISHED)
        (void)!door_incoming_discard(home, NULL);
    arrival_forget(self);
    pthread_mutex_destroy(&self->lock);
    free(self->path);
    free(self);
}
