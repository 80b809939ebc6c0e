/* Locks: GETLK, SETLK, FLOCK. One table in this mount, by file identity (two nodes may show one file).
 *
 * That is enough while the member is alone. Once the cluster has another member or client new locks are
 * refused (ENOLCK) instead of holding on one host and not on the other; -o locks=local accepts that.
 *
 * A lock that must wait is parked and tried again, in order of arrival, whenever one of the file ends. */
#include "fs/op_lock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/file.h>

#include "fs/notify.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"

#define LOCKS_MAX 65536             /* then ENOLCK */
#define DEADLOCK_STEPS_MAX 16       /* waits followed before a circle is looked for no further */

struct lock {
    struct list link;
    uint64_t ino, owner, handle;
    bool is_flock, is_write;
    off_t start, end;               /* end inclusive; of a flock everything */
    pid_t pid;
};

struct fs_locks_table {
    struct fs *fs;
    struct list held;               /* struct lock */
    struct list waiting;            /* ops, oldest first */
    size_t count;
};

#define OFFSET_LAST ((off_t)INT64_MAX)

enum err_code locks_open(struct fs *fs, struct err *err)
{
    (void)err;
    struct fs_locks_table *table = mem_xzalloc(sizeof(*table));
    table->fs = fs;
    list_init(&table->held);
    list_init(&table->waiting);
    fs->locks = table;
    return ERR_OK;
}

static void lock_free(struct fs_locks_table *table, struct lock *lock)
{
    list_remove(&lock->link);
    table->count--;
    free(lock);
}

void locks_close(struct fs *fs)
{
    struct fs_locks_table *table = fs->locks;
    if (!table)
        return;
    CHECK(list_is_empty(&table->waiting));
    while (!list_is_empty(&table->held))
        lock_free(table, container_of(table->held.next, struct lock, link));
    free(table);
    fs->locks = NULL;
}

size_t locks_count(const struct fs *fs) { return fs->locks->count; }

/* ---- the table ---- */

static struct lock *lock_add(struct fs_locks_table *table, const struct lock *from)
{
    struct lock *lock = mem_xalloc(sizeof(*lock));
    *lock = *from;
    list_push_back(&table->held, &lock->link);
    table->count++;
    return lock;
}

static bool overlaps(const struct lock *a, const struct lock *b)
{
    return a->start <= b->end && b->start <= a->end;
}

static bool same_owner(const struct lock *a, const struct lock *b)
{
    return a->ino == b->ino && a->is_flock == b->is_flock && a->owner == b->owner;
}

/* The first lock of someone else that stands in the way. */
static struct lock *blocker_of(struct fs_locks_table *table, const struct lock *wanted)
{
    LIST_FOR_EACH(link, &table->held) {
        struct lock *lock = container_of(link, struct lock, link);
        if (lock->ino == wanted->ino && lock->is_flock == wanted->is_flock &&
            lock->owner != wanted->owner && (lock->is_write || wanted->is_write) &&
            overlaps(lock, wanted))
            return lock;
    }
    return NULL;
}

/* Takes the range out of what its owner holds; true when something was. */
static bool lock_cut(struct fs_locks_table *table, const struct lock *range)
{
    bool cut = false;
    LIST_FOR_EACH_SAFE(link, &table->held) {
        struct lock *lock = container_of(link, struct lock, link);
        if (!same_owner(lock, range) || !overlaps(lock, range))
            continue;
        cut = true;
        struct lock rest = *lock;
        rest.start = range->end == OFFSET_LAST ? OFFSET_LAST : range->end + 1;
        if (lock->end > range->end)
            lock_add(table, &rest);
        if (lock->start < range->start)
            lock->end = range->start - 1;
        else
            lock_free(table, lock);
    }
    return cut;
}

static void lock_set(struct fs_locks_table *table, const struct lock *wanted)
{
    lock_cut(table, wanted);
    lock_add(table, wanted);
}

/* ---- what a request wants ---- */

static uint64_t ino_of(const struct node *node) { return node->told.attr.st_ino; }

/* False: the range is none. */
static bool posix_of(const struct fs_op *op, struct lock *ret)
{
    const struct flock *asked = &op->request.lock;
    *ret = (struct lock){.ino = ino_of(op->node), .owner = op->request.lock_owner,
                         .handle = op->request.handle, .is_write = asked->l_type == F_WRLCK,
                         .start = asked->l_start, .end = OFFSET_LAST, .pid = asked->l_pid};
    if (asked->l_start < 0 || asked->l_len < 0)
        return false;
    if (asked->l_len > 0 && asked->l_len - 1 <= OFFSET_LAST - asked->l_start)
        ret->end = asked->l_start + asked->l_len - 1;
    return true;
}

static struct lock flock_of(const struct fs_op *op)
{
    return (struct lock){.ino = ino_of(op->node), .owner = op->request.lock_owner,
                         .handle = op->request.handle, .is_flock = true,
                         .is_write = (op->request.lock_op & ~LOCK_NB) == LOCK_EX,
                         .end = OFFSET_LAST, .pid = op->request.pid};
}

static bool wanted_by(const struct fs_op *op, struct lock *ret)
{
    if (op->request.kind != KERNEL_FLOCK)
        return posix_of(op, ret);
    *ret = flock_of(op);
    return true;
}

/* Locks of this table would be believed by some hosts and not by others. */
static bool is_refused(struct fs *fs)
{
    if (fs->locks->count >= LOCKS_MAX)
        return true;
    return fs->options.locks == FS_LOCKS_CLUSTER && !fs_status(fs)->alone;
}

/* ---- waiting ---- */

/* Grants what can be granted now. A circle through fs_receive is not possible: an answer calls nothing. */
static void wake(struct fs_locks_table *table)
{
    LIST_FOR_EACH_SAFE(link, &table->waiting) {
        struct fs_op *op = container_of(link, struct fs_op, parked);
        struct lock wanted;
        bool valid = wanted_by(op, &wanted);
        CHECK(valid);
        if (is_refused(table->fs)) {
            op_unpark(op);
            op_answer_errno(op, ENOLCK);
        } else if (!blocker_of(table, &wanted)) {
            op_unpark(op);
            lock_set(table, &wanted);
            op_answer_errno(op, 0);
        }
    }
}

static void wait_cancel(struct fs_op *op)
{
    op_unpark(op);
    op_answer_errno(op, EINTR);
}

/* Whom this owner waits for; NULL: nobody. */
static struct lock *waits_for(struct fs_locks_table *table, uint64_t owner)
{
    LIST_FOR_EACH(link, &table->waiting) {
        struct fs_op *op = container_of(link, struct fs_op, parked);
        struct lock wanted;
        if (op->request.kind == KERNEL_SETLK && op->request.lock_owner == owner &&
            wanted_by(op, &wanted))
            return blocker_of(table, &wanted);
    }
    return NULL;
}

static bool would_deadlock(struct fs_locks_table *table, const struct lock *wanted,
                           const struct lock *blocker)
{
    for (int i = 0; i < DEADLOCK_STEPS_MAX && blocker; i++) {
        if (blocker->owner == wanted->owner)
            return true;
        blocker = waits_for(table, blocker->owner);
    }
    return false;
}

static void acquire(struct fs_op *op, const struct lock *wanted, bool sleeps)
{
    struct fs_locks_table *table = op->fs->locks;
    struct lock *blocker = blocker_of(table, wanted);
    if (is_refused(op->fs)) {
        op_answer_errno(op, ENOLCK);
    } else if (!blocker) {
        lock_set(table, wanted);
        wake(table);                    /* a writer that became a reader lets others in */
        op_answer_errno(op, 0);
    } else if (!sleeps) {
        op_answer_errno(op, EAGAIN);
    } else if (!wanted->is_flock && would_deadlock(table, wanted, blocker)) {
        op_answer_errno(op, EDEADLK);
    } else {
        op->any_signal = true;
        op_park(op, &table->waiting, wait_cancel);
    }
}

/* ---- the requests ---- */

void op_getlk(struct fs_op *op)
{
    struct flock answer = op->request.lock;
    struct lock wanted;
    if (!posix_of(op, &wanted)) {
        op_answer_errno(op, EINVAL);
        return;
    }
    const struct lock *blocker = blocker_of(op->fs->locks, &wanted);
    answer.l_type = F_UNLCK;
    if (blocker) {
        answer.l_type = blocker->is_write ? F_WRLCK : F_RDLCK;
        answer.l_whence = SEEK_SET;
        answer.l_start = blocker->start;
        answer.l_len = blocker->end == OFFSET_LAST ? 0 : blocker->end - blocker->start + 1;
        answer.l_pid = blocker->pid;
    }
    op_answer_lock(op, &answer);
}

void op_setlk(struct fs_op *op)
{
    struct fs_locks_table *table = op->fs->locks;
    struct lock wanted;
    if (!posix_of(op, &wanted)) {
        op_answer_errno(op, EINVAL);
    } else if (op->request.lock.l_type == F_UNLCK) {
        lock_cut(table, &wanted);
        wake(table);
        op_answer_errno(op, 0);
    } else {
        acquire(op, &wanted, op->request.sleep);
    }
}

/* A flock that changes its kind is given up first, as the kernel does it, so that two readers that both
 * want to write do not wait for each other for ever. */
void op_flock(struct fs_op *op)
{
    struct fs_locks_table *table = op->fs->locks;
    struct lock wanted = flock_of(op);
    int kind = op->request.lock_op & ~LOCK_NB;
    if (kind != LOCK_SH && kind != LOCK_EX && kind != LOCK_UN) {
        op_answer_errno(op, EINVAL);
        return;
    }
    if (lock_cut(table, &wanted))
        wake(table);
    if (kind == LOCK_UN)
        op_answer_errno(op, 0);
    else
        acquire(op, &wanted, !(op->request.lock_op & LOCK_NB));
}

/* ---- what ends with the file ---- */

void locks_on_flush(struct fs *fs, struct node *node, uint64_t owner)
{
    struct lock all = {.ino = ino_of(node), .owner = owner, .end = OFFSET_LAST};
    if (fs->locks->count && lock_cut(fs->locks, &all))
        wake(fs->locks);
}

void locks_on_release(struct fs *fs, struct node *node, uint64_t handle, uint64_t owner,
                      bool ends_flock)
{
    struct fs_locks_table *table = fs->locks;
    bool ended = false;
    if (table->count == 0)
        return;
    LIST_FOR_EACH_SAFE(link, &table->held) {
        struct lock *lock = container_of(link, struct lock, link);
        bool ends = lock->is_flock ? ends_flock && lock->owner == owner : lock->handle == handle;
        if (lock->ino != ino_of(node) || !ends)
            continue;
        lock_free(table, lock);
        ended = true;
    }
    if (ended)
        wake(table);
}
