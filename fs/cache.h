/* What the kernel may believe, and for how long; what it was told; and the observer that has it forget
 * what changed behind its back. Loop thread alone. */
#ifndef FS_CACHE_H
#define FS_CACHE_H

#include "fs/op.h"

/* Timeouts of a name and of attributes answered for node, in ns, when what is answered was read at that
 * revision of the store. */
int64_t cache_entry_timeout(struct fs *fs, const struct node *node, kv_rev read);
int64_t cache_attr_timeout(struct fs *fs, const struct node *node, kv_rev read);

/* Whether the kernel may believe a name of the live tree at all. Strict mounts of several members answer none
 * that it may: there is nothing to forget, and no note that would wait for the directory's lock. */
bool cache_may_believe_names(const struct fs *fs);

/* Remembers that the kernel is being told this of node. */
void cache_told(struct node *node, const struct fs_file *file);
/* Whether size, mode or owner of what is served now differ from what the kernel was told. */
bool cache_differs(const struct node *node, const struct fs_file *file);

/* The node's own commit or attribute change moved it on: told follows, so that nothing differs. */
void cache_own_change(struct fs *fs, struct node *node, const struct fs_file *file);

void cache_observe(struct fs *fs);      /* begins to hear the kv; fs_attach */
void cache_end(struct fs *fs);
void cache_release(struct fs *fs);      /* fs_close */

#endif
