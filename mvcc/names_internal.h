/* One row of column d, and the rules of what stands at a name; shared by names.c, names_past.c and
 * names_validate.c. */
#ifndef MVCC_NAMES_INTERNAL_H
#define MVCC_NAMES_INTERNAL_H

#include "mvcc/names.h"
#include "proto/meta.h"

/* A key as (directory, name): the directory goes up to and including the last '/', the name has none.
 * So each key is one name and each name one key, and the directory of the names below key K is K + "/". */
struct name_parts {
    struct bytes directory, name;
};
struct name_parts name_parts_of(struct bytes key);

/* What column d holds of one key. Records that do not decode are not here. */
struct name_row {
    bool has_value, has_meta, has_record;
    struct head value;
    struct head meta;                   /* of KV_META_PREFIX + key */
    enum meta_type meta_type;
    kv_rev meta_for_create;
    struct head record;                 /* of KV_DIR_PREFIX + key */
    bool meta_apart, record_apart;      /* larger than VALUE_INLINE_MAX: read from column k */
    struct bytes meta_bytes, record_bytes;
    uint64_t names, directories;        /* in the directory key + "/" */
    kv_rev change;                      /* its names changed last */
    kv_time change_time;
};

/* What others see of a row. */
struct name_state {
    bool is_visible, is_node, is_directory;
};
struct name_state name_state_of(const struct name_row *row);
/* The record of the value counts for it. */
bool name_meta_counts(const struct name_row *row);
/* Sets the record (value when now is not NULL); one that does not decode, and now NULL, remove it. */
void name_row_set_meta(struct name_row *row, const struct head *now, struct bytes value);
void name_row_set_record(struct name_row *row, const struct head *now, struct bytes value);

/* Appends the row's key. top: the row of the directory "", which has no key. */
void name_key_append(struct buf *ret, struct name_parts parts);
void name_top_append(struct buf *ret);
enum err_code name_row_decode(struct bytes from, struct name_row *ret, struct err *err) MUST_USE;

/* How many names an answer holds: at least one, so that whoever asks again gets on. */
static inline size_t name_list_limit(const struct kv_list *list)
{
    size_t limit = list->limit < LIST_LIMIT_MAX ? list->limit : LIST_LIMIT_MAX;
    return limit ? limit : 1;
}

/* The answer for a row. Records that stand apart are read through the view. */
enum err_code name_answer(const struct view *view, struct bytes key, const struct name_row *row,
                          struct arena *arena, struct kv_name *ret, struct err *err) MUST_USE;

/* Whether a lookup is for the directory "" itself. */
bool name_is_top(const struct kv_lookup *lookup);
/* The directory is "" or ends in '/', and the name has none. */
bool name_is_proper(struct bytes directory, struct bytes name);
/* left, then right: the key of a name in its directory. */
struct bytes name_joined(struct arena *arena, struct bytes directory, struct bytes name);
/* How many components a key has: one more than it has '/'. */
size_t name_depth(struct bytes key);

#endif
