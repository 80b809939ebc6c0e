/* Names as they were at a revision, from column k: snapshots. Column d knows the newest state alone, so
 * here a name is put together from three point reads (the key and its two records) and, where there is
 * no directory record, from whether anything lived below.
 *
 * Listing needs the next name after a given one, without walking what lies deeper. In the order of keys
 * "/d/a" < "/d/a!" < "/d/a/x", so the first key after "/d/" may belong to a name ("a!") that is not the
 * smallest: "a" may have keys below alone. The smallest is then a proper prefix of the one found, where
 * it goes on with a byte below '/'; each such prefix (mostly none) is asked for by a seek of its own.
 *
 * Of a past directory the numbers of its names are not known without walking it: name_count is 0 and
 * directory_count UINT64_MAX. Its change is that of its record, else the creation of the first thing
 * below.
 */
#include "mvcc/names.h"

#include "mvcc/names_internal.h"
#include "mvcc/system.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"

#define LIST_BYTES_MAX (256 * KIB)

/* The three places where something about a key may stand. */
static const char *const places[] = {"", KV_META_PREFIX, KV_DIR_PREFIX};
enum place { PLACE_KEY, PLACE_META, PLACE_DIRECTORY, PLACE_COUNT };

struct past {
    const struct view *view;
    kv_rev at;
    struct arena *arena;
    struct err *err;
};

static struct bytes placed(struct past *past, enum place place, struct bytes key,
                           const char *suffix)
{
    struct bytes ended = name_joined(past->arena, key, bytes_of_text(suffix));
    return name_joined(past->arena, bytes_of_text(places[place]), ended);
}

/* ---- walking the live keys of one place ---- */

/* Keys below a prefix, as keys without their place: neither the system range nor what is too deep for a
 * name shows up. */
struct walk {
    struct past *past;
    struct index_cursor cursor;
    enum place place;
    struct bytes key;                   /* after walk_next, when cursor.found */
};

/* From from (inclusive) to the end of what begins with prefix. */
static void walk_init(struct walk *walk, struct past *past, enum place place, struct bytes prefix,
                      struct bytes from)
{
    struct buf end = {0};
    struct bytes begin = placed(past, place, from, "");
    kv_prefix_end(&end, placed(past, place, prefix, ""));
    *walk = (struct walk){.past = past, .place = place};
    index_cursor_init(&walk->cursor, past->view, begin, buf_bytes(&end), past->at);
    buf_release(&end);
}

static void walk_release(struct walk *walk) { index_cursor_release(&walk->cursor); }

/* Past everything that begins with prefix, in this place. */
static void walk_skip(struct walk *walk, struct bytes prefix)
{
    struct buf end = {0};
    kv_prefix_end(&end, placed(walk->past, walk->place, prefix, ""));
    index_cursor_skip_to(&walk->cursor, buf_bytes(&end));
    buf_release(&end);
}

/* The first NAME_DEPTH_MAX components of a key and a '/', or nothing for one that is no deeper. */
static struct bytes too_deep(struct bytes key)
{
    size_t depth = 1;
    for (size_t i = 0; i < key.size; i++) {
        if (key.data[i] == '/' && ++depth > NAME_DEPTH_MAX)
            return bytes_of(key.data, i + 1);
    }
    return BYTES_EMPTY;
}

static enum err_code walk_next(struct walk *walk)
{
    size_t place_size = strlen(places[walk->place]);
    for (;;) {
        enum err_code code = index_cursor_next(&walk->cursor, walk->past->err);
        if (code || !walk->cursor.found)
            return code;
        walk->key = bytes_skip(index_cursor_key(&walk->cursor), place_size);
        struct bytes deep = too_deep(walk->key);
        if (system_is_inside(walk->key))
            walk_skip(walk, BYTES_LITERAL(KV_SYSTEM_PREFIX));
        else if (deep.size)
            walk_skip(walk, deep);
        else
            return ERR_OK;
    }
}

/* Whether the record under the walk makes a name by itself: it decodes, and in PLACE_META is that of a
 * fifo, socket or device. (A value is no business of this: where one is, the name stands anyway.) */
static enum err_code walk_makes_name(struct walk *walk, bool *ret)
{
    struct name_row row = {0};
    struct bytes value;
    *ret = true;
    if (walk->place == PLACE_KEY)
        return ERR_OK;
    enum err_code code = index_cursor_value(&walk->cursor, walk->past->arena, &value,
                                            walk->past->err);
    if (code)
        return code;
    if (walk->place == PLACE_META)
        name_row_set_meta(&row, &walk->cursor.head, value);
    else
        name_row_set_record(&row, &walk->cursor.head, value);
    *ret = name_state_of(&row).is_visible;
    return ERR_OK;
}

/* ---- what lies below ---- */

/* The first thing of one place below directory. *ret_found untouched when there is none. */
static enum err_code below_in(struct past *past, enum place place, struct bytes directory,
                              struct head *ret, bool *ret_found)
{
    struct walk walk;
    enum err_code code;
    bool makes_name = false;
    walk_init(&walk, past, place, directory, directory);
    do {
        code = walk_next(&walk);
        if (!code && walk.cursor.found)
            code = walk_makes_name(&walk, &makes_name);
    } while (!code && walk.cursor.found && !makes_name);
    if (!code && walk.cursor.found) {
        *ret = walk.cursor.head;
        *ret_found = true;
    }
    walk_release(&walk);
    return code;
}

static enum err_code below(struct past *past, struct bytes directory, struct head *ret,
                           bool *ret_found)
{
    enum err_code code = ERR_OK;
    *ret_found = false;
    for (enum place place = PLACE_KEY; place < PLACE_COUNT && !code && !*ret_found; place++)
        code = below_in(past, place, directory, ret, ret_found);
    return code;
}

/* ---- one name ---- */

static enum err_code point(struct past *past, enum place place, struct bytes key, struct head *ret,
                           struct bytes *ret_value)
{
    return index_get(past->view, placed(past, place, key, ""), past->at, past->arena, ret,
                     ret_value, past->err);
}

/* The row that column d held for key at the revision, but for what only a walk could tell. */
static enum err_code row_at(struct past *past, struct bytes key, struct name_row *ret)
{
    struct name_row row = {0};
    struct head head;
    struct bytes value;
    enum err_code code = key.size ? point(past, PLACE_KEY, key, &row.value, NULL) : ERR_NOT_FOUND;
    if (code && code != ERR_NOT_FOUND)
        return code;
    row.has_value = code == ERR_OK;
    code = point(past, PLACE_META, key, &head, &value);
    if (code && code != ERR_NOT_FOUND)
        return code;
    name_row_set_meta(&row, code ? NULL : &head, code ? BYTES_EMPTY : value);
    code = point(past, PLACE_DIRECTORY, key, &head, &value);
    if (code && code != ERR_NOT_FOUND)
        return code;
    name_row_set_record(&row, code ? NULL : &head, code ? BYTES_EMPTY : value);
    row.meta_apart = row.record_apart = false;      /* the bytes are at hand */
    *ret = row;
    return ERR_OK;
}

static void directory_of_record(struct name_row *row)
{
    row->change = row->record.mod.main;
    row->change_time = row->record.mod_time;
}

/* names is 1 where something is known to lie below: that makes the row a directory. */
static enum err_code directory_at(struct past *past, struct bytes key, struct name_row *row)
{
    struct head first;
    bool found;
    if (row->has_record) {
        directory_of_record(row);
        return ERR_OK;
    }
    enum err_code code = below(past, name_joined(past->arena, key, BYTES_LITERAL("/")), &first,
                               &found);
    if (!code && found) {
        row->names = 1;
        row->change = first.create_revision;
        row->change_time = first.create_time;
    }
    return code;
}

static void forget_counts(struct kv_name *name)
{
    name->name_count = 0;
    name->directory_count = name->is_directory ? UINT64_MAX : 0;
}

static enum err_code name_at(struct past *past, struct bytes key, struct kv_name *ret)
{
    struct name_row row;
    if (!names_covers(key))
        return ERR_NOT_FOUND;
    enum err_code code = row_at(past, key, &row);
    if (!code)
        code = directory_at(past, key, &row);
    if (!code && !name_state_of(&row).is_visible)
        code = ERR_NOT_FOUND;
    if (!code)
        code = name_answer(past->view, key, &row, past->arena, ret, past->err);
    if (!code)
        forget_counts(ret);
    return code;
}

/* The directory "": everything lies below it. */
static enum err_code top_at(struct past *past, struct kv_name *ret)
{
    struct head first;
    bool found;
    enum err_code code = below(past, BYTES_EMPTY, &first, &found);
    if (code)
        return code;
    if (!found)
        return ERR_NOT_FOUND;
    *ret = (struct kv_name){.name = BYTES_LITERAL("/"),
                            .is_directory = true,
                            .change_revision = first.create_revision,
                            .change_time = first.create_time};
    forget_counts(ret);
    return ERR_OK;
}

enum err_code names_lookup_at(const struct view *view, const struct kv_lookup *lookup, kv_rev at,
                              struct arena *arena, struct kv_name *ret, struct err *err)
{
    struct past past = {view, at, arena, err};
    if (name_is_top(lookup))
        return top_at(&past, ret);
    if (!name_is_proper(lookup->directory, lookup->name))
        return ERR_NOT_FOUND;
    return name_at(&past, name_joined(arena, lookup->directory, lookup->name), ret);
}

/* ---- the next name ---- */

struct listing {
    struct past past;
    struct bytes directory;
    struct bytes after;
    bool has_after;
};

static bool is_after(const struct listing *listing, struct bytes name)
{
    return !listing->has_after || bytes_compare(name, listing->after) > 0;
}

/* The component of key that follows the directory. */
static struct bytes component(const struct listing *listing, struct bytes key)
{
    struct bytes rest = bytes_skip(key, listing->directory.size);
    const uint8_t *slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
    return slash ? bytes_of(rest.data, (size_t)(slash - rest.data)) : rest;
}

/* The component of the first key in a place whose own component comes after: by seeks past the names
 * that were given already and have keys below. */
static enum err_code first_component(struct listing *listing, enum place place, struct bytes *ret,
                                     bool *ret_found)
{
    struct walk walk;
    struct bytes from = listing->directory;
    if (listing->has_after) {
        from = name_joined(listing->past.arena, from, listing->after);
        from = name_joined(listing->past.arena, from, bytes_of("\0", 1));
    }
    walk_init(&walk, &listing->past, place, listing->directory, from);
    *ret_found = false;
    for (;;) {
        enum err_code code = walk_next(&walk);
        if (code || !walk.cursor.found) {
            walk_release(&walk);
            return code;
        }
        struct bytes name = component(listing, walk.key);
        if (is_after(listing, name)) {
            *ret = arena_copy(listing->past.arena, name);
            *ret_found = true;
            walk_release(&walk);
            return ERR_OK;
        }
        struct bytes given = bytes_of(walk.key.data, listing->directory.size + name.size + 1);
        walk_skip(&walk, given);
    }
}

/* A key, or too much of one to be a name, lies below directory + name + "/" in this place. */
static enum err_code has_below(struct listing *listing, enum place place, struct bytes name,
                               bool *ret)
{
    struct walk walk;
    struct bytes key = name_joined(listing->past.arena, listing->directory, name);
    struct bytes prefix = name_joined(listing->past.arena, key, BYTES_LITERAL("/"));
    walk_init(&walk, &listing->past, place, prefix, prefix);
    enum err_code code = walk_next(&walk);
    *ret = !code && walk.cursor.found;
    walk_release(&walk);
    return code;
}

/* The smallest name after the last one for which a place holds the key or one below. */
static enum err_code next_in(struct listing *listing, enum place place, struct bytes *ret,
                             bool *ret_found)
{
    struct bytes name = BYTES_EMPTY;
    enum err_code code = first_component(listing, place, &name, ret_found);
    for (size_t size = 0; !code && *ret_found && size < name.size; size++) {
        struct bytes shorter = bytes_of(name.data, size);
        bool found = false;
        if (name.data[size] >= '/' || !is_after(listing, shorter))
            continue;
        code = has_below(listing, place, shorter, &found);
        if (found) {
            name = shorter;
            break;
        }
    }
    *ret = name;
    return code;
}

static enum err_code next_name(struct listing *listing, struct bytes *ret, bool *ret_found)
{
    *ret_found = false;
    for (enum place place = PLACE_KEY; place < PLACE_COUNT; place++) {
        struct bytes name;
        bool found;
        enum err_code code = next_in(listing, place, &name, &found);
        if (code)
            return code;
        if (found && (!*ret_found || bytes_compare(name, *ret) < 0))
            *ret = name;
        *ret_found |= found;
    }
    return ERR_OK;
}

/* Moves to the next visible name. NOT_FOUND: there is none. */
static enum err_code listing_next(struct listing *listing, struct kv_name *ret)
{
    for (;;) {
        struct bytes name = BYTES_EMPTY;
        bool found;
        enum err_code code = next_name(listing, &name, &found);
        if (code || !found)
            return code ? code : ERR_NOT_FOUND;
        listing->after = name;
        listing->has_after = true;
        code = name_at(&listing->past, name_joined(listing->past.arena, listing->directory, name),
                       ret);
        if (code != ERR_NOT_FOUND)
            return code;
    }
}

static enum err_code listing_fill(struct listing *listing, size_t limit,
                                  struct kv_list_result *result)
{
    size_t bytes = 0;
    for (;;) {
        struct kv_name name;
        enum err_code code = listing_next(listing, &name);
        if (code)
            return code == ERR_NOT_FOUND ? ERR_OK : code;
        if (result->count == limit || bytes > LIST_BYTES_MAX) {
            result->more = true;
            return ERR_OK;
        }
        bytes += name.name.size + name.meta.size + name.directory_record.size;
        result->names[result->count++] = name;
    }
}

enum err_code names_list_at(const struct view *view, const struct kv_list *list, kv_rev at,
                            struct arena *arena, struct kv_list_result *ret, struct err *err)
{
    struct listing listing = {.past = {view, at, arena, err},
                              .directory = list->directory,
                              .after = list->after,
                              .has_after = list->has_after};
    size_t limit = name_list_limit(list);
    struct kv_list_result result = {.names = ARENA_NEW_ARRAY(arena, struct kv_name, limit)};
    enum err_code code = ERR_OK;
    if (name_is_proper(list->directory, BYTES_EMPTY) && !system_is_inside(list->directory))
        code = listing_fill(&listing, limit, &result);
    if (!code)
        *ret = result;
    return code;
}
