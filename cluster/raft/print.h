/* Messages, entries and readies as text, in the form of raft-testdata. For tests, traces and
 * people; nothing parses it. Everything is appended to buf. */
#ifndef CLUSTER_RAFT_PRINT_H
#define CLUSTER_RAFT_PRINT_H

#include "cluster/raft/raft.h"

const char *raft_message_name(enum raft_message_type type);     /* "MsgApp" */
const char *raft_role_name(enum raft_role role);                /* "StateLeader" */
const char *raft_progress_name(enum raft_progress_state state); /* "StateProbe" */

/* "1/11 EntryNormal "text"": payloads quoted, changes as "v1 l2 r3 u4". No newline. */
void raft_print_entry(struct buf *buf, const struct entry *entry);
void raft_print_changes(struct buf *buf, const struct raft_conf_change *change);
/* "1->2 MsgApp Term:1 Log:1/10 Commit:10 Entries:[...]"; several lines when there are several
 * entries, a snapshot or responses. No newline at the end. */
void raft_print_message(struct buf *buf, const struct raft_message *message);
void raft_print_hard_state(struct buf *buf, const struct hard_state *state);
void raft_print_soft_state(struct buf *buf, const struct raft_soft_state *state);
void raft_print_conf_state(struct buf *buf, const struct raft_conf_state *state);
void raft_print_snapshot(struct buf *buf, const struct raft_snapshot *snapshot);
/* "voters=(1 2 3)&&(1 2) learners=(4)" */
void raft_print_configuration(struct buf *buf, const struct raft_conf_state *state);
/* "StateReplicate match=11 next=12 paused" */
void raft_print_progress(struct buf *buf, const struct raft_progress_status *progress);
/* Every line ends with a newline; "<empty Ready>" when there is nothing. */
void raft_print_ready(struct buf *buf, const struct raft_ready *ready);

#endif
