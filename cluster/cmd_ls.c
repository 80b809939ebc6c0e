/* concordfs ls: keys like a directory.
 *
 * The names below a key come from three places: keys, the records of directories (one that is empty has
 * nothing else), and the records of fifos, sockets and devices (which have no key). Each is walked in
 * pieces; where a name turns out to be a directory the walk goes on behind everything below it, so that
 * a listing costs what the listing holds and not what the tree holds.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/cmd.h"
#include "cluster/cmd_print.h"
#include "proto/base/mem.h"
#include "proto/status.h"

static const char help[] =
    "usage: concordfs ls [OPTION..] [KEY]\n"
    "\n"
    "Lists the names below KEY as the mount shows them, a '/' after directories. Without KEY the top of\n"
    "an ordinary mount, \"/\"; with an empty KEY what stands above it, keys without a first '/' included.\n"
    "\n"
    "  -l                  revision of the last change, size, time and name of each\n"
    "  --rev N             as of revision N\n"
    "  --data DIR          the member: its data folder, or a folder of its mount\n"
    "\n"
    "Examples:\n"
    "  concordfs ls\n"
    "  concordfs ls -l /app\n"
    "  concordfs ls --rev 120 /app\n"
    "\n"
    "Exit status: 0 listed, 1 failed, 2 usage, 3 nothing there.\n";

#define PIECE_FIRST 16
#define PIECE_MAX 1024

struct name {
    struct bytes name;          /* in the listing's arena */
    bool is_directory, has_value;
    uint64_t size;
    kv_rev mod_revision;
    kv_time mod_time;
};

struct ls {
    const char *data;
    bool is_long;
    long long revision;
    struct bytes key;

    struct client client;
    struct arena arena;
    struct name *names;
    size_t count, capacity;
};

enum { OPTION_REV = 256, OPTION_DATA };

static const struct option options[] = {
    {"rev", required_argument, NULL, OPTION_REV},
    {"data", required_argument, NULL, OPTION_DATA},
    {"help", no_argument, NULL, 'h'},
    {0},
};

/* One of the three places, being walked. */
struct walk {
    struct buf prefix, end, next;
    bool is_directory;          /* what stands there are directories */
    bool is_record;             /* of a value maybe: no size, no revision of its own */
    int64_t piece;
};

static void ls_add(struct ls *ls, const struct name *name)
{
    if (ls->count == ls->capacity) {
        ls->capacity = ls->capacity ? ls->capacity * 2 : 256;
        ls->names = mem_xrealloc(ls->names, ls->capacity * sizeof(*ls->names));
    }
    ls->names[ls->count] = *name;
    ls->names[ls->count++].name = arena_copy(&ls->arena, name->name);
}

/* Takes one key; where its name is a directory the walk goes on behind it. */
static void walk_take(struct ls *ls, struct walk *walk, const struct kv_item *item)
{
    struct bytes rest = bytes_skip(item->key, walk->prefix.size);
    const uint8_t *slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
    struct name name = {.name = rest, .is_directory = walk->is_directory};
    if (slash) {
        name.name.size = (size_t)(slash - rest.data);
        name.is_directory = true;
    } else if (!walk->is_record) {
        name.has_value = true;
        name.size = item->size;
        name.mod_revision = item->mod_revision;
        name.mod_time = item->mod_time;
    }
    ls_add(ls, &name);
    if (slash) {                /* behind "name/": '0' follows '/' */
        buf_assign(&walk->next, bytes_of(item->key.data, walk->prefix.size + name.name.size));
        buf_append_u8(&walk->next, '/' + 1);
    } else {
        buf_assign(&walk->next, item->key);
        buf_append_u8(&walk->next, 0);
    }
}

static size_t walk_take_all(struct ls *ls, struct walk *walk, const struct kv_range_result *piece)
{
    size_t taken = 0;
    for (size_t i = 0; i < piece->count; i++) {
        if (bytes_compare(piece->items[i].key, buf_bytes(&walk->next)) < 0 ||
            !bytes_starts_with(piece->items[i].key, buf_bytes(&walk->prefix)))
            continue;
        walk_take(ls, walk, &piece->items[i]);
        taken++;
    }
    return taken;
}

static enum err_code walk_piece(struct ls *ls, struct walk *walk, bool *ret_done, struct err *err)
{
    struct socket_response response;
    struct socket_request request = {
        .kind = SOCKET_RANGE,
        .range = {.key = buf_bytes(&walk->next), .range_end = buf_bytes(&walk->end),
                  .revision = ls->revision, .limit = walk->piece, .keys_only = !ls->is_long,
                  .sizes_only = ls->is_long, .want_times = ls->is_long}};
    enum err_code code = client_call(&ls->client, &request, &response, err);
    if (code != ERR_OK)
        return code;
    const struct kv_range_result *piece = &response.result.range;
    size_t taken = walk_take_all(ls, walk, piece);
    if (taken == piece->count && walk->piece < PIECE_MAX)
        walk->piece *= 2;
    else if (taken < piece->count / 4 && walk->piece > PIECE_FIRST)
        walk->piece /= 2;
    if (ls->revision == 0)
        ls->revision = response.revision;
    *ret_done = !piece->more || taken == 0;
    return ERR_OK;
}

static enum err_code ls_walk(struct ls *ls, struct bytes place, struct bytes directory,
                             struct err *err)
{
    struct walk walk = {.is_directory = bytes_equal(place, bytes_of_text(KV_DIR_PREFIX)),
                        .is_record = place.size > 0, .piece = PIECE_FIRST};
    bool is_done = false;
    enum err_code code = ERR_OK;
    buf_append(&walk.prefix, place);
    buf_append(&walk.prefix, directory);
    buf_append(&walk.next, buf_bytes(&walk.prefix));
    kv_prefix_end(&walk.end, buf_bytes(&walk.prefix));
    if (!walk.prefix.size)
        buf_append_u8(&walk.next, 0);
    while (code == ERR_OK && !is_done)
        code = walk_piece(ls, &walk, &is_done, err);
    buf_release(&walk.prefix);
    buf_release(&walk.next);
    buf_release(&walk.end);
    return code;
}

/* What stands at one key: *ret_found, and its size and times in ret. */
static enum err_code ls_look(struct ls *ls, struct bytes place, struct bytes key, struct name *ret,
                             bool *ret_found, struct err *err)
{
    struct buf whole = {0};
    struct socket_response response;
    buf_append(&whole, place);
    buf_append(&whole, key);
    struct socket_request request = {
        .kind = SOCKET_RANGE,
        .range = {.key = buf_bytes(&whole), .revision = ls->revision, .sizes_only = true,
                  .want_times = ls->is_long}};
    enum err_code code = client_call(&ls->client, &request, &response, err);
    *ret_found = code == ERR_OK && response.result.range.count;
    if (*ret_found) {
        const struct kv_item *item = &response.result.range.items[0];
        *ret = (struct name){.name = key, .has_value = true, .size = item->size,
                             .mod_revision = item->mod_revision, .mod_time = item->mod_time};
    }
    buf_release(&whole);
    return code;
}

/* Nothing is below: a file, an empty directory, or nothing at all. */
static enum err_code ls_alone(struct ls *ls, struct bytes key, struct err *err)
{
    struct name name;
    bool found = false;
    enum err_code code = ls_look(ls, BYTES_EMPTY, key, &name, &found, err);
    if (code != ERR_OK || found) {
        if (found)
            ls_add(ls, &name);
        return code;
    }
    code = ls_look(ls, bytes_of_text(KV_DIR_PREFIX), key, &name, &found, err);
    if (code == ERR_OK && !found)
        code = err_set(err, ERR_NOT_FOUND, "not found: \"%.*s\"", (int)key.size,
                       (const char *)key.data);
    return code;
}

static enum err_code ls_gather(struct ls *ls, struct err *err)
{
    struct buf directory = {0};
    bool is_top = ls->key.size == 0 || bytes_equal(ls->key, BYTES_LITERAL("/"));
    buf_append(&directory, ls->key);
    if (ls->key.size && ls->key.data[ls->key.size - 1] != '/')
        buf_append_u8(&directory, '/');
    enum err_code code = ls_walk(ls, BYTES_EMPTY, buf_bytes(&directory), err);
    if (code == ERR_OK)
        code = ls_walk(ls, bytes_of_text(KV_DIR_PREFIX), buf_bytes(&directory), err);
    if (code == ERR_OK)
        code = ls_walk(ls, bytes_of_text(KV_META_PREFIX), buf_bytes(&directory), err);
    if (code == ERR_OK && !ls->count && !is_top)
        code = ls_alone(ls, bytes_of(directory.data, directory.size - 1), err);
    buf_release(&directory);
    return code;
}

static int name_compare(const void *left, const void *right)
{
    return bytes_compare(((const struct name *)left)->name, ((const struct name *)right)->name);
}

/* Sorts, and makes one of what has the same name: a key that also has keys below it is both. */
static void ls_merge(struct ls *ls)
{
    size_t kept = 0;
    if (!ls->count)
        return;
    qsort(ls->names, ls->count, sizeof(*ls->names), name_compare);
    for (size_t i = 1; i < ls->count; i++) {
        struct name *to = &ls->names[kept], *from = &ls->names[i];
        if (!bytes_equal(to->name, from->name)) {
            ls->names[++kept] = *from;
            continue;
        }
        bool is_directory = to->is_directory || from->is_directory;
        if (from->has_value)
            *to = *from;
        to->is_directory = is_directory;
    }
    ls->count = kept + 1;
}

static void ls_print_long(const struct name *name)
{
    struct buf line = {0};
    if (name->has_value) {
        buf_append_format(&line, "%10" PRId64 " %10" PRIu64 " ", name->mod_revision, name->size);
        status_format_time(&line, name->mod_time);
        buf_append_u8(&line, ' ');
    } else {
        buf_append_format(&line, "%10s %10s %-24s ", "-", "-", "-");
    }
    print_bytes(buf_bytes(&line));
    buf_release(&line);
}

static void ls_print(const struct ls *ls)
{
    for (size_t i = 0; i < ls->count; i++) {
        if (ls->is_long)
            ls_print_long(&ls->names[i]);
        print_bytes(ls->names[i].name);
        puts(ls->names[i].is_directory ? "/" : "");
    }
}

static int ls_run(struct ls *ls)
{
    struct err err = {0};
    enum err_code code = client_open(&ls->client, ls->data, &err);
    if (code == ERR_OK)
        code = ls_gather(ls, &err);
    client_close(&ls->client);
    if (code == ERR_OK) {
        ls_merge(ls);
        ls_print(ls);
    }
    arena_release(&ls->arena);
    free(ls->names);
    return code == ERR_OK ? cmd_finish("ls", CMD_OK) : cmd_fail("ls", code, &err);
}

int cmd_ls(int argc, char **argv)
{
    struct ls ls = {.key = BYTES_LITERAL("/")};
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, ":lh", options, NULL)) != -1) {
        switch (option) {
        case 'l': ls.is_long = true; break;
        case OPTION_DATA: ls.data = optarg; break;
        case OPTION_REV:
            if (cmd_parse_number(optarg, 0, INT64_MAX, &ls.revision) != ERR_OK)
                return cmd_usage("ls", "--rev is no number: \"%s\"", optarg);
            break;
        case 'h': fputs(help, stdout); return cmd_finish("ls", CMD_OK);
        default: return cmd_bad_option("ls", option, argv);
        }
    }
    if (argc - optind > 1)
        return cmd_usage("ls", "too many arguments");
    if (optind < argc)
        ls.key = bytes_of_text(argv[optind]);
    return ls_run(&ls);
}
