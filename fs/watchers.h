/* Who watches: the inotify watches of every process on this mount, as the kernel shows them in
 * /proc/PID/fdinfo. What a watch names is a node: its file's st_ino, and the handle by which
 * open_by_handle_at(2) finds that very node.
 *
 * A look reads a line for each open descriptor of the host: a few ms where there are hundreds of processes.
 * So a look is due again only after LOOK_SHARE times what the last one took (at least LOOK_MS_MIN, at most
 * LOOK_MS_MAX): at most one part in LOOK_SHARE of a core goes there, however much changes. What was seen
 * to be watched is believed until the next look; what was not has to wait for it.
 *
 * Sees what it may: without CAP_SYS_PTRACE the processes of the same user.
 *
 * One thread: the notifier's.
 */
#ifndef FS_WATCHERS_H
#define FS_WATCHERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WATCHERS_LOOK_SHARE 50
#define WATCHERS_LOOK_MS_MIN 20
#define WATCHERS_LOOK_MS_MAX 2000
#define WATCHERS_MAX 65536              /* watches of one mount; further ones are not heeded */
#define WATCHER_HANDLE_MAX 32           /* bytes; FUSE's handles have 12 */

struct watcher {
    uint64_t ino;                       /* st_ino of what is watched */
    int handle_type;
    uint32_t handle_size;               /* 0: not known */
    uint8_t handle[WATCHER_HANDLE_MAX];
};

struct watchers;

/* folder: /proc, or what a test shows instead. */
struct watchers *watchers_new(const char *folder);
void watchers_free(struct watchers *watchers);          /* NULL is fine */

/* Reads who watches on the filesystem with this device number (as stat says it). */
void watchers_look(struct watchers *watchers, uint64_t device);
/* When the next look is due, by fs_now_ms; 0: at once. */
int64_t watchers_due_ms(const struct watchers *watchers);
/* The first watch of ino at or after *place, which is moved on; NULL: there is no other. Begin at 0. */
const struct watcher *watchers_find(const struct watchers *watchers, uint64_t ino, size_t *place);

/* "inotify wd:1 ino:2f sdev:31 mask:2 ignored_mask:0 fhandle-bytes:c fhandle-type:81 f_handle:0100": a line
 * of fdinfo. False: it is none. ret_device: the kernel's own form of the device number. */
bool watcher_parse(const char *line, struct watcher *ret, uint32_t *ret_device);

#endif
