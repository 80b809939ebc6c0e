/* A cluster that begins, and who joins it: whole members over a simulated net, killed at any moment. Nobody
 * votes before all have met; a folder that was emptied is refused by those who knew it, and votes for nobody;
 * who joins is one member, however often it asks; the leader refuses what would lose the quorum. */
#include "tests/test.h"

#include <inttypes.h>

#include "cluster/arrival.h"
#include "cluster/join.h"
#include "cluster/node_internal.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "tests/sim/sim_host.h"
#include "tests/sim/sim_net.h"

#define HOSTS 5
#define CLUSTER 0xc1
#define FOR_EVER_NS (60 * NS_PER_S)

/* One host of the world, and what outlives its process. */
struct place {
    struct sim_host host;
    struct generations generations;
    struct arrival arrival;
    struct join *join;
    enum err_code join_code;
    struct join_answer joined;
    struct err join_err;
    bool exists, stays_learner;
};

static struct place places[HOSTS + 1];      /* by number */
static struct sim_net *net;
static struct rand chance;
static int64_t now_ns;
static uint64_t folders;                    /* drawn so far */

/* ---- the world ---- */

static struct membership_member record_of(uint64_t number)
{
    struct membership_member member = {.id = number};
    snprintf(member.name, sizeof member.name, "m%" PRIu64, number);
    snprintf(member.address, sizeof member.address, "h:%" PRIu64, number);
    return member;
}

/* An empty folder, new or emptied. */
static struct place *new_folder(uint64_t number)
{
    struct place *place = &places[number];
    if (place->exists)
        sim_host_release(&place->host);
    *place = (struct place){.exists = true, .join_code = ERR_CODE_COUNT};
    sim_host_init(&place->host, &(struct sim_host_options){.number = number,
                                                           .seed = rand_u64(&chance),
                                                           .cluster_id = CLUSTER,
                                                           .world_now_ns = &now_ns,
                                                           .net = net,
                                                           .log_size_max = 65536});
    place->host.costs = (struct sim_host_costs){10000, 200000, 10000, 200000};
    place->host.identity.generation = 100 + ++folders;
    place->host.generations = &place->generations;
    snprintf(place->host.address, sizeof place->host.address, "h:%" PRIu64, number);
    return place;
}

static void format_first(uint64_t number, uint64_t count)
{
    struct membership_member members[HOSTS];
    struct place *place = new_folder(number);
    for (uint64_t i = 0; i < count; i++)
        members[i] = record_of(i + 1);
    sim_host_format(&place->host, members, count);
}

static void say(void *context, const char *line)
{
    (void)context;
    (void)line;
}

static void up(uint64_t number)
{
    struct place *place = &places[number];
    assert_true(sim_host_start(&place->host, NULL, 0, 0));
    arrival_init(&place->arrival, &(struct arrival_options){.node = place->host.node,
                                                            .clock = &place->host.clock,
                                                            .self = place->host.identity.member_id,
                                                            .address = place->host.address,
                                                            .stays_learner = place->stays_learner,
                                                            .say = say});
}

static struct node *node_of(uint64_t number) { return places[number].host.node; }

static void down(uint64_t number)
{
    struct place *place = &places[number];
    if (!place->host.node)
        return;
    arrival_stop(&place->arrival);
    sim_host_crash(&place->host, rand_chance(&chance, 1, 2), 500, 100);
    arrival_release(&place->arrival);
}

static void begin(uint64_t seed)
{
    rand_init(&chance, seed);
    now_ns = NS_PER_S;
    net = sim_net_new(rand_u64(&chance));
    sim_net_set_faults(net, &(struct sim_net_faults){.delay_min_ns = 50000,
                                                     .delay_max_ns = 400000});
}

static void end(void)
{
    for (uint64_t i = 1; i <= HOSTS; i++) {
        struct place *place = &places[i];
        down(i);
        if (place->exists)
            sim_host_release(&place->host);
        *place = (struct place){0};
    }
    sim_net_free(net);
}

static int64_t earlier(int64_t a, int64_t b) { return a < b ? a : b; }

/* When that place has something to do: its clock runs as the world's does. */
static int64_t place_next_ns(struct place *place)
{
    struct sim_host *host = &place->host;
    int64_t offset = sim_host_monotonic_ns(host) - now_ns, next = INT64_MAX;
    if (!place->exists)
        return INT64_MAX;
    if (host->node)
        next = earlier(sim_host_next_ns(host), arrival_next_wake_ns(&place->arrival) - offset);
    if (place->join)
        next = earlier(next, join_next_wake_ns(place->join) - offset);
    return next < now_ns ? now_ns : next;
}

static void place_step(struct place *place)
{
    if (place->join)
        join_turn(place->join);
    if (!place->host.node)
        return;
    sim_host_advance(&place->host);
    arrival_turn(&place->arrival);
    struct err err;
    if (sim_host_has_failed(&place->host, &err)) {
        snprintf(place->host.last_refusal, sizeof place->host.last_refusal, "%s", err.text);
        place->host.counters.faults++;
        down(place->host.number);
    }
}

static bool step(int64_t until_ns)
{
    struct place *next = NULL;
    int64_t at = sim_net_next_ns(net);
    for (uint64_t i = 1; i <= HOSTS; i++)
        if (places[i].exists && place_next_ns(&places[i]) < at) {
            next = &places[i];
            at = place_next_ns(next);
        }
    if (at > until_ns) {
        now_ns = until_ns;
        return false;
    }
    now_ns = at > now_ns ? at : now_ns;
    if (next)
        place_step(next);
    else
        sim_net_advance(net, now_ns);
    return true;
}

static void run_for(int64_t ns)
{
    int64_t until = now_ns + ns;
    while (step(until))
        ;
}

static bool run_until(bool (*is_reached)(void))
{
    int64_t until = now_ns + FOR_EVER_NS;
    while (!is_reached())
        if (!step(until))
            return is_reached();
    return true;
}

static uint64_t leader(void)
{
    uint64_t found = 0;
    for (uint64_t i = 1; i <= HOSTS; i++)
        if (node_of(i) && raft_role(node_raft(node_of(i))) == RAFT_LEADER &&
            raft_committed_in_term(node_raft(node_of(i))))
            found = i;
    return found;
}

static bool has_leader(void) { return leader() != 0; }

/* It promised nothing and counts on nothing: the term is that of the beginning. */
static void is_silent(uint64_t number)
{
    struct raft_status status;
    if (!node_of(number))
        return;
    assert_true(node_is_forming(node_of(number)));
    raft_status(node_raft(node_of(number)), &status);
    assert_int_equal(status.hard_state.term, 1);
    assert_int_equal(status.hard_state.vote, RAFT_NOBODY);
    assert_int_equal(status.soft_state.leader, RAFT_NOBODY);
}

/* ---- forming ---- */

static bool all_three_formed(void)
{
    for (uint64_t i = 1; i <= 3; i++)
        if (!node_of(i) || node_is_forming(node_of(i)))
            return false;
    return true;
}

static void nobody_votes_before_all_have_met(void **state)
{
    (void)state;
    begin(1);
    for (uint64_t i = 1; i <= 3; i++)
        format_first(i, 3);
    up(1);
    up(2);
    run_for(10 * NS_PER_S);
    is_silent(1);
    is_silent(2);
    up(3);
    assert_true(run_until(all_three_formed));
    assert_true(run_until(has_leader));
    for (uint64_t i = 1; i <= 3; i++)
        for (uint64_t k = 1; k <= 3; k++)
            if (i != k)
                assert_int_equal(generations_get(&places[i].generations, k),
                                 places[k].host.identity.generation);
    end();
}

/* Killed at any instant while it forms, and started again from what it kept. */
static void forming_goes_on_after_any_kill(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        begin(seed);
        for (uint64_t i = 1; i <= 3; i++) {
            format_first(i, 3);
            up(i);
        }
        for (int kills = 0; kills < 8; kills++) {
            run_for((int64_t)rand_below(&chance, 3 * NS_PER_MS));
            uint64_t victim = 1 + rand_below(&chance, 3);
            down(victim);
            run_for((int64_t)rand_below(&chance, 3 * NS_PER_MS));
            up(victim);
        }
        assert_true(run_until(all_three_formed));
        assert_true(run_until(has_leader));
        for (uint64_t i = 1; i <= 3; i++)
            assert_int_equal(places[i].host.counters.faults, 0);
        end();
    }
}

/* One that cannot keep what it hears says nothing of who told it: nobody takes that for "you were met before"
 * and gives up what he is. */
static void a_disk_that_fails_refuses_nobody_for_good(void **state)
{
    struct sim_disk *failing = sim_disk_new(1);
    (void)state;
    begin(12);
    sim_disk_fail(failing, 1, ERR_IO, true);
    for (uint64_t i = 1; i <= 3; i++) {
        format_first(i, 3);
        if (i == 1)
            places[i].generations.disk = sim_disk_door(failing);
        up(i);
    }
    run_for(5 * NS_PER_S);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_non_null(node_of(i));
        is_silent(i);
    }
    sim_disk_fail(failing, 0, ERR_OK, false);
    assert_true(run_until(all_three_formed));
    assert_true(run_until(has_leader));
    end();
    sim_disk_free(failing);
}

static void refused_as_emptied(uint64_t number)
{
    char wanted[160];
    struct place *place = &places[number];
    snprintf(wanted, sizeof wanted,
             "this cluster exists and knows another data directory of member m%" PRIu64
             ": remove m%" PRIu64 ", then use --join", number, number);
    assert_null(place->host.node);
    assert_non_null(strstr(place->host.last_refusal, wanted));
}

static void an_emptied_voter_is_refused_and_votes_for_nobody(void **state)
{
    (void)state;
    begin(2);
    for (uint64_t i = 1; i <= 3; i++) {
        format_first(i, 3);
        up(i);
    }
    assert_true(run_until(has_leader));
    uint64_t emptied = leader() == 3 ? 2 : 3, other = leader() == 3 ? 1 : 2;
    down(emptied);
    down(other);
    format_first(emptied, 3);
    up(emptied);            /* the old leader would need its vote */
    run_for(2 * NS_PER_S);
    refused_as_emptied(emptied);
    assert_false(has_leader());
    up(other);
    assert_true(run_until(has_leader));
    format_first(emptied, 3);
    up(emptied);            /* another try is another folder, and no better */
    run_for(2 * NS_PER_S);
    refused_as_emptied(emptied);
    end();
}

/* Two of three, who know nothing of each other's past: the third knows both. */
static void two_emptied_voters_wait_for_the_third(void **state)
{
    (void)state;
    begin(3);
    for (uint64_t i = 1; i <= 3; i++) {
        format_first(i, 3);
        up(i);
    }
    assert_true(run_until(has_leader));
    for (uint64_t i = 1; i <= 3; i++)
        down(i);
    format_first(1, 3);
    format_first(2, 3);
    up(1);
    up(2);
    run_for(10 * NS_PER_S);
    is_silent(1);
    is_silent(2);
    up(3);
    run_for(10 * NS_PER_S);
    refused_as_emptied(1);
    refused_as_emptied(2);
    assert_false(has_leader());
    end();
}

/* ---- joining ---- */

static void on_joined(void *context, enum err_code code, const struct join_answer *answer,
                      const struct err *err)
{
    struct place *place = context;
    place->join = NULL;
    place->join_code = code;
    if (code == ERR_OK)
        place->joined = *answer;
    else
        place->join_err = *err;
}

static void ask_to_join(uint64_t number, const char *at, struct membership_member as)
{
    struct place *place = &places[number];
    place->join_code = ERR_CODE_COUNT;
    as.generation = place->host.identity.generation;
    place->join = join_new(&(struct join_options){.net = sim_net_host(net, number),
                                                  .clock = &place->host.clock,
                                                  .address = at,
                                                  .member = as,
                                                  .done = on_joined,
                                                  .context = place});
}

static uint64_t joiner;

static bool has_answer(void) { return places[joiner].join_code != ERR_CODE_COUNT; }

static enum err_code join_as(uint64_t number, const char *at, struct membership_member as)
{
    joiner = number;
    ask_to_join(number, at, as);
    assert_true(run_until(has_answer));
    return places[number].join_code;
}

/* With what it was told. */
static void up_as_joined(uint64_t number)
{
    struct place *place = &places[number];
    assert_int_equal(place->joined.cluster_id, CLUSTER);
    place->host.identity.member_id = place->joined.id;
    place->generations.formed = true;
    sim_host_format(&place->host, NULL, 0);
    up(number);
}

static bool joiner_votes(void)
{
    return node_of(joiner) &&
           membership_is_voter(node_membership(node_of(joiner)),
                               places[joiner].host.identity.member_id);
}

static bool joiner_is_current(void) { return places[joiner].arrival.is_current; }

static void three_that_serve(uint64_t seed)
{
    begin(seed);
    for (uint64_t i = 1; i <= 3; i++) {
        format_first(i, 3);
        up(i);
    }
    assert_true(run_until(has_leader));
}

static void who_joins_catches_up_and_votes(void **state)
{
    (void)state;
    three_that_serve(4);
    for (uint64_t asked = 1; asked <= 2; asked++) {         /* the leader or not: any will do */
        char at[8];
        uint64_t number = 3 + asked;
        snprintf(at, sizeof at, "h:%" PRIu64, asked);
        new_folder(number);
        assert_ok(join_as(number, at, record_of(number)));
        assert_int_equal(places[number].joined.id, number);
        up_as_joined(number);
        assert_true(run_until(joiner_votes));
        assert_true(places[number].arrival.is_current);
    }
    assert_int_equal(node_membership(node_of(leader()))->configuration.voters.count, 5);
    end();
}

/* The joiner, or whom it asks, dies at any moment; it asks again for the same, and is one member. */
static void asking_again_is_the_same_request(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        three_that_serve(seed);
        new_folder(4);
        joiner = 4;
        for (int tries = 0; tries < 4; tries++) {
            ask_to_join(4, rand_chance(&chance, 1, 2) ? "h:1" : "h:2", record_of(4));
            run_for((int64_t)rand_below(&chance, 6 * NS_PER_MS));
            if (has_answer())
                break;
            sim_net_reset(net, 4, 0);
            if (rand_chance(&chance, 1, 2)) {
                uint64_t victim = 1 + rand_below(&chance, 3);
                down(victim);
                run_for((int64_t)rand_below(&chance, NS_PER_S));
                up(victim);
            }
            assert_true(run_until(has_answer));
            assert_ok(places[4].join_code);
        }
        assert_ok(join_as(4, "h:3", record_of(4)));
        assert_int_equal(places[4].joined.id, 4);
        up_as_joined(4);
        assert_true(run_until(joiner_votes));
        assert_int_equal(node_membership(node_of(4))->count, 4);
        end();
    }
}

static void a_learner_stays_one(void **state)
{
    (void)state;
    three_that_serve(6);
    new_folder(4)->stays_learner = true;
    assert_ok(join_as(4, "h:2", record_of(4)));
    up_as_joined(4);
    assert_true(run_until(joiner_is_current));
    run_for(5 * NS_PER_S);
    assert_false(joiner_votes());
    down(4);
    up(4);
    assert_true(run_until(joiner_is_current));
    end();
}

static void joiners_that_are_refused(void **state)
{
    struct membership_member taken = record_of(4);
    (void)state;
    three_that_serve(7);
    new_folder(4);
    snprintf(taken.name, sizeof taken.name, "m2");
    assert_err(join_as(4, "h:1", taken), DENIED);
    assert_non_null(strstr(places[4].join_err.text, "the name \"m2\" is that of member"));
    taken = record_of(4);
    snprintf(taken.address, sizeof taken.address, "h:3");
    assert_err(join_as(4, "h:1", taken), DENIED);
    assert_non_null(
        strstr(places[4].join_err.text, "the address \"h:3\" is that of member \"m3\""));
    assert_err(join_as(4, "h:9", record_of(4)), TIMEOUT);       /* nobody there */
    assert_non_null(strstr(places[4].join_err.text, "the same command goes on"));
    down(2);
    down(3);                                                    /* nobody who could decide */
    assert_err(join_as(4, "h:1", record_of(4)), TIMEOUT);
    end();
}

/* ---- what the leader is asked ---- */

struct question {
    struct node_ask ask;
    enum err_code code;
};
static struct question question;

static void on_answered(struct node_ask *ask, enum err_code code)
{
    container_of(ask, struct question, ask)->code = code;
}

static bool is_answered(void) { return question.code != ERR_CODE_COUNT; }

static enum err_code ask(uint64_t of, enum node_ask_kind kind, struct membership_member member,
                         bool force)
{
    question = (struct question){.code = ERR_CODE_COUNT};
    question.ask = (struct node_ask){.kind = kind, .member = member, .force = force,
                                     .done = on_answered};
    node_ask(node_of(of), &question.ask);
    assert_true(run_until(is_answered));
    return question.code;
}

static bool all_equal(void)
{
    for (uint64_t i = 1; i <= 3; i++)
        if (node_of(i) && node_membership(node_of(i))->count != 4)
            return false;
    return true;
}

static void a_reserved_place_is_taken_once(void **state)
{
    struct membership_member place = record_of(77), as = record_of(4);
    (void)state;
    three_that_serve(8);
    uint64_t asked = leader() == 1 ? 2 : 1;
    place.generation = MEMBER_RESERVED;
    snprintf(place.name, sizeof place.name, "m4");
    snprintf(place.address, sizeof place.address, "h:4");
    assert_ok(ask(asked, NODE_ASK_ADD, place, false));
    assert_true(run_until(all_equal));
    new_folder(4);
    assert_ok(join_as(4, "h:1", as));
    assert_int_equal(places[4].joined.id, 77);
    assert_ok(join_as(4, "h:2", as));                           /* the answer was lost */
    assert_int_equal(places[4].joined.id, 77);
    new_folder(5);
    assert_err(join_as(5, "h:2", as), DENIED);                  /* another folder */
    up_as_joined(4);
    joiner = 4;
    assert_true(run_until(joiner_votes));
    end();
}

static void what_would_lose_the_quorum_is_refused(void **state)
{
    struct membership_member self, dead, other;
    (void)state;
    three_that_serve(9);
    uint64_t first = leader(), second = first % 3 + 1, third = second % 3 + 1;
    self = record_of(first);
    other = record_of(second);
    dead = record_of(third);
    assert_ok(ask(second, NODE_ASK_TRANSFER, other, false));
    assert_int_equal(leader(), second);
    assert_ok(ask(third, NODE_ASK_TRANSFER, self, false));
    assert_int_equal(leader(), first);
    down(third);
    run_for(2 * NS_PER_S);
    assert_err(ask(second, NODE_ASK_REMOVE, other, false), READ_ONLY);
    assert_non_null(strstr(question.ask.err.text,
                           "leaves 2 voters, of which 1 is reachable; 2 are needed"));
    assert_err(ask(first, NODE_ASK_TRANSFER, dead, false), BUSY);
    assert_ok(ask(second, NODE_ASK_REMOVE, dead, false));
    assert_ok(ask(second, NODE_ASK_REMOVE, dead, false));       /* is done already */
    assert_err(ask(first, NODE_ASK_PROMOTE, dead, false), NOT_FOUND);
    down(second);
    run_for(NS_PER_S);
    assert_err(ask(first, NODE_ASK_REMOVE, other, true), NO_LEADER);
    end();
}

/* A member forwarded its request for the newcomer twice, and the second copy was long on its way. */
static void a_late_copy_of_a_change_demotes_nobody(void **state)
{
    struct membership_context context = {
        .token = {7, 7}, .decided_on = 1, .count = 1, .members = {record_of(4)}};
    struct raft_conf_change add = {.count = 1, .changes = {{RAFT_CHANGE_ADD_LEARNER, 4}}};
    struct buf encoded = {0};
    (void)state;
    three_that_serve(11);
    new_folder(4);
    assert_ok(join_as(4, "h:1", record_of(4)));
    up_as_joined(4);
    assert_true(run_until(joiner_votes));
    places[4].arrival.options.stays_learner = true;             /* it does not ask for its vote again */
    struct node *node = node_of(leader());
    raft_index before = raft_committed(node_raft(node));
    membership_context_encode(&context, &encoded);
    add.context = buf_bytes(&encoded);
    assert_ok(raft_propose_conf_change(node->raft, &add, false));
    run_for(2 * NS_PER_S);
    assert_true(raft_applied(node_raft(node)) > before);
    assert_int_equal(node_membership(node)->configuration.voters.count, 4);
    assert_int_equal(node_membership(node)->configuration.learners.count, 0);
    buf_release(&encoded);
    end();
}

/* Asked of the one that goes, and of one that is killed before it can say so. */
static void whoever_is_removed_says_so_and_ends(void **state)
{
    (void)state;
    three_that_serve(10);
    uint64_t gone = leader() == 2 ? 3 : 2;
    assert_ok(ask(gone, NODE_ASK_REMOVE, record_of(gone), false));
    run_for(5 * NS_PER_S);
    assert_null(node_of(gone));
    assert_non_null(strstr(places[gone].host.last_refusal, "was removed from its cluster"));
    up(gone);
    run_for(5 * NS_PER_S);
    assert_null(node_of(gone));
    new_folder(gone);
    struct membership_member again = record_of(gone);
    assert_err(join_as(gone, "h:1", again), DENIED);            /* not under that id */
    again.id = 99;
    assert_ok(join_as(gone, "h:1", again));
    up_as_joined(gone);
    joiner = gone;
    assert_true(run_until(joiner_votes));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_votes_before_all_have_met),
        cmocka_unit_test(forming_goes_on_after_any_kill),
        cmocka_unit_test(a_disk_that_fails_refuses_nobody_for_good),
        cmocka_unit_test(an_emptied_voter_is_refused_and_votes_for_nobody),
        cmocka_unit_test(two_emptied_voters_wait_for_the_third),
        cmocka_unit_test(who_joins_catches_up_and_votes),
        cmocka_unit_test(asking_again_is_the_same_request),
        cmocka_unit_test(a_learner_stays_one),
        cmocka_unit_test(joiners_that_are_refused),
        cmocka_unit_test(a_reserved_place_is_taken_once),
        cmocka_unit_test(what_would_lose_the_quorum_is_refused),
        cmocka_unit_test(a_late_copy_of_a_change_demotes_nobody),
        cmocka_unit_test(whoever_is_removed_says_so_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
