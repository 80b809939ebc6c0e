/* Changes of the configuration. Thesis 4.1 (one at a time), 4.3 (joint consensus).
 *
 *              enter joint                      leave joint
 *   (1 2 3) ----------------> (1 2 4)&&(1 2 3) -------------> (1 2 4)
 *            \_____________________ simple: one voter ______/
 *
 * While joint both majorities must agree. A voter that is to become a learner is still a voter of
 * the outgoing half, so it waits in learners_next until the joint configuration is left. A change
 * is worked out on a copy of the tracker; what does not come out right is thrown away. */
#include "cluster/raft/raft_internal.h"

/* --- the tracker ------------------------------------------------------------------------------ */

struct progress *tracker_find(struct tracker *tracker, raft_id id)
{
    for (size_t i = 0; i < tracker->count; i++)
        if (tracker->progress[i].id == id)
            return &tracker->progress[i];
    return NULL;
}

/* False when there are too many members. A new member is taken to have the log nearly as we have it
 * (the first probe tells), and to be alive: else a check of the quorum could end the leader's term
 * before it had a chance to answer. */
static bool tracker_add(struct tracker *tracker, raft_id id, raft_index last_index, bool learner)
{
    if (tracker->count == RAFT_MEMBERS_MAX)
        return false;
    size_t place = tracker->count++;
    for (; place > 0 && tracker->progress[place - 1].id > id; place--)
        tracker->progress[place] = tracker->progress[place - 1];
    tracker->progress[place] = (struct progress){
        .id = id,
        .next = max_u64(last_index, 1),
        .learner = learner,
        .recent_active = true,
    };
    return true;
}

static void tracker_remove(struct tracker *tracker, raft_id id)
{
    struct progress *progress = tracker_find(tracker, id);
    size_t place = (size_t)(progress - tracker->progress);
    tracker->count--;
    memmove(progress, progress + 1, (tracker->count - place) * sizeof(*progress));
}

/* --- single changes --------------------------------------------------------------------------- */

static void make_voter(struct tracker *tracker, raft_id id)
{
    tracker_find(tracker, id)->learner = false;
    raft_id_set_remove(&tracker->config.learners, id);
    raft_id_set_remove(&tracker->config.learners_next, id);
    CHECK(raft_id_set_add(&tracker->config.voters, id));
}

static void leave_sets(struct raft_conf_state *config, raft_id id)
{
    raft_id_set_remove(&config->voters, id);
    raft_id_set_remove(&config->learners, id);
    raft_id_set_remove(&config->learners_next, id);
}

static void make_learner(struct tracker *tracker, raft_id id)
{
    struct progress *progress = tracker_find(tracker, id);
    struct raft_conf_state *config = &tracker->config;
    leave_sets(config, id);
    if (raft_id_set_contains(&config->voters_outgoing, id)) {
        CHECK(raft_id_set_add(&config->learners_next, id));
    } else {
        progress->learner = true;
        CHECK(raft_id_set_add(&config->learners, id));
    }
}

static void remove_member(struct tracker *tracker, raft_id id)
{
    if (!tracker_find(tracker, id))
        return;
    leave_sets(&tracker->config, id);
    if (!raft_id_set_contains(&tracker->config.voters_outgoing, id))
        tracker_remove(tracker, id);
}

/* False when there are too many members. */
static bool make_member(struct tracker *tracker, raft_index last_index, raft_id id, bool learner)
{
    struct progress *progress = tracker_find(tracker, id);
    if (!progress && !tracker_add(tracker, id, last_index, learner))
        return false;
    if (!learner)
        make_voter(tracker, id);
    else if (!progress || !progress->learner)
        make_learner(tracker, id);
    return true;
}

static bool apply_one(struct tracker *tracker, raft_index last_index,
                      const struct raft_change *change)
{
    if (change->id == 0)
        return true; /* crossed out by whoever had to decide on it */
    switch (change->type) {
    case RAFT_CHANGE_ADD_VOTER:
        return make_member(tracker, last_index, change->id, false);
    case RAFT_CHANGE_ADD_LEARNER:
        return make_member(tracker, last_index, change->id, true);
    case RAFT_CHANGE_REMOVE:
        remove_member(tracker, change->id);
        return true;
    case RAFT_CHANGE_UPDATE:
        return true;
    }
    return false;
}

static enum err_code apply_all(struct tracker *tracker, raft_index last_index,
                               const struct raft_change *changes, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!apply_one(tracker, last_index, &changes[i]))
            return err_set(err, ERR_INVALID, "more than %d members", RAFT_MEMBERS_MAX);
    if (tracker->config.voters.count == 0)
        return err_set(err, ERR_INVALID, "removed all voters");
    return ERR_OK;
}

/* --- whole changes ---------------------------------------------------------------------------- */

static size_t missing_from(const struct raft_id_set *set, const struct raft_id_set *other)
{
    size_t count = 0;
    for (size_t i = 0; i < set->count; i++)
        count += !raft_id_set_contains(other, set->ids[i]);
    return count;
}

enum err_code tracker_simple(struct tracker *tracker, raft_index last_index,
                             const struct raft_change *changes, size_t count, struct err *err)
{
    struct raft_id_set before = tracker->config.voters;
    if (config_is_joint(&tracker->config))
        return err_set(err, ERR_INVALID, "can't apply simple config change in joint config");
    enum err_code code = apply_all(tracker, last_index, changes, count, err);
    if (code)
        return code;
    size_t changed = missing_from(&before, &tracker->config.voters) +
                     missing_from(&tracker->config.voters, &before);
    if (changed > 1)
        return err_set(err, ERR_INVALID,
                       "more than one voter changed without entering joint config");
    return tracker_check(tracker, err);
}

enum err_code tracker_enter_joint(struct tracker *tracker, raft_index last_index, bool auto_leave,
                                  const struct raft_change *changes, size_t count, struct err *err)
{
    struct raft_conf_state *config = &tracker->config;
    if (config_is_joint(config))
        return err_set(err, ERR_INVALID, "config is already joint");
    if (config->voters.count == 0)
        return err_set(err, ERR_INVALID, "can't make a zero-voter config joint");
    config->voters_outgoing = config->voters;
    enum err_code code = apply_all(tracker, last_index, changes, count, err);
    if (code)
        return code;
    config->auto_leave = auto_leave;
    return tracker_check(tracker, err);
}

enum err_code tracker_leave_joint(struct tracker *tracker, struct err *err)
{
    struct raft_conf_state *config = &tracker->config;
    if (!config_is_joint(config))
        return err_set(err, ERR_INVALID, "can't leave a non-joint config");
    for (size_t i = 0; i < config->learners_next.count; i++) {
        tracker_find(tracker, config->learners_next.ids[i])->learner = true;
        CHECK(raft_id_set_add(&config->learners, config->learners_next.ids[i]));
    }
    for (size_t i = 0; i < config->voters_outgoing.count; i++) {
        raft_id id = config->voters_outgoing.ids[i];
        if (!raft_id_set_contains(&config->voters, id) &&
            !raft_id_set_contains(&config->learners, id))
            tracker_remove(tracker, id);
    }
    config->learners_next.count = config->voters_outgoing.count = 0;
    config->auto_leave = false;
    return tracker_check(tracker, err);
}

static bool add_all(struct tracker *tracker, raft_index last_index, const struct raft_id_set *ids,
                    bool learner)
{
    for (size_t i = 0; i < ids->count; i++)
        if (!tracker_find(tracker, ids->ids[i]) &&
            !tracker_add(tracker, ids->ids[i], last_index, learner))
            return false;
    return true;
}

enum err_code tracker_restore(struct tracker *tracker, raft_index last_index,
                              const struct raft_conf_state *state, struct err *err)
{
    *tracker = (struct tracker){.config = *state};
    CHECK(add_all(tracker, last_index, &state->voters, false));
    if (!add_all(tracker, last_index, &state->voters_outgoing, false) ||
        !add_all(tracker, last_index, &state->learners, true))
        return err_set(err, ERR_INVALID, "more than %d members", RAFT_MEMBERS_MAX);
    return tracker_check(tracker, err);
}

/* --- invariants ------------------------------------------------------------------------------- */

/* Whether all of these, and each has a progress, are learners or none is. */
static bool tracks(const struct tracker *tracker, const struct raft_id_set *ids, bool learner)
{
    for (size_t i = 0; i < ids->count; i++) {
        const struct progress *progress =
            tracker_find((struct tracker *)(uintptr_t)tracker, ids->ids[i]);
        CHECK(progress);
        if (progress->learner != learner)
            return false;
    }
    return true;
}

enum err_code tracker_check(const struct tracker *tracker, struct err *err)
{
    const struct raft_conf_state *config = &tracker->config;
    bool joint = config_is_joint(config);
    CHECK(tracks(tracker, &config->voters, false));
    CHECK(tracks(tracker, &config->voters_outgoing, false));
    if (!tracks(tracker, &config->learners, true))
        return err_set(err, ERR_INVALID, "a member is both voter and learner");
    if (missing_from(&config->learners_next, &config->voters_outgoing) > 0)
        return err_set(err, ERR_INVALID, "a learner to come is no outgoing voter");
    if (missing_from(&config->learners_next, &config->voters) < config->learners_next.count)
        return err_set(err, ERR_INVALID, "a learner to come is an incoming voter");
    if (config->auto_leave && !joint)
        return err_set(err, ERR_INVALID, "auto-leave without a joint config");
    if (joint && config->voters.count == 0)
        return err_set(err, ERR_INVALID, "a joint config without incoming voters");
    return ERR_OK;
}

/* --- taking effect ---------------------------------------------------------------------------- */

/* What an entry's change asks for. */
enum err_code tracker_apply(struct tracker *tracker, raft_index last_index,
                            const struct raft_conf_change *change, struct err *err)
{
    bool joint = change->transition != RAFT_TRANSITION_AUTO || change->count > 1;
    if (joint)
        return tracker_enter_joint(tracker, last_index,
                                   change->transition != RAFT_TRANSITION_JOINT_EXPLICIT,
                                   change->changes, change->count, err);
    if (change->count == 0)
        return tracker_leave_joint(tracker, err);
    return tracker_simple(tracker, last_index, change->changes, change->count, err);
}

static bool uses_ring(const struct tracker *tracker, const struct inflight *ring)
{
    for (size_t i = 0; i < tracker->count; i++)
        if (tracker->progress[i].inflights.ring == ring)
            return true;
    return false;
}

static void replace_tracker(struct raft *raft, const struct tracker *tracker)
{
    for (size_t i = 0; i < raft->tracker.count; i++) {
        struct inflight *ring = raft->tracker.progress[i].inflights.ring;
        if (ring && !uses_ring(tracker, ring))
            mem_free(raft->config.mem, ring);
    }
    raft->tracker = *tracker;
}

static void probe_all(struct raft *raft)
{
    for (size_t i = 0; i < raft->tracker.count; i++)
        if (raft->tracker.progress[i].id != raft->config.id)
            raft_maybe_send_append(raft, &raft->tracker.progress[i], false);
}

void raft_switch_to(struct raft *raft, const struct tracker *tracker)
{
    replace_tracker(raft, tracker);
    const struct raft_conf_state *config = &raft->tracker.config;
    TRACE(raft->config.trace,
          "raft id=%" PRIu64 " configuration voters=%zu outgoing=%zu learners=%zu", raft->config.id,
          config->voters.count, config->voters_outgoing.count, config->learners.count);
    const struct progress *self = raft_progress(raft, raft->config.id);
    if (raft->role != RAFT_LEADER)
        return;
    if (!self || self->learner) {
        /* It goes on leading without counting itself (thesis 4.2.2) until it is followed by
         * another, unless it is to give way now. */
        if (raft->config.step_down_on_removal)
            raft_become_follower(raft, raft->term, RAFT_NOBODY);
        return;
    }
    /* A smaller quorum may have more; new members must not wait for the next heartbeat. */
    if (raft_maybe_commit(raft))
        raft_broadcast_append(raft);
    else
        probe_all(raft);
    if (!config_has_voter(config, raft->transferee))
        raft->transferee = RAFT_NOBODY;
}
