#include "fs/mount_note.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "fs/mountpoint.h"
#include "fs/process.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"
#include "proto/base/note.h"

#define NOTE_SIZE_MAX 8192
#define LOOK_MS 10

struct note {                   /* on the disk: "process start device mountpoint" */
    int process;
    uint64_t start;
    unsigned device;            /* the minor number, which is the connection's, too */
    char mountpoint[NOTE_SIZE_MAX];
};

/* ---- the file ---- */

enum err_code mount_note_write(const char *data, const char *mountpoint, struct err *err)
{
    unsigned device = 0;
    if (!mountpoint_device(mountpoint, &device))
        return err_set(err, ERR_INVALID, "nothing of concordfs is mounted on \"%s\"", mountpoint);
    char *path = mem_xformat("%s/mount", data);
    char *text = mem_xformat("%d %" PRIu64 " %u %s", (int)getpid(), process_start(getpid()), device,
                             mountpoint);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    enum err_code code = fd < 0 ? err_set_errno(err, errno, "open \"%s\"", path)
                                : note_overwrite(fd, path, text, err);
    if (fd >= 0)
        close(fd);
    free(text);
    free(path);
    return code;
}

/* False: there is none that can be used. */
static bool read_note(const char *data, struct note *ret)
{
    char text[NOTE_SIZE_MAX], *path = mem_xformat("%s/mount", data);
    int fd = open(path, O_RDONLY | O_CLOEXEC), place = 0;
    ssize_t size = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0)
        close(fd);
    free(path);
    text[size > 0 ? size : 0] = '\0';
    if (sscanf(text, "%d %" SCNu64 " %u %n", &ret->process, &ret->start, &ret->device, &place) != 3 ||
        text[place] != '/')
        return false;
    snprintf(ret->mountpoint, sizeof(ret->mountpoint), "%s", text + place);
    return true;
}

/* ---- breaking ---- */

static bool abort_connection(unsigned device)
{
    char path[64];
    snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", device);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, "1", 1) == 1;
    if (fd >= 0)
        close(fd);
    return done;
}

/* Where fusectl is not mounted. Looking the path up asks the mount nothing. */
static bool unmount_by_force(const struct note *note)
{
    unsigned device = 0;
    return mountpoint_device(note->mountpoint, &device) && device == note->device &&
           umount2(note->mountpoint, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
}

enum err_code mount_note_let_go(const char *data, struct err *err)
{
    struct note note;
    if (!read_note(data, &note) || !process_is_stuck(note.process, note.start))
        return ERR_OK;
    if (!abort_connection(note.device) && !unmount_by_force(&note))
        return err_set(err, ERR_DENIED,
                       "process %d was killed while it served \"%s\", and the kernel still holds it: end it "
                       "with \"umount -f %s\", as root or as who mounted it",
                       note.process, note.mountpoint, note.mountpoint);
    for (int waited = 0; process_is_stuck(note.process, note.start); waited += LOOK_MS) {
        if (waited >= MOUNT_NOTE_WAIT_MS)
            return err_set(err, ERR_BUSY,
                           "process %d was killed while it served \"%s\", and the kernel still holds it",
                           note.process, note.mountpoint);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * NS_PER_MS}, NULL);
    }
    return ERR_OK;
}
