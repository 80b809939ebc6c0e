/* The commands of this folder: mount and umount. As cluster/cmd.h says of commands; mount in the
 * background returns in the parent once the mount serves, and in the daemon when it ends. */
#ifndef FS_CMD_MOUNT_H
#define FS_CMD_MOUNT_H

int cmd_mount(int argc, char **argv);
int cmd_umount(int argc, char **argv);

#endif
