/* Names, inodes and attributes <-> keys and values. Pure.
 *
 * A key below the prefix is split at '/', and each component becomes one file name:
 *
 *     ordinary bytes        unchanged, UTF-8 or not
 *     '%', NUL              %25, %00
 *     "." and ".."          %2E, %2E%2E
 *     empty                 %_
 *     ".snapshot"           %2Esnapshot, in every directory
 *     ".fs" in the root     %2Efs
 *     over 255 bytes so     chunks of at most 253 bytes, each but the last followed by %+; a "x%+" is a
 *                           directory whose children continue the same component
 *     the value of a key that is a directory as well: %@ in that directory
 *
 * Only the canonical spelling resolves, so that no two names reach one key.
 */
#ifndef FS_LAYOUT_H
#define FS_LAYOUT_H

#include <sys/stat.h>

#include "proto/base/arena.h"
#include "proto/base/bytes.h"
#include "proto/base/limits.h"
#include "proto/kv.h"
#include "proto/meta.h"

#define LAYOUT_SNAPSHOT ".snapshot"
#define LAYOUT_CONTROL ".fs"
#define LAYOUT_OWN_VALUE "%@"
#define LAYOUT_CHUNK_MAX 253                    /* encoded bytes before "%+" */

/* ---- names ---- */

enum layout_place { LAYOUT_IN_ROOT, LAYOUT_IN_DIRECTORY, LAYOUT_IN_PARTIAL };

struct layout_name {                            /* what a file name means */
    enum { LAYOUT_COMPONENT, LAYOUT_PARTIAL, LAYOUT_OWN } kind;
    size_t size;                                /* of the raw bytes */
    uint8_t raw[NAME_SIZE_MAX];
};

/* Decodes one file name. False: not canonical, or one of the reserved names, which stand for no key.
 * A PARTIAL is a candidate: layout_chunk_fits decides once the component is known. */
bool layout_decode_name(struct bytes name, enum layout_place place, struct layout_name *ret);

/* Encodes the chunk of a raw component that begins at offset (0: the first) into ret; how many raw bytes
 * it covers. ret_partial: more follows, and ret ends in "%+". */
size_t layout_encode_chunk(struct bytes component, size_t offset, enum layout_place place,
                           uint8_t ret[NAME_SIZE_MAX], size_t *ret_size, bool *ret_partial);
/* Whether a chunk of component begins at offset. */
bool layout_chunk_fits(struct bytes component, size_t offset, enum layout_place place);

/* ---- whole paths ---- */

/* A key that starts with prefix -> a path without a leading '/', components encoded. False: it does not
 * start with the prefix. Appends. A key equal to a directory prefix is "%_", as one ending in '/'. */
bool layout_path_of_key(struct bytes prefix, struct bytes key, struct buf *ret_path);
/* The way back, of what layout_path_of_key gives ("%@" as last component: the directory's own key).
 * False: not canonical, too long, or outside. Appends. */
bool layout_key_of_path(struct bytes prefix, struct bytes path, struct buf *ret_key);
/* Empty or ending in '/', at most KEY_SIZE_MAX / 2. */
bool layout_prefix_is_valid(struct bytes prefix);

/* ---- attributes ---- */

struct layout {                                 /* what attributes are made of beside the store */
    struct bytes prefix;
    uint64_t cluster_id;
    uid_t uid;
    gid_t gid;
    mode_t file_mode, directory_mode;           /* defaults of files and directories without a record */
    kv_time start;                              /* of a root that nothing ever changed */
    bool has_names;                             /* the kv counts names: nlink and mtime are exact */
};

/* What stands at a name. attr is complete (st_ino and nlink included). */
struct fs_file {
    struct stat attr;
    bool has_key;                               /* there is a value; else a directory or a node */
    bool is_implicit;                           /* a directory without a record */
    kv_rev create_revision, mod_revision;       /* of the value, or of a node's record */
    kv_rev meta_mod_revision;                   /* 0: no record counts */
    kv_rev directory_create_revision, directory_mod_revision, change_revision;
    uint64_t name_count;                        /* of a directory */
    struct meta meta;                           /* the record that counts: the value's or the directory's;
                                                   its xattrs live in the arena */
};

/* The file that name (the answer of KV_LOOKUP or KV_LIST at directory) shows. own_value: the value of a
 * key that is a directory too ("%@"), else the directory comes first. revision: 0 for the live tree,
 * else st_ino is the past's. False: nothing stands there in that form. */
bool layout_file(const struct layout *layout, struct bytes directory, const struct kv_name *name,
                 bool own_value, kv_rev revision, struct arena *arena, struct fs_file *ret);
/* The root, of what a lookup of the prefix found (NULL: nothing). */
void layout_root(const struct layout *layout, const struct kv_name *name, kv_rev revision,
                 struct arena *arena, struct fs_file *ret);
/* st_ino of a version in the past: equal versions have equal numbers, the top bit is set. */
uint64_t layout_past_ino(uint64_t live_ino, kv_rev version_revision);
/* A directory attribute of ours (.snapshot, .fs): read-only, no names counted. */
void layout_virtual(const struct layout *layout, uint64_t ino, mode_t mode, size_t size, kv_time time,
                    struct stat *ret);

mode_t layout_type_of(enum meta_type type);     /* S_IFREG ... */
static inline struct timespec layout_timespec(kv_time time)
{
    return (struct timespec){time / NS_PER_S, time % NS_PER_S};
}
static inline kv_time layout_time(struct timespec time)
{
    return (kv_time)time.tv_sec * NS_PER_S + time.tv_nsec;
}

#endif
