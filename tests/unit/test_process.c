/* Thread groups, on the processes of this test. */
#include "tests/test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/process.h"

static void *thread_id(void *argument)
{
    *(pid_t *)argument = (pid_t)syscall(SYS_gettid);
    struct process of_thread = process_of(process_system(), *(pid_t *)argument, true);
    struct process own = process_of(process_system(), getpid(), true);
    assert_int_equal(of_thread.group, own.group);
    assert_int_equal(of_thread.start, own.start);
    assert_true(process_has(process_system(), &own, *(pid_t *)argument));
    return NULL;
}

static void test_threads_belong_to_their_group(void **state)
{
    (void)state;
    pthread_t thread;
    pid_t id = 0;
    assert_int_equal(pthread_create(&thread, NULL, thread_id, &id), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_not_equal(id, getpid());
    struct process own = process_of(process_system(), getpid(), true);
    assert_int_equal(own.group, getpid());
    assert_true(own.start > 0);
    assert_false(process_is_gone(process_system(), &own));
    assert_true(process_has(process_system(), &own, 0));
}

static void test_a_child_is_another_process(void **state)
{
    (void)state;
    int door[2];
    assert_int_equal(pipe(door), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(door[1]);
        _exit(read(door[0], &byte, 1) < 0);
    }
    close(door[0]);
    struct process own = process_of(process_system(), getpid(), true);
    struct process other = process_of(process_system(), child, true);
    assert_int_equal(other.group, child);
    assert_false(process_has(process_system(), &own, child));
    assert_false(process_has(process_system(), &other, getpid()));
    assert_false(process_is_gone(process_system(), &other));

    close(door[1]);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_true(process_is_gone(process_system(), &other));     /* a zombie has closed its files */
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(process_is_gone(process_system(), &other));
    assert_false(process_has(process_system(), &own, child));
}

static void test_what_is_not_known(void **state)
{
    (void)state;
    struct process unknown = process_of(process_system(), 0, true);
    assert_int_equal(unknown.group, 0);
    assert_true(process_has(process_system(), &unknown, getpid()));
    assert_true(process_is_gone(process_system(), &unknown));
    struct process own = process_of(process_system(), getpid(), true);
    own.start++;                                                /* another life of the number */
    assert_true(process_is_gone(process_system(), &own));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_belong_to_their_group),
        cmocka_unit_test(test_a_child_is_another_process),
        cmocka_unit_test(test_what_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
