#include "tests/sim/sim_disk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"

struct inode {
    uint64_t number;
    unsigned references;        /* names and handles; those of the two name tables count each */
    uint8_t *cached, *durable;  /* capacity bytes each */
    bool *dirty;                /* one per sector */
    uint64_t capacity;          /* whole sectors */
    uint64_t size, durable_size;
    uint64_t bad_sector;        /* number + 1; 0 for none */
    bool was_bad;               /* and a read has met it */
};

struct name {
    char *text;
    struct inode *inode;
};

struct names {
    struct name *rows;
    size_t count;
};

enum change_kind { CHANGE_CREATE, CHANGE_RENAME, CHANGE_REMOVE };

/* A change of names that no sync of the folder has made good yet. */
struct change {
    enum change_kind kind;
    char *from, *to;
    struct inode *inode;
};

struct disk_file {
    struct inode *inode;
    char *name;
    struct disk_file *next;
};

struct sim_disk {
    struct disk disk;
    struct rand rand;
    struct names now, durable;
    struct change *changes;
    size_t change_count;
    struct disk_file *open;
    uint64_t next_inode, calls, writes, fail_at, stop_at, limit;
    uint64_t next_to_fail;      /* the last of so many calls of a kind is to fail; 0: none is */
    bool next_is_flush;
    bool has_limited;           /* the limit has refused something */
    struct sim_disk_met met;
    uint64_t calls_of[SIM_DISK_KIND_COUNT];
    enum err_code fail_code;
    bool fail_sticky;
};

static struct sim_disk *sim_of(struct disk *disk) { return container_of(disk, struct sim_disk, disk); }

/* --- inodes --- */

static struct inode *inode_new(struct sim_disk *sim, uint64_t size)
{
    struct inode *inode = mem_xzalloc(sizeof *inode);
    inode->number = ++sim->next_inode;
    inode->references = 1;
    inode->size = size;
    inode->capacity = (size + SIM_SECTOR_SIZE - 1) / SIM_SECTOR_SIZE * SIM_SECTOR_SIZE;
    inode->cached = mem_xzalloc(inode->capacity + 1);
    inode->durable = mem_xzalloc(inode->capacity + 1);
    inode->dirty = mem_xzalloc(inode->capacity / SIM_SECTOR_SIZE + 1);
    return inode;
}

static void inode_unref(struct inode *inode)
{
    if (!inode || --inode->references > 0)
        return;
    free(inode->cached);
    free(inode->durable);
    free(inode->dirty);
    free(inode);
}

static struct inode *inode_ref(struct inode *inode)
{
    inode->references++;
    return inode;
}

static void inode_grow(struct inode *inode, uint64_t size)
{
    uint64_t capacity = (size + SIM_SECTOR_SIZE - 1) / SIM_SECTOR_SIZE * SIM_SECTOR_SIZE;
    if (capacity > inode->capacity) {
        uint64_t more = capacity - inode->capacity;
        inode->cached = mem_xrealloc(inode->cached, capacity + 1);
        inode->durable = mem_xrealloc(inode->durable, capacity + 1);
        inode->dirty = mem_xrealloc(inode->dirty, capacity / SIM_SECTOR_SIZE + 1);
        memset(inode->cached + inode->capacity, 0, more);
        memset(inode->durable + inode->capacity, 0, more);
        memset(inode->dirty + inode->capacity / SIM_SECTOR_SIZE, 0, more / SIM_SECTOR_SIZE);
        inode->capacity = capacity;
    }
    if (size > inode->size)
        inode->size = size;
}

static void sectors_persist(struct inode *inode, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last && i < inode->capacity / SIM_SECTOR_SIZE; i++) {
        if (inode->dirty[i])
            memcpy(inode->durable + i * SIM_SECTOR_SIZE, inode->cached + i * SIM_SECTOR_SIZE,
                   SIM_SECTOR_SIZE);
        inode->dirty[i] = false;
    }
    inode->durable_size = inode->size;
}

/* What a failed writeback does: some sectors arrive, none is tried again. */
static void sectors_forget(struct sim_disk *sim, struct inode *inode)
{
    for (uint64_t i = 0; i < inode->capacity / SIM_SECTOR_SIZE; i++) {
        if (inode->dirty[i] && rand_chance(&sim->rand, 1, 3))
            memcpy(inode->durable + i * SIM_SECTOR_SIZE, inode->cached + i * SIM_SECTOR_SIZE,
                   SIM_SECTOR_SIZE);
        inode->dirty[i] = false;
    }
}

static void inode_write(struct inode *inode, uint64_t offset, const uint8_t *from, size_t size)
{
    if (size == 0)
        return;
    inode_grow(inode, offset + size);
    memcpy(inode->cached + offset, from, size);
    for (uint64_t i = offset / SIM_SECTOR_SIZE; i <= (offset + size - 1) / SIM_SECTOR_SIZE; i++)
        inode->dirty[i] = true;
}

/* --- names --- */

static struct name *names_find(const struct names *names, const char *text)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->rows[i].text, text) == 0)
            return &names->rows[i];
    return NULL;
}

static void names_remove(struct names *names, const char *text)
{
    struct name *row = names_find(names, text);
    if (!row)
        return;
    free(row->text);
    inode_unref(row->inode);
    *row = names->rows[--names->count];
}

/* Takes a reference of its own. */
static void names_put(struct names *names, const char *text, struct inode *inode)
{
    inode_ref(inode);
    names_remove(names, text);
    names->rows = mem_xrealloc(names->rows, (names->count + 1) * sizeof *names->rows);
    names->rows[names->count++] = (struct name){mem_xstrdup(text), inode};
}

static void names_apply(struct names *names, const struct change *change)
{
    if (change->kind == CHANGE_CREATE) {
        names_put(names, change->from, change->inode);
        return;
    }
    struct name *row = names_find(names, change->from);
    if (!row || row->inode != change->inode)
        return;
    if (change->kind == CHANGE_RENAME)
        names_put(names, change->to, change->inode);
    names_remove(names, change->from);
}

static void names_clear(struct names *names)
{
    while (names->count > 0)
        names_remove(names, names->rows[0].text);
    free(names->rows);
    *names = (struct names){0};
}

static void names_copy(struct names *to, const struct names *from)
{
    for (size_t i = 0; i < from->count; i++)
        names_put(to, from->rows[i].text, from->rows[i].inode);
}

static void change_release(struct change *change)
{
    free(change->from);
    free(change->to);
    inode_unref(change->inode);
}

static void change_make(struct sim_disk *sim, enum change_kind kind, const char *from,
                        const char *to, struct inode *inode)
{
    struct change change = {kind, mem_xstrdup(from), to ? mem_xstrdup(to) : NULL,
                            inode_ref(inode)};
    sim->changes = mem_xrealloc(sim->changes, (sim->change_count + 1) * sizeof *sim->changes);
    sim->changes[sim->change_count++] = change;
    names_apply(&sim->now, &change);
    sim->writes++;
}

static bool in_folder(const char *name, const char *folder)
{
    size_t size = strlen(folder);
    if (size == 0)
        return strchr(name, '/') == NULL;
    return strncmp(name, folder, size) == 0 && name[size] == '/';
}

static void changes_persist(struct sim_disk *sim, const char *folder)
{
    size_t kept = 0;
    for (size_t i = 0; i < sim->change_count; i++) {
        if (in_folder(sim->changes[i].from, folder)) {
            names_apply(&sim->durable, &sim->changes[i]);
            change_release(&sim->changes[i]);
        } else {
            sim->changes[kept++] = sim->changes[i];
        }
    }
    sim->change_count = kept;
}

/* --- the calls --- */

enum outcome { OUTCOME_DONE, OUTCOME_FAIL, OUTCOME_STOP };

static enum outcome outcome_of_call(const struct sim_disk *sim)
{
    if (sim->stop_at > 0 && sim->calls >= sim->stop_at)
        return OUTCOME_STOP;
    if (sim->fail_at > 0 &&
        (sim->calls == sim->fail_at || (sim->fail_sticky && sim->calls > sim->fail_at)))
        return OUTCOME_FAIL;
    return OUTCOME_DONE;
}

static enum outcome take_call(struct sim_disk *sim, enum sim_disk_kind kind, bool is_flush)
{
    sim->calls++;
    sim->calls_of[kind]++;
    if (sim->next_is_flush == is_flush && sim->next_to_fail && --sim->next_to_fail == 0)
        sim->fail_at = sim->calls;
    enum outcome outcome = outcome_of_call(sim);
    bool is_first = sim->calls == (outcome == OUTCOME_STOP ? sim->stop_at : sim->fail_at);
    sim->met.stops += is_first && outcome == OUTCOME_STOP;
    sim->met.flush_errors += is_first && outcome == OUTCOME_FAIL && is_flush;
    sim->met.io_errors += is_first && outcome == OUTCOME_FAIL && !is_flush;
    return outcome;
}

static enum outcome count_call(struct sim_disk *sim, enum sim_disk_kind kind)
{
    return take_call(sim, kind, false);
}

static enum outcome count_flush(struct sim_disk *sim, enum sim_disk_kind kind)
{
    return take_call(sim, kind, true);
}

/* Only the very call of a stop does a part of its work. */
static bool is_partial(const struct sim_disk *sim)
{
    return sim->stop_at == 0 || sim->calls == sim->stop_at;
}

static enum err_code refuse(const struct sim_disk *sim, enum outcome outcome, const char *verb,
                            const char *name, struct err *err)
{
    enum err_code code = outcome == OUTCOME_STOP ? ERR_IO : sim->fail_code;
    return err_set(err, code, "cannot %s \"%s\": made to fail at call %" PRIu64, verb, name,
                   sim->calls);
}

static uint64_t space_used(const struct sim_disk *sim)
{
    uint64_t size = 0;
    for (size_t i = 0; i < sim->now.count; i++)
        size += sim->now.rows[i].inode->size;
    return size;
}

static enum err_code sim_create(struct sim_disk *sim, const char *name, uint64_t size,
                                struct err *err)
{
    if (names_find(&sim->now, name))
        return err_set(err, ERR_EXISTS, "cannot create \"%s\": it exists", name);
    if (sim->limit > 0 && space_used(sim) + size > sim->limit) {
        sim->has_limited = true;
        return err_set(err, ERR_NO_SPACE, "cannot create \"%s\": no space left", name);
    }
    struct inode *inode = inode_new(sim, size);
    change_make(sim, CHANGE_CREATE, name, NULL, inode);
    inode_unref(inode);
    return ERR_OK;
}

static enum err_code sim_open(struct disk *disk, const char *name, enum disk_open_flags flags,
                              uint64_t size, struct disk_file **ret_file, uint64_t *ret_size,
                              struct err *err)
{
    struct sim_disk *sim = sim_of(disk);
    enum outcome outcome = count_call(sim, SIM_DISK_OPEN);
    if (outcome != OUTCOME_DONE)
        return refuse(sim, outcome, "open", name, err);
    if (flags == DISK_CREATE) {
        enum err_code code = sim_create(sim, name, size, err);
        if (code)
            return code;
    }
    struct name *row = names_find(&sim->now, name);
    if (!row)
        return err_set(err, ERR_NOT_FOUND, "cannot open \"%s\": no such file", name);
    struct disk_file *file = mem_xzalloc(sizeof *file);
    *file = (struct disk_file){inode_ref(row->inode), mem_xstrdup(name), sim->open};
    sim->open = file;
    *ret_file = file;
    if (ret_size)
        *ret_size = row->inode->size;
    return ERR_OK;
}

static void sim_close(struct disk *disk, struct disk_file *file)
{
    struct disk_file **at = &sim_of(disk)->open;
    while (*at && *at != file)
        at = &(*at)->next;
    CHECK(*at);
    *at = file->next;
    inode_unref(file->inode);
    free(file->name);
    free(file);
}

static void copy_direct(const struct inode *inode, uint64_t offset, uint8_t *to, size_t size)
{
    for (size_t done = 0; done < size;) {
        uint64_t sector = (offset + done) / SIM_SECTOR_SIZE;
        size_t part = (size_t)((sector + 1) * SIM_SECTOR_SIZE - (offset + done));
        part = part < size - done ? part : size - done;
        const uint8_t *from = inode->dirty[sector] ? inode->cached : inode->durable;
        memcpy(to + done, from + offset + done, part);
        done += part;
    }
}

static bool touches_bad_sector(const struct inode *inode, uint64_t offset, size_t size)
{
    if (inode->bad_sector == 0)
        return false;
    uint64_t start = (inode->bad_sector - 1) * SIM_SECTOR_SIZE;
    return offset < start + SIM_SECTOR_SIZE && offset + size > start;
}

static enum err_code sim_read(struct disk *disk, struct disk_file *file, uint64_t offset, void *to,
                              size_t size, enum disk_read_flags flags, size_t *ret_size,
                              struct err *err)
{
    struct sim_disk *sim = sim_of(disk);
    struct inode *inode = file->inode;
    enum outcome outcome = count_call(sim, SIM_DISK_READ);
    if (outcome != OUTCOME_DONE)
        return refuse(sim, outcome, "read", file->name, err);
    uint64_t rest = offset < inode->size ? inode->size - offset : 0;
    size = size < rest ? size : (size_t)rest;
    if (touches_bad_sector(inode, offset, size)) {
        sim->met.bad_sectors += !inode->was_bad;
        inode->was_bad = true;
        return err_set(err, ERR_IO, "cannot read \"%s\" at offset %" PRIu64 ": a sector is bad",
                       file->name, (inode->bad_sector - 1) * SIM_SECTOR_SIZE);
    }
    if (flags == DISK_DIRECT)
        copy_direct(inode, offset, to, size);
    else if (size > 0)
        memcpy(to, inode->cached + offset, size);
    *ret_size = size;
    return ERR_OK;
}

static enum err_code sim_write(struct disk *disk, struct disk_file *file, uint64_t offset,
                               const void *from, size_t size, bool durable, struct err *err)
{
    struct sim_disk *sim = sim_of(disk);
    struct inode *inode = file->inode;
    enum outcome outcome = durable ? count_flush(sim, SIM_DISK_WRITE)
                                   : count_call(sim, SIM_DISK_WRITE);
    if (outcome != OUTCOME_DONE) {
        if (is_partial(sim))
            inode_write(inode, offset, from, (size_t)rand_below(&sim->rand, size + 1));
        if (outcome == OUTCOME_FAIL && durable)
            sectors_forget(sim, inode);
        return refuse(sim, outcome, "write", file->name, err);
    }
    inode_write(inode, offset, from, size);
    sim->writes += size > 0;
    if (durable && size > 0)
        sectors_persist(inode, offset / SIM_SECTOR_SIZE, (offset + size - 1) / SIM_SECTOR_SIZE);
    return ERR_OK;
}

static enum err_code sim_sync(struct disk *disk, struct disk_file *file, struct err *err)
{
    struct sim_disk *sim = sim_of(disk);
    enum outcome outcome = count_flush(sim, SIM_DISK_SYNC);
    if (outcome != OUTCOME_DONE) {
        if (outcome == OUTCOME_FAIL)
            sectors_forget(sim, file->inode);
        return refuse(sim, outcome, "sync", file->name, err);
    }
    sectors_persist(file->inode, 0, UINT64_MAX);
    return ERR_OK;
}

static enum err_code sim_make_folder(struct disk *disk, const char *name, struct err *err)
{
    struct sim_disk *sim = sim_of(disk);
    enum outcome outcome = count_call(sim, SIM_DISK_FOLDER);
    return outcome == OUTCOME_DONE ? ERR_OK : refuse(sim, outcome, "make", name, err);
}

static enum err_code sim_sync_folder(struct disk *disk, const char *name, struct err *err)
{
    struct sim_disk *sim = sim_of(disk);
    enum outcome outcome = count_flush(sim, SIM_DISK_FOLDER);
    if (outcome != OUTCOME_DONE)
        return refuse(sim, outcome, "sync", name, err);
    changes_persist(sim, name);
    return ERR_OK;
}

static enum err_code sim_list(struct disk *disk, const char *folder,
                              void (*on_name)(void *context, const char *name), void *context,
                              struct err *err)
{
    struct sim_disk *sim = sim_of(disk);
    if (sim->stop_at > 0 && sim->calls >= sim->stop_at)
        return err_set(err, ERR_IO, "cannot list \"%s\"", folder);
    size_t skip = folder[0] ? strlen(folder) + 1 : 0;
    for (size_t i = 0; i < sim->now.count; i++)
        if (in_folder(sim->now.rows[i].text, folder))
            on_name(context, sim->now.rows[i].text + skip);
    return ERR_OK;
}

static enum err_code sim_rename(struct disk *disk, const char *from, const char *to,
                                struct err *err)
{
    struct sim_disk *sim = sim_of(disk);
    enum outcome outcome = count_call(sim, SIM_DISK_RENAME);
    if (outcome != OUTCOME_DONE)
        return refuse(sim, outcome, "rename", from, err);
    struct name *row = names_find(&sim->now, from);
    if (!row)
        return err_set(err, ERR_NOT_FOUND, "cannot rename \"%s\": no such file", from);
    change_make(sim, CHANGE_RENAME, from, to, row->inode);
    return ERR_OK;
}

static enum err_code sim_remove(struct disk *disk, const char *name, struct err *err)
{
    struct sim_disk *sim = sim_of(disk);
    enum outcome outcome = count_call(sim, SIM_DISK_REMOVE);
    if (outcome != OUTCOME_DONE)
        return refuse(sim, outcome, "remove", name, err);
    struct name *row = names_find(&sim->now, name);
    if (!row)
        return err_set(err, ERR_NOT_FOUND, "cannot remove \"%s\": no such file", name);
    change_make(sim, CHANGE_REMOVE, name, NULL, row->inode);
    return ERR_OK;
}

static const struct disk_calls sim_calls = {
    .open = sim_open,
    .close = sim_close,
    .read = sim_read,
    .write = sim_write,
    .sync = sim_sync,
    .make_folder = sim_make_folder,
    .sync_folder = sim_sync_folder,
    .list = sim_list,
    .rename = sim_rename,
    .remove = sim_remove,
};

/* --- life --- */

struct sim_disk *sim_disk_new(uint64_t seed)
{
    struct sim_disk *sim = mem_xzalloc(sizeof *sim);
    sim->disk.calls = &sim_calls;
    rand_init(&sim->rand, seed);
    return sim;
}

static void close_all(struct sim_disk *sim)
{
    while (sim->open)
        sim_close(&sim->disk, sim->open);
}

static void drop_changes(struct sim_disk *sim)
{
    for (size_t i = 0; i < sim->change_count; i++)
        change_release(&sim->changes[i]);
    sim->change_count = 0;
}

void sim_disk_free(struct sim_disk *sim)
{
    if (!sim)
        return;
    close_all(sim);
    drop_changes(sim);
    free(sim->changes);
    names_clear(&sim->now);
    names_clear(&sim->durable);
    free(sim);
}

static struct inode *inode_copy(struct sim_disk *sim, const struct inode *from)
{
    struct inode *inode = inode_new(sim, 0);
    inode_grow(inode, from->capacity);
    memcpy(inode->cached, from->cached, from->capacity);
    memcpy(inode->durable, from->durable, from->capacity);
    memcpy(inode->dirty, from->dirty, from->capacity / SIM_SECTOR_SIZE);
    inode->size = from->size;
    inode->durable_size = from->durable_size;
    return inode;
}

struct sim_disk *sim_disk_clone(const struct sim_disk *sim, uint64_t seed)
{
    struct sim_disk *copy = sim_disk_new(seed);
    for (size_t i = 0; i < sim->now.count; i++) {
        struct inode *inode = inode_copy(copy, sim->now.rows[i].inode);
        names_put(&copy->now, sim->now.rows[i].text, inode);
        names_put(&copy->durable, sim->now.rows[i].text, inode);
        inode_unref(inode);
    }
    return copy;
}

struct disk *sim_disk_door(struct sim_disk *sim) { return &sim->disk; }
uint64_t sim_disk_calls(const struct sim_disk *sim) { return sim->calls; }

uint64_t sim_disk_calls_of(const struct sim_disk *sim, enum sim_disk_kind kind)
{
    return sim->calls_of[kind];
}

uint64_t sim_disk_changes(const struct sim_disk *sim) { return sim->writes; }

void sim_disk_fail(struct sim_disk *sim, uint64_t call, enum err_code code, bool sticky)
{
    sim->fail_at = call;
    sim->next_to_fail = 0;
    sim->fail_code = code;
    sim->fail_sticky = sticky;
}

void sim_disk_fail_next(struct sim_disk *sim, bool flush, uint64_t number, enum err_code code,
                        bool sticky)
{
    sim_disk_fail(sim, 0, code, sticky);
    sim->next_to_fail = number;
    sim->next_is_flush = flush;
}

void sim_disk_stop(struct sim_disk *sim, uint64_t call) { sim->stop_at = call; }

void sim_disk_limit(struct sim_disk *sim, uint64_t size)
{
    sim->limit = size;
    sim->has_limited = false;
}

bool sim_disk_has_limited(const struct sim_disk *sim) { return sim->has_limited; }

struct sim_disk_met sim_disk_take_met(struct sim_disk *sim)
{
    struct sim_disk_met met = sim->met;
    sim->met = (struct sim_disk_met){0};
    return met;
}

/* --- crashes --- */

void sim_disk_kill(struct sim_disk *sim)
{
    close_all(sim);
    sim->fail_at = sim->stop_at = sim->next_to_fail = 0;
}

/* Afterwards both contents are what the disk was left with. */
static void inode_crash(struct sim_disk *sim, struct inode *inode, unsigned keep, unsigned torn)
{
    if (rand_chance(&sim->rand, keep, 1000))
        inode->durable_size = inode->size;
    for (uint64_t i = 0; i < inode->capacity / SIM_SECTOR_SIZE; i++) {
        uint8_t *durable = inode->durable + i * SIM_SECTOR_SIZE;
        const uint8_t *cached = inode->cached + i * SIM_SECTOR_SIZE;
        if (!inode->dirty[i])
            continue;
        if (rand_chance(&sim->rand, torn, 1000))
            memcpy(durable, cached, (size_t)rand_below(&sim->rand, SIM_SECTOR_SIZE));
        else if (rand_chance(&sim->rand, keep, 1000))
            memcpy(durable, cached, SIM_SECTOR_SIZE);
        inode->dirty[i] = false;
    }
    memcpy(inode->cached, inode->durable, inode->capacity);
    inode->size = inode->durable_size;
}

void sim_disk_crash(struct sim_disk *sim, unsigned keep, unsigned torn)
{
    sim_disk_kill(sim);
    for (size_t i = 0; i < sim->change_count; i++)
        if (rand_chance(&sim->rand, keep, 1000))
            names_apply(&sim->durable, &sim->changes[i]);
    drop_changes(sim);
    names_clear(&sim->now);
    names_copy(&sim->now, &sim->durable);
    for (size_t i = 0; i < sim->now.count; i++)
        inode_crash(sim, sim->now.rows[i].inode, keep, torn);
}

/* --- looking and altering --- */

static struct inode *inode_named(const struct sim_disk *sim, const char *name)
{
    struct name *row = names_find(&sim->now, name);
    return row ? row->inode : NULL;
}

bool sim_disk_has(const struct sim_disk *sim, const char *name)
{
    return inode_named(sim, name) != NULL;
}

const uint8_t *sim_disk_look(const struct sim_disk *sim, const char *name, uint64_t *ret_size)
{
    struct inode *inode = inode_named(sim, name);
    if (inode && ret_size)
        *ret_size = inode->size;
    return inode ? inode->cached : NULL;
}

void sim_disk_poke(struct sim_disk *sim, const char *name, uint64_t offset, const void *from,
                   size_t size)
{
    struct inode *inode = inode_named(sim, name);
    CHECK(inode && offset + size <= inode->size);
    memcpy(inode->cached + offset, from, size);
    memcpy(inode->durable + offset, from, size);
}

void sim_disk_truncate(struct sim_disk *sim, const char *name, uint64_t size)
{
    struct inode *inode = inode_named(sim, name);
    CHECK(inode && size <= inode->size);
    inode->size = inode->durable_size = size;
}

void sim_disk_unlink(struct sim_disk *sim, const char *name)
{
    names_remove(&sim->now, name);
    names_remove(&sim->durable, name);
}

uint64_t sim_disk_inode(const struct sim_disk *sim, const char *name)
{
    struct inode *inode = inode_named(sim, name);
    return inode ? inode->number : 0;
}

void sim_disk_fail_sector(struct sim_disk *sim, const char *name, uint64_t offset)
{
    struct inode *inode = inode_named(sim, name);
    CHECK(inode);
    inode->bad_sector = offset / SIM_SECTOR_SIZE + 1;
    inode->was_bad = false;
}

void sim_disk_export(const struct sim_disk *sim, const char *folder, const char *to)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", to, folder);
    (void)mkdir(path, 0700);
    for (size_t i = 0; i < sim->now.count; i++) {
        const struct name *row = &sim->now.rows[i];
        if (!in_folder(row->text, folder))
            continue;
        snprintf(path, sizeof path, "%s/%s", to, row->text);
        FILE *file = fopen(path, "wb");
        CHECK(file);
        CHECK(fwrite(row->inode->cached, 1, row->inode->size, file) == row->inode->size);
        CHECK(fclose(file) == 0);
    }
}
