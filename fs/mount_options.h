/* The options of a mount, as "-o a,b=c" says them. Pure. */
#ifndef FS_MOUNT_OPTIONS_H
#define FS_MOUNT_OPTIONS_H

#include "fs/fs.h"

struct mount_options {
    struct fs_options fs;
    bool allow_other, allow_dev_suid, debug;
    const char *data_path;      /* data=; NULL: the default */
    const char *member_name;    /* name= */
    const char *listen, *advertise, *join;  /* of the member; NULL: not said */
    bool learner;
    char **texts;               /* what the strings above point into; owned */
    size_t text_count;
};

/* Everything at its default; is_root: allow_other is on. */
void mount_options_init(struct mount_options *options, uid_t uid, gid_t gid, bool is_root);
/* Reads one -o text over what is there. INVALID: names the option. */
enum err_code mount_options_parse(struct mount_options *options, const char *text,
                                  struct err *err) MUST_USE;
void mount_options_release(struct mount_options *options);

#endif
