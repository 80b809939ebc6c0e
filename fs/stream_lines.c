/* Events become lines. A revision has an event for each key that it changed, records among them; what a
 * person calls a change is one or several of these:
 *
 *   saved with a new mode     the value, and its record                          one line: modify
 *   chmod                     the record alone                                   attrib
 *   mkdir, rmdir              the directory's record                             create, delete
 *   unlink                    the value; the record of a directory above that    delete
 *                             had none comes to be, since it stays when empty
 *   rename                    values and records go, and come with the same      rename
 *                             endings elsewhere
 */
#include <stdlib.h>

#include "fs/stream.h"
#include "proto/meta.h"
#include "proto/status.h"

enum what { WHAT_NOTHING, WHAT_CREATE, WHAT_MODIFY, WHAT_ATTRIB, WHAT_DELETE };

static const char *const what_words[] = {"", "create", "modify", "attrib", "delete"};

/* What happened to one key. */
struct change {
    struct bytes key;
    const struct kv_event *value, *meta, *directory;    /* NULL: none */
    enum what what;
    bool is_directory;
};

/* ---- one key's events ---- */

/* The part of a change that an event is; false: none of this mount's. */
static bool change_of(const struct layout *layout, const struct kv_event *event, struct change *ret)
{
    struct bytes key = event->item.key, meta = BYTES_LITERAL(KV_META_PREFIX);
    struct bytes directory = BYTES_LITERAL(KV_DIR_PREFIX);
    *ret = (struct change){.key = key};
    if (bytes_starts_with(key, meta)) {
        ret->meta = event;
        ret->key = bytes_skip(key, meta.size);
    } else if (bytes_starts_with(key, directory)) {
        ret->directory = event;
        ret->key = bytes_skip(key, directory.size);
    } else if (bytes_starts_with(key, BYTES_LITERAL(KV_SYSTEM_PREFIX))) {
        return false;
    } else {
        ret->value = event;
    }
    return ret->key.size > layout->prefix.size && bytes_starts_with(ret->key, layout->prefix);
}

static int by_key(const void *a, const void *b)
{
    return bytes_compare(((const struct change *)a)->key, ((const struct change *)b)->key);
}

/* One for each key; how many. */
static size_t fold(struct change *changes, size_t count)
{
    size_t folded = 0;
    qsort(changes, count, sizeof(*changes), by_key);
    for (size_t i = 0; i < count; i++) {
        struct change *last = folded ? &changes[folded - 1] : NULL;
        if (!last || !bytes_equal(last->key, changes[i].key)) {
            changes[folded++] = changes[i];
            continue;
        }
        last->value = changes[i].value ? changes[i].value : last->value;
        last->meta = changes[i].meta ? changes[i].meta : last->meta;
        last->directory = changes[i].directory ? changes[i].directory : last->directory;
    }
    return folded;
}

static enum what what_of(const struct kv_event *event, enum what changed)
{
    if (event->kind == KV_EVENT_DELETE)
        return WHAT_DELETE;
    return event->item.create_revision == event->item.mod_revision ? WHAT_CREATE : changed;
}

/* A fifo, socket or device stands by its record; any other record describes something. */
static bool is_node(const struct kv_event *event, struct arena *arena)
{
    struct meta meta;
    return meta_decode(event->item.value, arena, &meta) == ERR_OK && meta.type != META_FILE &&
           meta.type != META_SYMLINK;
}

static void judge(struct change *change, struct arena *arena)
{
    if (change->value) {
        change->what = what_of(change->value, WHAT_MODIFY);
    } else if (change->directory) {
        change->what = what_of(change->directory, WHAT_ATTRIB);
        change->is_directory = true;
    } else {
        change->what = what_of(change->meta, WHAT_ATTRIB);
        if (change->what == WHAT_CREATE && !is_node(change->meta, arena))
            change->what = WHAT_ATTRIB;
    }
}

/* ---- what belongs together ---- */

static bool is_below(struct bytes key, struct bytes directory)
{
    return key.size > directory.size && bytes_starts_with(key, directory) &&
           key.data[directory.size] == '/';
}

/* Keys below a directory follow it, behind those that its name is the beginning of. */
static bool loses_a_name(const struct change *directory, const struct change *end)
{
    for (const struct change *change = directory + 1;
         change < end && bytes_starts_with(change->key, directory->key); change++)
        if (change->what == WHAT_DELETE && is_below(change->key, directory->key))
            return true;
    return false;
}

/* A directory's first record, made because a name left it. */
static void drop_kept_parents(struct change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (changes[i].what == WHAT_CREATE && changes[i].is_directory &&
            loses_a_name(&changes[i], changes + count))
            changes[i].what = WHAT_NOTHING;
}

static size_t next_of(const struct change *changes, size_t count, size_t from, enum what what)
{
    while (from < count && changes[from].what != what)
        from++;
    return from;
}

/* Whether all that went came again with the same endings: from what went first to what came first. */
static bool is_rename(const struct change *changes, size_t count, size_t *ret_from, size_t *ret_to)
{
    size_t from = next_of(changes, count, 0, WHAT_DELETE), to = next_of(changes, count, 0, WHAT_CREATE);
    *ret_from = from;
    *ret_to = to;
    if (from == count || to == count)
        return false;
    struct bytes old_base = changes[from].key, new_base = changes[to].key;
    while (from < count && to < count) {
        struct bytes old_key = changes[from].key, new_key = changes[to].key;
        bool follows = from == *ret_from || is_below(old_key, old_base);
        if (!follows || !bytes_starts_with(new_key, new_base) ||
            !bytes_equal(bytes_skip(old_key, old_base.size), bytes_skip(new_key, new_base.size)))
            return false;
        from = next_of(changes, count, from + 1, WHAT_DELETE);
        to = next_of(changes, count, to + 1, WHAT_CREATE);
    }
    return from == count && to == count;
}

/* ---- text ---- */

/* Bytes of the UTF-8 sequence that text begins with; 0: it begins with none. */
static size_t utf8_size(struct bytes text)
{
    uint8_t first = text.data[0];
    size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3
                : first < 0xf5 ? 4 : 0;
    if (size == 0 || size > text.size)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((text.data[i] & 0xc0) != 0x80)
            return 0;
    bool is_long = (first == 0xe0 && text.data[1] < 0xa0) || (first == 0xf0 && text.data[1] < 0x90);
    bool is_outside = (first == 0xed && text.data[1] > 0x9f) || (first == 0xf4 && text.data[1] > 0x8f);
    return is_long || is_outside ? 0 : size;
}

/* Appends it as the inside of a JSON string. False: some bytes could not be shown. */
static bool append_string(struct buf *ret, struct bytes text)
{
    bool whole = true;
    while (text.size) {
        size_t size = utf8_size(text);
        uint8_t first = text.data[0];
        if (size == 0)
            buf_append(ret, BYTES_LITERAL("\xef\xbf\xbd"));
        else if (first < ' ' || first == '"' || first == '\\' || first == 0x7f)
            buf_append_format(ret, "\\u%04x", first);
        else
            buf_append(ret, bytes_of(text.data, size));
        whole = whole && size;
        text = bytes_skip(text, size ? size : 1);
    }
    return whole;
}

/* ,"name":"path" and where that does not say all of it ,"name_hex":"70617468" */
static void append_path(const struct layout *layout, const char *name, struct bytes key, struct buf *ret)
{
    struct buf path = {0};
    (void)layout_path_of_key(layout->prefix, key, &path);
    buf_append_format(ret, ",\"%s\":\"", name);
    bool whole = append_string(ret, buf_bytes(&path));
    buf_append_u8(ret, '"');
    if (!whole) {
        buf_append_format(ret, ",\"%s_hex\":\"", name);
        for (size_t i = 0; i < path.size; i++)
            buf_append_format(ret, "%02x", path.data[i]);
        buf_append_u8(ret, '"');
    }
    buf_release(&path);
}

/* from: NULL, or what was renamed. */
static void append_line(const struct layout *layout, const struct change *change,
                        const struct change *from, struct buf *ret)
{
    const struct kv_event *event = change->value     ? change->value
                                   : change->directory ? change->directory
                                                       : change->meta;
    buf_append_format(ret, "{\"revision\":%lld,\"time\":\"", (long long)event->item.mod_revision);
    status_format_time(ret, event->item.mod_time);
    buf_append_format(ret, "\",\"kind\":\"%s\"", from ? "rename" : what_words[change->what]);
    append_path(layout, "path", change->key, ret);
    if (from)
        append_path(layout, "from", from->key, ret);
    if (change->is_directory)
        buf_append_format(ret, ",\"directory\":true");
    buf_append_format(ret, "}\n");
}

void stream_lines(const struct layout *layout, const struct kv_event *const *events, size_t count,
                  struct arena *arena, struct buf *ret)
{
    struct change *changes = ARENA_NEW_ARRAY(arena, struct change, count + 1);
    size_t used = 0, from, to;
    for (size_t i = 0; i < count; i++)
        used += change_of(layout, events[i], &changes[used]);
    used = fold(changes, used);
    for (size_t i = 0; i < used; i++)
        judge(&changes[i], arena);
    drop_kept_parents(changes, used);
    bool renames = is_rename(changes, used, &from, &to);
    for (size_t i = 0; i < used; i++) {
        bool is_part = changes[i].what == WHAT_CREATE || changes[i].what == WHAT_DELETE;
        if (renames && i == to)
            append_line(layout, &changes[i], &changes[from], ret);
        else if (changes[i].what != WHAT_NOTHING && !(renames && is_part))
            append_line(layout, &changes[i], NULL, ret);
    }
}
