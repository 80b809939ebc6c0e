/* Which core serves: when it is looked for, and that the thread gets there and is not held. */
#include "tests/test.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/follow.h"

static int caller_core, own_core;
static unsigned looks, moves;
static bool allowed, parted;

static int fake_core_of(pid_t thread)
{
    (void)thread;
    looks++;
    return caller_core;
}

static int fake_own_core(void) { return own_core; }

static bool fake_move(int core)
{
    moves++;
    if (allowed && !parted)
        own_core = core;
    return allowed;
}

static const struct follow_door fake = {fake_core_of, fake_own_core, fake_move};

static int setup(void **state)
{
    static struct follow follow;
    follow_init(&follow, &fake);
    caller_core = own_core = 0;
    looks = moves = 0;
    allowed = true;
    parted = false;
    *state = &follow;
    return 0;
}

static void ask(struct follow *follow, pid_t thread, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        follow_request(follow, thread);
}

static void goes_to_the_only_caller(void **state)
{
    caller_core = 3;
    ask(*state, 7, FOLLOW_DUE_MIN - 1);
    assert_int_equal(looks, 0);
    ask(*state, 7, 1);
    assert_int_equal(moves, 1);
    assert_int_equal(own_core, 3);
    ask(*state, 7, FOLLOW_DUE_MAX);
    assert_int_equal(moves, 1);                 /* together */
    assert_true(looks > 2);
}

static void not_to_callers_that_take_turns(void **state)
{
    caller_core = 3;
    for (unsigned i = 0; i < 10 * FOLLOW_DUE_MIN; i++)
        ask(*state, 7 + (pid_t)(i % 2), 1);
    assert_int_equal(looks, 0);
}

static void the_kernel_s_own_do_not_count(void **state)
{
    caller_core = 3;
    for (unsigned i = 0; i < FOLLOW_DUE_MIN; i++) {
        ask(*state, 7, 1);
        ask(*state, 0, 1);
    }
    assert_int_equal(moves, 1);
}

/* Who is moved away again each time looks less and less, and begins anew with another caller. */
static void gives_up_where_it_is_of_no_use(void **state)
{
    caller_core = 3;
    parted = true;
    ask(*state, 7, FOLLOW_DUE_MAX);
    unsigned at_first = moves;
    assert_true(at_first >= 3 && at_first <= 5);
    ask(*state, 7, FOLLOW_DUE_MAX * 4);
    assert_true(moves - at_first <= 5);
    ask(*state, 8, FOLLOW_DUE_MIN);
    assert_true(moves - at_first <= 6 && moves > at_first);
}

static void not_where_it_may_not(void **state)
{
    caller_core = 3;
    allowed = false;
    ask(*state, 7, FOLLOW_DUE_MAX);
    assert_int_equal(moves, 1);
    caller_core = -1;                           /* it has ended */
    ask(*state, 8, FOLLOW_DUE_MIN);
    assert_int_equal(moves, 1);
}

/* A thread that waits on a core of its own, and is followed there. */
struct waiter {
    pthread_barrier_t barrier;
    int core;
    pid_t id;
};

static void *wait_there(void *argument)
{
    struct waiter *waiter = argument;
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(waiter->core, &only);
    assert_int_equal(sched_setaffinity(0, sizeof(only), &only), 0);
    waiter->id = (pid_t)syscall(SYS_gettid);
    pthread_barrier_wait(&waiter->barrier);
    pthread_barrier_wait(&waiter->barrier);
    return NULL;
}

static void the_system_moves_and_does_not_pin(void **state)
{
    (void)state;
    const struct follow_door *door = follow_system();
    cpu_set_t before, after;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &before)) {
            assert_false(door->move(core));
            continue;
        }
        struct waiter waiter = {.core = core};
        pthread_t thread;
        pthread_barrier_init(&waiter.barrier, NULL, 2);
        assert_int_equal(pthread_create(&thread, NULL, wait_there, &waiter), 0);
        pthread_barrier_wait(&waiter.barrier);
        assert_int_equal(door->core_of(waiter.id), core);
        assert_true(door->move(core));
        assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
        assert_true(CPU_EQUAL(&before, &after));
        pthread_barrier_wait(&waiter.barrier);
        pthread_join(thread, NULL);
        pthread_barrier_destroy(&waiter.barrier);
    }
    assert_false(door->move(CPU_SETSIZE));
    assert_true(door->core_of(INT32_MAX) < 0);  /* no such thread */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(goes_to_the_only_caller, setup),
        cmocka_unit_test_setup(not_to_callers_that_take_turns, setup),
        cmocka_unit_test_setup(the_kernel_s_own_do_not_count, setup),
        cmocka_unit_test_setup(gives_up_where_it_is_of_no_use, setup),
        cmocka_unit_test_setup(not_where_it_may_not, setup),
        cmocka_unit_test(the_system_moves_and_does_not_pin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
