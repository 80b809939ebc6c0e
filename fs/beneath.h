/* A path below a folder, for system calls that must never leave it: whoever may change what lies there can
 * put a link, or a mount, in place of a directory at any moment, and the caller may be root. So a path is
 * walked once, from a descriptor, to the directory that holds its last name, and what follows is done by
 * (directory, name) with the *at calls, or by the descriptor of what has that name.
 *
 * Never follows a link, in the middle or at the end; never crosses onto another mount, below the folder or
 * on top of it. Where the kernel has no openat2(2), a mount is told by its device: another mount of the very
 * same filesystem is then not seen; it holds the same files.
 *
 * Any thread. Calls give 0 or an errno.
 */
#ifndef FS_BENEATH_H
#define FS_BENEATH_H

#include <sys/types.h>

#include "proto/base/err.h"

struct beneath {
    int directory;              /* O_PATH; -1: none */
    const char *name;           /* the last one; lies in the path that was given */
};
#define BENEATH_NONE ((struct beneath){.directory = -1})

/* The device of what lies there: as the kernel remembers it, so its filesystem need not serve yet. */
int beneath_device(const char *path, dev_t *ret) MUST_USE;
/* The folder itself, if it lies on that device: where a mount is looked for it may have gone, or have been
 * covered. O_PATH, so nothing is asked of its filesystem; it keeps that busy until it is closed. EXDEV. */
int beneath_root(const char *path, dev_t device, int *ret_root) MUST_USE;

/* The directory of root/path's last name; the path must live as long as ret. EINVAL: an absolute path, an
 * empty name, "." or "..". ENOENT. ENOTDIR, ELOOP: a link, or no directory. EXDEV: another mount.
 * ENAMETOOLONG; and what the filesystem answers. */
int beneath_open(int root, const char *path, struct beneath *ret) MUST_USE;
/* beneath_open's way where there is no openat2(2): the same, name by name. */
int beneath_walk(int root, const char *path, struct beneath *ret) MUST_USE;
void beneath_close(struct beneath *beneath);    /* BENEATH_NONE is fine */

/* What has the last name, if that be a link the link itself, as an O_PATH descriptor. ENOENT, EXDEV. */
int beneath_find(const struct beneath *beneath, int *ret_fd) MUST_USE;
/* Likewise, the way where there is no openat2(2). */
int beneath_find_walking(const struct beneath *beneath, int *ret_fd) MUST_USE;

#endif
