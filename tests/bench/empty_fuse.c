/* The floor of every filesystem in user space: a daemon with an empty root, which answers GETATTR of it
 * from a constant and lets the kernel keep nothing. usage: empty-fuse DIR (stays in the foreground) */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <sys/stat.h>

static void on_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    struct stat attributes = {.st_ino = inode, .st_mode = S_IFDIR | 0755, .st_nlink = 2};
    (void)file;
    fuse_reply_attr(request, &attributes, 0);
}

static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    (void)parent;
    (void)name;
    fuse_reply_err(request, ENOENT);
}

int main(int argc, char **argv)
{
    static const struct fuse_lowlevel_ops operations = {.getattr = on_getattr, .lookup = on_lookup};
    struct fuse_args arguments = FUSE_ARGS_INIT(1, argv);
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIR\n", argv[0]);
        return 2;
    }
    struct fuse_session *session = fuse_session_new(&arguments, &operations, sizeof(operations), NULL);
    if (!session || fuse_set_signal_handlers(session) != 0 || fuse_session_mount(session, argv[1]) != 0)
        return 1;
    int result = fuse_session_loop(session);
    fuse_session_unmount(session);
    fuse_remove_signal_handlers(session);
    fuse_session_destroy(session);
    return result == 0 ? 0 : 1;
}
