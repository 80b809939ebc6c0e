/* Elections: who may stand, who gets a vote, and how a leader hands over or notices that nobody
 * hears it any more. Paper 5.2, 5.4.1; thesis 3.10 (transfer), 9.6 (pre-vote).
 *
 * Leader stickiness: with check_quorum a member that has heard from a leader within the election
 * timeout answers no request for votes, unless the leader itself has asked for the election. A
 * member that was cut off, or removed and does not know, disturbs nobody. */
#include "cluster/raft/raft_internal.h"

static const struct bytes transfer_context = BYTES_LITERAL("CampaignTransfer");

bool raft_promotable(struct raft *raft)
{
    const struct progress *self = raft_progress(raft, raft->config.id);
    return self && !self->learner && !raft->log.has_snapshot;
}

void raft_hup(struct raft *raft, enum campaign campaign)
{
    if (raft->role == RAFT_LEADER || !raft_promotable(raft))
        return;
    /* The configuration that we would count votes by may be about to change. */
    if (raft_log_has_unapplied_conf_change(raft))
        return;
    raft_campaign_as(raft, campaign);
}

static void request_vote(struct raft *raft, raft_id to, enum raft_message_type type, raft_term term,
                         bool transfer)
{
    struct entry_mark last = raft_log_last(&raft->log);
    raft_send(raft, (struct raft_message){
                        .type = type,
                        .to = to,
                        .term = term,
                        .index = last.index,
                        .log_term = last.term,
                        .context = transfer ? transfer_context : BYTES_EMPTY,
                    });
}

static enum raft_message_type response_type(enum raft_message_type request)
{
    return request == RAFT_MSG_VOTE ? RAFT_MSG_VOTE_RESP : RAFT_MSG_PRE_VOTE_RESP;
}

/* The candidate's vote for itself counts like any other: when it is durable. */
void raft_campaign_as(struct raft *raft, enum campaign campaign)
{
    enum raft_message_type type = RAFT_MSG_VOTE;
    raft_term term;
    if (campaign == CAMPAIGN_PRE_ELECTION) {
        raft_become_pre_candidate(raft);
        type = RAFT_MSG_PRE_VOTE;
        term = raft->term + 1;
    } else {
        raft_become_candidate(raft);
        term = raft->term;
    }
    for (size_t i = 0; i < raft->tracker.count; i++) {
        raft_id id = raft->tracker.progress[i].id;
        if (!config_has_voter(&raft->tracker.config, id))
            continue;
        if (id == raft->config.id)
            raft_send(raft,
                      (struct raft_message){.type = response_type(type), .to = id, .term = term});
        else
            request_vote(raft, id, type, term, campaign == CAMPAIGN_TRANSFER);
    }
}

bool raft_ignores_vote(const struct raft *raft, const struct raft_message *message)
{
    bool in_lease = raft->config.check_quorum && raft->leader != RAFT_NOBODY &&
                    raft->election_elapsed < raft->config.election_tick;
    return in_lease && !bytes_equal(message->context, transfer_context);
}

void raft_send_vote_response(struct raft *raft, struct raft_message response)
{
    if (raft->config.commit_in_votes) {
        response.commit = raft->log.committed;
        response.log_term = raft_log_term_within(&raft->log, response.commit);
    }
    raft_send(raft, response);
}

/* What is committed is so in every term. A candidate that learns of a change counts by the old
 * configuration: it ends that, and begins anew when it has applied it. */
void raft_learn_commit(struct raft *raft, const struct raft_message *response)
{
    struct entry_mark told = {response->log_term, response->commit};
    if (!raft->config.commit_in_votes || raft->role == RAFT_LEADER ||
        told.index <= raft->log.committed || !raft_log_matches(&raft->log, told))
        return;
    raft_log_commit_to(&raft->log, told.index);
    if (raft->role != RAFT_FOLLOWER && raft_log_has_unapplied_conf_change(raft))
        raft_become_follower(raft, raft->term, RAFT_NOBODY);
}

/* A learner votes too: it may have been promoted and not know it yet, while the candidate does. */
void raft_step_vote(struct raft *raft, const struct raft_message *message)
{
    bool can_vote = raft->vote == message->from ||
                    (raft->vote == RAFT_NOBODY && raft->leader == RAFT_NOBODY) ||
                    (message->type == RAFT_MSG_PRE_VOTE && message->term > raft->term);
    struct entry_mark theirs = {message->log_term, message->index};
    bool grant = can_vote && (raft_log_is_up_to_date(&raft->log, theirs) ||
                              MUTANT(VOTE_FOR_SHORTER_LOG));
    TRACE(raft->config.trace,
          "raft id=%" PRIu64 " %s=%" PRIu64 " term=%" PRIu64 " log=%" PRIu64 "/%" PRIu64,
          raft->config.id, grant ? "grants" : "rejects", message->from, message->term, theirs.term,
          theirs.index);
    /* A granted pre-vote carries the term that was asked for: ours may be lower or higher, and the
     * asker would take the answer for a stale one. */
    raft_send_vote_response(raft, (struct raft_message){
                                      .type = response_type(message->type),
                                      .to = message->from,
                                      .term = grant ? message->term : raft->term,
                                      .reject = !grant,
                                  });
    if (grant && message->type == RAFT_MSG_VOTE) {
        raft->election_elapsed = 0;
        raft->vote = MUTANT(VOTE_NOT_REMEMBERED) ? RAFT_NOBODY : message->from;
    }
}

static void record_vote(struct raft *raft, raft_id from, bool granted)
{
    if (raft_id_set_contains(&raft->voted, from))
        return; /* the first one counts */
    if (raft_id_set_add(&raft->voted, from) && granted)
        CHECK(raft_id_set_add(&raft->granted, from));
}

void raft_step_vote_response(struct raft *raft, const struct raft_message *message)
{
    record_vote(raft, message->from, !message->reject);
    enum vote_result result =
        quorum_joint_vote(&raft->tracker.config, &raft->voted, &raft->granted);
    if (result == VOTE_PENDING)
        return;
    if (result == VOTE_LOST || !raft_promotable(raft)) {
        /* Outvoted, or removed meanwhile. A pre-vote's answer may carry a later term: keep ours. */
        raft_become_follower(raft, raft->term, RAFT_NOBODY);
    } else if (raft->role == RAFT_PRE_CANDIDATE) {
        raft_campaign_as(raft, CAMPAIGN_ELECTION);
    } else {
        raft_become_leader(raft);
        raft_broadcast_append(raft);
    }
}

void raft_check_quorum(struct raft *raft)
{
    struct raft_id_set heard = {0}, active = {0};
    for (size_t i = 0; i < raft->tracker.count; i++) {
        struct progress *progress = &raft->tracker.progress[i];
        if (progress->learner)
            continue;
        CHECK(raft_id_set_add(&heard, progress->id));
        if (progress->recent_active) /* a leader's own always is */
            CHECK(raft_id_set_add(&active, progress->id));
    }
    if (quorum_joint_vote(&raft->tracker.config, &heard, &active) != VOTE_WON)
        raft_become_follower(raft, raft->term, RAFT_NOBODY);
    for (size_t i = 0; i < raft->tracker.count; i++)
        if (raft->tracker.progress[i].id != raft->config.id)
            raft->tracker.progress[i].recent_active = false;
}

void raft_send_timeout_now(struct raft *raft, raft_id to)
{
    raft_send(raft, (struct raft_message){.type = RAFT_MSG_TIMEOUT_NOW, .to = to});
}

void raft_step_transfer(struct raft *raft, struct progress *progress)
{
    if (progress->learner || raft->transferee == progress->id)
        return;
    raft->transferee = RAFT_NOBODY; /* a new wish ends the one under way */
    if (progress->id == raft->config.id)
        return;
    TRACE(raft->config.trace, "raft id=%" PRIu64 " transfers to=%" PRIu64 " term=%" PRIu64,
          raft->config.id, progress->id, raft->term);
    /* To be done within one election timeout, counted from now. */
    raft->election_elapsed = 0;
    raft->transferee = progress->id;
    if (progress->match == raft_log_last_index(&raft->log))
        raft_send_timeout_now(raft, progress->id);
    else
        raft_maybe_send_append(raft, progress, true);
}
