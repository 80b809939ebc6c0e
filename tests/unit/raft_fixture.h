/* What the tests of the core share: one member, whose peers are the test. */
#ifndef TESTS_UNIT_RAFT_FIXTURE_H
#define TESTS_UNIT_RAFT_FIXTURE_H

#include "tests/test.h"

#include "cluster/raft/raft_internal.h"
#include "tests/script/raft_storage.h"

/* id 1 of the voters 1, 2 and 3, with asynchronous storage that works at once. */
struct fixture {
    struct mem mem;
    struct raft_storage storage;
    struct raft_config config;
    struct raft *raft;
};

static inline void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){0};
    raft_storage_init(&fixture->storage);
    fixture->storage.initial.voters = (struct raft_id_set){3, {1, 2, 3}};
    fixture->config = (struct raft_config){
        .id = 1,
        .election_tick = 10,
        .heartbeat_tick = 1,
        .log = &fixture->storage.view,
        .mem = &fixture->mem,
        .async_storage_writes = true,
        .max_size_per_message = RAFT_NO_LIMIT,
        .max_inflight_messages = 4,
    };
}

static inline void fixture_release(struct fixture *fixture)
{
    raft_free(fixture->raft);
    raft_storage_release(&fixture->storage);
    assert_int_equal(fixture->mem.live, 0);
}

static inline int setup(void **state)
{
    struct fixture *fixture = mem_xalloc(sizeof(*fixture));
    fixture_init(fixture);
    *state = fixture;
    return 0;
}

static inline int teardown(void **state)
{
    fixture_release(*state);
    free(*state);
    return 0;
}

/* Before it the config and the stored state may be changed. */
static inline void start(struct fixture *fixture)
{
    assert_ok(raft_new(&fixture->config, &fixture->raft, NULL));
}

/* What a member does with a ready; messages to peers go nowhere. */
static inline void handle(struct fixture *fixture, const struct raft_ready *ready)
{
    const struct raft_message *work[] = {ready->append, ready->apply};
    if (ready->append)
        raft_storage_write(&fixture->storage, ready->append);
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; work[i] && j < work[i]->response_count; j++)
            if (work[i]->responses[j].to == 1)
                assert_ok(raft_step(fixture->raft, &work[i]->responses[j]));
}

static inline void settle(struct fixture *fixture)
{
    while (raft_has_ready(fixture->raft)) {
        struct raft_ready ready;
        assert_ok(raft_ready(fixture->raft, &ready));
        handle(fixture, &ready);
    }
}

/* Starts it and makes it the leader of its next term. */
static inline void lead(struct fixture *fixture)
{
    start(fixture);
    assert_ok(raft_campaign(fixture->raft));
    settle(fixture);
    struct raft_message vote = {
        .type = RAFT_MSG_VOTE_RESP, .from = 2, .to = 1, .term = raft_current_term(fixture->raft)};
    assert_ok(raft_step(fixture->raft, &vote));
    settle(fixture);
    assert_int_equal(raft_role(fixture->raft), RAFT_LEADER);
}

#endif
