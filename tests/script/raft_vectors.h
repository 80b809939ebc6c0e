/* The commands of raft-testdata's quorum/ and confchange/: plain vectors for the arithmetic. */
#ifndef TESTS_SCRIPT_RAFT_VECTORS_H
#define TESTS_SCRIPT_RAFT_VECTORS_H

#include "cluster/raft/raft_internal.h"
#include "tests/script/script.h"

/* v1 l2 r3 u4, separated by blanks or newlines; false when something else is among them. */
bool raft_parse_changes(const char *text, struct raft_change *changes, size_t *ret_count);

struct raft_vectors {
    struct tracker tracker;
    raft_index last_index;
};

bool raft_vectors_command(struct raft_vectors *vectors, const struct script_command *command,
                          struct buf *output);

#endif
