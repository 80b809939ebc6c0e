/* An arrival on disk, whose writes the kernel loses after it has taken them. */
#include "tests/unit/home_fixture.h"

#include <errno.h>
#include <fcntl.h>

/* In the place of the C library's, for all of this program: what it sends on its way needs not go. */
static int range_errno, ranges_before;
int sync_file_range(int fd, off64_t offset, off64_t size, unsigned flags)
{
    (void)fd, (void)offset, (void)size, (void)flags;
    if (range_errno == 0 || ranges_before-- > 0)
        return 0;
    errno = range_errno;
    return -1;
}

static enum err_code send_until_refused(struct home_copy *copy, struct home *to)
{
    struct home_position position;
    enum err_code code = home_incoming_begin(to, &copy->manifest, &position, NULL);
    while (!code && position.file < copy->manifest.count)
        code = send_part(copy, to, &position, TRANSFER_CHUNK_BYTES);
    return code;
}

/* The kernel tells once what it could not write, and may tell it to whoever waits for a part. */
static void test_lost_writes(void **state)
{
    (void)state;
    struct source source = source_new(true);
    struct home_copy *copy = copy_of(&source.place, source.store, source.backend);
    size_t refused = 0;
    for (int before = 0;; before++) {
        struct place to = place_new(true);
        range_errno = before % 2 ? EIO : ENOSPC;
        ranges_before = before;
        enum err_code code = send_until_refused(copy, to.home);
        bool was_told = ranges_before < 0;
        range_errno = 0;
        assert_int_equal(code, !was_told ? ERR_OK : before % 2 ? ERR_IO : ERR_NO_SPACE);
        if (was_told) {
            refused++;
            assert_err(home_incoming_finish(to.home, NULL), INVALID);
            assert_err(home_flip(to.home, NULL), INVALID);
            assert_ok(home_incoming_discard(to.home, NULL));
            send_all(copy, to.home);
        }
        finish(to.home);
        place_free(&to);
        if (!was_told)
            break;
    }
    assert_true(refused > copy->manifest.count);    /* a table takes more than one step */
    struct place to = place_new(true);
    range_errno = ENOSYS;
    assert_ok(send_until_refused(copy, to.home));
    range_errno = 0;
    finish(to.home);
    place_free(&to);
    home_copy_close(copy);
    source_free(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lost_writes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
