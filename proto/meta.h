/* The records of files and directories, and what they mean. Decoded the same way on every member; one
 * that does not decode counts as absent everywhere.
 *
 * .concordfs/meta/KEY describes the value of KEY (or is a fifo, socket or device by itself) and counts
 * only for the life of the key it was made for: for_create = 0 means "my mod revision is the key's
 * create revision", else for_create names the key's create revision.
 * .concordfs/dir/KEY describes the directory KEY + '/', carries no for_create, always counts.
 *
 * Absent fields mean the mount's defaults (0644 or 0755, its uid and gid) or the store's own knowledge
 * (times from revisions, identity from the key and its create revision).
 */
#ifndef PROTO_META_H
#define PROTO_META_H

#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/kv.h"

enum meta_type {
    META_FILE = 0, META_SYMLINK = 1, META_FIFO = 2, META_SOCKET = 3, META_CHAR_DEVICE = 4,
    META_BLOCK_DEVICE = 5, META_DIRECTORY = 6,
};

struct meta_xattr {
    struct bytes name, value;       /* name with its namespace: "user.x" */
};

struct meta {
    enum meta_type type;
    bool has_mode, has_owner, has_mtime, has_atime, has_birth;
    uint32_t mode;                  /* 07777 */
    uint32_t uid, gid;
    kv_time mtime, atime, birth;
    kv_rev mtime_for;               /* mtime and atime count while the value's mod revision is this one;
                                       0: while it is this record's own mod revision */
    uint64_t rdev;
    uint64_t file_id;               /* 0: derived, see meta_file_id */
    kv_rev for_create;
    struct meta_xattr *xattrs;      /* sorted by name, unique */
    size_t xattr_count;
};

/* Decodes into ret (arena for the xattrs; they borrow from from). CORRUPT when it is no record: unknown
 * type, mode outside 07777, xattrs unsorted or too many, a wire error. Unknown fields are passed over
 * and lost when encoded again. An empty from is a record of all defaults. */
enum err_code meta_decode(struct bytes from, struct arena *arena, struct meta *ret) MUST_USE;
/* Appends the canonical encoding: equal records, equal bytes. */
void meta_encode(const struct meta *meta, struct buf *ret);

/* Whether the record (its mod revision) counts for a key with this create revision. */
bool meta_counts(const struct meta *meta, kv_rev record_mod, kv_rev key_create);
/* Whether its mtime and atime count for a value with this mod revision. */
bool meta_times_count(const struct meta *meta, kv_rev record_mod, kv_rev value_mod);

/* The identity: the record's file_id, or a hash of cluster, key and create revision. Never 0 or 1, top
 * bit clear (snapshots set it). key is the key as it was at creation. */
uint64_t meta_file_id(uint64_t cluster_id, struct bytes key, kv_rev create_revision,
                      const struct meta *meta);

/* The key of the record of key: prefix + key. Appends. */
void meta_key(struct buf *ret, struct bytes key);
void meta_directory_key(struct buf *ret, struct bytes key);

#endif
