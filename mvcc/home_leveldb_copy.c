/* A copy of a store that LevelDB has open and goes on writing to. Tables never change once they are
 * written; so hard links to the right ones, and a MANIFEST that names them, are a store.
 *
 *     iterator                 keeps the tables of the version of now from being deleted
 *     CURRENT -> MANIFEST-N    read up to where it is whole: a version of now or a later one
 *     tables that it lists     linked; one that a compaction has deleted meanwhile: again from the start
 *
 * (LevelDB's own list, the property leveldb.sstables, is no such list: the MANIFEST runs ahead of it, and
 * a copy made by it lacks tables that its MANIFEST names.)
 *
 * No log travels: what is in no table is not part of the copy. The tables hold whole batches in their
 * order, so that the copy is the state after one of them.
 *
 * What the copy's rows say is read through LevelDB, which writes to a folder that it opens. It gets one of
 * its own, of links to the same tables, and the copy stays as it was listed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mvcc/home_files.h"
#include "mvcc/home_internal.h"
#include "mvcc/manifest.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"

#define TRIES_MAX 100
#define FILES_BESIDE_TABLES 2           /* CURRENT and the MANIFEST */

#define CURRENT_NAME "CURRENT"
#define MANIFEST_PREFIX "MANIFEST-"

/* One way to name a table; the second is LevelDB's older one. */
static const char *const table_suffixes[] = {".ldb", ".sst"};

struct version {
    struct buf current, manifest;       /* the two files, the latter cut to what was decoded */
    char manifest_name[HOME_NAME_SIZE];
    struct manifest tables;
};

static void version_release(struct version *version)
{
    buf_release(&version->current);
    buf_release(&version->manifest);
    manifest_release(&version->tables);
}

/* ---- names ---- */

static bool is_digits(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    return text.size > 0 && text.size < 20;
}

static bool is_manifest_name(struct bytes name)
{
    struct bytes prefix = BYTES_LITERAL(MANIFEST_PREFIX);
    return bytes_starts_with(name, prefix) && is_digits(bytes_skip(name, prefix.size));
}

static bool is_table_name(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_COUNT(table_suffixes); i++) {
        struct bytes suffix = bytes_of_text(table_suffixes[i]);
        if (name.size > suffix.size &&
            bytes_equal(bytes_skip(name, name.size - suffix.size), suffix) &&
            is_digits(bytes_of(name.data, name.size - suffix.size)))
            return true;
    }
    return false;
}

enum err_code leveldb_copy_check(const struct home_manifest *manifest, struct err *err)
{
    for (size_t i = 0; i < manifest->count; i++) {
        struct bytes name = bytes_of_text(manifest->files[i].name);
        bool fits = i == 0   ? bytes_equal(name, BYTES_LITERAL(CURRENT_NAME))
                    : i == 1 ? is_manifest_name(name)
                             : is_table_name(name);
        if (!fits)
            return err_set(err, ERR_INVALID, "'%s' is no file of a store, or not in its place",
                           manifest->files[i].name);
    }
    if (manifest->count < FILES_BESIDE_TABLES)
        return err_set(err, ERR_INVALID, "the copy has no MANIFEST");
    return ERR_OK;
}

/* ---- which version ---- */

static enum err_code current_read(const char *store, struct version *version, struct err *err)
{
    char *path = mem_xformat("%s/" CURRENT_NAME, store);
    enum err_code code = files_read(path, &version->current, err);
    struct bytes text = buf_bytes(&version->current);
    struct bytes name = bytes_of(text.data, text.size ? text.size - 1 : 0);
    if (!code && (name.size >= HOME_NAME_SIZE || !is_manifest_name(name) ||
                  text.data[name.size] != '\n'))
        code = err_set(err, ERR_CORRUPT, "'%s' names no MANIFEST", path);
    if (!code) {
        memcpy(version->manifest_name, name.data, name.size);
        version->manifest_name[name.size] = '\0';
    }
    free(path);
    return code;
}

static enum err_code version_read(const char *store, struct version *ret, struct err *err)
{
    *ret = (struct version){0};
    enum err_code code = current_read(store, ret, err);
    if (code)
        return code;
    char *path = mem_xformat("%s/%s", store, ret->manifest_name);
    code = files_read(path, &ret->manifest, err);
    if (!code)
        code = manifest_decode(buf_bytes(&ret->manifest), HOME_FILES_MAX - FILES_BESIDE_TABLES,
                               &ret->tables, err);
    if (!code)
        ret->manifest.size = ret->tables.size;
    free(path);
    return code;
}

/* ---- links ---- */

static void table_name(uint64_t number, const char *suffix, char *ret)
{
    int size = snprintf(ret, HOME_NAME_SIZE, "%06llu%s", (unsigned long long)number, suffix);
    CHECK(size > 0 && size < HOME_NAME_SIZE);
}

static enum err_code link_sized(const char *from, const char *to, uint64_t size, struct err *err)
{
    struct stat found;
    if (link(from, to) != 0)
        return errno == ENOENT ? ERR_NOT_FOUND : files_failed(err, "link", from);
    if (stat(to, &found) != 0)
        return files_failed(err, "look at", to);
    if ((uint64_t)found.st_size != size)
        return err_set(err, ERR_CORRUPT, "'%s' has %lld bytes, its MANIFEST says %llu", from,
                       (long long)found.st_size, (unsigned long long)size);
    return ERR_OK;
}

/* NOT_FOUND, without a text: it is gone. */
static enum err_code table_link(const char *store, const char *folder,
                                const struct manifest_table *table, struct err *err)
{
    enum err_code code = ERR_NOT_FOUND;
    for (size_t i = 0; code == ERR_NOT_FOUND && i < ARRAY_COUNT(table_suffixes); i++) {
        char name[HOME_NAME_SIZE];
        table_name(table->number, table_suffixes[i], name);
        char *from = mem_xformat("%s/%s", store, name), *to = mem_xformat("%s/%s", folder, name);
        code = link_sized(from, to, table->size, err);
        free(from);
        free(to);
    }
    return code;
}

static enum err_code file_put(const char *folder, const char *name, const struct buf *from,
                              struct err *err)
{
    char *path = mem_xformat("%s/%s", folder, name);
    enum err_code code = files_write(path, buf_bytes(from), err);
    free(path);
    return code;
}

/* A folder with a version's tables, taken from another folder, and its two files. */
static enum err_code version_link(const char *store, const char *folder,
                                  const struct version *version, struct err *err)
{
    enum err_code code = files_remove(folder, err);
    if (!code)
        code = files_make_folder(folder, err);
    for (size_t i = 0; !code && i < version->tables.count; i++)
        code = table_link(store, folder, &version->tables.tables[i], err);
    if (!code)
        code = file_put(folder, version->manifest_name, &version->manifest, err);
    if (!code)
        code = file_put(folder, CURRENT_NAME, &version->current, err);
    return code;
}

static enum err_code link_once(const char *store, struct backend *backend, const char *folder,
                               struct version *ret, struct err *err)
{
    struct backend_iterator *holds = backend->ops->iterator_new(backend, NULL);
    enum err_code code = version_read(store, ret, err);
    if (!code)
        code = version_link(store, folder, ret, err);
    holds->ops->free(holds);
    if (code)
        version_release(ret);
    return code;
}

/* A MANIFEST that is read while it is written may look damaged, as one that is damaged does. */
static enum err_code link_tables(const char *store, struct backend *backend, const char *folder,
                                 struct version *ret, struct err *err)
{
    enum err_code code = ERR_NOT_FOUND;
    for (int i = 0; (code == ERR_NOT_FOUND || code == ERR_CORRUPT) && i < TRIES_MAX; i++)
        code = link_once(store, backend, folder, ret, err);
    if (code == ERR_NOT_FOUND)
        code = err_set(err, ERR_CORRUPT, "the store in '%s' lacks a table that its MANIFEST names",
                       store);
    return code;
}

/* ---- a copy that has arrived ---- */

static bool is_table_of(const struct home_file *file, const struct manifest_table *table)
{
    return strtoull(file->name, NULL, 10) == table->number && file->size == table->size;
}

static bool is_whole(const struct version *version, const struct home_manifest *manifest)
{
    const struct home_file *files = manifest->files;
    bool fits = manifest->count == version->tables.count + FILES_BESIDE_TABLES &&
                strcmp(files[1].name, version->manifest_name) == 0 &&
                files[1].size == version->tables.size;
    for (size_t i = 0; fits && i < version->tables.count; i++)
        fits = is_table_of(&files[i + FILES_BESIDE_TABLES], &version->tables.tables[i]);
    return fits;
}

enum err_code leveldb_copy_fits(const char *folder, const struct home_manifest *manifest,
                                struct err *err)
{
    struct version version;
    enum err_code code = version_read(folder, &version, err);
    if (!code && !is_whole(&version, manifest))
        code = err_set(err, ERR_CORRUPT,
                       "what has arrived in '%s' is not what its MANIFEST names", folder);
    version_release(&version);
    return code;
}

/* ---- the list, and what the rows say ---- */

static enum err_code file_list(const char *folder, const char *name, struct home_manifest *manifest,
                               struct err *err)
{
    struct home_file *file = &manifest->files[manifest->count];
    char *path = mem_xformat("%s/%s", folder, name);
    *file = (struct home_file){0};
    memcpy(file->name, name, strlen(name));
    enum err_code code = files_sum(path, &file->size, &file->crc, err);
    free(path);
    if (!code)
        manifest->count++;
    return code;
}

static enum err_code table_list(const char *folder, uint64_t number, struct home_manifest *manifest,
                                struct err *err)
{
    char name[HOME_NAME_SIZE];
    for (size_t i = 0; i < ARRAY_COUNT(table_suffixes); i++) {
        table_name(number, table_suffixes[i], name);
        char *path = mem_xformat("%s/%s", folder, name);
        bool is_there = access(path, F_OK) == 0;
        free(path);
        if (is_there)
            break;
    }
    return file_list(folder, name, manifest, err);
}

static enum err_code list_files(const char *folder, const struct version *version,
                                struct home_manifest *ret, struct err *err)
{
    struct home_manifest list = {0};
    list.files = mem_xzalloc((version->tables.count + FILES_BESIDE_TABLES) * sizeof(*list.files));
    enum err_code code = file_list(folder, CURRENT_NAME, &list, err);
    if (!code)
        code = file_list(folder, version->manifest_name, &list, err);
    for (size_t i = 0; !code && i < version->tables.count; i++)
        code = table_list(folder, version->tables.tables[i].number, &list, err);
    if (code) {
        home_manifest_release(&list);
        return code;
    }
    home_manifest_seal(&list);
    *ret = list;
    return ERR_OK;
}

static enum err_code peek(const char *folder, const struct version *version,
                          struct store_mark *ret, struct err *err)
{
    char *beside = mem_xformat("%s-peek", folder);
    struct backend *backend = NULL;
    struct backend_leveldb_options options = {.folder = beside};
    enum err_code code = version_link(folder, beside, version, err);
    if (!code)
        code = backend_leveldb_open(&backend, &options, err);
    if (!code)
        code = store_peek(backend, ret, err);
    backend_close(backend);
    if (code == ERR_NOT_FOUND)
        code = err_set(err, ERR_CORRUPT, "the tables of the store hold no state");
    if (!code) {
        code = files_remove(beside, err);
        if (code)
            store_mark_release(ret);
    }
    free(beside);
    return code;
}

enum err_code leveldb_copy_make(const char *store, struct backend *backend, const char *folder,
                                struct home_manifest *ret_manifest, struct store_mark *ret_mark,
                                struct err *err)
{
    struct version version;
    struct store_mark mark = {0};
    enum err_code code = link_tables(store, backend, folder, &version, err);
    if (code)
        return code;
    code = peek(folder, &version, &mark, err);
    if (!code)
        code = list_files(folder, &version, ret_manifest, err);
    if (!code)
        *ret_mark = mark;
    else
        store_mark_release(&mark);
    version_release(&version);
    return code;
}
