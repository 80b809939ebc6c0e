/* The notifier: what changes elsewhere is told to the kernel, by another thread, in bounded room. */
#include "tests/test.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

#include "fs/notify.h"
#include "tests/sim/sim_mount.h"

static int setup(void **state)
{
    struct sim_mount *mount = malloc(sizeof(*mount));
    sim_mount_init(mount);
    *state = mount;
    return 0;
}

/* A strict mount of a cluster of several, which believes nothing. */
static int setup_company(void **state)
{
    setup(state);
    ((struct sim_mount *)*state)->direct.status.alone = false;
    return 0;
}

static int teardown(void **state)
{
    sim_mount_release(*state);
    free(*state);
    return 0;
}

static void on_settled(void *context) { sem_post(context); }

static void settle(struct sim_mount *mount)
{
    sem_t settled;
    sem_init(&settled, 0, 0);
    notify_settle(mount->fs, on_settled, &settled);
    sem_wait(&settled);
    sem_destroy(&settled);
}

static size_t count_notes(struct sim_mount *mount, enum kernel_note_kind kind, uint64_t node)
{
    size_t count = 0;
    settle(mount);
    pthread_mutex_lock(&mount->kernel.mutex);
    for (size_t i = 0; i < mount->kernel.note_count; i++)
        count += mount->kernel.notes[i].kind == kind && mount->kernel.notes[i].node == node;
    pthread_mutex_unlock(&mount->kernel.mutex);
    return count;
}

static void test_changes_elsewhere_are_told(void **state)
{
    struct sim_mount *mount = *state;
    uint64_t node;
    kv_direct_other_put(&mount->direct, "/f", "1");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    size_t names = count_notes(mount, KERNEL_NOTE_ENTRY, NODE_ROOT);
    kv_direct_other_put(&mount->direct, "/f", "2");
    assert_int_equal(count_notes(mount, KERNEL_NOTE_ATTR, node), 1);
    assert_int_equal(count_notes(mount, KERNEL_NOTE_ENTRY, NODE_ROOT), names);
    kv_direct_other_delete(&mount->direct, "/f");
    assert_int_equal(count_notes(mount, KERNEL_NOTE_ENTRY, NODE_ROOT), names + 1);
}

/* Where there is nothing to forget, no note waits for the lock of a directory. */
static void test_unbelieved_names_are_not_forgotten(void **state)
{
    struct sim_mount *mount = *state;
    uint64_t node;
    kv_direct_other_put(&mount->direct, "/f", "1");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    kv_direct_other_delete(&mount->direct, "/f");
    mount->direct.observer->reset(mount->direct.observer);
    assert_true(count_notes(mount, KERNEL_NOTE_ATTR, NODE_ROOT) >= 1);
    assert_int_equal(count_notes(mount, KERNEL_NOTE_ENTRY, NODE_ROOT), 0);
}

/* A name comes and another goes; what the directories above show changes, too. */
static void test_renames_elsewhere_are_told(void **state)
{
    struct sim_mount *mount = *state;
    uint64_t node, directory;
    kv_direct_other_put(&mount->direct, "/d/f", "1");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "d", &directory), 0);
    assert_int_equal(sim_lookup(mount, directory, "f", &node), 0);
    size_t names = count_notes(mount, KERNEL_NOTE_ENTRY, directory);
    size_t above = count_notes(mount, KERNEL_NOTE_ENTRY, NODE_ROOT);
    struct kv_op op = {.kind = KV_OP_RENAME,
                       .rename = {.from = BYTES_LITERAL("/d/f"), .to = BYTES_LITERAL("/g")}};
    kv_direct_other_txn(&mount->direct, &(struct kv_txn){.success = &op, .success_count = 1});
    assert_int_equal(count_notes(mount, KERNEL_NOTE_ENTRY, directory), names + 1);
    assert_int_equal(count_notes(mount, KERNEL_NOTE_ENTRY, NODE_ROOT), above + 1);  /* d is gone */
    assert_true(count_notes(mount, KERNEL_NOTE_ATTR, NODE_ROOT) >= 1);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "d", &directory), -ENOENT);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "g", &node), 0);
}

/* After a gap nothing is believed any more. */
static void test_a_reset_forgets_everything(void **state)
{
    struct sim_mount *mount = *state;
    uint64_t node, directory;
    kv_direct_other_put(&mount->direct, "/d/f", "1");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "d", &directory), 0);
    assert_int_equal(sim_lookup(mount, directory, "f", &node), 0);
    size_t names = count_notes(mount, KERNEL_NOTE_ENTRY, directory);
    size_t attrs = count_notes(mount, KERNEL_NOTE_ATTR, node);
    mount->direct.observer->reset(mount->direct.observer);
    assert_int_equal(count_notes(mount, KERNEL_NOTE_ENTRY, directory), names + 1);
    assert_int_equal(count_notes(mount, KERNEL_NOTE_ATTR, node), attrs + 1);
    assert_true(count_notes(mount, KERNEL_NOTE_ATTR, NODE_ROOT) >= 1);
}

/* A change is told to the kernel while an answer that was read before is on its way: the kernel may show
 * it to whoever asked, and must not keep it. */
static void test_an_overtaken_answer_is_not_kept(void **state)
{
    struct sim_mount *mount = *state;
    struct kv_changed changed = {.key = BYTES_LITERAL("/f"), .changes = KV_CHANGED_VALUE, .top = 2};
    struct kernel_request request = {.kind = KERNEL_LOOKUP, .node = NODE_ROOT, .pid = P1,
                                     .name = BYTES_LITERAL("f")};
    kv_direct_other_put(&mount->direct, "/f", "1");
    for (int overtaken = 0; overtaken < 2; overtaken++) {
        struct sim_call *call = sim_mount_send(mount, &request);
        changed.revision = kv_direct_other_put(&mount->direct, "/other", "1") + overtaken;
        mount->direct.observer->changed(mount->direct.observer, &changed);
        sim_mount_settle(mount);
        assert_true(call->answered);
        assert_int_equal(call->answer.entry.entry_timeout_ns != 0, !overtaken);
        assert_int_equal(call->answer.entry.attr_timeout_ns != 0, !overtaken);
        sim_call_free(call);
    }
}

/* What this mount saves is not told to it. */
static void test_own_changes_are_not_told(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/f", "1");
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_TRUNC, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "mine"), 0);
    size_t before = count_notes(mount, KERNEL_NOTE_ATTR, file.node);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_int_equal(count_notes(mount, KERNEL_NOTE_ATTR, file.node), before);
}

/* Holds the notifier inside a note, so that the queue fills. */
struct gate {
    pthread_mutex_t mutex;
    const struct kernel_ops *real;
    struct kernel_ops ops;
    size_t names, attrs;
};

static struct gate gate;

static int gated_note(struct kernel *kernel, const struct kernel_note *note)
{
    (void)kernel;
    pthread_mutex_lock(&gate.mutex);
    if (note->kind == KERNEL_NOTE_ATTR)
        gate.attrs++;
    else
        gate.names++;
    pthread_mutex_unlock(&gate.mutex);
    return 0;
}

static void test_overflow_forgets_everything(void **state)
{
    struct sim_mount *mount = *state;
    uint64_t node;
    kv_direct_other_put(&mount->direct, "/f", "1");
    kv_direct_other_put(&mount->direct, "/d/g", "1");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "d", &node), 0);
    settle(mount);
    pthread_mutex_init(&gate.mutex, NULL);
    gate.real = mount->kernel.kernel.ops;
    gate.ops = *gate.real;
    gate.ops.note = gated_note;
    gate.names = gate.attrs = 0;
    mount->kernel.kernel.ops = &gate.ops;

    pthread_mutex_lock(&gate.mutex);
    for (uint64_t i = 0; i < 40000; i++)
        notify_attr(mount->fs, 1000000 + i);
    pthread_mutex_unlock(&gate.mutex);
    settle(mount);
    assert_true(gate.attrs < 40000);            /* most were never told one by one */
    assert_true(gate.names >= 2);               /* instead every name that is known was */
    mount->kernel.kernel.ops = gate.real;
    pthread_mutex_destroy(&gate.mutex);
}

static void test_repeated_notes_are_one(void **state)
{
    struct sim_mount *mount = *state;
    pthread_mutex_init(&gate.mutex, NULL);
    gate.real = mount->kernel.kernel.ops;
    gate.ops = *gate.real;
    gate.ops.note = gated_note;
    gate.names = gate.attrs = 0;
    settle(mount);
    mount->kernel.kernel.ops = &gate.ops;
    pthread_mutex_lock(&gate.mutex);
    for (int i = 0; i < 1000; i++) {
        notify_attr(mount->fs, 77);
        notify_entry(mount->fs, 1, BYTES_LITERAL("name"));
    }
    pthread_mutex_unlock(&gate.mutex);
    settle(mount);
    assert_true(gate.attrs + gate.names <= 4);  /* two may have been taken out before the rest came */
    assert_true(gate.attrs >= 1 && gate.names >= 1);
    mount->kernel.kernel.ops = gate.real;
    pthread_mutex_destroy(&gate.mutex);
}

#define WITH_MOUNT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define IN_COMPANY(test) cmocka_unit_test_setup_teardown(test, setup_company, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MOUNT(test_changes_elsewhere_are_told),
        IN_COMPANY(test_unbelieved_names_are_not_forgotten),
        WITH_MOUNT(test_renames_elsewhere_are_told),
        WITH_MOUNT(test_a_reset_forgets_everything),
        WITH_MOUNT(test_an_overtaken_answer_is_not_kept),
        WITH_MOUNT(test_own_changes_are_not_told),
        WITH_MOUNT(test_overflow_forgets_everything),
        WITH_MOUNT(test_repeated_notes_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
