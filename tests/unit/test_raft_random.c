/* A small cluster under a random schedule: ticks, deliveries, losses, duplicates, crashes,
 * compaction, configuration changes, transfers and reads, in both storage modes. Every run comes
 * from a seed, and each is checked for the paper's figure 3: one leader per term, logs that match,
 * what is committed stays, equal state; and for reads, that none is older than what was committed
 * when it was asked. In the end everything is healed and must make progress. */
#include "tests/test.h"

#include <inttypes.h>

#include "cluster/raft/print.h"
#include "cluster/raft/raft.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"
#include "tests/script/raft_storage.h"

#define NODES 5
#define NETWORK_MAX 2000
#define TERMS_MAX 4000
#define INDEXES_MAX 20000
#define READS_MAX 4000

struct member {
    struct raft *raft;
    struct raft_config config;
    struct raft_storage storage;
    struct raft_message *append_work[NETWORK_MAX], *apply_work[NETWORK_MAX];
    size_t append_count, apply_count;
    raft_index applied;        /* by the state machine, which keeps everything in memory */
    uint64_t state;            /* hash of all that was applied */
    raft_index snapshot_index; /* as state was at the base of the log */
    uint64_t snapshot_state;
    struct raft_conf_state snapshot_config;
};

struct cluster {
    struct mem mem;
    struct rand rand;
    struct member members[NODES];
    struct raft_message *network[NETWORK_MAX];
    size_t network_count;
    raft_id leader_of[TERMS_MAX];
    raft_term term_at[INDEXES_MAX]; /* of what was applied; 0 unknown */
    uint64_t state_at[INDEXES_MAX];
    raft_index read_floor[READS_MAX]; /* what was committed when it was asked */
    uint64_t read_count, reads_answered, applied_count;
};

static uint64_t mix(uint64_t state, uint64_t value)
{
    state ^= value + 0x9e3779b97f4a7c15u + (state << 6) + (state >> 2);
    return state * 0xff51afd7ed558ccdu;
}

/* --- life ------------------------------------------------------------------------------------- */

static void start(struct cluster *cluster, struct member *member)
{
    struct err err = {0};
    struct hard_state *hard = &member->storage.hard;
    member->storage.initial = member->snapshot_config;
    member->applied = member->snapshot_index;
    member->state = member->snapshot_state;
    member->config.applied = member->snapshot_index;
    member->config.seed = rand_u64(&cluster->rand);
    if (hard->term > 0 && hard->commit < member->applied)
        hard->commit = member->applied;
    if (raft_new(&member->config, &member->raft, &err))
        fail_msg("%s", err.text);
}

static void init(struct cluster *cluster, uint64_t seed)
{
    rand_init(&cluster->rand, seed);
    struct raft_config config = {
        .election_tick = 10,
        .heartbeat_tick = 1 + (uint32_t)rand_below(&cluster->rand, 3),
        .mem = &cluster->mem,
        .async_storage_writes = rand_chance(&cluster->rand, 2, 3),
        .max_size_per_message = rand_chance(&cluster->rand, 1, 2) ? 64 : RAFT_NO_LIMIT,
        .max_committed_size_per_ready = rand_chance(&cluster->rand, 1, 2) ? 64 : 0,
        .max_inflight_messages = 1 + (size_t)rand_below(&cluster->rand, 8),
        .check_quorum = rand_chance(&cluster->rand, 1, 2),
        .pre_vote = rand_chance(&cluster->rand, 1, 2),
        .commit_in_votes = rand_chance(&cluster->rand, 1, 2),
        .step_down_on_removal = rand_chance(&cluster->rand, 1, 2),
    };
    for (size_t i = 0; i < NODES; i++) {
        struct member *member = &cluster->members[i];
        raft_storage_init(&member->storage);
        member->config = config;
        member->config.id = i + 1;
        member->config.log = &member->storage.view;
        for (raft_id id = 1; id <= 3; id++)
            CHECK(raft_id_set_add(&member->snapshot_config.voters, id));
        start(cluster, member);
    }
}

static void drop_work(struct cluster *cluster, struct member *member)
{
    while (member->append_count > 0)
        raft_message_free(&cluster->mem, member->append_work[--member->append_count]);
    while (member->apply_count > 0)
        raft_message_free(&cluster->mem, member->apply_work[--member->apply_count]);
}

static void release(struct cluster *cluster)
{
    for (size_t i = 0; i < NODES; i++) {
        raft_free(cluster->members[i].raft);
        drop_work(cluster, &cluster->members[i]);
        raft_storage_release(&cluster->members[i].storage);
    }
    while (cluster->network_count > 0)
        raft_message_free(&cluster->mem, cluster->network[--cluster->network_count]);
    assert_int_equal(cluster->mem.live, 0);
    free(cluster);
}

static void crash(struct cluster *cluster, struct member *member)
{
    drop_work(cluster, member);
    raft_free(member->raft);
    member->raft = NULL;
    start(cluster, member);
}

/* --- checks ----------------------------------------------------------------------------------- */

static void check_leader(struct cluster *cluster, struct member *member)
{
    raft_term term = raft_current_term(member->raft);
    assert_in_range(term, 0, TERMS_MAX - 1);
    if (raft_role(member->raft) != RAFT_LEADER)
        return;
    if (cluster->leader_of[term] == 0)
        cluster->leader_of[term] = member->config.id;
    assert_int_equal(cluster->leader_of[term], member->config.id);
}

static void check_applied(struct cluster *cluster, struct member *member, const struct entry *entry)
{
    assert_int_equal(entry->index, member->applied + 1);
    assert_in_range(entry->index, 1, INDEXES_MAX - 1);
    struct bytes payload = blob_bytes(entry->payload);
    member->applied = entry->index;
    member->state = mix(member->state, entry->term);
    for (size_t i = 0; i < payload.size; i++)
        member->state = mix(member->state, payload.data[i]);
    if (cluster->term_at[entry->index] == 0) {
        cluster->term_at[entry->index] = entry->term;
        cluster->state_at[entry->index] = member->state;
        cluster->applied_count++;
    }
    assert_int_equal(cluster->term_at[entry->index], entry->term);
    assert_int_equal(cluster->state_at[entry->index], member->state);
}

/* What anyone knows to be committed is. */
static raft_index known_committed(struct cluster *cluster)
{
    raft_index index = 0;
    for (size_t i = 0; i < NODES; i++)
        if (raft_committed(cluster->members[i].raft) > index)
            index = raft_committed(cluster->members[i].raft);
    return index;
}

static void check_read(struct cluster *cluster, const struct raft_read_state *read)
{
    uint64_t number = get_le64(read->context->data);
    assert_in_range(number, 0, cluster->read_count);
    assert_true(read->index >= cluster->read_floor[number]);
    cluster->reads_answered++;
}

/* --- storage ---------------------------------------------------------------------------------- */

static void install(struct member *member, const struct raft_snapshot *snapshot)
{
    member->applied = member->snapshot_index = snapshot->mark.index;
    member->state = member->snapshot_state = get_le64(snapshot->data->data);
    assert_ok(
        raft_conf_state_decode(blob_bytes(snapshot->mark.configuration), &member->snapshot_config));
    raft_storage_offer(&member->storage, snapshot);
}

static void apply(struct cluster *cluster, struct member *member, const struct entry *entries,
                  size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct raft_conf_change change;
        check_applied(cluster, member, &entries[i]);
        if (entries[i].type == ENTRY_NORMAL)
            continue;
        assert_ok(raft_conf_change_decode(&entries[i], &change));
        enum err_code code = raft_apply_conf_change(member->raft, &change, NULL, NULL);
        assert_true(code == ERR_OK || code == ERR_INVALID);
    }
}

/* Everything applied goes out of the log; a snapshot of the state takes its place. */
static void compact(struct member *member)
{
    struct raft_conf_state state;
    if (member->applied <= member->storage.base.index)
        return;
    raft_storage_compact(&member->storage, member->applied);
    raft_configuration(member->raft, &state);
    struct raft_snapshot snapshot = {
        {member->applied, member->storage.base.term, raft_storage_encode(&state)},
        blob_new(8),
    };
    put_le64(snapshot.data->data, member->state);
    install(member, &snapshot);
    blob_unref(snapshot.mark.configuration);
    blob_unref(snapshot.data);
}

/* --- the network ------------------------------------------------------------------------------ */

static void post(struct cluster *cluster, const struct raft_message *message)
{
    if (cluster->network_count < NETWORK_MAX)
        cluster->network[cluster->network_count++] = raft_message_clone(&cluster->mem, message);
}

static struct raft_message *take(struct raft_message **list, size_t *count, size_t place)
{
    struct raft_message *message = list[place];
    memmove(list + place, list + place + 1, (--*count - place) * sizeof(*list));
    return message;
}

static void step(struct cluster *cluster, const struct raft_message *message)
{
    struct member *member = &cluster->members[message->to - 1];
    enum err_code code = raft_step(member->raft, message);
    assert_true(code == ERR_OK || code == ERR_NOT_FOUND || code == ERR_NO_LEADER ||
                code == ERR_BUSY);
    raft_validate(member->raft);
    check_leader(cluster, member);
}

static void report_snapshot(struct cluster *cluster, const struct raft_message *message, bool lost)
{
    if (message->type == RAFT_MSG_SNAP)
        assert_ok(
            raft_report_snapshot(cluster->members[message->from - 1].raft, message->to, lost));
}

static void deliver(struct cluster *cluster, bool lose)
{
    if (cluster->network_count == 0)
        return;
    size_t place = rand_chance(&cluster->rand, 3, 4)
                       ? 0
                       : (size_t)rand_below(&cluster->rand, cluster->network_count);
    struct raft_message *message = take(cluster->network, &cluster->network_count, place);
    if (!lose)
        step(cluster, message);
    if (!lose && rand_chance(&cluster->rand, 1, 30))
        post(cluster, message);
    report_snapshot(cluster, message, lose);
    raft_message_free(&cluster->mem, message);
}

/* --- a ready ---------------------------------------------------------------------------------- */

static void send(struct cluster *cluster, struct member *member, const struct raft_message *message)
{
    if (message->to == RAFT_APPEND_THREAD)
        member->append_work[member->append_count++] = raft_message_clone(&cluster->mem, message);
    else if (message->to == RAFT_APPLY_THREAD)
        member->apply_work[member->apply_count++] = raft_message_clone(&cluster->mem, message);
    else
        post(cluster, message);
}

static void persist(struct member *member, const struct raft_ready *ready)
{
    if (ready->snapshot) {
        raft_storage_install(&member->storage, ready->snapshot);
        install(member, ready->snapshot);
    }
    raft_storage_append(&member->storage, ready->entries, ready->entry_count);
    if (ready->has_hard_state)
        member->storage.hard = ready->hard_state;
}

static void handle_ready(struct cluster *cluster, struct member *member)
{
    struct raft_ready ready;
    if (!raft_has_ready(member->raft))
        return;
    assert_ok(raft_ready(member->raft, &ready));
    for (size_t i = 0; i < ready.message_count; i++)
        send(cluster, member, &ready.messages[i]);
    for (size_t i = 0; i < ready.read_state_count; i++)
        check_read(cluster, &ready.read_states[i]);
    if (member->config.async_storage_writes)
        return;
    if (rand_chance(&cluster->rand, 1, 200)) {
        crash(cluster, member); /* nothing of it was kept, nothing that waits for it was sent */
        return;
    }
    persist(member, &ready);
    for (size_t i = 0; i < ready.messages_after_count; i++)
        send(cluster, member, &ready.messages_after[i]);
    apply(cluster, member, ready.committed, ready.committed_count);
    assert_ok(raft_advance(member->raft));
    check_leader(cluster, member);
}

static void answer(struct cluster *cluster, struct raft_message *message)
{
    for (size_t i = 0; i < message->response_count; i++) {
        if (message->responses[i].to == message->from)
            step(cluster, &message->responses[i]);
        else
            post(cluster, &message->responses[i]);
    }
    raft_message_free(&cluster->mem, message);
}

static void work_append(struct cluster *cluster, struct member *member)
{
    if (member->append_count == 0)
        return;
    struct raft_message *message = take(member->append_work, &member->append_count, 0);
    if (message->snapshot && member->apply_count > 0) {
        /* Applying what came before would not fit on what is installed. */
        memmove(member->append_work + 1, member->append_work,
                member->append_count++ * sizeof(message));
        member->append_work[0] = message;
        return;
    }
    raft_storage_write(&member->storage, message);
    if (message->snapshot)
        install(member, message->snapshot);
    answer(cluster, message);
}

static void work_apply(struct cluster *cluster, struct member *member)
{
    if (member->apply_count == 0)
        return;
    struct raft_message *message = take(member->apply_work, &member->apply_count, 0);
    for (size_t i = 0; i < message->entry_count; i++) {
        raft_term term = 0; /* what is applied is durable in the local log */
        assert_ok(
            member->storage.view.term(&member->storage.view, message->entries[i].index, &term));
        assert_int_equal(term, message->entries[i].term);
    }
    apply(cluster, member, message->entries, message->entry_count);
    answer(cluster, message);
}

/* --- the schedule ----------------------------------------------------------------------------- */

static void propose(struct cluster *cluster, struct member *member)
{
    uint8_t number[8];
    put_le64(number, rand_u64(&cluster->rand));
    struct entry entry = {.payload = blob_copy(bytes_of(number, 8))};
    enum err_code code = raft_propose(member->raft, &entry, 1);
    assert_true(code == ERR_OK || code == ERR_NO_LEADER || code == ERR_BUSY);
    blob_unref(entry.payload);
}

/* 1 and 2 always vote, and a change takes at most one other's vote: whoever is removed may have the
 * longest log, and as configurations hold from when they are applied, members that do not know yet
 * that a change is committed would need its vote, which it refuses. */
static void propose_change(struct cluster *cluster, struct member *member)
{
    bool taken = false;
    struct raft_conf_change change = {
        .transition = (enum raft_transition)rand_below(&cluster->rand, 3),
        .count = (size_t)rand_below(&cluster->rand, 4),
    };
    for (size_t i = 0; i < change.count; i++) {
        change.changes[i].type = (enum raft_change_type)rand_below(&cluster->rand, 4);
        change.changes[i].id = 3 + rand_below(&cluster->rand, NODES - 2);
        bool takes = change.changes[i].type == RAFT_CHANGE_REMOVE ||
                     change.changes[i].type == RAFT_CHANGE_ADD_LEARNER;
        if (takes && taken)
            change.changes[i].type = RAFT_CHANGE_UPDATE;
        taken |= takes;
    }
    /* A change without changes that is not meant to leave would be joint with itself. */
    if (change.count == 0)
        change.transition = RAFT_TRANSITION_AUTO;
    enum err_code code = raft_propose_conf_change(member->raft, &change, false);
    assert_true(code == ERR_OK || code == ERR_NO_LEADER || code == ERR_BUSY);
}

static void read_index(struct cluster *cluster, struct member *member)
{
    if (cluster->read_count + 1 == READS_MAX)
        return;
    struct blob *context = blob_new(8);
    put_le64(context->data, cluster->read_count);
    cluster->read_floor[cluster->read_count++] = known_committed(cluster);
    assert_ok(raft_read_index(member->raft, context));
    blob_unref(context);
}

static void act(struct cluster *cluster)
{
    struct member *member = &cluster->members[rand_below(&cluster->rand, NODES)];
    uint64_t dice = rand_below(&cluster->rand, 1000);
    if (dice < 200)
        assert_ok(raft_tick(member->raft));
    else if (dice < 450)
        deliver(cluster, false);
    else if (dice < 470)
        deliver(cluster, true);
    else if (dice < 700)
        handle_ready(cluster, member);
    else if (dice < 800)
        work_append(cluster, member);
    else if (dice < 900)
        work_apply(cluster, member);
    else if (dice < 950)
        propose(cluster, member);
    else if (dice < 965)
        read_index(cluster, member);
    else if (dice < 970)
        propose_change(cluster, member);
    else if (dice < 975)
        crash(cluster, member);
    else if (dice < 980)
        compact(member);
    else if (dice < 985)
        assert_ok(raft_transfer_leader(member->raft, 1 + rand_below(&cluster->rand, NODES)));
    else if (dice < 990)
        assert_ok(raft_report_unreachable(member->raft, 1 + rand_below(&cluster->rand, NODES)));
    else if (dice < 993)
        assert_ok(raft_forget_leader(member->raft));
    else if (dice < 995)
        assert_ok(raft_step_down(member->raft));
    else
        assert_ok(raft_campaign(member->raft));
    raft_validate(member->raft);
    check_leader(cluster, member);
}

/* Without step_down_on_removal a leader that removed itself leads on and takes no proposals;
 * whoever runs it stops it. */
static bool leads_as_stranger(const struct member *member)
{
    struct raft_conf_state state;
    raft_configuration(member->raft, &state);
    return raft_role(member->raft) == RAFT_LEADER &&
           !raft_id_set_contains(&state.voters, member->config.id) &&
           !raft_id_set_contains(&state.voters_outgoing, member->config.id);
}

static void describe(struct cluster *cluster)
{
    struct buf buf = {0};
    for (size_t i = 0; i < NODES; i++) {
        struct raft_status status;
        raft_status(cluster->members[i].raft, &status);
        buf_append_format(&buf, "%zu: ", i + 1);
        raft_print_hard_state(&buf, &status.hard_state);
        buf_append_format(&buf, " ");
        raft_print_soft_state(&buf, &status.soft_state);
        buf_append_format(&buf, " applied=%" PRIu64 " log=%" PRIu64 "..%" PRIu64 " ",
                          status.applied, status.first_index, status.last_index);
        raft_print_configuration(&buf, &status.configuration);
        for (size_t j = 0; j < status.progress_count; j++) {
            buf_append_format(&buf, "\n    %" PRIu64 ": ", status.progress[j].id);
            raft_print_progress(&buf, &status.progress[j]);
        }
        buf_append_format(&buf, "\n");
    }
    print_message("%.*s", (int)buf.size, (const char *)buf.data);
    buf_release(&buf);
}

/* Everything works and nothing is lost. Snapshots that were lost before must have been reported. */
static void heal(struct cluster *cluster)
{
    uint64_t before = cluster->applied_count;
    for (size_t round = 0; round < 600; round++) {
        for (size_t i = 0; i < NODES; i++) {
            struct member *member = &cluster->members[i];
            assert_ok(raft_tick(member->raft));
            handle_ready(cluster, member);
            while (member->append_count > 0 && member->apply_count == 0)
                work_append(cluster, member);
            while (member->apply_count > 0)
                work_apply(cluster, member);
            if (raft_role(member->raft) == RAFT_LEADER && round % 20 == 0)
                propose(cluster, member);
            if (round % 100 == 99 && leads_as_stranger(member))
                crash(cluster, member);
            /* A snapshot from before a member was added does not help it. */
            if (round % 40 == 39)
                compact(member);
        }
        for (size_t count = cluster->network_count; count > 0; count--)
            deliver(cluster, false);
        /* A joint configuration that was to be left by hand. */
        for (size_t i = 0; i < NODES && round % 50 == 25; i++) {
            struct raft_conf_change leave = {0};
            enum err_code code = raft_propose_conf_change(cluster->members[i].raft, &leave, false);
            assert_true(code == ERR_OK || code == ERR_NO_LEADER || code == ERR_BUSY);
        }
    }
    if (cluster->applied_count <= before) {
        describe(cluster);
        fail_msg("no progress after healing");
    }
}

static void run(uint64_t seed, size_t steps)
{
    struct cluster *cluster = mem_xzalloc(sizeof(*cluster));
    init(cluster, seed);
    for (size_t i = 0; i < steps; i++)
        act(cluster);
    heal(cluster);
    print_message("seed %" PRIu64 ": %" PRIu64 " entries, %" PRIu64 " of %" PRIu64 " reads\n", seed,
                  cluster->applied_count, cluster->reads_answered, cluster->read_count);
    if (cluster->applied_count < 10)
        fail_msg("seed %" PRIu64 ": only %" PRIu64 " entries were applied", seed,
                 cluster->applied_count);
    release(cluster);
}

static void test_random_schedules(void **state)
{
    (void)state;
    const char *only = getenv("RAFT_SEED"), *count = getenv("RAFT_SEEDS");
    if (only) {
        run(strtoull(only, NULL, 10), 8000);
        return;
    }
    for (uint64_t seed = 1; seed <= (count ? strtoull(count, NULL, 10) : 60); seed++) {
        run(seed, 8000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
