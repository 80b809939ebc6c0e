/* A mount without a kernel and without a member: fs over kv_direct, driven by calls that look like system
 * calls' requests. Each call below sends one request, turns the kv until it is answered, and returns 0 or a
 * negative errno. Thread ids are made up: 5000100 to 5000199 are one process, and so on. */
#ifndef TESTS_SIM_SIM_MOUNT_H
#define TESTS_SIM_SIM_MOUNT_H

#include "fs/handle.h"
#include "fs/process.h"
#include "tests/sim/kv_direct.h"
#include "tests/sim/sim_kernel.h"

#define P1 5000100              /* the first thread of each process */
#define P2 5000200
#define P3 5000300

struct sim_mount {
    struct kv_direct direct;
    struct sim_kernel kernel;
    struct fs *fs;
    struct fs_loop loop;
    struct process_door processes;
    bool gone[16];              /* by (thread - 5000000) / 100 */
    struct stat attr;           /* of the last answer that had one */
    struct buf data;            /* of the last answer that had some */
    struct flock lock;
    off_t offset;
};

struct sim_file {
    uint64_t node, handle;
    int flags;
    pid_t pid;
};

void sim_mount_init(struct sim_mount *mount);
void sim_mount_release(struct sim_mount *mount);

/* Turns until nothing moves any more. */
void sim_mount_settle(struct sim_mount *mount);
/* Every timer that is set fires now. */
void sim_mount_expire_timers(struct sim_mount *mount);
/* Sends without waiting. */
struct sim_call *sim_mount_send(struct sim_mount *mount, const struct kernel_request *request);
/* Waits for it; frees it. */
int sim_mount_wait(struct sim_mount *mount, struct sim_call *call);

int sim_lookup(struct sim_mount *mount, uint64_t parent, const char *name, uint64_t *ret_node);
int sim_open(struct sim_mount *mount, uint64_t node, int flags, pid_t pid, struct sim_file *ret);
/* The handle of the folder, which must open. */
uint64_t sim_opendir(struct sim_mount *mount, uint64_t node, pid_t pid);
int sim_create(struct sim_mount *mount, const char *name, int flags, mode_t mode, pid_t pid,
               struct sim_file *ret);
int sim_getattr(struct sim_mount *mount, uint64_t node, pid_t pid);
int sim_setattr(struct sim_mount *mount, uint64_t node, const struct sim_file *file, unsigned set,
                const struct stat *attr, pid_t pid);
int sim_truncate(struct sim_mount *mount, uint64_t node, const struct sim_file *file, off_t size,
                 pid_t pid);
int sim_write(struct sim_mount *mount, const struct sim_file *file, off_t offset, const char *text);
int sim_read(struct sim_mount *mount, const struct sim_file *file, off_t offset, size_t size);
/* Sends it without waiting. */
struct sim_call *sim_flush_begin(struct sim_mount *mount, const struct sim_file *file, pid_t pid);
int sim_flush(struct sim_mount *mount, const struct sim_file *file, pid_t pid);
int sim_fsync(struct sim_mount *mount, const struct sim_file *file);
/* Sends it and turns nothing: what it begins is in flight. */
void sim_release(struct sim_mount *mount, const struct sim_file *file);
int sim_unlink(struct sim_mount *mount, const char *name);
int sim_rename(struct sim_mount *mount, const char *from, const char *to);

/* As a shell or a program does it: LOOKUP, OPEN or CREATE, and the SETATTR of O_TRUNC. */
int sim_open_path(struct sim_mount *mount, const char *name, int flags, pid_t pid,
                  struct sim_file *ret);
/* FLUSH and RELEASE; the flush's outcome. */
int sim_close(struct sim_mount *mount, const struct sim_file *file);
/* Whether the last data is this text. */
bool sim_data_is(const struct sim_mount *mount, const char *text);

#endif
