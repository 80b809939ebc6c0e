/* Who serves a mount, noted in DATA/mount, so that the next start can let go of what a killed daemon left.
 *
 * The kernel ends a FUSE connection when the last descriptor of the device is closed. A daemon that is killed
 * while one of its own threads waits in the kernel for the lock of a directory (a name to be forgotten, a
 * replay) does not end: a request holds the lock and waits for an answer that nobody gives any more. The
 * device stays open, the data folder locked, and whoever uses the mount waits. Breaking the connection from
 * outside ends all of that (fusectl's abort, or an unmount by force).
 */
#ifndef FS_MOUNT_NOTE_H
#define FS_MOUNT_NOTE_H

#include "proto/base/err.h"

/* This process serves the mount on that absolute path. A note that cannot be written costs the next start
 * its help, nothing else. Errors: IO, NO_SPACE, DENIED; INVALID nothing of ours is mounted there. */
enum err_code mount_note_write(const char *data, const char *mountpoint, struct err *err) MUST_USE;

/* Breaks the mount that the noted process served, if that was killed and has not ended, and waits until it has,
 * MOUNT_NOTE_WAIT_MS at most. OK too where there is no such thing. Errors: DENIED whoever mounted, or root,
 * must do it; BUSY it does not end. */
enum err_code mount_note_let_go(const char *data, struct err *err) MUST_USE;

#define MOUNT_NOTE_WAIT_MS 10000

#endif
