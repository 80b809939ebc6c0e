/* The contract of raft.h where no conversation shows it: what is refused, and what is only passed
 * over; copies of messages; looking in. */
#include "tests/unit/raft_fixture.h"

/* --- a start ---------------------------------------------------------------------------------- */

static void refuse(struct fixture *fixture, const char *text)
{
    struct err err = {0};
    struct raft *raft = NULL;
    assert_err(raft_new(&fixture->config, &raft, &err), INVALID);
    assert_non_null(strstr(err.text, text));
    assert_null(raft);
    assert_err(raft_new(&fixture->config, &raft, NULL), INVALID);
}

static void test_bad_config(void **state)
{
    struct fixture *fixture = *state;
    const struct raft_config good = fixture->config;
    fixture->config.id = 0;
    refuse(fixture, "id");
    fixture->config.id = RAFT_APPEND_THREAD;
    refuse(fixture, "id");
    fixture->config.id = RAFT_APPLY_THREAD;
    refuse(fixture, "id");
    fixture->config = good;
    fixture->config.heartbeat_tick = 0;
    refuse(fixture, "heartbeat");
    fixture->config.heartbeat_tick = 10;
    refuse(fixture, "election");
    fixture->config = good;
    fixture->config.max_inflight_messages = 0;
    refuse(fixture, "inflight messages");
    fixture->config = good;
    fixture->config.max_inflight_bytes = 1000;
    refuse(fixture, "inflight bytes");
    fixture->config = good;
    fixture->config.read_only = RAFT_READ_LEASE_BASED;
    refuse(fixture, "lease");
}

static void test_bad_stored_state(void **state)
{
    struct fixture *fixture = *state;
    fixture->storage.base = (struct entry_base){1, 10};
    fixture->storage.hard = (struct hard_state){1, 0, 9};
    refuse(fixture, "commit 9");
    fixture->storage.hard.commit = 11;
    refuse(fixture, "commit 11");
    fixture->storage.hard.commit = 10;
    fixture->config.applied = 9;
    refuse(fixture, "applied 9");
    fixture->config.applied = 11;
    refuse(fixture, "applied 11");
    fixture->config.applied = 10;
    start(fixture);
    assert_int_equal(raft_applied(fixture->raft), 10);
}

static void test_bad_stored_configuration(void **state)
{
    struct fixture *fixture = *state;
    struct raft_conf_state *initial = &fixture->storage.initial;
    const struct raft_conf_state good = *initial;
    initial->learners = (struct raft_id_set){1, {1}};
    refuse(fixture, "both voter and learner");
    *initial = good;
    initial->learners_next = (struct raft_id_set){1, {1}};
    refuse(fixture, "no outgoing voter");
    initial->voters_outgoing = (struct raft_id_set){1, {1}};
    refuse(fixture, "an incoming voter");
    *initial = good;
    initial->auto_leave = true;
    refuse(fixture, "auto-leave");
    *initial = (struct raft_conf_state){.voters_outgoing = {1, {1}}};
    refuse(fixture, "without incoming voters");
    *initial = good;
    for (raft_id id = 100; initial->voters_outgoing.count < RAFT_MEMBERS_MAX; id++)
        assert_true(raft_id_set_add(&initial->voters_outgoing, id));
    refuse(fixture, "more than 64");
    initial->voters_outgoing.count = 0;
    for (raft_id id = 100; initial->learners.count < RAFT_MEMBERS_MAX; id++)
        assert_true(raft_id_set_add(&initial->learners, id));
    refuse(fixture, "more than 64");
}

/* --- messages that no correct peer sends ------------------------------------------------------ */

static void reject(struct fixture *fixture, struct raft_message message)
{
    raft_term term = raft_current_term(fixture->raft);
    message.to = 1;
    assert_err(raft_step(fixture->raft, &message), INVALID);
    assert_int_equal(raft_current_term(fixture->raft), term);
    assert_false(raft_has_ready(fixture->raft));
}

static void test_unsound_messages(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    for (int type = 0; type <= RAFT_MSG_TYPE_COUNT; type++)
        if (raft_message_is_local((enum raft_message_type)type))
            reject(fixture, (struct raft_message){
                                .type = (enum raft_message_type)type, .from = 2, .term = 1});
    reject(fixture, (struct raft_message){.type = RAFT_MSG_TYPE_COUNT, .from = 2, .term = 1});
    reject(fixture, (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 2});
    reject(fixture, (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 0, .term = 1});
    reject(fixture, (struct raft_message){.type = RAFT_MSG_VOTE, .from = 2, .term = UINT64_MAX});
    reject(fixture,
           (struct raft_message){.type = RAFT_MSG_FORGET_LEADER, .from = 2, .term = UINT64_MAX});
    reject(fixture, (struct raft_message){.type = RAFT_MSG_PROP, .from = 2});
    reject(fixture, (struct raft_message){.type = RAFT_MSG_PROP, .from = 2, .term = 1});
    reject(fixture, (struct raft_message){.type = RAFT_MSG_READ_INDEX, .from = 2});
    reject(fixture, (struct raft_message){.type = RAFT_MSG_READ_INDEX, .from = 2, .term = 1});
    reject(fixture, (struct raft_message){.type = RAFT_MSG_READ_INDEX_RESP, .from = 2, .term = 1});
    reject(fixture, (struct raft_message){.type = RAFT_MSG_READ_INDEX_RESP, .from = 2});
    reject(fixture, (struct raft_message){.type = RAFT_MSG_SNAP, .from = 2, .term = 1});
    reject(fixture, (struct raft_message){.type = RAFT_MSG_SNAP, .from = 2});
    for (int type = 0; type < RAFT_MSG_TYPE_COUNT; type++)
        if (!raft_message_may_be_own((enum raft_message_type)type))
            reject(fixture, (struct raft_message){
                                .type = (enum raft_message_type)type, .from = 1, .term = 1});
    struct raft_message stranger = {.type = RAFT_MSG_APP_RESP, .from = 9, .to = 1, .term = 1};
    assert_err(raft_step(fixture->raft, &stranger), NOT_FOUND);
}

static void reject_entries(struct fixture *fixture, raft_index index, raft_term log_term,
                           struct entry first, struct entry second)
{
    struct entry entries[] = {first, second};
    reject(fixture, (struct raft_message){.type = RAFT_MSG_APP,
                                          .from = 2,
                                          .term = 5,
                                          .index = index,
                                          .log_term = log_term,
                                          .entries = entries,
                                          .entry_count = 2});
}

static void test_unsound_appends(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    reject_entries(fixture, 0, 0, (struct entry){1, 2, 0, NULL}, (struct entry){1, 3, 0, NULL});
    reject_entries(fixture, 0, 0, (struct entry){1, 1, 0, NULL}, (struct entry){1, 3, 0, NULL});
    reject_entries(fixture, 0, 0, (struct entry){2, 1, 0, NULL}, (struct entry){1, 2, 0, NULL});
    reject_entries(fixture, 0, 0, (struct entry){2, 1, 0, NULL}, (struct entry){6, 2, 0, NULL});
    reject_entries(fixture, 4, 3, (struct entry){2, 5, 0, NULL}, (struct entry){2, 6, 0, NULL});
    reject_entries(fixture, 0, 0, (struct entry){1, 1, 3, NULL}, (struct entry){1, 2, 0, NULL});
    reject_entries(fixture, UINT64_MAX - 2, 0, (struct entry){1, UINT64_MAX - 1, 0, NULL},
                   (struct entry){1, UINT64_MAX, 0, NULL});
    reject(fixture, (struct raft_message){.type = RAFT_MSG_APP, .from = 2});
}

static void test_unsound_snapshots(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    struct raft_snapshot snapshot = {{UINT64_MAX - 1, 1, NULL}, NULL};
    struct raft_message message = {
        .type = RAFT_MSG_SNAP, .from = 2, .to = 1, .term = 1, .snapshot = &snapshot};
    reject(fixture, message);
    snapshot.mark = (struct snapshot_mark){5, 2, NULL};
    reject(fixture, message);
    /* Its configuration cannot be read, or makes no sense: found when it would be installed. */
    snapshot.mark = (struct snapshot_mark){5, 1, blob_copy(BYTES_LITERAL("\x08"))};
    assert_err(raft_step(fixture->raft, &message), INVALID);
    blob_unref(snapshot.mark.configuration);
    snapshot.mark.configuration = blob_copy(BYTES_LITERAL("\x08\x01\x10\x01"));
    assert_err(raft_step(fixture->raft, &message), INVALID);
    blob_unref(snapshot.mark.configuration);
    assert_int_equal(raft_committed(fixture->raft), 0);
    /* This member is not named in it: passed over, and answered. */
    snapshot.mark.configuration = blob_copy(BYTES_LITERAL("\x08\x02"));
    assert_ok(raft_step(fixture->raft, &message));
    assert_int_equal(raft_committed(fixture->raft), 0);
    blob_unref(snapshot.mark.configuration);
}

/* The leader knows that this member had entry 3. */
static void test_lost_entries(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    struct entry entries[] = {{1, 1, ENTRY_NORMAL, NULL}, {1, 2, ENTRY_NORMAL, NULL}};
    struct raft_message append = {.type = RAFT_MSG_APP,
                                  .from = 2,
                                  .to = 1,
                                  .term = 1,
                                  .entries = entries,
                                  .entry_count = 2,
                                  .commit = 2};
    assert_ok(raft_step(fixture->raft, &append));
    assert_int_equal(raft_committed(fixture->raft), 2);
    struct raft_message beat = {
        .type = RAFT_MSG_HEARTBEAT, .from = 2, .to = 1, .term = 1, .commit = 3};
    assert_err(raft_step(fixture->raft, &beat), CORRUPT);
    beat.commit = 2;
    assert_ok(raft_step(fixture->raft, &beat));
}

static void test_answers_beyond_the_log(void **state)
{
    struct fixture *fixture = *state;
    lead(fixture);
    struct raft_message ack = {
        .type = RAFT_MSG_APP_RESP, .from = 2, .to = 1, .term = 1, .index = 99};
    assert_err(raft_step(fixture->raft, &ack), INVALID);
    ack.reject = true;
    ack.index = ack.reject_hint = UINT64_MAX;
    assert_ok(raft_step(fixture->raft, &ack));
    ack.log_term = 1;
    assert_ok(raft_step(fixture->raft, &ack));
    ack.from = 1;   /* nobody rejects his own entries */
    assert_err(raft_step(fixture->raft, &ack), INVALID);
    struct raft_message heartbeat = {.type = RAFT_MSG_HEARTBEAT_RESP,
                                     .from = 2,
                                     .to = 1,
                                     .term = 1,
                                     .context = BYTES_LITERAL("\xff\xff\xff\xff\xff\xff\xff\xff")};
    assert_ok(raft_step(fixture->raft, &heartbeat));
    heartbeat.context = BYTES_LITERAL("short");
    assert_ok(raft_step(fixture->raft, &heartbeat));
    raft_validate(fixture->raft);
}

/* --- calls ------------------------------------------------------------------------------------ */

static void test_bad_proposals(void **state)
{
    struct fixture *fixture = *state;
    lead(fixture);
    struct entry entry = {.type = ENTRY_CONF_CHANGE, .payload = blob_copy(BYTES_LITERAL("\x10"))};
    assert_err(raft_propose(fixture->raft, &entry, 0), INVALID);
    assert_err(raft_propose(fixture->raft, &entry, 1), INVALID);
    entry.type = (enum entry_type)9;
    assert_err(raft_propose(fixture->raft, &entry, 1), INVALID);
    blob_unref(entry.payload);
    struct raft_conf_change change = {.count = 2};
    assert_err(raft_propose_conf_change(fixture->raft, &change, true), INVALID);
}

static void apply_refused(struct fixture *fixture, struct raft_conf_change change, const char *text)
{
    struct raft_conf_state before, after;
    struct err err = {0};
    raft_configuration(fixture->raft, &before);
    assert_err(raft_apply_conf_change(fixture->raft, &change, &after, &err), INVALID);
    assert_non_null(strstr(err.text, text));
    assert_true(raft_conf_state_equal(&before, &after));
    raft_validate(fixture->raft);
}

static void test_changes_that_make_no_sense(void **state)
{
    struct fixture *fixture = *state;
    lead(fixture);
    struct raft_conf_change change = {.count = 0};
    apply_refused(fixture, change, "leave a non-joint");
    change = (struct raft_conf_change){
        .count = 3,
        .changes = {{RAFT_CHANGE_REMOVE, 1}, {RAFT_CHANGE_REMOVE, 2}, {RAFT_CHANGE_REMOVE, 3}}};
    apply_refused(fixture, change, "removed all voters");
    change = (struct raft_conf_change){.count = 1, .changes = {{(enum raft_change_type)7, 1}}};
    apply_refused(fixture, change, "members");
    change.count = RAFT_CHANGES_MAX;
    for (size_t i = 0; i < RAFT_CHANGES_MAX; i++)
        change.changes[i] = (struct raft_change){RAFT_CHANGE_ADD_LEARNER, 100 + i};
    apply_refused(fixture, change, "more than 64");
    change.count = 60;
    assert_ok(raft_apply_conf_change(fixture->raft, &change, NULL, NULL));
    change.count = 2;
    apply_refused(fixture, change, "already joint");
    change.count = 1;
    apply_refused(fixture, change, "simple");
    raft_validate(fixture->raft);
}

/* When the uncommitted tail is over its bound only what is empty is taken: a leader must be able to
 * leave a joint configuration. */
static void test_empty_proposals_are_always_taken(void **state)
{
    struct fixture *fixture = *state;
    struct entry entry = {.payload = blob_copy(BYTES_LITERAL("longer than the bound"))};
    struct entry empty = {0};
    fixture->config.max_uncommitted_size = 8;
    lead(fixture);
    assert_ok(raft_propose(fixture->raft, &entry, 1));
    assert_err(raft_propose(fixture->raft, &entry, 1), BUSY);
    assert_ok(raft_propose(fixture->raft, &empty, 1));
    assert_err(raft_propose(fixture->raft, &entry, 1), BUSY);
    blob_unref(entry.payload);
}

static void test_reads_have_a_bound(void **state)
{
    struct fixture *fixture = *state;
    lead(fixture);
    struct blob *context = blob_copy(BYTES_LITERAL("r"));
    struct entry entry = {.payload = context};
    struct raft_message forwarded = {
        .type = RAFT_MSG_READ_INDEX, .from = 2, .to = 1, .entries = &entry, .entry_count = 1};
    for (size_t i = 0; i < RAFT_READS_MAX; i++)
        assert_ok(raft_read_index(fixture->raft, context));
    assert_err(raft_read_index(fixture->raft, context), BUSY);
    assert_ok(raft_step(fixture->raft, &forwarded));
    struct raft_message ack = {
        .type = RAFT_MSG_APP_RESP, .from = 2, .to = 1, .term = 1, .index = 1};
    assert_ok(raft_step(fixture->raft, &ack));
    assert_int_equal(fixture->raft->reads.count, RAFT_READS_MAX);
    assert_int_equal(fixture->raft->pending_reads.count, 0);
    assert_err(raft_read_index(fixture->raft, context), BUSY);
    blob_unref(context);
}

/* Nobody answers them any more, so they take nobody else's place. */
static void test_reads_end_with_the_term(void **state)
{
    struct fixture *fixture = *state;
    lead(fixture);
    struct blob *context = blob_copy(BYTES_LITERAL("r"));
    for (size_t i = 0; i < RAFT_READS_MAX; i++)
        assert_ok(raft_read_index(fixture->raft, context));
    struct raft_message heartbeat = {
        .type = RAFT_MSG_HEARTBEAT, .from = 2, .to = 1, .term = 5};
    assert_ok(raft_step(fixture->raft, &heartbeat));
    assert_int_equal(fixture->raft->pending_reads.count, 0);
    assert_ok(raft_read_index(fixture->raft, context));
    blob_unref(context);
}

/* Votes of more members than a configuration can have: those that do not fit are passed over. */
static void test_votes_have_a_bound(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    assert_ok(raft_campaign(fixture->raft));
    for (raft_id id = 100; fixture->raft->voted.count < RAFT_MEMBERS_MAX; id++)
        assert_true(raft_id_set_add(&fixture->raft->voted, id));
    struct raft_message vote = {.type = RAFT_MSG_VOTE_RESP, .from = 2, .to = 1, .term = 1};
    assert_ok(raft_step(fixture->raft, &vote));
    assert_ok(raft_step(fixture->raft, &vote));
    assert_int_equal(raft_role(fixture->raft), RAFT_CANDIDATE);
}

/* A candidate that is no member any more when it wins. */
static void test_removed_candidate(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    assert_ok(raft_campaign(fixture->raft));
    struct raft_conf_change change = {.count = 1, .changes = {{RAFT_CHANGE_REMOVE, 1}}};
    assert_ok(raft_apply_conf_change(fixture->raft, &change, NULL, NULL));
    struct raft_message vote = {.type = RAFT_MSG_VOTE_RESP, .from = 2, .to = 1, .term = 1};
    assert_ok(raft_step(fixture->raft, &vote));
    vote.from = 3;
    assert_ok(raft_step(fixture->raft, &vote));
    assert_int_equal(raft_role(fixture->raft), RAFT_FOLLOWER);
    raft_validate(fixture->raft);
}

static void test_step_down(void **state)
{
    struct fixture *fixture = *state;
    lead(fixture);
    raft_term term = raft_current_term(fixture->raft);
    assert_ok(raft_step_down(fixture->raft));
    assert_int_equal(raft_role(fixture->raft), RAFT_FOLLOWER);
    assert_int_equal(raft_leader(fixture->raft), RAFT_NOBODY);
    assert_int_equal(raft_current_term(fixture->raft), term);
    assert_ok(raft_step_down(fixture->raft));
    assert_err(raft_propose(fixture->raft, &(struct entry){0}, 1), NO_LEADER);
    raft_validate(fixture->raft);
}

/* A transfer to a member that the configuration then loses is given up. */
static void test_removed_transferee(void **state)
{
    struct fixture *fixture = *state;
    lead(fixture);
    assert_ok(raft_transfer_leader(fixture->raft, 3));
    struct raft_conf_change change = {.count = 1, .changes = {{RAFT_CHANGE_REMOVE, 3}}};
    assert_ok(raft_apply_conf_change(fixture->raft, &change, NULL, NULL));
    struct raft_status status;
    raft_status(fixture->raft, &status);
    assert_int_equal(status.transferee, RAFT_NOBODY);
    assert_int_equal(status.progress_count, 2);
    /* Whom nobody knows is passed over. */
    assert_ok(raft_report_unreachable(fixture->raft, 3));
    assert_ok(raft_report_snapshot(fixture->raft, 3, true));
}

/* Only a leader's types reach a leader; all others are passed over, in every role. */
static void test_types_out_of_place(void **state)
{
    struct fixture *fixture = *state;
    lead(fixture);
    struct entry entry = {0};
    struct raft_message message = {
        .from = 2, .to = 1, .term = 1, .entries = &entry, .entry_count = 1};
    const enum raft_message_type types[] = {
        RAFT_MSG_VOTE_RESP,   RAFT_MSG_PRE_VOTE_RESP,  RAFT_MSG_READ_INDEX_RESP,
        RAFT_MSG_TIMEOUT_NOW, RAFT_MSG_HEARTBEAT_RESP, RAFT_MSG_FORGET_LEADER,
    };
    for (size_t role = 0; role < 3; role++) {
        for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
            message.type = types[i];
            message.term = raft_current_term(fixture->raft);
            if (role > 0 || types[i] != RAFT_MSG_TIMEOUT_NOW)
                assert_ok(raft_step(fixture->raft, &message));
        }
        message.type = RAFT_MSG_FORGET_LEADER;
        message.term = 0;
        assert_ok(raft_step(fixture->raft, &message));
        message.type = RAFT_MSG_STORAGE_APPEND;
        message.from = RAFT_APPEND_THREAD;
        assert_ok(raft_step(fixture->raft, &message));
        message.from = 2;
        struct raft_message later = {.type = RAFT_MSG_HEARTBEAT,
                                     .from = 2,
                                     .to = 1,
                                     .term = raft_current_term(fixture->raft) + 1};
        assert_ok(raft_step(fixture->raft, &later));
        raft_validate(fixture->raft);
    }
}

/* Answers of the append thread that no longer fit what is being written are passed over. */
static void test_late_storage_answers(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    struct entry entry = {1, 1, ENTRY_NORMAL, NULL};
    struct raft_message append = {
        .type = RAFT_MSG_APP, .from = 2, .to = 1, .term = 1, .entries = &entry, .entry_count = 1};
    struct raft_message answer = {.type = RAFT_MSG_STORAGE_APPEND_RESP,
                                  .from = RAFT_APPEND_THREAD,
                                  .to = 1,
                                  .term = 1,
                                  .index = 1,
                                  .log_term = 9};
    assert_ok(raft_step(fixture->raft, &append));
    assert_ok(raft_step(fixture->raft, &answer));
    assert_int_equal(fixture->raft->log.count, 1);
    answer.index = 2;
    assert_ok(raft_step(fixture->raft, &answer));
    assert_int_equal(fixture->raft->log.count, 1);
    raft_validate(fixture->raft);
}

/* The second snapshot comes while the first is being written: the first one's answer leaves it. */
static void test_snapshot_over_snapshot(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    struct blob *configuration = raft_storage_encode(&fixture->storage.initial);
    struct raft_snapshot first = {{5, 1, configuration}, NULL};
    struct raft_snapshot second = {{9, 1, configuration}, NULL};
    struct raft_message message = {
        .type = RAFT_MSG_SNAP, .from = 2, .to = 1, .term = 1, .snapshot = &first};
    struct raft_ready ready;
    assert_ok(raft_step(fixture->raft, &message));
    assert_ok(raft_ready(fixture->raft, &ready));
    assert_int_equal(ready.snapshot->mark.index, 5);
    struct raft_message *work = raft_message_clone(&fixture->mem, ready.append);
    /* While it is being written it is not handed out again. */
    struct raft_message beat = {.type = RAFT_MSG_HEARTBEAT, .from = 2, .to = 1, .term = 1};
    assert_ok(raft_step(fixture->raft, &beat));
    assert_ok(raft_ready(fixture->raft, &ready));
    assert_int_equal(ready.message_count, 1);
    assert_null(ready.snapshot);
    message.snapshot = &second;
    assert_ok(raft_step(fixture->raft, &message));
    raft_storage_write(&fixture->storage, work);
    const struct raft_message *answer = &work->responses[work->response_count - 1];
    assert_ok(raft_step(fixture->raft, answer));
    assert_int_equal(raft_applied(fixture->raft), 5);
    assert_true(fixture->raft->log.has_snapshot);
    settle(fixture);
    assert_int_equal(raft_applied(fixture->raft), 9);
    assert_false(fixture->raft->log.has_snapshot);
    /* Again: nothing to drop, nothing to apply. */
    assert_ok(raft_step(fixture->raft, answer));
    assert_int_equal(raft_applied(fixture->raft), 9);
    raft_message_free(&fixture->mem, work);
    blob_unref(configuration);
}

/* A request that names this member as its asker, and one while a single voter is in a joint
 * configuration, where a quorum must still be asked. */
static void test_reads_of_one_voter(void **state)
{
    struct fixture *fixture = *state;
    struct entry entry = {.payload = blob_copy(BYTES_LITERAL("r"))};
    struct raft_message request = {
        .type = RAFT_MSG_READ_INDEX, .from = 1, .to = 1, .entries = &entry, .entry_count = 1};
    struct raft_conf_change change = {
        .transition = RAFT_TRANSITION_JOINT_EXPLICIT,
        .count = 2,
        .changes = {{RAFT_CHANGE_REMOVE, 2}, {RAFT_CHANGE_REMOVE, 3}}};
    struct raft_ready ready;
    lead(fixture);
    struct raft_message ack = {
        .type = RAFT_MSG_APP_RESP, .from = 2, .to = 1, .term = 1, .index = 1};
    assert_ok(raft_step(fixture->raft, &ack));
    settle(fixture);
    assert_ok(raft_apply_conf_change(fixture->raft, &change, NULL, NULL));
    assert_ok(raft_step(fixture->raft, &request));
    assert_ok(raft_ready(fixture->raft, &ready));
    assert_int_equal(ready.read_state_count, 0);
    change = (struct raft_conf_change){.count = 0};
    assert_ok(raft_apply_conf_change(fixture->raft, &change, NULL, NULL));
    assert_ok(raft_step(fixture->raft, &request));
    assert_ok(raft_ready(fixture->raft, &ready));
    assert_int_equal(ready.read_state_count, 1);
    assert_int_equal(ready.read_states[0].index, 1);
    blob_unref(entry.payload);
}

/* --- copies and looking in -------------------------------------------------------------------- */

static void test_clone(void **state)
{
    struct fixture *fixture = *state;
    struct blob *blob = blob_copy(BYTES_LITERAL("payload"));
    struct raft_snapshot snapshot = {{7, 2, blob}, blob};
    struct entry entries[] = {{1, 2, ENTRY_NORMAL, blob}, {1, 3, ENTRY_NORMAL, NULL}};
    struct raft_message responses[] = {
        {.type = RAFT_MSG_APP_RESP, .index = 3, .context = BYTES_LITERAL("abc")},
        {.type = RAFT_MSG_STORAGE_APPEND_RESP,
         .snapshot = &snapshot,
         .entries = entries,
         .entry_count = 2},
    };
    struct raft_message message = {
        .type = RAFT_MSG_STORAGE_APPEND,
        .entries = entries,
        .entry_count = 2,
        .snapshot = &snapshot,
        .context = BYTES_LITERAL("odd"),
        .responses = responses,
        .response_count = 2,
    };
    struct raft_message *copy = raft_message_clone(&fixture->mem, &message);
    assert_int_equal(atomic_load(&blob->references), 7);
    assert_ptr_not_equal(copy->entries, entries);
    assert_int_equal(copy->entries[1].index, 3);
    assert_int_equal(copy->snapshot->mark.index, 7);
    assert_bytes_equal(copy->context, BYTES_LITERAL("odd"));
    assert_bytes_equal(copy->responses[0].context, BYTES_LITERAL("abc"));
    assert_int_equal(copy->responses[1].entries[0].index, 2);
    assert_int_equal(copy->responses[1].snapshot->mark.term, 2);
    raft_message_free(&fixture->mem, copy);
    assert_int_equal(atomic_load(&blob->references), 1);
    blob_unref(blob);
}

static void test_status(void **state)
{
    struct fixture *fixture = *state;
    struct raft_status status;
    start(fixture);
    raft_status(fixture->raft, &status);
    assert_int_equal(status.progress_count, 0);
    assert_int_equal(status.first_index, 1);
    assert_int_equal(raft_leader(fixture->raft), RAFT_NOBODY);
    assert_false(raft_committed_in_term(fixture->raft));
    raft_free(fixture->raft);
    lead(fixture);
    assert_int_equal(raft_leader(fixture->raft), 1);
    assert_false(raft_committed_in_term(fixture->raft));
    struct raft_message ack = {
        .type = RAFT_MSG_APP_RESP, .from = 2, .to = 1, .term = 1, .index = 1};
    assert_ok(raft_step(fixture->raft, &ack));
    assert_true(raft_committed_in_term(fixture->raft));
    raft_status(fixture->raft, &status);
    assert_int_equal(status.progress_count, 3);
    assert_int_equal(status.hard_state.commit, 1);
    assert_int_equal(status.progress[1].match, 1);
}

/* A log view without a snapshot at hand: the follower waits. */
static void test_no_snapshot_now(void **state)
{
    struct fixture *fixture = *state;
    fixture->storage.base = (struct entry_base){1, 10};
    lead(fixture);
    struct raft_message reject = {.type = RAFT_MSG_APP_RESP,
                                  .from = 2,
                                  .to = 1,
                                  .term = 1,
                                  .index = 10,
                                  .reject = true,
                                  .reject_hint = 3};
    assert_ok(raft_step(fixture->raft, &reject));
    struct raft_ready ready;
    for (; raft_has_ready(fixture->raft);) {
        assert_ok(raft_ready(fixture->raft, &ready));
        for (size_t i = 0; i < ready.message_count; i++)
            assert_int_not_equal(ready.messages[i].type, RAFT_MSG_SNAP);
    }
}

/* One entry each: also what is applied. */
static void test_one_entry_at_a_time(void **state)
{
    struct fixture *fixture = *state;
    fixture->config.max_size_per_message = 0;
    fixture->storage.initial.voters = (struct raft_id_set){1, {1}};
    start(fixture);
    struct entry entries[3] = {{0}};
    assert_ok(raft_campaign(fixture->raft));
    settle(fixture);
    assert_ok(raft_propose(fixture->raft, entries, 3));
    size_t applied = 0;
    while (raft_has_ready(fixture->raft)) {
        struct raft_ready ready;
        assert_ok(raft_ready(fixture->raft, &ready));
        assert_in_range(ready.committed_count, 0, 1);
        applied += ready.committed_count;
        handle(fixture, &ready);
    }
    assert_int_equal(applied, 3); /* the empty entry of the term was before */
    assert_int_equal(raft_applied(fixture->raft), 4);
}

/* More entries than are fetched at a time, from the stable and from the unstable part. */
static void test_long_appends(void **state)
{
    struct fixture *fixture = *state;
    lead(fixture);
    struct entry entries[3 * RAFT_FETCH_MAX] = {{0}};
    struct raft_ready ready;
    struct raft_message ack = {
        .type = RAFT_MSG_APP_RESP, .from = 2, .to = 1, .term = 1, .index = 1};
    assert_ok(raft_propose(fixture->raft, entries, ARRAY_COUNT(entries)));
    settle(fixture);
    assert_ok(raft_propose(fixture->raft, entries, ARRAY_COUNT(entries)));
    assert_ok(raft_step(fixture->raft, &ack));
    assert_ok(raft_ready(fixture->raft, &ready));
    size_t sent = 0;
    for (size_t i = 0; i < ready.message_count; i++)
        if (ready.messages[i].type == RAFT_MSG_APP && ready.messages[i].to == 2)
            sent += ready.messages[i].entry_count;
    assert_int_equal(sent, 2 * ARRAY_COUNT(entries));
    handle(fixture, &ready);
    /* Several chunks of memory are used again, round after round. */
    for (size_t round = 0; round < 6; round++) {
        assert_ok(raft_propose(fixture->raft, entries, ARRAY_COUNT(entries)));
        assert_ok(raft_propose(fixture->raft, entries, ARRAY_COUNT(entries)));
        ack.index = raft_committed(fixture->raft) + 1;
        assert_ok(raft_step(fixture->raft, &ack));
        settle(fixture);
    }
}

/* The configuration of a state that came by another way: what the core counts by from then on. One without
 * voters changes nothing. */
static void test_restored_configuration(void **state)
{
    struct fixture *fixture = *state;
    const struct raft_conf_state next = {.voters = {2, {1, 4}}, .learners = {1, {2}}};
    const struct raft_conf_state wrong = {.voters_outgoing = {2, {1, 2}}};
    struct raft_status status;
    struct err err = {0};
    start(fixture);
    assert_err(raft_restore_configuration(fixture->raft, &wrong, &err), INVALID);
    raft_status(fixture->raft, &status);
    assert_int_equal(status.configuration.voters.count, 3);
    assert_ok(raft_restore_configuration(fixture->raft, &next, NULL));
    raft_status(fixture->raft, &status);
    assert_int_equal(status.configuration.voters.count, 2);
    assert_true(raft_id_set_contains(&status.configuration.learners, 2));
    raft_validate(fixture->raft);
    assert_ok(raft_campaign(fixture->raft));
    settle(fixture);
    struct raft_message vote = {
        .type = RAFT_MSG_VOTE_RESP, .from = 3, .to = 1, .term = raft_current_term(fixture->raft)};
    assert_err(raft_step(fixture->raft, &vote), NOT_FOUND);    /* a member no more */
    assert_int_equal(raft_role(fixture->raft), RAFT_CANDIDATE);
    vote.from = 4;
    assert_ok(raft_step(fixture->raft, &vote));
    assert_int_equal(raft_role(fixture->raft), RAFT_LEADER);
    settle(fixture);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_bad_config),
        TEST(test_bad_stored_state),
        TEST(test_bad_stored_configuration),
        TEST(test_unsound_messages),
        TEST(test_unsound_appends),
        TEST(test_unsound_snapshots),
        TEST(test_lost_entries),
        TEST(test_answers_beyond_the_log),
        TEST(test_bad_proposals),
        TEST(test_changes_that_make_no_sense),
        TEST(test_empty_proposals_are_always_taken),
        TEST(test_reads_have_a_bound),
        TEST(test_reads_end_with_the_term),
        TEST(test_votes_have_a_bound),
        TEST(test_removed_candidate),
        TEST(test_step_down),
        TEST(test_removed_transferee),
        TEST(test_types_out_of_place),
        TEST(test_late_storage_answers),
        TEST(test_snapshot_over_snapshot),
        TEST(test_reads_of_one_voter),
        TEST(test_clone),
        TEST(test_status),
        TEST(test_no_snapshot_now),
        TEST(test_one_entry_at_a_time),
        TEST(test_long_appends),
        TEST(test_restored_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
