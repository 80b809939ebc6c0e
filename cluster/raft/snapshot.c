/* When the log no longer reaches back far enough: state instead of entries. Paper 7. */
#include "cluster/raft/raft_internal.h"

/* --- sending ---------------------------------------------------------------------------------- */

static bool get_snapshot(struct raft *raft, struct raft_snapshot *ret_snapshot)
{
    struct raft_log *log = &raft->log;
    if (log->view->snapshot(log->view, ret_snapshot) != ERR_OK)
        return false;
    CHECK(ret_snapshot->mark.index > 0);
    return true;
}

/* Only to one that has been heard of: a snapshot is dear. */
bool raft_maybe_send_snapshot(struct raft *raft, struct progress *progress)
{
    struct raft_snapshot snapshot = {0};
    if (!progress->recent_active || !get_snapshot(raft, &snapshot))
        return false;
    const struct raft_snapshot *copy = outbox_snapshot(raft, &snapshot);
    blob_unref(snapshot.mark.configuration);
    blob_unref(snapshot.data);
    TRACE(raft->config.trace,
          "raft id=%" PRIu64 " sends snapshot=%" PRIu64 "/%" PRIu64 " to=%" PRIu64, raft->config.id,
          copy->mark.term, copy->mark.index, progress->id);
    progress_become_snapshot(progress, copy->mark.index);
    raft_send(raft,
              (struct raft_message){.type = RAFT_MSG_SNAP, .to = progress->id, .snapshot = copy});
    return true;
}

void raft_step_snapshot_status(struct raft *raft, struct progress *progress, bool failed)
{
    if (progress->state != RAFT_SNAPSHOT)
        return;
    if (failed)
        progress->pending_snapshot = 0; /* so that the probe starts where it did before */
    progress_become_probe(progress);
    TRACE(raft->config.trace, "raft id=%" PRIu64 " snapshot to=%" PRIu64 " %s", raft->config.id,
          progress->id, failed ? "failed" : "arrived");
    /* Wait for its answer, or after a failure for a heartbeat's, before the next append. */
    progress->flow_paused = true;
}

/* --- receiving -------------------------------------------------------------------------------- */

static bool names(const struct raft_conf_state *state, raft_id id)
{
    /* learners_next is within voters_outgoing. */
    return raft_id_set_contains(&state->voters, id) || raft_id_set_contains(&state->learners, id) ||
           raft_id_set_contains(&state->voters_outgoing, id);
}

/* ERR_EXISTS: passed over, it says nothing new. */
static enum err_code restore(struct raft *raft, const struct raft_snapshot *snapshot)
{
    struct entry_mark mark = {snapshot->mark.term, snapshot->mark.index};
    struct raft_conf_state state;
    struct tracker tracker = {0};
    if (mark.index <= raft->log.committed && !MUTANT(SNAPSHOT_OVER_NEWER))
        return ERR_EXISTS;
    if (raft_conf_state_decode(blob_bytes(snapshot->mark.configuration), &state) != ERR_OK ||
        tracker_restore(&tracker, mark.index, &state, NULL) != ERR_OK)
        return ERR_INVALID;
    if (!names(&state, raft->config.id))
        return ERR_EXISTS;
    if (raft_log_matches(&raft->log, mark) && !MUTANT(SNAPSHOT_OVER_NEWER)) {
        raft_log_commit_to(&raft->log, mark.index);
        return ERR_EXISTS;
    }
    raft_log_restore(raft, snapshot);
    raft_switch_to(raft, &tracker);
    TRACE(raft->config.trace, "raft id=%" PRIu64 " restores snapshot=%" PRIu64 "/%" PRIu64,
          raft->config.id, mark.term, mark.index);
    return ERR_OK;
}

enum err_code raft_step_snapshot(struct raft *raft, const struct raft_message *message)
{
    enum err_code code = restore(raft, message->snapshot);
    if (code == ERR_INVALID)
        return code;
    raft_send(raft,
              (struct raft_message){
                  .type = RAFT_MSG_APP_RESP,
                  .to = message->from,
                  .index = code == ERR_OK ? raft_log_last_index(&raft->log) : raft->log.committed,
              });
    return ERR_OK;
}
