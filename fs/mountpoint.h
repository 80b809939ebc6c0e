/* The place that is mounted on: made ready, and given back. */
#ifndef FS_MOUNTPOINT_H
#define FS_MOUNTPOINT_H

#include <stdbool.h>

#include "proto/base/err.h"

/* Takes away what a daemon that died left there (ENOTCONN), then gives the absolute path of the folder,
 * which the caller frees. Errors: NOT_FOUND; INVALID no folder; EXISTS a live mount of ours is there. */
enum err_code mountpoint_prepare(const char *path, char **ret_path, struct err *err) MUST_USE;

/* Whether path, which need not exist yet, lies in folder (an absolute path without links) or is it. */
bool mountpoint_holds(const char *folder, const char *path);

/* Whether a filesystem of ours is mounted on this absolute path (in /proc/self/mountinfo). */
bool mountpoint_is_ours(const char *path);
/* Likewise, and the minor number of its device. */
bool mountpoint_device(const char *path, unsigned *ret_minor);

/* Takes the mount away. lazy: also while it is in use, or dead. INVALID: nothing of ours is there; BUSY;
 * IO with the reason. */
enum err_code mountpoint_unmount(const char *path, bool lazy, struct err *err) MUST_USE;

#endif
