/* Positions in a directory that any number of names come and go in.
 *
 * A directory is listed in chunks, each one KV_LIST from the last raw name of the chunk before. The
 * offset that the kernel keeps for an entry is opaque: which chunk, which place in it, and some bits of
 * the name's hash. Two chunks are kept whole (the kernel goes back at most one of its buffers); of the
 * others only the name they begin after. So memory does not grow with what a chunk holds, every name
 * that is not touched is listed exactly once, and seekdir to an old place lists that chunk again and
 * finds the entry by its hash, or by its place if it has gone.
 */
#ifndef FS_DIR_H
#define FS_DIR_H

#include "fs/op.h"

#define DIR_CHUNK_NAMES 256             /* names of one KV_LIST */

struct dir_chunk {
    bool loaded;
    uint32_t number;
    struct kv_request request;          /* its listing is the chunk */
    size_t count;                       /* of names that count: fewer when the next chunk's begin is met */
};

/* A name that was pending when the listing began. It is listed as that, before all others, and passed
 * over when a chunk has it because it was saved meanwhile. */
struct dir_pending {
    struct bytes name;                  /* raw; owned */
    ino_t ino;
};

struct fs_dir {
    struct node *node;                  /* referenced */
    struct bytes directory, beginning;  /* owned: raw directory; of a "x%+" the beginning of the component */
    enum layout_place place;
    struct buf *starts;                 /* of each chunk: the raw name it begins after */
    uint32_t start_count;               /* chunks whose beginning is known; the first is always */
    struct dir_chunk chunks[2];
    bool is_current;                    /* OPENDIR's barrier still counts */
    bool busy;                          /* a chunk is being loaded for an op */
    bool has_own;                       /* "%@" */
    struct fs_file own;
    struct dir_pending *pending;        /* found when it was last read from the start */
    size_t pending_count;
    struct list waiting;                /* parked ops that came meanwhile */
};

struct fs_dir *dir_new(struct fs_op *op, struct node *node);
void dir_free(struct fs *fs, struct fs_dir *dir);

/* ---- positions; pure ---- */

#define DIR_OFFSET_DOT 1
#define DIR_OFFSET_DOTDOT 2
#define DIR_OFFSET_OWN 3

/* The offset behind the entry at place of chunk. */
off_t dir_offset(uint32_t chunk, uint32_t place, struct bytes name);
/* Its parts; false: not an offset of ours. */
bool dir_offset_split(off_t offset, uint32_t *ret_chunk, uint32_t *ret_place, uint32_t *ret_hash);
uint32_t dir_name_hash(struct bytes name);

#endif
