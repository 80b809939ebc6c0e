#include "proto/status.h"
#include "tests/test.h"

static struct kv_status sample(void)
{
    struct kv_status status = {.cluster_id = 0xabc, .member_id = 7, .leader_id = 7, .revision = 42,
                               .compact_revision = 3, .key_count = UINT64_MAX, .flushes = 99,
                               .raft_index = 12, .applied_index = 10, .has_quorum = true,
                               .alone = true, .version = "0.1.0"};
    return status;
}

static char *format(const struct kv_status *status, const char *folder)
{
    struct buf buf = {0};
    status_format(&buf, status, folder);
    char *text = bytes_to_text(buf_bytes(&buf));
    buf_release(&buf);
    return text;
}

static void assert_line(const char *text, const char *name, const char *value)
{
    assert_bytes_equal(status_find(bytes_of_text(text), name), bytes_of_text(value));
}

static void test_lines_are_found_by_name(void **state)
{
    (void)state;
    struct kv_status status = sample();
    char *text = format(&status, "/var/lib/concordfs");
    assert_line(text, "data", "/var/lib/concordfs");
    assert_line(text, "revision", "42");
    assert_line(text, "compacted", "3");
    assert_line(text, "keys", "unknown");
    assert_line(text, "flushes", "99");
    assert_line(text, "lag", "2");
    assert_line(text, "leader", "0000000000000007 (this member)");
    assert_line(text, "quorum", "yes, alone");
    assert_line(text, "clock", "-");
    assert_line(text, "last error", "none");
    free(text);
}

static void test_a_mount_without_member_has_no_data_line(void **state)
{
    (void)state;
    struct kv_status status = sample();
    char *text = format(&status, NULL);
    assert_line(text, "data", "");
    free(text);
}

static void test_no_value_breaks_its_line(void **state)
{
    (void)state;
    struct kv_status status = sample();
    strcpy(status.last_error, "a\nflushes: 1");
    char *text = format(&status, "/a\nrevision: 7");
    assert_line(text, "data", "/a?revision: 7");
    assert_line(text, "revision", "42");
    assert_line(text, "last error", "a?flushes: 1");
    free(text);
}

static void test_members_and_a_lost_quorum(void **state)
{
    (void)state;
    struct kv_status status = sample();
    status.has_quorum = status.alone = false;
    status.leader_id = 0;
    status.quorum_lost_ns = 12500000000LL;
    status.member_count = 2;
    status.members[0] = (struct kv_member_status){.id = 7, .name = "n1", .is_voter = true,
                                                  .is_self = true};
    status.members[1] = (struct kv_member_status){.id = 8, .last_contact_ns = 3000000};
    char *text = format(&status, NULL);
    assert_line(text, "quorum", "lost 12 s ago");
    assert_line(text, "leader", "none");
    assert_line(text, "member 0000000000000007", "n1 voter self");
    assert_line(text, "member 0000000000000008", "- learner heard 3 ms ago");
    free(text);
}

/* Whoever leads hears everyone; whoever looks for a leader too; a follower hears its leader alone. */
static void test_the_missing_are_named(void **state)
{
    (void)state;
    struct kv_status status = sample();
    status.alone = false;
    status.member_count = 4;
    status.members[0] = (struct kv_member_status){.id = 7, .name = "a", .is_voter = true, .is_self = true};
    status.members[1] = (struct kv_member_status){.id = 8, .name = "b", .is_voter = true,
                                                  .last_contact_ns = 12500000000};
    status.members[2] = (struct kv_member_status){.id = 9, .is_voter = true};
    status.members[3] = (struct kv_member_status){.id = 10, .name = "d", .last_contact_ns = 30000000};
    char *text = format(&status, NULL);
    assert_line(text, "missing", "b, heard 12 s ago; 0000000000000009, never heard");
    free(text);
    status.leader_id = 8;
    text = format(&status, NULL);
    assert_line(text, "missing", "");
    free(text);
    status.leader_id = 0;
    status.has_quorum = false;
    text = format(&status, NULL);
    assert_line(text, "missing", "b, heard 12 s ago; 0000000000000009, never heard");
    free(text);
    status.members[1].last_contact_ns = status.members[2].last_contact_ns = 1;
    text = format(&status, NULL);
    assert_line(text, "missing", "");
    free(text);
}

static void test_times_are_utc_to_the_millisecond(void **state)
{
    (void)state;
    struct buf buf = {0};
    status_format_time(&buf, 1763971200123456789LL);
    assert_bytes_equal(buf_bytes(&buf), BYTES_LITERAL("2025-11-24T08:00:00.123Z"));
    buf_clear(&buf);
    status_format_time(&buf, -1);
    assert_bytes_equal(buf_bytes(&buf), BYTES_LITERAL("1969-12-31T23:59:59.999Z"));
    buf_release(&buf);
}

static void test_find_takes_whole_names_and_the_last_line_without_its_end(void **state)
{
    (void)state;
    struct bytes text = BYTES_LITERAL("database: x\ndata:y\ndata: z");
    assert_bytes_equal(status_find(text, "data"), BYTES_LITERAL("z"));
    assert_int_equal(status_find(text, "dat").size, 0);
    assert_int_equal(status_find(BYTES_EMPTY, "data").size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_found_by_name),
        cmocka_unit_test(test_a_mount_without_member_has_no_data_line),
        cmocka_unit_test(test_no_value_breaks_its_line),
        cmocka_unit_test(test_members_and_a_lost_quorum),
        cmocka_unit_test(test_the_missing_are_named),
        cmocka_unit_test(test_times_are_utc_to_the_millisecond),
        cmocka_unit_test(test_find_takes_whole_names_and_the_last_line_without_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
