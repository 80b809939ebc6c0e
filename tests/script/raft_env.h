/* Several members of a group, a network between them and storage threads that work when told to:
 * the interaction commands of raft-testdata, and a few of our own. */
#ifndef TESTS_SCRIPT_RAFT_ENV_H
#define TESTS_SCRIPT_RAFT_ENV_H

#include "cluster/raft/raft.h"
#include "proto/base/mem.h"
#include "tests/script/raft_storage.h"
#include "tests/script/script.h"

#define RAFT_ENV_NODES_MAX 16
#define RAFT_ENV_MESSAGES_MAX 4096

struct raft_messages {
    size_t count;
    struct raft_message *list[RAFT_ENV_MESSAGES_MAX];
};

struct raft_node {
    struct raft *raft;
    struct raft_config config;
    struct raft_storage storage;
    struct raft_messages append_work, apply_work;
};

struct raft_env {
    struct mem mem;
    struct trace trace;         /* of all members */
    struct trace *outer_trace;  /* where its lines go; may be NULL */
    bool shows_trace;           /* its lines are part of the answers (trace on) */
    struct buf *output;         /* of the command under way */
    bool quiet;                 /* log-level none */
    size_t node_count;
    struct raft_node nodes[RAFT_ENV_NODES_MAX];     /* nodes[i] has id i + 1 */
    struct raft_messages network;
};

void raft_env_init(struct raft_env *env);
void raft_env_release(struct raft_env *env);
bool raft_env_command(struct raft_env *env, const struct script_command *command,
                      struct buf *output);

#endif
