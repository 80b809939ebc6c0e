/* Messages of every kind with fields drawn at random, near enough to the truth to get far: whatever
 * a peer sends, a member neither crashes nor breaks its invariants. */
#include "tests/test.h"

#include <inttypes.h>

#include "cluster/raft/raft.h"
#include "proto/base/check.h"
#include "proto/base/rand.h"
#include "tests/script/raft_storage.h"

#define ENTRIES_MAX 4

struct member {
    struct mem mem;
    struct rand rand;
    struct raft_storage storage;
    struct raft_config config;
    struct raft *raft;
    struct blob *payloads[6]; /* changes, sound and not; NULL among them */
    struct blob *configurations[4];
};

static struct blob *encode_change(struct raft_conf_change change, bool v1)
{
    struct buf buf = {0};
    assert_ok(raft_conf_change_encode(&change, v1, &buf));
    struct blob *blob = blob_copy(buf_bytes(&buf));
    buf_release(&buf);
    return blob;
}

static void init_blobs(struct member *member)
{
    struct raft_conf_state state = {.voters = {3, {1, 2, 3}}, .learners = {1, {4}}};
    member->payloads[0] = blob_copy(BYTES_LITERAL("payload"));
    member->payloads[1] = encode_change(
        (struct raft_conf_change){.count = 1, .changes = {{RAFT_CHANGE_ADD_VOTER, 4}}}, true);
    member->payloads[2] = encode_change(
        (struct raft_conf_change){
            .count = 2, .changes = {{RAFT_CHANGE_ADD_LEARNER, 3}, {RAFT_CHANGE_ADD_VOTER, 5}}},
        false);
    member->payloads[3] = encode_change(
        (struct raft_conf_change){.count = 1, .changes = {{RAFT_CHANGE_REMOVE, 4}}}, false);
    member->payloads[4] = blob_copy(BYTES_LITERAL("\x12\xff"));
    member->configurations[0] = raft_storage_encode(&state);
    state.voters_outgoing = (struct raft_id_set){2, {1, 2}};
    member->configurations[1] = raft_storage_encode(&state);
    member->configurations[2] = blob_copy(BYTES_LITERAL("\x08\x00"));
}

static void start(struct member *member)
{
    struct err err = {0};
    struct hard_state *hard = &member->storage.hard;
    member->config.applied = member->storage.base.index;
    if (hard->commit < member->config.applied)
        hard->commit = member->config.applied;
    if (raft_new(&member->config, &member->raft, &err))
        fail_msg("%s", err.text);
}

static void init(struct member *member, uint64_t seed)
{
    rand_init(&member->rand, seed);
    init_blobs(member);
    raft_storage_init(&member->storage);
    member->storage.initial.voters = (struct raft_id_set){3, {1, 2, 3}};
    member->config = (struct raft_config){
        .id = 1,
        .election_tick = 3,
        .heartbeat_tick = 1,
        .log = &member->storage.view,
        .mem = &member->mem,
        .async_storage_writes = true,
        .max_size_per_message = rand_chance(&member->rand, 1, 2) ? 20 : RAFT_NO_LIMIT,
        .max_inflight_messages = 3,
        .check_quorum = rand_chance(&member->rand, 1, 2),
        .pre_vote = rand_chance(&member->rand, 1, 2),
        .seed = seed,
    };
    start(member);
}

static void release(struct member *member)
{
    raft_free(member->raft);
    raft_storage_release(&member->storage);
    for (size_t i = 0; i < ARRAY_COUNT(member->payloads); i++)
        blob_unref(member->payloads[i]);
    for (size_t i = 0; i < ARRAY_COUNT(member->configurations); i++)
        blob_unref(member->configurations[i]);
    assert_int_equal(member->mem.live, 0);
}

/* --- what is done with it --------------------------------------------------------------------- */

static void apply(struct member *member, const struct raft_message *work)
{
    for (size_t i = 0; i < work->entry_count; i++) {
        struct raft_conf_change change;
        if (work->entries[i].type == ENTRY_NORMAL ||
            raft_conf_change_decode(&work->entries[i], &change) != ERR_OK)
            continue;
        enum err_code code = raft_apply_conf_change(member->raft, &change, NULL, NULL);
        assert_true(code == ERR_OK || code == ERR_INVALID);
    }
}

static void answer(struct member *member, const struct raft_message *work)
{
    for (size_t i = 0; i < work->response_count; i++) {
        if (work->responses[i].to != 1)
            continue;
        enum err_code code = raft_step(member->raft, &work->responses[i]);
        assert_true(code == ERR_OK || code == ERR_NOT_FOUND);
    }
}

/* What is applied goes out of the log, and a snapshot of it takes its place. */
static void compact(struct member *member)
{
    struct raft_conf_state state;
    raft_index applied = raft_applied(member->raft);
    if (applied <= member->storage.base.index)
        return;
    raft_storage_compact(&member->storage, applied);
    raft_configuration(member->raft, &state);
    struct raft_snapshot snapshot = {
        {applied, member->storage.base.term, raft_storage_encode(&state)}, NULL};
    raft_storage_offer(&member->storage, &snapshot);
    blob_unref(snapshot.mark.configuration);
}

static void settle(struct member *member)
{
    while (raft_has_ready(member->raft)) {
        struct raft_ready ready;
        assert_ok(raft_ready(member->raft, &ready));
        if (ready.append) {
            raft_storage_write(&member->storage, ready.append);
            if (ready.snapshot)
                raft_storage_offer(&member->storage, ready.snapshot);
            answer(member, ready.append);
        }
        if (ready.apply) {
            apply(member, ready.apply);
            answer(member, ready.apply);
        }
        raft_validate(member->raft);
    }
}

/* --- what is sent ----------------------------------------------------------------------------- */

static uint64_t near(struct member *member, uint64_t value)
{
    if (rand_chance(&member->rand, 1, 200))
        return rand_u64(&member->rand);
    uint64_t offset = rand_below(&member->rand, 5);
    return value + offset < 2 ? 0 : value + offset - 2;
}

static void draw_entries(struct member *member, struct raft_message *message, struct entry *entries)
{
    message->entries = entries;
    message->entry_count = (size_t)rand_below(&member->rand, ENTRIES_MAX);
    for (size_t i = 0; i < message->entry_count; i++) {
        entries[i] = (struct entry){
            .index = rand_chance(&member->rand, 19, 20) ? message->index + 1 + i
                                                        : near(member, message->index),
            .term =
                rand_chance(&member->rand, 3, 4) ? message->term : near(member, message->log_term),
            .type = (enum entry_type)rand_below(&member->rand, 3),
            .payload = member->payloads[rand_below(&member->rand, ARRAY_COUNT(member->payloads))],
        };
    }
}

static void send(struct member *member)
{
    struct raft_status status;
    struct entry entries[ENTRIES_MAX];
    uint8_t position[8];
    raft_status(member->raft, &status);
    raft_index last = status.last_index;
    struct raft_snapshot snapshot = {
        .mark = {near(member, last + 3), near(member, status.hard_state.term),
                 member->configurations[rand_below(&member->rand, 4)]},
    };
    struct raft_message message = {
        .type = (enum raft_message_type)rand_below(&member->rand, RAFT_MSG_TYPE_COUNT + 1),
        .from = rand_below(&member->rand, 6),
        .to = 1,
        .term = rand_chance(&member->rand, 1, 4) ? 0 : near(member, status.hard_state.term),
        .index = rand_chance(&member->rand, 1, 2) ? near(member, last)
                                                  : near(member, status.hard_state.commit),
        .log_term = near(member, status.hard_state.term),
        .commit = near(member, status.hard_state.commit),
        .reject = rand_chance(&member->rand, 1, 4),
        .reject_hint = near(member, last),
        .snapshot = rand_chance(&member->rand, 1, 2) ? &snapshot : NULL,
    };
    put_le64(position, near(member, 3));
    if (rand_chance(&member->rand, 1, 2))
        message.context = bytes_of(position, (size_t)rand_below(&member->rand, 9));
    draw_entries(member, &message, entries);
    enum err_code code = raft_step(member->raft, &message);
    assert_true(code == ERR_OK || code == ERR_INVALID || code == ERR_NOT_FOUND ||
                code == ERR_NO_LEADER || code == ERR_BUSY || code == ERR_CORRUPT);
}

static void act(struct member *member)
{
    uint64_t dice = rand_below(&member->rand, 100);
    if (dice < 80)
        send(member);
    else if (dice < 85)
        assert_ok(raft_tick(member->raft));
    else if (dice < 86)
        assert_ok(raft_campaign(member->raft));
    else if (dice < 88)
        compact(member);
    else if (dice < 89) {
        raft_free(member->raft);
        start(member);
    } else
        settle(member);
    raft_validate(member->raft);
}

static void test_garbage(void **state)
{
    (void)state;
    const char *count = getenv("RAFT_SEEDS");
    for (uint64_t seed = 1; seed <= (count ? strtoull(count, NULL, 10) : 300); seed++) {
        struct member member = {.payloads = {NULL}};
        init(&member, seed);
        for (size_t i = 0; i < 1000; i++)
            act(&member);
        release(&member);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
