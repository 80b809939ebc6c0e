#include "cluster/leases.h"

#include <inttypes.h>

#define ROUND_PATIENCE_NS (500 * NS_PER_MS)     /* then it is asked again, with a new context */
#define RETRY_NS (HEARTBEAT_DEFAULT_MS * NS_PER_MS)
#define CONTEXT_SIZE 17                         /* the reads' have another size */

static_assert(ELECTION_DEFAULT_MS * NS_PER_MS >= 2 * ACTIVE_GAP_NS,
              "a leader notices its silence before a follower stops waiting");

/* ---- the rule ---- */

void activity_init(struct activity *activity, int64_t now_ns)
{
    *activity = (struct activity){.noted_ns = now_ns, .epoch = 1};
}

void activity_void(struct activity *activity)
{
    activity->epoch++;
}

void activity_note(struct activity *activity, int64_t now_ns)
{
    if (now_ns - activity->noted_ns > ACTIVE_GAP_NS)
        activity_void(activity);
    activity->noted_ns = now_ns;
}

void activity_confirm(struct activity *activity, uint64_t epoch)
{
    CHECK(epoch <= activity->epoch && epoch >= activity->proven);
    activity->proven = epoch;
}

bool activity_is_proven(const struct activity *activity)
{
    return activity->proven == activity->epoch;
}

/* ---- life ---- */

void leases_init(struct leases *leases, struct raft *raft, struct proposer *proposer,
                 struct clock *clock, uint64_t seed, struct trace *trace)
{
    *leases = (struct leases){.lessor = lessor_new(), .raft = raft, .proposer = proposer,
                              .clock = clock, .trace = trace};
    rand_init(&leases->rand, seed);
    activity_init(&leases->activity, clock_monotonic_ns(clock));
}

void leases_release(struct leases *leases)
{
    lessor_free(leases->lessor);
    blob_unref(leases->round);
}

enum err_code leases_load(struct leases *leases, struct store *store, struct err *err)
{
    leases->store = store;
    return store_lease_load(store, leases->lessor, clock_monotonic_ns(leases->clock), err);
}

/* ---- the role ---- */

static void round_drop(struct leases *leases)
{
    blob_unref(leases->round);
    leases->round = NULL;
    leases->retry_ns = 0;
}

static void promote(struct leases *leases, int64_t now_ns)
{
    struct store_settings settings;
    store_settings_get(leases->store, &settings);
    leases->term = raft_current_term(leases->raft);
    activity_void(&leases->activity);
    lessor_promote(leases->lessor, now_ns, (int64_t)settings.election_ms * NS_PER_MS);
    TRACE(leases->trace, "leases promote term=%" PRIu64 " count=%zu", leases->term,
          lessor_count(leases->lessor));
}

/* A term of its own for each promotion: a leader may lose its term and win the next within one turn. */
static void follow_role(struct leases *leases, int64_t now_ns)
{
    bool leads = raft_role(leases->raft) == RAFT_LEADER;
    bool is_promoted = lessor_is_promoted(leases->lessor);
    if (leads && (!is_promoted || leases->term != raft_current_term(leases->raft))) {
        promote(leases, now_ns);
    } else if (!leads && is_promoted) {
        activity_void(&leases->activity);
        lessor_demote(leases->lessor);
        TRACE(leases->trace, "leases demote");
    }
    if (leases->round && leases->round_epoch != leases->activity.epoch)
        round_drop(leases);
}

/* ---- expiring ---- */

static bool refused(enum err_code code) { return code == ERR_NO_LEADER || code == ERR_BUSY; }

static enum err_code ask(struct leases *leases, int64_t now_ns)
{
    round_drop(leases);
    struct blob *context = blob_new(CONTEXT_SIZE);
    context->data[0] = 'l';
    put_le64(context->data + 1, rand_u64(&leases->rand));
    put_le64(context->data + 9, rand_u64(&leases->rand));
    enum err_code code = raft_read_index(leases->raft, context);
    if (code) {
        blob_unref(context);
        leases->retry_ns = now_ns + RETRY_NS;
        return refused(code) ? ERR_OK : code;
    }
    TRACE(leases->trace, "leases round epoch=%" PRIu64, leases->activity.epoch);
    leases->round = context;
    leases->round_epoch = leases->activity.epoch;
    leases->retry_ns = now_ns + ROUND_PATIENCE_NS;
    return ERR_OK;
}

void leases_read_state(struct leases *leases, const struct raft_read_state *state, int64_t now_ns)
{
    activity_note(&leases->activity, now_ns);
    if (!leases->round || !bytes_equal(blob_bytes(leases->round), blob_bytes(state->context)))
        return;
    activity_confirm(&leases->activity, leases->round_epoch);
    round_drop(leases);
}

static enum err_code propose(struct leases *leases, const struct lease_change *due)
{
    struct entry_request request = {.kind = ENTRY_LEASE_EXPIRE,
                                    .lease.id = due->id,
                                    .lease_renewed = due->renewed};
    TRACE(leases->trace, "leases expire id=%" PRId64 " renewed=%" PRIu64, due->id, due->renewed);
    return proposer_propose_own(leases->proposer, leases->raft, &request,
                                clock_wall_ns(leases->clock));
}

static enum err_code propose_due(struct leases *leases, int64_t now_ns)
{
    struct lease_change due;
    while (lessor_due(leases->lessor, now_ns, &due)) {
        enum err_code code = propose(leases, &due);
        if (code) {
            lessor_put_back(leases->lessor, due.id);
            leases->retry_ns = now_ns + RETRY_NS;
            return refused(code) ? ERR_OK : code;
        }
    }
    return ERR_OK;
}

enum err_code leases_turn(struct leases *leases, int64_t now_ns, bool may_propose)
{
    activity_note(&leases->activity, now_ns);
    follow_role(leases, now_ns);
    if (now_ns < leases_next_ns(leases))
        return ERR_OK;
    if (!may_propose) {
        leases->retry_ns = now_ns + RETRY_NS;
        return ERR_OK;
    }
    return activity_is_proven(&leases->activity) ? propose_due(leases, now_ns)
                                                 : ask(leases, now_ns);
}

int64_t leases_next_ns(const struct leases *leases)
{
    int64_t due = lessor_next_ns(leases->lessor);
    return due < leases->retry_ns ? leases->retry_ns : due;
}

void leases_fill(const struct leases *leases, int64_t now_ns, struct kv_lease_result *lease)
{
    int64_t remaining_ns;
    if (lessor_remaining_ns(leases->lessor, lease->id, now_ns, &remaining_ns))
        lease->ttl_s = remaining_ns / NS_PER_S;
}
