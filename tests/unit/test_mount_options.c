/* mount_options and interrupt: what a person or the kernel writes, read strictly. */
#include "tests/test.h"

#include "fs/interrupt.h"
#include "fs/mount_options.h"

static void everything_said(void **state)
{
    (void)state;
    struct mount_options options;
    struct err err;
    mount_options_init(&options, 5, 6, false);
    assert_ok(mount_options_parse(&options, "prefix=/app/,timeo=500ms,reads=local,,uid=1,gid=2", &err));
    assert_ok(mount_options_parse(&options, "fmask=077,dmask=0,ro,noinotify,allow_other,nofail,"
                                            "x-systemd.automount,locks=local,max_file_size=512k", &err));
    assert_string_equal(options.fs.prefix, "/app/");
    assert_int_equal(options.fs.timeo_ms, 500);
    assert_int_equal(options.fs.reads, FS_READS_LOCAL);
    assert_int_equal(options.fs.locks, FS_LOCKS_LOCAL);
    assert_int_equal(options.fs.uid, 1);
    assert_int_equal(options.fs.gid, 2);
    assert_int_equal(options.fs.fmask, 077);
    assert_int_equal(options.fs.dmask, 0);
    assert_int_equal(options.fs.file_size_max, 512 * 1024);
    assert_true(options.fs.read_only);
    assert_false(options.fs.inotify);
    assert_true(options.allow_other);
    assert_ok(mount_options_parse(&options, "rw,timeo=7,noallow_other,prefix=", &err));
    assert_false(options.fs.read_only);
    assert_false(options.allow_other);
    assert_int_equal(options.fs.timeo_ms, 7000);
    assert_string_equal(options.fs.prefix, "");
    assert_ok(mount_options_parse(&options, "inotify", &err));
    assert_true(options.fs.inotify);
    assert_ok(mount_options_parse(&options, "inotify=off", &err));
    assert_false(options.fs.inotify);
    assert_ok(mount_options_parse(&options, "inotify=on", &err));
    assert_true(options.fs.inotify);
    mount_options_release(&options);
}

static void refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "prefx=/", "reads=sometimes", "reads=", "reads=str", "uid=-1", "uid=4294967295", "uid=1x",
        "fmask=8", "fmask=1777", "timeo=0", "timeo=5m", "timeo=", "ro=1", "inotify=", "inotify=no", "prefix", "uid",
        "max_file_size=0", "max_file_size=1G", "max_file_size=1kb", "reads=strict|local"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct mount_options options;
        struct err err = {0};
        mount_options_init(&options, 0, 0, true);
        if (mount_options_parse(&options, texts[i], &err) != ERR_INVALID)
            fail_msg("\"%s\" was taken", texts[i]);
        assert_non_null(strstr(err.text, texts[i]));
        mount_options_release(&options);
    }
}

static void signals_that_mean_stop(void **state)
{
    (void)state;
    static const char form[] = "Name:\tcat\nSigQ:\t0/1\nSigPnd:\t%s\nShdPnd:\t%s\nSigBlk:\t%s\n";
    static const struct {
        const char *own, *shared, *blocked;
        bool stops;
    } cases[] = {
        {"0000000000000000", "0000000000000000", "0000000000000000", false},
        {"0000000000000100", "0000000000000000", "0000000000000000", true},      /* KILL */
        {"0000000000000100", "0000000000000000", "ffffffffffffffff", true},
        {"0000000000000000", "0000000000000002", "0000000000000000", true},      /* INT */
        {"0000000000000000", "0000000000000002", "0000000000000002", false},     /* blocked */
        {"0000000000000000", "0000000000010000", "0000000000000000", false},     /* CHLD */
        {"0000000000400000", "0000000000000000", "0000000000000000", false},     /* URG */
        {"0000000000000000", "0000000008000000", "0000000000000000", false},     /* WINCH */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), form, cases[i].own, cases[i].shared, cases[i].blocked);
        assert_int_equal(interrupt_in_status(text), cases[i].stops);
    }
    assert_false(interrupt_in_status(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_said), cmocka_unit_test(refused),
        cmocka_unit_test(signals_that_mean_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
