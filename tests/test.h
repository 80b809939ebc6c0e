/* What our cmocka programs share: cmocka itself, a temporary folder, the nth-allocation loop. */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define assert_ok(call) assert_int_equal((call), ERR_OK)
#define assert_err(call, code) assert_int_equal((call), ERR_##code)
#define assert_bytes_equal(left, right)                                                            \
    do {                                                                                           \
        struct bytes assert_left = (left), assert_right = (right);                                 \
        assert_int_equal(assert_left.size, assert_right.size);                                     \
        if (assert_left.size)                                                                      \
            assert_memory_equal(assert_left.data, assert_right.data, assert_left.size);            \
    } while (0)

/* A new empty folder under $TMPDIR (or /tmp); the path stays valid until test_folder_remove. */
static inline char *test_folder_new(void)
{
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    if (asprintf(&path, "%s/concordfs-test-XXXXXX", base ? base : "/tmp") < 0 || !mkdtemp(path))
        abort();
    return path;
}

static inline void test_folder_remove(char *path)
{
    char *command = NULL;
    if (asprintf(&command, "rm -rf -- '%s'", path) < 0 || system(command) != 0)
        abort();
    free(command);
    free(path);
}

#endif
