/* The tree index on disk: which versions a key has, where their values stand, what a revision changed.
 * Encodings and seeks of columns k, v, h; mvcc/FORMAT is the contract of the bytes.
 *
 * Never: writes on its own account (rows go to the caller's batch), decisions about visibility of the
 * system range.
 *
 * Threads: everything takes a view or a batch and belongs to whoever holds that.
 * Errors of everything fallible: IO; CORRUPT (a row that does not decode, or refers to one that is
 * missing; the text names the column).
 */
#ifndef MVCC_INDEX_H
#define MVCC_INDEX_H

#include "mvcc/batch.h"
#include "mvcc/revision.h"

/* The first byte of every row. */
enum column {
    COLUMN_NAMES = 'd', COLUMN_HEAD = 'h', COLUMN_KEY = 'k', COLUMN_LEASE = 'l', COLUMN_META = 'm',
    COLUMN_REVISION = 'r', COLUMN_SESSION = 's', COLUMN_VALUE = 'v',
};

/* ---- heads ---- */

/* Everything about one version but its key and its value's bytes. */
struct head {
    struct revision mod;
    kv_rev create_revision;
    int64_t version, lease;
    uint64_t size;                      /* of the value */
    kv_time create_time, mod_time;
    bool is_tombstone;                  /* then only mod and mod_time count */
    bool is_inline;                     /* the value stands in the key row, else in the value row at */
    struct revision place;              /* where: mod itself, or the version it was moved from */
};

#define HEAD_SIZE_MAX 96

/* Writes at most HEAD_SIZE_MAX bytes; returns how many. mod stands in it, so a head may be kept anywhere
 * (column d keeps the newest one of each live key). */
size_t head_encode(uint8_t *to, const struct head *head);
/* From the front of the cursor; a malformed one makes the cursor failed. */
void head_decode(struct cursor *from, struct head *ret);

/* ---- column k: escape(key), inverted revision -> head without mod, value when inline ---- */

/* Appends the escaped key: 00 becomes 00 FF, the end is 00 00. */
void escape_append(struct buf *ret, struct bytes key);
/* Appends the key; returns how many bytes of from it took, 0 when from is no escaped key. */
size_t escape_decode(struct bytes from, struct buf *ret_key);
/* Appends the whole row key. */
void index_key_append(struct buf *ret, struct bytes key, struct revision revision);
/* Takes a row of column k apart. CORRUPT. ret_value borrows from row_value, and may be NULL. */
enum err_code index_key_decode(struct bytes row_key, struct bytes row_value, struct buf *ret_key,
                               struct head *ret, struct bytes *ret_value, struct err *err) MUST_USE;

/* ---- the newest version ---- */

/* The head of the live version of key, by a point read: from its name row, or for a key without one
 * (names_covers) from its row in column h. NOT_FOUND (no text): there is no live version. */
enum err_code index_head(struct batch *batch, struct bytes key, struct head *ret,
                         struct err *err) MUST_USE;

/* ---- any version ---- */

/* The version of key that was the newest at revision at (inclusive, all its subs). NOT_FOUND (no text):
 * none, or a tombstone. ret_value may be NULL; else the value, in arena. */
enum err_code index_get(const struct view *view, struct bytes key, kv_rev at, struct arena *arena,
                        struct head *ret, struct bytes *ret_value, struct err *err) MUST_USE;
/* That very version. NOT_FOUND (no text). */
enum err_code index_get_exact(const struct view *view, struct bytes key, struct revision mod,
                              struct arena *arena, struct head *ret, struct bytes *ret_value,
                              struct err *err) MUST_USE;
/* The same without a value that stands in a row of its own: then ret_inline is empty. */
enum err_code index_get_row(const struct view *view, struct bytes key, struct revision mod,
                            struct arena *arena, struct head *ret, struct bytes *ret_inline,
                            struct err *err) MUST_USE;
/* The value of a version whose head is known. */
enum err_code index_value(const struct view *view, struct bytes key, const struct head *head,
                          struct arena *arena, struct bytes *ret, struct err *err) MUST_USE;

/* Walks the keys that were live at a revision, in key order. */
struct index_cursor {
    const struct view *view;
    kv_rev at;
    bool found;                         /* then the next three are the key it stands on */
    struct buf key;
    struct head head;
    struct bytes inline_value;          /* when head.is_inline; until the cursor moves */
    /* its own */
    struct view_iterator *iterator;
    struct buf prefix;                  /* column and escaped key: the rows of the current key */
    struct buf end;                     /* exclusive row key */
    bool must_seek;                     /* prefix is where to go */
};

/* Over [key, end) as in kv.h: end empty = the one key, "\0" = no end. Borrows the view. Stands before
 * the first: call index_cursor_next. index_cursor_release is safe after any of these. */
void index_cursor_init(struct index_cursor *cursor, const struct view *view, struct bytes key,
                       struct bytes range_end, kv_rev at);
/* Moves to the next live key. cursor->found says whether there is one; then key and head are it. */
enum err_code index_cursor_next(struct index_cursor *cursor, struct err *err) MUST_USE;
/* The next call of index_cursor_next finds the first live key at or after key (forward only). */
void index_cursor_skip_to(struct index_cursor *cursor, struct bytes key);
/* The value of the key it stands on, in arena. */
enum err_code index_cursor_value(struct index_cursor *cursor, struct arena *arena, struct bytes *ret,
                                 struct err *err) MUST_USE;
/* The key it stands on. */
static inline struct bytes index_cursor_key(const struct index_cursor *cursor)
{
    return buf_bytes(&cursor->key);
}
void index_cursor_release(struct index_cursor *cursor);

/* ---- writing; the writer ---- */

/* The row in column h of a key that has no name row: its live head, or NULL for none. */
void index_head_set(struct batch *batch, struct bytes key, const struct head *head);

/* Puts a version: its key row, its revision row, its value row (value bytes when head->place is
 * head->mod; else head->place is an existing value row and gains an owner). key must not hold a live
 * version newer than head->mod. */
enum err_code index_put(struct batch *batch, struct bytes key, const struct head *head,
                        struct bytes value, struct err *err) MUST_USE;
void index_put_tombstone(struct batch *batch, struct bytes key, struct revision mod, kv_time time);
/* Removes a version for good: its key row, and its value row with the last owner; what column r tells of
 * it goes with its row there (changes.h). ret_bytes: the logical bytes that are gone (see version_bytes). */
enum err_code index_forget(struct batch *batch, struct bytes key, const struct head *head,
                           uint64_t *ret_bytes, struct err *err) MUST_USE;

/* What a new version adds to the quota: its key, and its value unless the value was there already. */
static inline uint64_t version_bytes(struct bytes key, const struct head *head)
{
    bool owns = head->is_inline || revision_compare(head->place, head->mod) == 0;
    return key.size + (head->is_tombstone || !owns ? 0 : head->size);
}

#endif
