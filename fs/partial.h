/* "x%+": a directory that is there while some longer component begins so. Nothing is stored for it. */
#ifndef FS_PARTIAL_H
#define FS_PARTIAL_H

#include "fs/op.h"

/* LOOKUP and RMDIR of op->raw below op->node, spelled as STEP_PARTIAL. It goes with its last name, so that
 * an RMDIR finds it gone, which is success, or still there: ENOTEMPTY. */
void partial_start(struct fs_op *op);

#endif
