/* An attempt to save whose outcome is not known: what it was based on, and what it would have left.
 *
 * The list of operations it covers stays frozen in the staging, apart from what is written later, until
 * it is known whether the attempt happened. History tells: of all txns that compare that a version is
 * the newest one only one can be its successor. So once the base has another successor the attempt never
 * happens any more, however late it comes; while the base stands, the same list is tried again with the
 * same compare, and at most one of the two happens.
 *
 * An attempt that compared the file's life alone (last_wins) may be any of the versions after its base. The
 * newest ATTEMPT_STEPS_MAX are looked at; if it is none of them the list goes on top. That it comes still
 * later, over what went on top, is left to the kv to prevent: a member refuses a session's request once
 * a later one has said that nobody waits for it.
 *
 * Where history cannot tell (it is compacted) the attempt counts as one that never happened: bytes may
 * be there twice, but none is lost.
 */
#ifndef FS_ATTEMPT_H
#define FS_ATTEMPT_H

#include "fs/op.h"

#define ATTEMPT_STEPS_MAX 64

enum attempt_outcome {
    ATTEMPT_HAPPENED,           /* at attempt->high */
    ATTEMPT_OPEN,               /* its base stands: it may happen yet */
    ATTEMPT_NEVER,
};

struct attempt {
    bool is_open;
    bool creates;               /* it made its name: base is 0 */
    bool last_wins;
    bool has_record;
    kv_rev base;                /* mod revision of the version it was based on */
    kv_rev create_revision;     /* of the file's life; unknown when it creates */
    struct buf key, content, record;

    /* finding out */
    enum attempt_outcome outcome;
    kv_rev read;                /* the revision that is looked at */
    kv_rev low;                 /* here the base was the newest version */
    kv_rev high;                /* here it was not */
    bool is_ours;               /* what was written at high is what the attempt would have left */
    uint32_t steps;
    op_step step;
};

struct save;

/* The txn that save submitted for key may have happened. One that is open already was the same list on the
 * same base. */
void attempt_note(struct attempt *attempt, const struct save *save, struct bytes key);
/* It is known what became of it. */
void attempt_close(struct attempt *attempt);
/* Reads what became of it by revision, which is newer than its base; step gets OK with
 * attempt->outcome set, or why it cannot be read. For one that creates, revision is the one at which its
 * name was made. */
void attempt_settle(struct attempt *attempt, struct fs_op *op, kv_rev revision, op_step step);

#endif
