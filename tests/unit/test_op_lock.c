/* Locks, through a mount without a kernel. */
#include "tests/test.h"

#include <errno.h>
#include <sys/file.h>

#include "fs/op_lock.h"
#include "tests/sim/sim_mount.h"

static int setup(void **state)
{
    struct sim_mount *mount = malloc(sizeof(*mount));
    sim_mount_init(mount);
    kv_direct_other_put(&mount->direct, "/f", "content");
    kv_direct_other_put(&mount->direct, "/g", "content");
    *state = mount;
    return 0;
}

static int teardown(void **state)
{
    sim_mount_release(*state);
    free(*state);
    return 0;
}

static struct sim_file opened(struct sim_mount *mount, const char *name, pid_t pid)
{
    struct sim_file file;
    assert_int_equal(sim_open_path(mount, name, O_RDWR, pid, &file), 0);
    return file;
}

static struct kernel_request posix_request(enum kernel_kind kind, const struct sim_file *file, int type,
                                           off_t start, off_t length, uint64_t owner)
{
    return (struct kernel_request){
        .kind = kind, .node = file->node, .has_handle = true, .handle = file->handle,
        .pid = file->pid, .lock_owner = owner, .has_lock_owner = true,
        .lock = {.l_type = (short)type, .l_start = start, .l_len = length, .l_pid = file->pid}};
}

static int set_lock(struct sim_mount *mount, const struct sim_file *file, int type, off_t start,
                    off_t length, uint64_t owner)
{
    struct kernel_request request = posix_request(KERNEL_SETLK, file, type, start, length, owner);
    return sim_mount_wait(mount, sim_mount_send(mount, &request));
}

static struct sim_call *wait_lock(struct sim_mount *mount, const struct sim_file *file, int type,
                                  off_t start, off_t length, uint64_t owner)
{
    struct kernel_request request = posix_request(KERNEL_SETLK, file, type, start, length, owner);
    request.sleep = true;
    return sim_mount_send(mount, &request);
}

static struct sim_call *send_flock(struct sim_mount *mount, const struct sim_file *file, int how,
                                   uint64_t owner)
{
    struct kernel_request request = {.kind = KERNEL_FLOCK, .node = file->node, .has_handle = true,
                                     .handle = file->handle, .pid = file->pid, .lock_op = how,
                                     .lock_owner = owner};
    return sim_mount_send(mount, &request);
}

static int take_flock(struct sim_mount *mount, const struct sim_file *file, int how, uint64_t owner)
{
    return sim_mount_wait(mount, send_flock(mount, file, how, owner));
}

static void test_ranges(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file a = opened(mount, "f", P1), b = opened(mount, "f", P2);
    assert_int_equal(set_lock(mount, &a, F_WRLCK, 0, 100, 1), 0);
    assert_int_equal(set_lock(mount, &b, F_WRLCK, 100, 10, 2), 0);
    assert_int_equal(set_lock(mount, &b, F_RDLCK, 99, 1, 2), -EAGAIN);
    assert_int_equal(set_lock(mount, &a, F_UNLCK, 40, 20, 1), 0);       /* a hole in the middle */
    assert_int_equal(set_lock(mount, &b, F_WRLCK, 40, 20, 2), 0);
    assert_int_equal(set_lock(mount, &b, F_WRLCK, 39, 1, 2), -EAGAIN);
    assert_int_equal(set_lock(mount, &b, F_WRLCK, 60, 1, 2), -EAGAIN);
    assert_int_equal(set_lock(mount, &a, F_RDLCK, 0, 40, 1), 0);
    assert_int_equal(set_lock(mount, &b, F_RDLCK, 10, 5, 2), 0);
    assert_int_equal(set_lock(mount, &b, F_WRLCK, 10, 5, 2), -EAGAIN);

    struct kernel_request ask = posix_request(KERNEL_GETLK, &b, F_WRLCK, 70, 0, 2);
    assert_int_equal(sim_mount_wait(mount, sim_mount_send(mount, &ask)), 0);
    assert_int_equal(mount->lock.l_type, F_WRLCK);
    assert_int_equal(mount->lock.l_start, 60);
    assert_int_equal(mount->lock.l_len, 40);
    assert_int_equal(mount->lock.l_pid, P1);
    ask = posix_request(KERNEL_GETLK, &b, F_WRLCK, 200, 0, 2);
    assert_int_equal(sim_mount_wait(mount, sim_mount_send(mount, &ask)), 0);
    assert_int_equal(mount->lock.l_type, F_UNLCK);
    assert_int_equal(set_lock(mount, &a, F_WRLCK, -1, 1, 1), -EINVAL);
    assert_int_equal(set_lock(mount, &a, F_WRLCK, INT64_MAX, 5, 1), 0); /* to the end of everything */

    assert_int_equal(sim_close(mount, &a), 0);
    assert_int_equal(sim_close(mount, &b), 0);
    assert_int_equal(locks_count(mount->fs), 0);
}

static void test_close_ends_posix_locks(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file a = opened(mount, "f", P1), b = opened(mount, "f", P2);
    assert_int_equal(set_lock(mount, &a, F_WRLCK, 0, 0, P1), 0);
    assert_int_equal(set_lock(mount, &b, F_WRLCK, 0, 0, P2), -EAGAIN);
    struct sim_call *waiting = wait_lock(mount, &b, F_WRLCK, 0, 0, P2);
    assert_false(waiting->answered);
    assert_int_equal(sim_flush(mount, &a, P1), 0);      /* any close of the process */
    assert_true(waiting->answered);
    assert_int_equal(sim_mount_wait(mount, waiting), 0);
    assert_int_equal(set_lock(mount, &a, F_RDLCK, 3, 1, P1), -EAGAIN);
    sim_release(mount, &b);                             /* as a reading handle ends, without FLUSH */
    assert_int_equal(set_lock(mount, &a, F_RDLCK, 3, 1, P1), 0);
    sim_release(mount, &a);
    assert_int_equal(locks_count(mount->fs), 0);
}

static void test_waiting_is_interrupted(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file a = opened(mount, "f", P1), b = opened(mount, "f", P2);
    assert_int_equal(set_lock(mount, &a, F_WRLCK, 0, 0, 1), 0);
    struct sim_call *waiting = wait_lock(mount, &b, F_WRLCK, 0, 0, 2);
    sim_interrupt(&mount->kernel, waiting);
    assert_true(waiting->answered);
    assert_int_equal(sim_mount_wait(mount, waiting), -EINTR);
    assert_int_equal(set_lock(mount, &a, F_UNLCK, 0, 0, 1), 0);
    assert_int_equal(locks_count(mount->fs), 0);        /* nobody was given it meanwhile */
    sim_release(mount, &a);
    sim_release(mount, &b);
}

static void test_deadlock(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file a = opened(mount, "f", P1), b = opened(mount, "g", P2);
    assert_int_equal(set_lock(mount, &a, F_WRLCK, 0, 1, 1), 0);
    assert_int_equal(set_lock(mount, &b, F_WRLCK, 0, 1, 2), 0);
    struct sim_call *waiting = wait_lock(mount, &b, F_WRLCK, 0, 1, 1);
    assert_false(waiting->answered);
    struct sim_call *circle = wait_lock(mount, &a, F_WRLCK, 0, 1, 2);
    assert_true(circle->answered);
    assert_int_equal(sim_mount_wait(mount, circle), -EDEADLK);
    assert_int_equal(set_lock(mount, &b, F_UNLCK, 0, 0, 2), 0);
    assert_int_equal(sim_mount_wait(mount, waiting), 0);
    sim_release(mount, &a);
    sim_release(mount, &b);
}

static void test_flock(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file a = opened(mount, "f", P1), b = opened(mount, "f", P2);
    assert_int_equal(take_flock(mount, &a, LOCK_EX, P1), 0);
    assert_int_equal(take_flock(mount, &b, LOCK_SH | LOCK_NB, P2), -EAGAIN);
    assert_int_equal(set_lock(mount, &b, F_WRLCK, 0, 0, P2), 0);        /* another kind of lock */
    struct sim_call *waiting = send_flock(mount, &b, LOCK_SH, P2);
    assert_false(waiting->answered);
    assert_int_equal(take_flock(mount, &a, LOCK_SH, P1), 0);
    assert_int_equal(sim_mount_wait(mount, waiting), 0);
    /* Both want to write: whoever asks gives up what it has, so the other one gets it. */
    waiting = send_flock(mount, &a, LOCK_EX, P1);
    assert_false(waiting->answered);
    struct sim_call *later = send_flock(mount, &b, LOCK_EX, P2);
    assert_int_equal(sim_mount_wait(mount, waiting), 0);
    assert_false(later->answered);
    assert_int_equal(sim_flush(mount, &a, P1), 0);      /* a flock ends with RELEASE alone */
    assert_false(later->answered);
    sim_release(mount, &a);
    assert_int_equal(sim_mount_wait(mount, later), 0);
    sim_release(mount, &b);
    assert_int_equal(locks_count(mount->fs), 0);
}

/* No longer alone: no new locks, and those that wait are told. Unlocking works. */
static void test_not_alone(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file a = opened(mount, "f", P1), b = opened(mount, "f", P2);
    assert_int_equal(take_flock(mount, &a, LOCK_EX, 1), 0);
    struct sim_call *waiting = send_flock(mount, &b, LOCK_EX, 2);
    mount->direct.status.alone = false;
    assert_int_equal(set_lock(mount, &a, F_WRLCK, 0, 0, 1), -ENOLCK);
    assert_int_equal(take_flock(mount, &a, LOCK_UN, 1), 0);
    assert_int_equal(sim_mount_wait(mount, waiting), -ENOLCK);
    assert_int_equal(locks_count(mount->fs), 0);
    sim_release(mount, &a);
    sim_release(mount, &b);
}

#define WITH_MOUNT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MOUNT(test_ranges),
        WITH_MOUNT(test_close_ends_posix_locks),
        WITH_MOUNT(test_waiting_is_interrupted),
        WITH_MOUNT(test_deadlock),
        WITH_MOUNT(test_flock),
        WITH_MOUNT(test_not_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
