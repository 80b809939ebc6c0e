/* .fs/watch: the changes of the mount's files, one line of JSON each, as a stream that is read and polled.
 *
 *   .fs/watch           what changes from the opening on
 *   .fs/watch?rev=N     from revision N on: one more than what was read last
 *
 *   {"revision":7,"time":"2026-11-24T08:00:00.123Z","kind":"modify","path":"app/port"}
 *
 * kind     create, modify, attrib, delete, or rename: then "from" is the old path. Of a folder that was
 *          renamed one line tells, for all that is in it.
 * path     as below the mount's folder. Bytes that are not UTF-8 are shown as U+FFFD; then "path_hex" (and
 *          "from_hex") has all of them.
 * "directory":true        where it is one
 *
 *   {"revision":7,"kind":"lost","resume":50}
 *
 *          what happened from revision 7 on is no longer known below 50, where the stream goes on.
 *
 * A reader that does not keep up is waited for by nobody: its watch pauses and is read for later (kv.h), so
 * nothing is lost that history still has. A read gives whole lines, as far as they fit, and waits for one
 * where there is none (EAGAIN for a descriptor that does not wait). It ends only with the mount.
 *
 * Cost: what a watch costs (mvcc/watch.h), STREAM_BYTES_MAX of lines for each opening that is not read,
 * and the lines of one revision. A mount whose prefix sorts before ".concordfs/" (the empty one does) is told
 * of contents alone: "create" and "attrib" of folders and records need a watch of the system range and of
 * the files at once.
 *
 * Whoever reads hears of every name in the tree, also in directories that are closed to him: so it is the
 * mount's owner's alone (control.c).
 *
 * Loop thread alone.
 */
#ifndef FS_STREAM_H
#define FS_STREAM_H

#include "fs/op.h"

#define STREAM_BYTES_MAX (256 * KIB)            /* of lines that wait to be read; then the watch pauses */
#define STREAM_REVISION_BYTES_MAX (64 * MIB)    /* of the lines of one revision; beyond it they are lost */

/* "watch", "watch?rev=N". False: another name. ret_revision: 0 for none. */
bool stream_is_name(struct bytes name, kv_rev *ret_revision);

/* The requests on such a node. */
void stream_open(struct fs_op *op);
void stream_read(struct fs_op *op);
void stream_poll(struct fs_op *op);
void stream_release(struct fs_op *op);

/* The mount ends: nothing is told any more, and all of it ends soon. */
void streams_stop(struct fs *fs);
bool streams_are_idle(const struct fs *fs);
void streams_close(struct fs *fs);

/* The lines of one revision's events, appended. The arena is for what that needs; records: whether events of
 * records are among them. Pure. */
void stream_lines(const struct layout *layout, const struct kv_event *const *events, size_t count,
                  struct arena *arena, struct buf *ret);

#endif
