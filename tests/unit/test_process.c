/* Thread groups, on the processes of this test. */
#include "tests/test.h"

#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
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

/* A child that waits to be killed; with the given number, when one is given. */
static pid_t start_child(pid_t number)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    if (number) {
        arguments.set_tid = (uint64_t)(uintptr_t)&number;
        arguments.set_tid_size = 1;
    }
    pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
    while (child == 0)
        pause();
    return child;
}

static void end_child(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* What is kept of a process never answers for a later one with its number. */
static void test_a_number_is_used_again(void **state)
{
    (void)state;
    pid_t child = start_child(0);
    assert_true(child > 0);
    struct process first = process_of(process_system(), child, true);
    assert_int_equal(first.group, child);
    assert_int_equal(process_of(process_system(), child, true).start, first.start);
    end_child(child);

    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);   /* start times count in ticks */
    pid_t again = start_child(child);
    if (again != child)
        skip();                                                 /* takes a privilege, and a free number */
    struct process second = process_of(process_system(), child, true);
    assert_int_equal(second.group, child);
    assert_true(second.start > first.start);
    assert_true(process_is_gone(process_system(), &first));
    assert_false(process_is_gone(process_system(), &second));
    end_child(child);
    assert_true(process_is_gone(process_system(), &second));
}

/* More processes than are kept, asked about in turn. */
static void test_many_processes(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    pid_t children[COUNT];
    struct process found[COUNT];
    for (int i = 0; i < COUNT; i++) {
        children[i] = start_child(0);
        assert_true(children[i] > 0);
    }
    int before = dup(0);
    close(before);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < COUNT; i++) {
            struct process now = process_of(process_system(), children[i], true);
            assert_int_equal(now.group, children[i]);
            assert_true(now.start > 0);
            assert_true(round == 0 || now.start == found[i].start);
            assert_false(process_is_gone(process_system(), &now));
            found[i] = now;
        }
    int after = dup(0);
    close(after);
    assert_true(after - before <= 32);                          /* few descriptors are kept */
    for (int i = 0; i < COUNT; i++) {
        end_child(children[i]);
        assert_true(process_is_gone(process_system(), &found[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_belong_to_their_group),
        cmocka_unit_test(test_a_child_is_another_process),
        cmocka_unit_test(test_what_is_not_known),
        cmocka_unit_test(test_a_number_is_used_again),
        cmocka_unit_test(test_many_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
