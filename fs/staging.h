/* Staging: what one open file description has written and not yet saved.
 *
 * An ordered list of operations (truncate, write at, append) over a base, and what the description
 * reads through it (the view). Saving does not publish the view but the list replayed on the newest
 * version, so that a change made elsewhere in between is not undone by bytes this writer never wrote.
 *
 *     base "hello"   write at 0 "J"   append "!"        view    "Jello!"
 *     newest "hello, world"           replayed on it    "Jello, world!"
 *
 * A list that begins with truncate to 0 depends on no base: it is kept as its view alone. A list may
 * be frozen while it is being saved; what is written meanwhile gathers in a second list, and both
 * become one again when saving fails. While it is not known whether it was saved it stays frozen.
 *
 * Attribute changes (mode, owner, times, xattrs) stand beside the operations and are saved with them.
 *
 * Pure: no I/O, no clock, no kv. One thread.
 *
 * Invariants
 *   T1  view = frozen list, then live list, replayed on the base.
 *   T2  view.size <= size_max, checked before anything is allocated.
 *   T3  at most STAGING_OPS_MAX operations and STAGING_BYTES_MAX bytes are listed; a list that would
 *       grow beyond is FIXED: its view alone is kept and it can be saved over its own base only.
 *   T4  holes are zeros.
 */
#ifndef FS_STAGING_H
#define FS_STAGING_H

#include "proto/base/bytes.h"
#include "proto/base/limits.h"
#include "proto/meta.h"

#define STAGING_OPS_MAX 4096                /* random writes; each costs a replay step at saving */
#define STAGING_BYTES_MAX (4 * MIB)         /* rewriting one place again and again ends here */

/* What a list may be replayed on, weakest demand first. */
enum staging_kind {
    STAGING_NONE,               /* no operation */
    STAGING_REPLACE,            /* begins with truncate to 0: anything; the last close wins, whole */
    STAGING_APPEND,             /* appends alone: any version, nothing is lost */
    STAGING_IN_PLACE,           /* writes at offsets, other truncates: a version this host knows */
    STAGING_FIXED,              /* its own base alone */
};

enum staging_verb { STAGING_TRUNCATE, STAGING_WRITE, STAGING_ADD };

struct staging_op {
    enum staging_verb verb;
    uint64_t offset;            /* of a write; the size for a truncate */
    struct buf data;
};

struct staged_xattr {
    struct buf name, value;
    bool removed;
};

/* Changes to attributes, to be laid over a record. */
struct staged_attributes {
    bool has_mode, has_uid, has_gid, has_atime, has_mtime;
    uint32_t mode, uid, gid;
    kv_time atime, mtime;
    struct staged_xattr *xattrs;
    size_t xattr_count;
};

struct staging_list {
    enum staging_kind kind;
    struct staging_op *ops;
    size_t count, capacity, bytes;
    struct buf whole;           /* of a frozen list of kind REPLACE or FIXED: the content */
    struct staged_attributes attributes;
};

struct staging {
    uint64_t size_max;
    bool begun;                 /* the view exists */
    bool is_frozen;
    bool wrote;                 /* the live list holds more than truncates */
    struct buf view;
    struct staging_list live, frozen;
};

/* ---- life ---- */

void staging_init(struct staging *staging, uint64_t size_max);
void staging_release(struct staging *staging);

/* ---- writing. Each needs a view: staging_begin first, with the base's content. ---- */

/* Copies base into the view, once; later calls change nothing. */
void staging_begin(struct staging *staging, struct bytes base);
/* TOO_BIG: the file would be larger than size_max; nothing has changed. */
enum err_code staging_truncate(struct staging *staging, uint64_t size) MUST_USE;
enum err_code staging_write(struct staging *staging, uint64_t offset, struct bytes data) MUST_USE;
enum err_code staging_append(struct staging *staging, struct bytes data) MUST_USE;
/* Zeros over [offset, offset + size), as far as the file reaches. */
enum err_code staging_zero(struct staging *staging, uint64_t offset, uint64_t size) MUST_USE;

/* ---- reading ---- */

/* Something is to be saved: operations or attributes, frozen ones included. */
bool staging_is_dirty(const struct staging *staging);
/* As above, but what is frozen does not count: it is being saved. */
bool staging_is_live(const struct staging *staging);
/* Live operations are there, and all of them truncates. */
bool staging_is_bare_truncate(const struct staging *staging);
/* What the description reads; borrowed until the next change. Only once begun. */
struct bytes staging_view(const struct staging *staging);

/* ---- saving ---- */

/* The live list becomes the frozen one. Nothing may be frozen already. */
void staging_freeze(struct staging *staging);
/* The frozen list over newest. is_base: newest is the very version the list was begun on. Appends to
 * ret. TOO_BIG: the result is larger than size_max. CONFLICT: FIXED, and not its base. */
enum err_code staging_replay(const struct staging *staging, struct bytes newest, bool is_base,
                             struct buf *ret) MUST_USE;
/* What is frozen is saved, and the file now holds committed: the new base, under what came since. (A list
 * of attributes alone leaves the base as it is.) */
void staging_saved(struct staging *staging, struct bytes committed);
/* It is not saved: frozen and live become one list again. */
void staging_thaw(struct staging *staging);
/* Forgets everything that is to be saved; the view is given up. */
void staging_drop(struct staging *staging);

/* ---- attributes ---- */

void staged_attributes_release(struct staged_attributes *attributes);
bool staged_attributes_are_empty(const struct staged_attributes *attributes);
/* Sets (value) or removes (removed) one; a later call for the same name wins. */
void staged_attributes_xattr(struct staged_attributes *attributes, struct bytes name,
                             struct bytes value, bool removed);
/* Lays them over a record: fields, and xattrs into arena, sorted; borrows from attributes. */
void staged_attributes_apply(const struct staged_attributes *attributes, struct arena *arena,
                             struct meta *meta);
/* Copies what is set in from over to; to keeps the rest. */
void staged_attributes_merge(struct staged_attributes *to, const struct staged_attributes *from);
/* The attributes as this description sees them: frozen, then live, laid over meta. */
void staging_attributes_apply(const struct staging *staging, struct arena *arena,
                              struct meta *meta);

#endif
