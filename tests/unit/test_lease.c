/* The lessor: what is due and when, against a model that looks at every lease each time. */
#include "tests/test.h"

#include "mvcc/lease.h"
#include "proto/base/limits.h"
#include "proto/base/rand.h"

#define S 1000000000LL

static void grant(struct lessor *lessor, int64_t id, int64_t ttl_s, int64_t now)
{
    struct lease_change change = {LEASE_GRANTED, id, ttl_s, (raft_index)(now / S) + 1};
    lessor_apply(lessor, &change, now);
}

static void renew(struct lessor *lessor, int64_t id, int64_t ttl_s, raft_index renewed, int64_t now)
{
    struct lease_change change = {LEASE_RENEWED, id, ttl_s, renewed};
    lessor_apply(lessor, &change, now);
}

static void end(struct lessor *lessor, int64_t id)
{
    lessor_apply(lessor, &(struct lease_change){.event = LEASE_ENDED, .id = id}, 0);
}

static void assert_due(struct lessor *lessor, int64_t now, int64_t id, raft_index renewed)
{
    struct lease_change due;
    assert_true(lessor_due(lessor, now, &due));
    assert_int_equal(due.id, id);
    assert_int_equal(due.renewed, renewed);
    lessor_validate(lessor);
}

static void assert_none(struct lessor *lessor, int64_t now)
{
    struct lease_change due;
    assert_false(lessor_due(lessor, now, &due));
    lessor_validate(lessor);
}

static void a_lease_is_due_after_its_time_and_not_before(void **state)
{
    struct lessor *lessor = lessor_new();
    int64_t left;
    (void)state;
    lessor_promote(lessor, 0, 0);
    assert_true(lessor_next_ns(lessor) == INT64_MAX);
    grant(lessor, 7, 5, 1 * S);
    assert_true(lessor_next_ns(lessor) == 6 * S);
    assert_none(lessor, 6 * S - 1);
    assert_true(lessor_remaining_ns(lessor, 7, 4 * S, &left));
    assert_true(left == 2 * S);
    renew(lessor, 7, 5, 44, 4 * S);
    assert_none(lessor, 9 * S - 1);
    assert_due(lessor, 9 * S, 7, 44);
    assert_none(lessor, 100 * S);       /* once */
    assert_true(lessor_next_ns(lessor) == INT64_MAX);
    assert_true(lessor_remaining_ns(lessor, 7, 10 * S, &left));
    assert_true(left == 0);
    /* A renewal that was in the log first: its time begins again. */
    renew(lessor, 7, 5, 50, 10 * S);
    assert_due(lessor, 15 * S, 7, 50);
    end(lessor, 7);
    end(lessor, 7);
    renew(lessor, 7, 5, 51, 15 * S);    /* of a lease that is gone */
    assert_int_equal(lessor_count(lessor), 0);
    assert_false(lessor_remaining_ns(lessor, 7, 15 * S, &left));
    assert_none(lessor, INT64_MAX);
    lessor_free(lessor);
}

static void nothing_is_due_where_nobody_leads(void **state)
{
    struct lessor *lessor = lessor_new();
    int64_t left;
    (void)state;
    grant(lessor, 1, 2, 0);
    assert_none(lessor, 1000 * S);
    assert_false(lessor_remaining_ns(lessor, 1, 0, &left));
    /* The whole time again, and what an election took on top. */
    lessor_promote(lessor, 1000 * S, S / 2);
    assert_true(lessor_is_promoted(lessor));
    assert_none(lessor, 1002 * S);
    assert_due(lessor, 1002 * S + S / 2, 1, 1);
    lessor_demote(lessor);
    assert_none(lessor, INT64_MAX);
    /* What was in flight then is no more: this leader finds it again. */
    lessor_promote(lessor, 2000 * S, 0);
    assert_due(lessor, 2002 * S, 1, 1);
    lessor_clear(lessor);
    assert_false(lessor_is_promoted(lessor));
    assert_int_equal(lessor_count(lessor), 0);
    lessor_free(lessor);
}

static void equal_deadlines_come_by_id(void **state)
{
    struct lessor *lessor = lessor_new();
    static const int64_t ids[] = {5, -3, 9, 1, 7};
    static const int64_t order[] = {-3, 1, 5, 7, 9};
    (void)state;
    lessor_promote(lessor, 0, 0);
    for (size_t i = 0; i < 5; i++)
        grant(lessor, ids[i], 2, 0);
    for (size_t i = 0; i < 5; i++)
        assert_due(lessor, 2 * S, order[i], 1);
    lessor_free(lessor);
}

static void what_was_not_proposed_is_due_still(void **state)
{
    struct lessor *lessor = lessor_new();
    (void)state;
    lessor_promote(lessor, 0, 0);
    grant(lessor, 1, 2, 0);
    assert_due(lessor, 3 * S, 1, 1);
    lessor_put_back(lessor, 1);
    lessor_validate(lessor);
    assert_true(lessor_next_ns(lessor) == 2 * S);
    assert_due(lessor, 3 * S, 1, 1);
    lessor_free(lessor);
}

static void so_many_in_flight_and_no_more(void **state)
{
    struct lessor *lessor = lessor_new();
    (void)state;
    lessor_promote(lessor, 0, 0);
    for (int i = 0; i < LEASE_EXPIRE_IN_FLIGHT_MAX + 3; i++)
        grant(lessor, i + 1, 2, 0);
    for (int i = 0; i < LEASE_EXPIRE_IN_FLIGHT_MAX; i++)
        assert_due(lessor, 2 * S, i + 1, 1);
    assert_none(lessor, 3 * S);
    assert_true(lessor_next_ns(lessor) == INT64_MAX);
    end(lessor, 4);
    assert_due(lessor, 3 * S, LEASE_EXPIRE_IN_FLIGHT_MAX + 1, 1);
    assert_none(lessor, 3 * S);
    renew(lessor, 5, 2, 9, 3 * S);      /* void: it is not in flight any more */
    assert_due(lessor, 3 * S, LEASE_EXPIRE_IN_FLIGHT_MAX + 2, 1);
    assert_none(lessor, 3 * S);
    lessor_free(lessor);
}

static void so_many_in_a_second_and_no_more(void **state)
{
    struct lessor *lessor = lessor_new();
    int64_t now = 2 * S;
    (void)state;
    lessor_promote(lessor, 0, 0);
    for (int i = 0; i < LEASE_EXPIRE_RATE + 10; i++)
        grant(lessor, i + 1, 2, 0);
    for (int i = 0; i < LEASE_EXPIRE_RATE; i++) {
        assert_due(lessor, now, i + 1, 1);
        end(lessor, i + 1);
        now += S / (2 * LEASE_EXPIRE_RATE);
    }
    assert_none(lessor, now);
    assert_true(lessor_next_ns(lessor) == 3 * S);
    assert_none(lessor, 3 * S - 1);
    assert_due(lessor, 3 * S, LEASE_EXPIRE_RATE + 1, 1);
    lessor_free(lessor);
}

/* Thousands that would end together after a change of leader do not. */
static void a_new_leader_pulls_them_apart(void **state)
{
    struct lessor *lessor = lessor_new();
    enum { COUNT = 4000, MOST = LEASE_EXPIRE_RATE * 3 / 4 };
    static int64_t ends[COUNT];
    struct lease_change due;
    size_t count = 0;
    (void)state;
    for (int i = 0; i < COUNT; i++)
        grant(lessor, i + 1, i % 2 ? 5 : 6, i);
    lessor_promote(lessor, 100 * S, S);
    lessor_validate(lessor);
    while (count < COUNT) {
        int64_t now = lessor_next_ns(lessor);
        assert_true(lessor_due(lessor, now, &due));
        assert_true(now >= 101 * S + due.ttl_s * S);
        ends[count++] = now;
        end(lessor, due.id);
    }
    for (int i = MOST; i < COUNT; i++)
        assert_true(ends[i] - ends[i - MOST] >= S);
    assert_true(ends[COUNT - 1] <= 108 * S + COUNT / MOST * S);
    lessor_free(lessor);
}

static void for_ever_is_no_overflow(void **state)
{
    struct lessor *lessor = lessor_new();
    (void)state;
    lessor_promote(lessor, 0, 0);
    grant(lessor, 1, LEASE_TTL_MAX_S, 8000000000 * S);
    assert_true(lessor_next_ns(lessor) == INT64_MAX);
    assert_due(lessor, INT64_MAX, 1, 8000000001);
    lessor_promote(lessor, 9000000000 * S, INT64_MAX);
    assert_true(lessor_next_ns(lessor) == INT64_MAX);
    lessor_free(lessor);
}

/* ---- the model ---- */

#define MODEL_LEASES 40

struct model {
    bool is_promoted;
    int64_t now;
    struct {
        bool lives, in_flight;
        int64_t ttl_s, deadline;
        raft_index renewed;
    } leases[MODEL_LEASES];
};

static int model_first(const struct model *model)
{
    int first = -1, in_flight = 0;
    for (int i = 0; i < MODEL_LEASES; i++) {
        if (!model->leases[i].lives)
            continue;
        in_flight += model->leases[i].in_flight;
        if (!model->leases[i].in_flight &&
            (first < 0 || model->leases[i].deadline < model->leases[first].deadline))
            first = i;
    }
    return model->is_promoted && in_flight < LEASE_EXPIRE_IN_FLIGHT_MAX ? first : -1;
}

static void model_arm(struct model *model, int lease, raft_index renewed, int64_t extra)
{
    model->leases[lease].in_flight = false;
    model->leases[lease].renewed = renewed;
    model->leases[lease].deadline = model->now + model->leases[lease].ttl_s * S + extra;
}

static void step_due(struct model *model, struct lessor *lessor, struct rand *rand)
{
    struct lease_change due;
    int first = model_first(model);
    bool want = first >= 0 && model->leases[first].deadline <= model->now;
    assert_true(lessor_next_ns(lessor) == (first < 0 ? INT64_MAX : model->leases[first].deadline));
    assert_int_equal(lessor_due(lessor, model->now, &due), want);
    if (!want)
        return;
    assert_int_equal(due.id, first);
    assert_int_equal(due.renewed, model->leases[first].renewed);
    model->leases[first].in_flight = !rand_chance(rand, 1, 4);
    if (!model->leases[first].in_flight)
        lessor_put_back(lessor, first);
}

static void step(struct model *model, struct lessor *lessor, struct rand *rand, raft_index index)
{
    int lease = (int)rand_below(rand, MODEL_LEASES);
    int64_t ttl_s = 2 + (int64_t)rand_below(rand, 20);
    bool lives = model->leases[lease].lives;
    switch (rand_below(rand, 12)) {
    case 0: case 1:
        if (lives)
            break;
        model->leases[lease].lives = true;
        model->leases[lease].ttl_s = ttl_s;
        model_arm(model, lease, index, 0);
        lessor_apply(lessor, &(struct lease_change){LEASE_GRANTED, lease, ttl_s, index},
                     model->now);
        break;
    case 2: case 3: case 4:
        if (lives)
            model_arm(model, lease, index, 0);
        renew(lessor, lease, model->leases[lease].ttl_s, index, model->now);
        break;
    case 5:
        model->leases[lease].lives = false;
        end(lessor, lease);
        break;
    case 6:
        if (!rand_chance(rand, 1, 4))
            break;
        model->is_promoted = rand_chance(rand, 2, 3);
        for (int i = 0; i < MODEL_LEASES && model->is_promoted; i++)
            model_arm(model, i, model->leases[i].renewed, S / 4);
        if (model->is_promoted)
            lessor_promote(lessor, model->now, S / 4);
        else
            lessor_demote(lessor);
        for (int i = 0; i < MODEL_LEASES; i++)
            model->leases[i].in_flight = false;
        break;
    case 7: case 8: case 9:
        model->now += (int64_t)rand_below(rand, 3 * S);
        break;
    default:
        step_due(model, lessor, rand);
    }
}

static void a_model_agrees(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct model model = {.now = (int64_t)seed * S};
        struct lessor *lessor = lessor_new();
        struct rand rand;
        rand_init(&rand, seed);
        for (raft_index index = 1; index <= 3000; index++) {
            step(&model, lessor, &rand, index);
            lessor_validate(lessor);
            assert_int_equal(lessor_is_promoted(lessor), model.is_promoted);
        }
        lessor_free(lessor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_due_after_its_time_and_not_before),
        cmocka_unit_test(nothing_is_due_where_nobody_leads),
        cmocka_unit_test(equal_deadlines_come_by_id),
        cmocka_unit_test(what_was_not_proposed_is_due_still),
        cmocka_unit_test(so_many_in_flight_and_no_more),
        cmocka_unit_test(so_many_in_a_second_and_no_more),
        cmocka_unit_test(a_new_leader_pulls_them_apart),
        cmocka_unit_test(for_ever_is_no_overflow),
        cmocka_unit_test(a_model_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
