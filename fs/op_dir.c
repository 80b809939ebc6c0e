/* Directories: OPENDIR, READDIR, READDIRPLUS, RELEASEDIR, FSYNCDIR, MKDIR, RMDIR. dir.h says how
 * positions work. */
#include "fs/dir.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/cache.h"
#include "fs/control.h"
#include "fs/handle.h"
#include "fs/make.h"
#include "fs/partial.h"
#include "fs/snapshot.h"
#include "fs/tree.h"
#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "proto/base/mem.h"

#define READ_SIZE_MAX (128 * KIB)       /* of one READDIR's answer */
#define HASH_BITS 30
#define PLACE_BITS 9
#define CHUNK_BITS 23                   /* 2^23 chunks of 256 names */
static_assert(DIR_CHUNK_NAMES <= 1 << PLACE_BITS, "a place fits its bits");
static_assert(DIR_CHUNK_NAMES <= LIST_LIMIT_MAX, "a chunk is one request");
static_assert(HASH_BITS + PLACE_BITS + CHUNK_BITS < 63, "an offset is not negative");

/* ---- positions ---- */

uint32_t dir_name_hash(struct bytes name)
{
    return (uint32_t)hash_bytes(0, name) & ((1u << HASH_BITS) - 1);
}

off_t dir_offset(uint32_t chunk, uint32_t place, struct bytes name)
{
    return (off_t)((uint64_t)(chunk + 1) << (PLACE_BITS + HASH_BITS) |
                   (uint64_t)place << HASH_BITS | dir_name_hash(name));
}

bool dir_offset_split(off_t offset, uint32_t *ret_chunk, uint32_t *ret_place, uint32_t *ret_hash)
{
    uint64_t bits = (uint64_t)offset;
    uint64_t chunk = bits >> (PLACE_BITS + HASH_BITS);
    if (offset < 0 || chunk == 0 || chunk > 1u << CHUNK_BITS)
        return false;
    *ret_chunk = (uint32_t)chunk - 1;
    *ret_place = (uint32_t)(bits >> HASH_BITS) & ((1u << PLACE_BITS) - 1);
    *ret_hash = (uint32_t)bits & ((1u << HASH_BITS) - 1);
    return true;
}

/* ---- the handle ---- */

static struct bytes own_copy(struct bytes from)
{
    uint8_t *copy = mem_xalloc(from.size + 1);
    if (from.size)
        memcpy(copy, from.data, from.size);
    return bytes_of(copy, from.size);
}

struct fs_dir *dir_new(struct fs_op *op, struct node *node)
{
    struct fs_dir *dir = mem_xzalloc(sizeof(*dir));
    struct bytes whole = op_directory(op, node);
    size_t at = whole.size;
    while (node->step == STEP_PARTIAL && at > 0 && whole.data[at - 1] != '/')
        at--;
    dir->node = node_ref(node);
    dir->directory = own_copy(bytes_of(whole.data, at));
    dir->beginning = own_copy(bytes_skip(whole, at));
    bool is_root = !node->parent || (snapshot_is_root(node) && !node->parent->parent->parent);
    dir->place = is_root ? LAYOUT_IN_ROOT : LAYOUT_IN_DIRECTORY;
    dir->starts = mem_xzalloc(sizeof(*dir->starts));
    buf_assign(&dir->starts[0], dir->beginning);
    dir->start_count = 1;
    list_init(&dir->waiting);
    return dir;
}

static void drop_starts(struct fs_dir *dir, uint32_t keep)
{
    while (dir->start_count > keep)
        buf_release(&dir->starts[--dir->start_count]);
}

static void drop_pending(struct fs_dir *dir)
{
    while (dir->pending_count)
        free((void *)(uintptr_t)dir->pending[--dir->pending_count].name.data);
    free(dir->pending);
    dir->pending = NULL;
}

static void pending_append(void *context, struct bytes name, ino_t ino)
{
    struct fs_dir *dir = context;
    struct buf raw = {0};
    buf_assign(&raw, dir->beginning);
    buf_append(&raw, name);
    dir->pending = mem_xrealloc(dir->pending, (dir->pending_count + 1) * sizeof(*dir->pending));
    dir->pending[dir->pending_count++] = (struct dir_pending){own_copy(buf_bytes(&raw)), ino};
    buf_release(&raw);
}

void dir_free(struct fs *fs, struct fs_dir *dir)
{
    drop_starts(dir, 0);
    drop_pending(dir);
    free(dir->starts);
    for (int i = 0; i < 2; i++)
        kv_request_release(&dir->chunks[i].request);
    free((void *)(uintptr_t)dir->directory.data);
    free((void *)(uintptr_t)dir->beginning.data);
    node_unref(&fs->nodes, dir->node);
    free(dir);
}

static struct fs_dir *dir_of(const struct fs_op *op)
{
    return (struct fs_dir *)(uintptr_t)op->request.handle;
}

/* ---- OPENDIR ---- */

static void opendir_on_stat(struct fs_op *op, enum err_code code);

static void opendir_answer(struct fs_op *op)
{
    struct fs *fs = op->fs;
    struct fs_dir *dir = dir_new(op, op->node);
    dir->is_current = op->kv.kind == KV_LOOKUP || op->kv.kind == KV_CURRENT;
    if (op->keep.e) {
        dir->has_own = true;
        dir->own = op->file;
    }
    bool is_past = op->node->kind == NODE_PAST;
    struct kernel_open answer = {
        .handle = (uintptr_t)dir, .keep_cache = is_past, .cache_readdir = is_past};
    if (!op_answer_open(op, &answer))
        dir_free(fs, dir);
}

void op_opendir(struct fs_op *op)
{
    struct node *node = op->node;
    bool is_ours = node->kind == NODE_SNAPSHOTS || node->kind == NODE_CONTROL_DIRECTORY;
    if (is_ours || node->step == STEP_PARTIAL)
        opendir_answer(op);
    else if (node->removed)
        op_answer_errno(op, ENOENT);
    else
        op_stat(op, node, true, opendir_on_stat);
}

static void opendir_on_stat(struct fs_op *op, enum err_code code)
{
    if (code != ERR_OK) {
        op_answer_code(op, code == ERR_NOT_FOUND ? ERR_CONFLICT : code, false);
        return;
    }
    if (!S_ISDIR(op->file.attr.st_mode)) {
        op_answer_errno(op, ENOTDIR);
        return;
    }
    bool is_root = op->node->parent == NULL || op->kv.kind != KV_LOOKUP;
    op->keep.e = !is_root && layout_file(&op->fs->layout, op->directory, &op->kv.name, true,
                                         op->node->revision, &op->arena, &op->file);
    opendir_answer(op);
}

/* ---- chunks ---- */

static void chunk_on_listed(struct fs_op *op, enum err_code code);
static void readdir_fill(struct fs_op *op);

static struct dir_chunk *chunk_find(struct fs_dir *dir, uint32_t number)
{
    for (int i = 0; i < 2; i++)
        if (dir->chunks[i].loaded && dir->chunks[i].number == number)
            return &dir->chunks[i];
    return NULL;
}

/* Lists chunk number into the slot that holds the older one. */
static void chunk_load(struct fs_op *op, uint32_t number)
{
    struct fs_dir *dir = dir_of(op);
    struct dir_chunk *chunk = &dir->chunks[number % 2];
    const struct buf *start = &dir->starts[number];
    chunk->loaded = false;
    chunk->number = number;
    dir->busy = true;
    struct kv_request *request = op_prepare(op, KV_LIST);
    request->list = (struct kv_list){
        .directory = dir->directory, .after = buf_bytes(start),
        .has_after = number > 0 || start->size > 0,
        .serializable = number > 0 || dir->is_current || dir->node->revision ||
                        op->fs->options.reads == FS_READS_LOCAL,
        .revision = dir->node->revision, .limit = DIR_CHUNK_NAMES};
    dir->is_current = false;
    op_submit(op, chunk_on_listed);
}

/* The chunk takes the op's answer over, arena and all. */
static void chunk_take(struct fs_op *op, struct dir_chunk *chunk)
{
    struct arena old = chunk->request.arena;
    chunk->request = op->kv;
    arena_clear(&old);
    op->kv.arena = old;
    memset(&op->kv.listing, 0, sizeof(op->kv.listing));
    chunk->loaded = true;
    chunk->count = chunk->request.listing.count;
}

static void start_append(struct fs_dir *dir, struct bytes after)
{
    dir->starts = mem_xrealloc(dir->starts, (dir->start_count + 1) * sizeof(*dir->starts));
    dir->starts[dir->start_count] = (struct buf){0};
    buf_assign(&dir->starts[dir->start_count++], after);
}

/* Fits a chunk between its neighbours. Listed for the first time, its last name is where the next one
 * begins. Listed again, it ends where the next one begins; if so many names have come that it does not
 * reach that far, the later chunks are found anew. */
static void chunk_bound(struct fs_dir *dir, struct dir_chunk *chunk)
{
    const struct kv_list_result *listing = &chunk->request.listing;
    uint32_t next = chunk->number + 1;
    while (chunk->count && dir->beginning.size &&
           !bytes_starts_with(listing->names[chunk->count - 1].name, dir->beginning))
        chunk->count--;
    bool whole = chunk->count < listing->count || !listing->more || listing->count == 0;
    if (next < dir->start_count) {
        struct bytes bound = buf_bytes(&dir->starts[next]);
        size_t count = chunk->count;
        while (count && bytes_compare(listing->names[count - 1].name, bound) > 0)
            count--;
        if (count < chunk->count || whole ||
            (count && bytes_equal(listing->names[count - 1].name, bound))) {
            chunk->count = count;
            return;
        }
        drop_starts(dir, next);
    }
    if (!whole)
        start_append(dir, listing->names[chunk->count - 1].name);
}

static void wake_waiting(struct fs_dir *dir)
{
    struct list *link = list_pop_front(&dir->waiting);
    if (!link)
        return;
    struct fs_op *op = container_of(link, struct fs_op, parked);
    op_unpark(op);
    op_readdir(op);
}

static void chunk_on_listed(struct fs_op *op, enum err_code code)
{
    struct fs_dir *dir = dir_of(op);
    struct dir_chunk *chunk = &dir->chunks[op->keep.c % 2];
    dir->busy = false;
    if (code != ERR_OK) {
        op_answer_code(op, code, false);
    } else {
        chunk_take(op, chunk);
        chunk_bound(dir, chunk);
        readdir_fill(op);
    }
    if (!dir->busy)
        wake_waiting(dir);
}

/* ---- READDIR ---- */

struct filling {
    struct fs_op *op;
    struct fs_dir *dir;
    uint8_t *to;
    size_t size, room;
    bool plus;
    kv_rev read;                    /* what is being emitted was read at that revision */
    struct node **nodes;            /* looked up by this answer */
    size_t node_count;
};

static bool emit(struct filling *filling, const char *name, const struct kernel_entry *entry,
                 off_t next)
{
    struct fs_op *op = filling->op;
    size_t room = filling->room - filling->size;
    size_t size = op->fs->kernel->ops->add_entry(op->fs->kernel, op->request.token,
                                                 filling->to + filling->size, room, name, entry, next,
                                                 filling->plus);
    if (size > room)
        return false;
    filling->size += size;
    return true;
}

static bool emit_simple(struct filling *filling, const char *name, ino_t ino, mode_t mode, off_t next)
{
    struct kernel_entry entry = {.attr = {.st_ino = ino, .st_mode = mode}};
    return emit(filling, name, &entry, next);
}

/* Entries carry a node where that saves the kernel a LOOKUP: not where names are not believed, not for a file
 * whose commit is on its way, and not in the past, where a listing knows no modes of today. */
static void emit_node(struct filling *filling, enum node_step how, struct bytes raw,
                      const struct fs_file *file, struct kernel_entry *entry)
{
    struct fs_op *op = filling->op;
    struct node *parent = filling->dir->node;
    struct node *old = node_find(&op->fs->nodes, parent, parent->kind, how, raw, parent->revision);
    entry->attr = file->attr;
    bool is_busy = old && (old->commits || old->pending || old->handle_count);
    if (!filling->plus || parent->kind == NODE_PAST || is_busy)
        return;
    struct node *node = op_entry_node(op, parent, how, raw, file);
    entry->entry_timeout_ns = cache_entry_timeout(op->fs, node, filling->read);
    if (entry->entry_timeout_ns) {
        cache_told(node, file);
        node_looked_up(node);
        entry->node = node->id;
        entry->attr_timeout_ns = cache_attr_timeout(op->fs, node, filling->read);
        filling->nodes[filling->node_count++] = node;
    }
    node_unref(&op->fs->nodes, node);
}

static void unlook_last(struct filling *filling, const struct kernel_entry *entry)
{
    if (entry->node)
        node_forget(&filling->op->fs->nodes, filling->nodes[--filling->node_count], 1);
}

static bool emit_file(struct filling *filling, const char *name, enum node_step how, struct bytes raw,
                      const struct fs_file *file, off_t next)
{
    struct kernel_entry entry = {0};
    emit_node(filling, how, raw, file, &entry);
    if (emit(filling, name, &entry, next))
        return true;
    unlook_last(filling, &entry);
    return false;
}

static bool emit_partial(struct filling *filling, const char *name, off_t next)
{
    return emit_simple(filling, name, (ino_t)hash_bytes(1, bytes_of_text(name)) >> 1, S_IFDIR, next);
}

/* The raw name before the one at place: of the same chunk, or the chunk's start. */
static struct bytes name_before(const struct fs_dir *dir, const struct dir_chunk *chunk, size_t place)
{
    return place ? chunk->request.listing.names[place - 1].name
                 : buf_bytes(&dir->starts[chunk->number]);
}

/* The file name of a raw one in this directory. False: it is shown elsewhere (in another "x%+", or as its
 * neighbour's "x%+" that has been emitted). */
static bool spell_name(const struct fs_dir *dir, struct bytes raw, struct bytes before,
                       uint8_t name[NAME_SIZE_MAX + 1], bool *ret_partial)
{
    size_t size, at = dir->beginning.size;
    if (at && !layout_chunk_fits(raw, at, dir->place))
        return false;
    size_t covers = layout_encode_chunk(raw, at, dir->place, name, &size, ret_partial);
    name[size] = 0;
    if (!*ret_partial)
        return true;
    uint8_t other[NAME_SIZE_MAX];
    size_t other_size;
    bool other_partial;
    if (before.size < at + covers || !bytes_starts_with(before, bytes_of(raw.data, at)) ||
        (at && !layout_chunk_fits(before, at, dir->place)))
        return true;
    layout_encode_chunk(before, at, dir->place, other, &other_size, &other_partial);
    return !(other_partial && bytes_equal(bytes_of(other, other_size), bytes_of(name, size)));
}

/* It has been emitted as such, and was saved since. */
static bool was_pending(const struct fs_dir *dir, struct bytes raw)
{
    for (size_t i = 0; i < dir->pending_count; i++)
        if (bytes_equal(dir->pending[i].name, raw))
            return true;
    return false;
}

static bool emit_name(struct filling *filling, const struct dir_chunk *chunk, size_t place)
{
    struct fs_op *op = filling->op;
    struct fs_dir *dir = filling->dir;
    const struct kv_name *found = &chunk->request.listing.names[place];
    off_t next = dir_offset(chunk->number, (uint32_t)place, found->name);
    uint8_t name[NAME_SIZE_MAX + 1];
    bool partial;
    struct fs_file file;
    filling->read = chunk->request.revision;
    if (was_pending(dir, found->name))
        return true;
    if (!spell_name(dir, found->name, name_before(dir, chunk, place), name, &partial))
        return true;
    if (partial)
        return emit_partial(filling, (const char *)name, next);
    if (!layout_file(&op->fs->layout, dir->directory, found, false, dir->node->revision, &op->arena,
                     &file))
        return true;
    return emit_file(filling, (const char *)name, STEP_COMPONENT,
                     bytes_skip(found->name, dir->beginning.size), &file, next);
}

/* "." and "..", "%@"; false when the room is full. Offsets up to DIR_OFFSET_OWN. */
static bool fill_first(struct filling *filling, off_t offset)
{
    struct node *node = filling->dir->node;
    const struct node *parent = node->parent ? node->parent : node;
    if (offset < DIR_OFFSET_DOT && !emit_simple(filling, ".", node->told.attr.st_ino, S_IFDIR, 1))
        return false;
    if (offset < DIR_OFFSET_DOTDOT && !emit_simple(filling, "..", parent->told.attr.st_ino, S_IFDIR, 2))
        return false;
    if (offset >= DIR_OFFSET_OWN || !filling->dir->has_own)
        return true;
    return emit_file(filling, LAYOUT_OWN_VALUE, STEP_OWN_VALUE, BYTES_EMPTY, &filling->dir->own,
                     DIR_OFFSET_OWN);
}

/* The names that this mount is making, before those of the kv; false when the room is full. */
static bool fill_pending(struct filling *filling, off_t offset)
{
    const struct fs_dir *dir = filling->dir;
    size_t place = offset > DIR_OFFSET_OWN ? (size_t)(offset - DIR_OFFSET_OWN) : 0;
    for (; place < dir->pending_count; place++) {
        const struct dir_pending *pending = &dir->pending[place];
        uint8_t name[NAME_SIZE_MAX + 1];
        bool partial;
        if (spell_name(dir, pending->name, BYTES_EMPTY, name, &partial) && !partial &&
            !emit_simple(filling, (const char *)name, pending->ino, S_IFREG,
                         (off_t)(DIR_OFFSET_OWN + place + 1)))
            return false;
    }
    return true;
}

/* The control directories list what they hold; .snapshot nothing. */
static void fill_ours(struct filling *filling, off_t offset)
{
    if (!fill_first(filling, offset) || filling->dir->node->kind != NODE_CONTROL_DIRECTORY)
        return;
    size_t place = offset > DIR_OFFSET_OWN ? (size_t)offset - DIR_OFFSET_OWN : 0;
    struct control_entry entry;
    while (control_entry(filling->op, filling->dir->node, &place, &entry))
        if (!emit_simple(filling, entry.name, entry.ino, entry.type, (off_t)(DIR_OFFSET_OWN + place)))
            return;
}

static void filling_answer(struct filling *filling)
{
    op_answer_data(filling->op, bytes_of(filling->to, filling->size));
}

/* Where to go on in a chunk, after the entry that place and hash name. */
static size_t place_after(const struct dir_chunk *chunk, uint32_t place, uint32_t hash)
{
    const struct kv_name *names = chunk->request.listing.names;
    if (place < chunk->count && dir_name_hash(names[place].name) == hash)
        return place + 1;
    for (size_t i = 0; i < chunk->count; i++)
        if (dir_name_hash(names[i].name) == hash)
            return i + 1;
    return place < chunk->count ? place : chunk->count;
}

/* Fills from loaded chunks. ret_chunk: the one that is needed next; false: the answer is complete. */
static bool fill_chunks(struct filling *filling, uint32_t number, size_t place, uint32_t *ret_chunk)
{
    struct fs_dir *dir = filling->dir;
    for (;;) {
        struct dir_chunk *chunk = chunk_find(dir, number);
        if (!chunk) {
            *ret_chunk = number;
            return filling->size == 0;          /* what is there goes out first */
        }
        for (; place < chunk->count; place++)
            if (!emit_name(filling, chunk, place))
                return false;
        if (++number >= dir->start_count)
            return false;
        place = 0;
    }
}

static void readdir_fill(struct fs_op *op)
{
    struct fs_dir *dir = dir_of(op);
    off_t offset = op->request.offset;
    size_t room = op->request.size < READ_SIZE_MAX ? op->request.size : READ_SIZE_MAX;
    struct filling filling = {.op = op, .dir = dir, .room = room,
                              .plus = op->request.kind == KERNEL_READDIRPLUS};
    filling.to = arena_alloc(&op->arena, room + 1);
    filling.nodes = ARENA_NEW_ARRAY(&op->arena, struct node *, room / 128 + 8);
    uint32_t chunk = 0, place = 0, hash = 0, needed = 0;
    size_t from = 0;
    if (dir->node->kind == NODE_SNAPSHOTS || dir->node->kind == NODE_CONTROL_DIRECTORY) {
        fill_ours(&filling, offset);
        filling_answer(&filling);
        return;
    }
    if (dir_offset_split(offset, &chunk, &place, &hash)) {
        if (chunk >= dir->start_count) {
            filling_answer(&filling);           /* a position of an earlier life of this handle */
            return;
        }
        const struct dir_chunk *loaded = chunk_find(dir, chunk);
        from = loaded ? place_after(loaded, place, hash) : 0;
    } else if (!fill_first(&filling, offset) || !fill_pending(&filling, offset)) {
        filling_answer(&filling);
        return;
    }
    if (fill_chunks(&filling, chunk, from, &needed)) {
        op->keep.c = needed;
        chunk_load(op, needed);
    } else {
        filling_answer(&filling);
    }
}

/* From the start again: what is listed is what is there now. */
static void dir_rewind(struct fs *fs, struct fs_dir *dir)
{
    drop_pending(dir);
    handle_each_pending(fs, dir->node, pending_append, dir);
    drop_starts(dir, 1);
    dir->chunks[0].loaded = dir->chunks[1].loaded = false;
}

static void readdir_cancel(struct fs_op *op)
{
    op_unpark(op);
    op_answer_errno(op, EINTR);
}

void op_readdir(struct fs_op *op)
{
    struct fs_dir *dir = dir_of(op);
    if (dir->busy) {
        op_park(op, &dir->waiting, readdir_cancel);
        return;
    }
    if (op->request.offset == 0)
        dir_rewind(op->fs, dir);
    readdir_fill(op);
    if (!dir->busy)
        wake_waiting(dir);
}

void op_releasedir(struct fs_op *op)
{
    struct fs *fs = op->fs;
    struct fs_dir *dir = dir_of(op);
    op_answer_errno(op, 0);
    dir_free(fs, dir);
}

/* Names are on a majority of disks before they are answered. */
void op_fsyncdir(struct fs_op *op) { op_answer_errno(op, 0); }

/* ---- MKDIR ---- */

void op_mkdir(struct fs_op *op)
{
    make_start(op, META_DIRECTORY, op->request.mode, 0, BYTES_EMPTY);
}

/* ---- RMDIR ---- */

static void rmdir_start(struct fs_op *op, enum err_code code);
static void rmdir_on_looked_up(struct fs_op *op, enum err_code code);
static void rmdir_on_committed(struct fs_op *op, enum err_code code);

void op_rmdir(struct fs_op *op)
{
    if (!op_may_change(op, op->node) || !op_take_name(op, false))
        return;
    if (op->how == STEP_PARTIAL)
        partial_start(op);
    else if (op->how == STEP_OWN_VALUE)
        op_answer_errno(op, ENOTDIR);
    else
        rmdir_start(op, ERR_OK);
}

static void rmdir_start(struct fs_op *op, enum err_code code)
{
    if (code == ERR_OK)
        op_stat_name(op, op->node, op->how, op->raw, rmdir_on_looked_up);
    else
        op_answer_code(op, code, true);
}

/* A file that is being made there has no key yet, and would find no directory at its first save. */
static bool rmdir_has_pending(struct fs_op *op)
{
    struct node *node = node_find(&op->fs->nodes, op->node, NODE_LIVE, op->how, op->raw, 0);
    return node && handle_pending_below(op->fs, node);
}

static void rmdir_on_looked_up(struct fs_op *op, enum err_code code)
{
    struct bytes key;
    if (code != ERR_OK) {
        op_answer_code(op, code, true);
    } else if (!S_ISDIR(op->file.attr.st_mode)) {
        op_answer_errno(op, ENOTDIR);
    } else if (op->file.is_implicit || op->file.name_count > 0 ||
               op->kv.name.has_value || op->kv.name.has_node) {
        op_answer_errno(op, ENOTEMPTY);
    } else if (rmdir_has_pending(op)) {
        op_answer_errno(op, ENOTEMPTY);
    } else if (op_name_key(op, &key)) {
        struct tree tree;
        tree_init(&tree, op);
        tree_stands(&tree, key, &op->file);
        tree_absent_value(&tree, key);
        tree_empty_below(&tree, key);
        tree_delete_directory(&tree, key);
        tree_keep_parent(&tree, op->node);
        tree_submit(&tree, rmdir_on_committed);
    }
}

static void rmdir_on_committed(struct fs_op *op, enum err_code code)
{
    struct fs *fs = op->fs;
    if (code != ERR_OK) {
        op_answer_code(op, code, true);
    } else if (!op->kv.result.txn.succeeded) {
        if (fs->layout.has_names)
            tree_parent_again(op, op->node, rmdir_start);
        else
            op_answer_errno(op, ENOTEMPTY);
    } else {
        tree_parent_kept(op, op->node);
        struct node *node = node_find(&fs->nodes, op->node, NODE_LIVE, op->how, op->raw, 0);
        if (node)
            node_remove(&fs->nodes, node);
        op_answer_errno(op, 0);
    }
}
