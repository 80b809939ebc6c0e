/* Text forms that no conversation shows. */
#include "tests/test.h"

#include "cluster/raft/print.h"

static void assert_text(struct buf *buf, const char *expected)
{
    assert_bytes_equal(buf_bytes(buf), bytes_of_text(expected));
    buf_clear(buf);
}

static void print_payload(struct buf *buf, struct bytes payload)
{
    struct entry entry = {1, 2, ENTRY_NORMAL, blob_copy(payload)};
    raft_print_entry(buf, &entry);
    blob_unref(entry.payload);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(raft_message_name(RAFT_MSG_HUP), "MsgHup");
    assert_string_equal(raft_message_name(RAFT_MSG_FORGET_LEADER), "MsgForgetLeader");
    assert_string_equal(raft_message_name(RAFT_MSG_TYPE_COUNT), "unknown");
    assert_string_equal(raft_role_name((enum raft_role)9), "unknown");
    assert_string_equal(raft_progress_name((enum raft_progress_state)9), "unknown");
}

static void test_payloads(void **state)
{
    (void)state;
    struct buf buf = {0};
    print_payload(&buf, BYTES_LITERAL("a\"\\\a\b\t\n\v\f\r\x01\x7f"));
    assert_text(&buf, "1/2 EntryNormal \"a\\\"\\\\\\a\\b\\t\\n\\v\\f\\r\\x01\\x7f\"");
    print_payload(&buf, BYTES_LITERAL("é€😀"));
    assert_text(&buf, "1/2 EntryNormal \"é€😀\"");
    /* Cut, overlong, not a continuation, beyond the range. */
    print_payload(&buf, BYTES_LITERAL("\xc3"));
    assert_text(&buf, "1/2 EntryNormal \"\\xc3\"");
    print_payload(&buf, BYTES_LITERAL("\xc0\x80"));
    assert_text(&buf, "1/2 EntryNormal \"\\xc0\\x80\"");
    print_payload(&buf, BYTES_LITERAL("\xe2\x82z"));
    assert_text(&buf, "1/2 EntryNormal \"\\xe2\\x82z\"");
    print_payload(&buf, BYTES_LITERAL("\xf5\x80\x80\x80"));
    assert_text(&buf, "1/2 EntryNormal \"\\xf5\\x80\\x80\\x80\"");
    buf_release(&buf);
}

static void test_entries(void **state)
{
    (void)state;
    struct buf buf = {0};
    struct entry entry = {3, 4, ENTRY_CONF_CHANGE_V2, NULL};
    raft_print_entry(&buf, &entry);
    assert_text(&buf, "3/4 EntryConfChangeV2");
    entry.payload = blob_copy(BYTES_LITERAL("\x08\x09"));
    raft_print_entry(&buf, &entry);
    assert_text(&buf, "3/4 EntryConfChangeV2 unreadable");
    blob_unref(entry.payload);
    entry.payload = NULL;
    entry.type = (enum entry_type)7;
    raft_print_entry(&buf, &entry);
    assert_text(&buf, "3/4 unknown unreadable");
    buf_release(&buf);
}

static void test_states(void **state)
{
    (void)state;
    struct buf buf = {0};
    struct hard_state hard = {1, 0, 3};
    raft_print_hard_state(&buf, &hard);
    assert_text(&buf, "Term:1 Commit:3");
    struct raft_conf_state conf = {{1, {2}}, {1, {1}}, {1, {3}}, {1, {1}}, true};
    raft_print_conf_state(&buf, &conf);
    assert_text(&buf, "Voters:[2] VotersOutgoing:[1] Learners:[3] LearnersNext:[1] AutoLeave:true");
    raft_print_configuration(&buf, &conf);
    assert_text(&buf, "voters=(2)&&(1) learners=(3) learners_next=(1) autoleave");
    struct raft_snapshot snapshot = {{5, 1, blob_copy(BYTES_LITERAL("\xff"))}, NULL};
    raft_print_snapshot(&buf, &snapshot);
    assert_text(&buf, "Index:5 Term:1 ConfState:unreadable");
    blob_unref(snapshot.mark.configuration);
    struct raft_progress_status progress = {
        .match = 3,
        .next = 5,
        .state = RAFT_SNAPSHOT,
        .pending_snapshot = 4,
        .paused = true,
        .learner = true,
        .inflight_count = 2,
        .inflight_full = true,
    };
    raft_print_progress(&buf, &progress);
    assert_text(&buf, "StateSnapshot match=3 next=5 learner paused pendingSnap=4 inactive "
                      "inflight=2[full]");
    buf_release(&buf);
}

static void test_messages(void **state)
{
    (void)state;
    struct buf buf = {0};
    struct raft_snapshot empty = {0};
    struct raft_message message = {
        .type = RAFT_MSG_SNAP, .from = 0, .to = 0x1f, .snapshot = &empty};
    raft_print_message(&buf, &message);
    assert_text(&buf, "None->1f MsgSnap Term:0 Log:0/0");
    struct entry pair[] = {{1, 2, ENTRY_NORMAL, NULL}, {1, 3, ENTRY_NORMAL, NULL}};
    struct raft_message response = {.type = RAFT_MSG_STORAGE_APPLY_RESP,
                                    .from = RAFT_APPLY_THREAD,
                                    .to = 1,
                                    .entries = pair,
                                    .entry_count = 2};
    struct raft_message work = {.type = RAFT_MSG_STORAGE_APPLY,
                                .from = 1,
                                .to = RAFT_APPLY_THREAD,
                                .responses = &response,
                                .response_count = 1};
    raft_print_message(&buf, &work);
    assert_text(&buf, "1->ApplyThread MsgStorageApply Term:0 Log:0/0 Responses:[\n"
                      "  ApplyThread->1 MsgStorageApplyResp Term:0 Log:0/0 Entries:[\n"
                      "    1/2 EntryNormal \"\"\n"
                      "    1/3 EntryNormal \"\"\n"
                      "  ]\n]");
    struct raft_ready ready = {0};
    raft_print_ready(&buf, &ready);
    assert_text(&buf, "<empty Ready>\n");
    buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),    cmocka_unit_test(test_payloads),
        cmocka_unit_test(test_entries),  cmocka_unit_test(test_states),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
