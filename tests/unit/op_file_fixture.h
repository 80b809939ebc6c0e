/* What the tests of open files share: a simulated mount each. */
#ifndef TESTS_UNIT_OP_FILE_FIXTURE_H
#define TESTS_UNIT_OP_FILE_FIXTURE_H

#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "tests/sim/sim_mount.h"

static inline int setup(void **state)
{
    struct sim_mount *mount = malloc(sizeof(*mount));
    sim_mount_init(mount);
    *state = mount;
    return 0;
}

static inline int teardown(void **state)
{
    sim_mount_release(*state);
    free(*state);
    return 0;
}

/* What every host sees at key; NULL: nothing. */
static inline void assert_value(struct sim_mount *mount, const char *key, const char *expected)
{
    struct buf value = {0};
    bool found = kv_direct_value(&mount->direct, key, &value);
    if (!expected)
        assert_false(found);
    else
        assert_true(found);
    if (expected)
        assert_bytes_equal(buf_bytes(&value), bytes_of_text(expected));
    buf_release(&value);
}

static inline void assert_reads(struct sim_mount *mount, const struct sim_file *file, const char *expected)
{
    assert_int_equal(sim_read(mount, file, 0, 100000), 0);
    assert_bytes_equal(buf_bytes(&mount->data), bytes_of_text(expected));
}

static inline uint64_t writes(const struct sim_mount *mount) { return mount->direct.writes; }

#define WITH_MOUNT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
