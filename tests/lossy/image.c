#include "tests/lossy/image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/mem.h"
#include "tests/lossy/journal.h"
#include "tests/lossy/pages.h"

/* A file, a folder or a symbolic link. Nodes live as long as the image: names come and go. */
struct node {
    struct list link;               /* in image.nodes */
    mode_t mode;
    struct pages pages;             /* the content; of a link, its target */
    struct names *names, *durable;  /* of a folder */
};

struct name {
    char *text;
    struct node *node;
};

struct names {
    struct name *all;
    size_t count;
};

/* A change of names that no flush has covered. set: name -> node, NULL for gone. */
struct change {
    uint64_t sequence;
    bool is_durable;
    struct edit {
        struct node *folder;
        char *name;
        struct node *node;
    } edits[2];
    unsigned edit_count;
};

struct image {
    struct list nodes;
    struct node *root;
    struct change *changes;
    size_t change_count, change_capacity;
    uint64_t sequence;              /* of the record being replayed */
    struct inode {
        uint64_t number;
        struct node *node;
    } *inodes;
    size_t inode_count, inode_capacity;
    struct flush {                  /* begun and not ended */
        uint64_t id, sequence;
    } *flushes;
    size_t flush_count, flush_capacity;
};

static _Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("lossy-restore: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

#define GROW(array, count, capacity)                                                               \
    do {                                                                                           \
        if ((count) == (capacity)) {                                                               \
            (capacity) = (capacity) ? 2 * (capacity) : 16;                                         \
            (array) = mem_xrealloc((array), (capacity) * sizeof(*(array)));                        \
        }                                                                                          \
    } while (0)

/* --- names --- */

static struct name *names_find(struct names *names, const char *text)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->all[i].text, text) == 0)
            return &names->all[i];
    return NULL;
}

/* node NULL takes the name away. */
static void names_set(struct names *names, const char *text, struct node *node)
{
    struct name *name = names_find(names, text);
    if (name && node) {
        name->node = node;
    } else if (name) {
        free(name->text);
        *name = names->all[--names->count];
    } else if (node) {
        names->all = mem_xrealloc(names->all, (names->count + 1) * sizeof(*names->all));
        names->all[names->count++] = (struct name){mem_xstrdup(text), node};
    }
}

static void names_free(struct names *names)
{
    if (!names)
        return;
    for (size_t i = 0; i < names->count; i++)
        free(names->all[i].text);
    free(names->all);
    free(names);
}

static struct node *node_new(struct image *image, mode_t mode)
{
    struct node *node = mem_xzalloc(sizeof(*node));
    node->mode = mode;
    if (S_ISDIR(mode)) {
        node->names = mem_xzalloc(sizeof(*node->names));
        node->durable = mem_xzalloc(sizeof(*node->durable));
    }
    list_push_back(&image->nodes, &node->link);
    return node;
}

/* --- the folder on disk --- */

static void load_content(struct node *node, int file, const char *path)
{
    static uint8_t data[64 * PAGE_SIZE];
    for (uint64_t offset = 0;;) {
        ssize_t size = pread(file, data, sizeof(data), (off_t)offset);
        if (size < 0)
            die("%s: %s", path, strerror(errno));
        if (size == 0)
            return;
        pages_put(&node->pages, offset, bytes_of(data, (size_t)size));
        offset += (uint64_t)size;
    }
}

static struct node *load_node(struct image *image, const char *path)
{
    struct stat stat;
    if (lstat(path, &stat))
        die("%s: %s", path, strerror(errno));
    struct node *node = node_new(image, stat.st_mode);
    if (S_ISREG(stat.st_mode)) {
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0)
            die("%s: %s", path, strerror(errno));
        load_content(node, file, path);
        close(file);
    } else if (S_ISLNK(stat.st_mode)) {
        char target[4096];
        ssize_t size = readlink(path, target, sizeof(target));
        if (size > 0)
            pages_put(&node->pages, 0, bytes_of(target, (size_t)size));
    }
    pages_flush_all(&node->pages);
    return node;
}

static bool is_followed(mode_t mode)
{
    return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode);
}

static void load_folder(struct image *image, struct node *folder, const char *path)
{
    DIR *listing = opendir(path);
    if (!listing)
        die("%s: %s", path, strerror(errno));
    for (struct dirent *entry; (entry = readdir(listing));) {
        struct stat stat;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        char *below = mem_xformat("%s/%s", path, entry->d_name);
        if (lstat(below, &stat) == 0 && is_followed(stat.st_mode)) {
            struct node *node = load_node(image, below);
            names_set(folder->names, entry->d_name, node);
            names_set(folder->durable, entry->d_name, node);
            if (S_ISDIR(node->mode))
                load_folder(image, node, below);
        }
        free(below);
    }
    closedir(listing);
}

struct image *image_load(const char *folder)
{
    struct image *image = mem_xzalloc(sizeof(*image));
    list_init(&image->nodes);
    image->root = node_new(image, S_IFDIR | 0700);
    load_folder(image, image->root, folder);
    return image;
}

void image_free(struct image *image)
{
    if (!image)
        return;
    while (!list_is_empty(&image->nodes)) {
        struct node *node = container_of(list_pop_front(&image->nodes), struct node, link);
        pages_release(&node->pages);
        names_free(node->names);
        names_free(node->durable);
        free(node);
    }
    for (size_t i = 0; i < image->change_count; i++)
        for (unsigned j = 0; j < image->changes[i].edit_count; j++)
            free(image->changes[i].edits[j].name);
    free(image->changes);
    free(image->inodes);
    free(image->flushes);
    free(image);
}

static void empty_folder(const char *path)
{
    DIR *listing = opendir(path);
    if (!listing)
        die("%s: %s", path, strerror(errno));
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        char *below = mem_xformat("%s/%s", path, entry->d_name);
        if (unlink(below) && (errno == EISDIR || errno == EPERM)) {
            empty_folder(below);
            rmdir(below);
        }
        free(below);
    }
    closedir(listing);
}

static void write_file(const struct node *node, const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, node->mode & 07777);
    if (file < 0 || !pages_write(&node->pages, file) || close(file))
        die("%s: %s", path, strerror(errno));
}

static void write_folder(const struct node *folder, const char *path)
{
    for (size_t i = 0; i < folder->durable->count; i++) {
        const struct name *name = &folder->durable->all[i];
        char *below = mem_xformat("%s/%s", path, name->text);
        if (S_ISDIR(name->node->mode)) {
            if (mkdir(below, name->node->mode & 07777))
                die("%s: %s", below, strerror(errno));
            write_folder(name->node, below);
        } else if (S_ISLNK(name->node->mode)) {
            struct buf target = {0};
            pages_read(&name->node->pages, &target);
            buf_append_u8(&target, 0);
            if (symlink((const char *)target.data, below))
                die("%s: %s", below, strerror(errno));
            buf_release(&target);
        } else {
            write_file(name->node, below);
        }
        free(below);
    }
}

void image_write(const struct image *image, const char *folder)
{
    empty_folder(folder);
    write_folder(image->root, folder);
}

/* --- changes of names --- */

/* The folder that path lies in, and its last word; NULL when there is no such folder. */
static struct node *parent_of(struct image *image, const char *path, const char **ret_name)
{
    struct node *folder = image->root;
    for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
        char *word = mem_xformat("%.*s", (int)(slash - path), path);
        struct name *name = names_find(folder->names, word);
        free(word);
        if (!name || !S_ISDIR(name->node->mode))
            return NULL;
        folder = name->node;
    }
    *ret_name = path;
    return folder;
}

static struct node *find(struct image *image, const char *path)
{
    const char *word;
    if (!*path)
        return image->root;
    struct node *folder = parent_of(image, path, &word);
    struct name *name = folder ? names_find(folder->names, word) : NULL;
    return name ? name->node : NULL;
}

static struct change *change_new(struct image *image)
{
    GROW(image->changes, image->change_count, image->change_capacity);
    struct change *change = &image->changes[image->change_count++];
    *change = (struct change){.sequence = image->sequence};
    return change;
}

/* Changes the newest names at once, and notes it for the durable ones. */
static void change_add(struct change *change, struct node *folder, const char *name,
                       struct node *node)
{
    CHECK(change->edit_count < ARRAY_COUNT(change->edits));
    change->edits[change->edit_count++] = (struct edit){folder, mem_xstrdup(name), node};
    names_set(folder->names, name, node);
}

static bool change_concerns(const struct change *change, const struct node *folder)
{
    for (unsigned i = 0; i < change->edit_count; i++)
        if (change->edits[i].folder == folder)
            return true;
    return false;
}

/* Every change of this folder's names up to the sequence becomes durable, in order; one that also
 * concerns another folder draws that folder's earlier ones in. */
static void flush_names(struct image *image, const struct node *folder, uint64_t sequence)
{
    for (size_t i = 0; i < image->change_count; i++) {
        struct change *change = &image->changes[i];
        if (change->is_durable || change->sequence > sequence || !change_concerns(change, folder))
            continue;
        change->is_durable = true;
        for (unsigned j = 0; j < change->edit_count; j++)
            if (change->edits[j].folder != folder)
                flush_names(image, change->edits[j].folder, change->sequence - 1);
        for (unsigned j = 0; j < change->edit_count; j++)
            names_set(change->edits[j].folder->durable, change->edits[j].name,
                      change->edits[j].node);
    }
}

/* --- the journal --- */

static struct node *node_of_inode(struct image *image, uint64_t number)
{
    for (size_t i = image->inode_count; i-- > 0;)
        if (image->inodes[i].number == number)
            return image->inodes[i].node;
    return NULL;
}

static void remember_inode(struct image *image, uint64_t number, struct node *node)
{
    for (size_t i = 0; i < image->inode_count; i++)
        if (image->inodes[i].number == number) {
            image->inodes[i].node = node;
            return;
        }
    GROW(image->inodes, image->inode_count, image->inode_capacity);
    image->inodes[image->inode_count++] = (struct inode){number, node};
}

static void flush_begin(struct image *image, uint64_t id)
{
    GROW(image->flushes, image->flush_count, image->flush_capacity);
    image->flushes[image->flush_count++] = (struct flush){id, image->sequence};
}

/* The sequence at which this flush began; 0 when it is unknown. */
static uint64_t flush_end(struct image *image, uint64_t id)
{
    for (size_t i = 0; i < image->flush_count; i++)
        if (image->flushes[i].id == id) {
            uint64_t sequence = image->flushes[i].sequence;
            image->flushes[i] = image->flushes[--image->flush_count];
            return sequence;
        }
    return 0;
}

/* One name set (node) or taken away (NULL). */
static bool apply_name(struct image *image, const char *path, struct node *node)
{
    const char *word;
    struct node *folder = parent_of(image, path, &word);
    if (!folder || (!node && !names_find(folder->names, word)))
        return false;
    change_add(change_new(image), folder, word, node);
    return true;
}

static bool apply_rename(struct image *image, const char *path, const char *other, bool exchange)
{
    const char *word, *other_word;
    struct node *folder = parent_of(image, path, &word);
    struct node *other_folder = parent_of(image, other, &other_word);
    struct node *node = find(image, path), *other_node = find(image, other);
    if (!folder || !other_folder || !node || (exchange && !other_node))
        return false;
    if (node == other_node)
        return true;
    struct change *change = change_new(image);
    change_add(change, folder, word, exchange ? other_node : NULL);
    change_add(change, other_folder, other_word, node);
    return true;
}

static void sync_all(struct image *image)
{
    LIST_FOR_EACH(link, &image->nodes) {
        struct node *node = container_of(link, struct node, link);
        pages_flush_all(&node->pages);
        if (S_ISDIR(node->mode))
            flush_names(image, node, image->sequence);
    }
}

static bool apply_to_inode(struct image *image, struct image_luck *luck,
                           const struct journal_record *record, struct bytes data)
{
    struct node *node = node_of_inode(image, record->inode);
    struct pages *pages;
    uint64_t began;
    if (!node)
        return false;
    pages = &node->pages;
    switch (record->kind) {
    case JOURNAL_WRITE:
        pages_write_back(pages, record->offset, record->size, &luck->rand, luck->write_back);
        if (data.size)
            pages_put(pages, record->offset, data);
        else
            pages_put_zeros(pages, record->offset, record->size);
        return true;
    case JOURNAL_TRUNCATE:
        pages_resize(pages, record->size, rand_chance(&luck->rand, luck->write_back, 32));
        return true;
    case JOURNAL_SYNC_START:
        flush_begin(image, record->id);
        pages_flush_start(pages, 0, UINT64_MAX);
        return true;
    case JOURNAL_RANGE_START:
        flush_begin(image, record->id);
        pages_flush_start(pages, record->offset, record->size);
        return true;
    case JOURNAL_SYNC_END:
    case JOURNAL_RANGE_END:
        began = flush_end(image, record->id);
        if (!began)
            return false;
        if (S_ISDIR(node->mode))
            flush_names(image, node, began);
        else if (record->kind == JOURNAL_SYNC_END)
            pages_flush_end(pages, 0, UINT64_MAX);
        else
            pages_flush_end(pages, record->offset, record->size);
        return true;
    case JOURNAL_SYNC_FAILED:
        pages_flush_failed(pages);
        return true;
    }
    return false;
}

static bool apply(struct image *image, struct image_luck *luck, const struct journal_record *record,
                  const char *path, const char *other, struct bytes data)
{
    struct node *node;
    switch (record->kind) {
    case JOURNAL_OPEN:
        node = find(image, path);
        if (node)
            remember_inode(image, record->inode, node);
        return node;
    case JOURNAL_CREATE:
        node = node_new(image, S_IFREG | (record->mode & 07777));
        remember_inode(image, record->inode, node);
        return apply_name(image, path, node);
    case JOURNAL_MKDIR:
        return apply_name(image, path, node_new(image, S_IFDIR | (record->mode & 07777)));
    case JOURNAL_SYMLINK:
        node = node_new(image, S_IFLNK | 0777);
        pages_put(&node->pages, 0, data);
        pages_flush_all(&node->pages);
        return apply_name(image, path, node);
    case JOURNAL_UNLINK:
        return apply_name(image, path, NULL);
    case JOURNAL_LINK:
        node = find(image, path);
        return node && apply_name(image, other, node);
    case JOURNAL_RENAME:
    case JOURNAL_EXCHANGE:
        return apply_rename(image, path, other, record->kind == JOURNAL_EXCHANGE);
    case JOURNAL_SYNC_ALL:
        sync_all(image);
        return true;
    default:
        return apply_to_inode(image, luck, record, data);
    }
}

bool image_replay(struct image *image, struct image_luck *luck, struct bytes journal)
{
    while (journal.size >= sizeof(struct journal_record)) {
        struct journal_record record;
        memcpy(&record, journal.data, sizeof(record));
        size_t sizes = (size_t)record.path_size + record.other_size + record.data_size;
        if (record.magic != JOURNAL_MAGIC) {
            fprintf(stderr, "lossy-restore: record %llu is none\n",
                    (unsigned long long)image->sequence);
            return false;
        }
        if (journal.size < sizeof(record) + sizes)
            return true;
        struct bytes rest = bytes_skip(journal, sizeof(record));
        char *path = bytes_to_text(bytes_of(rest.data, record.path_size));
        char *other = bytes_to_text(bytes_of(rest.data + record.path_size, record.other_size));
        struct bytes data = bytes_of(rest.data + record.path_size + record.other_size,
                                     record.data_size);
        image->sequence++;
        bool fits = apply(image, luck, &record, path, other, data);
        if (!fits)
            fprintf(stderr, "lossy-restore: record %llu (kind %u, \"%s\" \"%s\") does not fit\n",
                    (unsigned long long)image->sequence, record.kind, path, other);
        free(path);
        free(other);
        if (!fits)
            return false;
        journal = bytes_skip(journal, sizeof(record) + sizes);
    }
    return true;
}

/* --- the power fails --- */

void image_luck_init(struct image_luck *luck, uint64_t seed)
{
    *luck = (struct image_luck){0};
    rand_init(&luck->rand, seed);
    switch (rand_below(&luck->rand, 4)) {
    case 0: luck->keep = 0; break;
    case 1: luck->keep = 256; break;
    case 2: luck->keep = 128; break;
    case 3: luck->keep = (uint32_t)rand_below(&luck->rand, 257); break;
    }
    luck->write_back = luck->keep ? 16 : 0;
}

static void settle_names(struct image *image, struct image_luck *luck, struct node *folder)
{
    uint64_t upto = 0;
    for (size_t i = 0; i < image->change_count; i++) {
        struct change *change = &image->changes[i];
        if (change->is_durable || !change_concerns(change, folder))
            continue;
        if (!rand_chance(&luck->rand, luck->keep, 256) && luck->keep < 256)
            break;
        upto = change->sequence;
    }
    flush_names(image, folder, upto);
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static void drop_store_logs(struct node *folder)
{
    if (!names_find(folder->durable, "CURRENT"))
        return;
    for (size_t i = 0; i < folder->durable->count; i++)
        if (ends_with(folder->durable->all[i].text, ".log")) {
            pages_release(&folder->durable->all[i].node->pages);
            folder->durable->all[i].node->pages = (struct pages){0};
        }
}

void image_settle(struct image *image, struct image_luck *luck)
{
    LIST_FOR_EACH(link, &image->nodes) {
        struct node *node = container_of(link, struct node, link);
        if (S_ISDIR(node->mode))
            settle_names(image, luck, node);
        else
            pages_settle(&node->pages, &luck->rand, luck->keep);
    }
    if (luck->drop_store_logs)
        LIST_FOR_EACH(link, &image->nodes) {
            struct node *node = container_of(link, struct node, link);
            if (S_ISDIR(node->mode))
                drop_store_logs(node);
        }
}
