/* cluster/first_members: lists that are good, lists that are not, and ids that all members agree on. */
#include "tests/test.h"

#include "cluster/first_members.h"
#include "proto/base/check.h"

static const char *refusal(const char *text)
{
    static struct err err;
    struct first_members first = {.count = 99};
    err = (struct err){0};
    assert_err(first_members_parse(text, &first, &err), INVALID);
    assert_int_equal(first.count, 99);      /* untouched */
    return err.text;
}

static void the_order_means_nothing(void **state)
{
    struct first_members one, other;
    (void)state;
    assert_ok(first_members_parse("a=h1:1,b=h2:2,c=h3:3", &one, NULL));
    assert_ok(first_members_parse("c=h3:3,a=h1:1,b=h2:2", &other, NULL));
    assert_int_equal(one.count, 3);
    assert_int_equal(one.cluster_id, other.cluster_id);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(one.members[i].id, other.members[i].id);
        assert_string_equal(one.members[i].name, other.members[i].name);
        assert_string_equal(one.members[i].address, other.members[i].address);
        assert_true(one.members[i].id != 0 && one.members[i].id <= UINT64_MAX / 2);
        assert_int_equal(one.members[i].generation, 0);
    }
    assert_string_equal(one.members[0].name, "a");
    assert_true(one.members[0].id != one.members[1].id);
    assert_ptr_equal(first_members_find(&one, "b"), &one.members[1]);
    assert_null(first_members_find(&one, "d"));
}

static void another_list_is_another_cluster(void **state)
{
    static const char *const lists[] = {"a=h1:1,b=h2:2", "a=h1:1", "a=h1:1,b=h2:3", "a=h1:1,bb=h2:2",
                                        "a=h2:2,b=h1:1"};
    struct first_members first[ARRAY_COUNT(lists)];
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        assert_ok(first_members_parse(lists[i], &first[i], NULL));
        for (size_t k = 0; k < i; k++) {
            assert_true(first[i].cluster_id != first[k].cluster_id);
            assert_true(first[i].members[0].id != first[k].members[0].id);
        }
    }
}

static void ids_are_the_same_for_ever(void **state)
{
    struct first_members first;
    (void)state;
    assert_ok(first_members_parse("a=127.0.0.1:7001,b=127.0.0.1:7002,c=127.0.0.1:7003", &first, NULL));
    assert_int_equal(first.cluster_id, UINT64_C(0xa5ada3ffd94410a));
    assert_int_equal(first.members[0].id, UINT64_C(0x65906fe6f4d9cac));
}

static void what_is_no_list(void **state)
{
    (void)state;
    assert_string_equal(refusal(""), "not NAME=HOST:PORT: \"\"");
    assert_string_equal(refusal("a=h:1,"), "not NAME=HOST:PORT: \"\"");
    assert_non_null(strstr(refusal("=h:1"), "not NAME=HOST:PORT"));
    assert_non_null(strstr(refusal("a="), "not NAME=HOST:PORT"));
    assert_non_null(strstr(refusal("h:1"), "\"h:1\""));
    assert_non_null(strstr(refusal("a b=h:1"), "not a name of a member: \"a b\""));
    assert_non_null(strstr(refusal("-a=h:1"), "letter or digit first"));
    assert_string_equal(refusal("a=h:1,b=h:2,a=h:3"), "two members are called \"a\"");
    assert_string_equal(refusal("a=h:1,b=h:1"), "\"a\" and \"b\" have the same address \"h:1\"");
    assert_non_null(strstr(refusal("a=h"), "h"));
    assert_non_null(strstr(refusal("a=h:0"), "port 0"));
    assert_non_null(strstr(refusal("a=0.0.0.0:7"), "every address"));
    assert_non_null(strstr(refusal("a=[::]:7"), "every address"));
}

static void as_many_as_there_can_be(void **state)
{
    struct buf text = {0};
    struct first_members first;
    (void)state;
    for (int i = 0; i < RAFT_MEMBERS_MAX; i++)
        buf_append_format(&text, "%sm%d=h:%d", i ? "," : "", i, i + 1);
    buf_append_u8(&text, 0);
    assert_ok(first_members_parse((char *)text.data, &first, NULL));
    assert_int_equal(first.count, RAFT_MEMBERS_MAX);
    text.size--;
    buf_append(&text, bytes_of(",z=z:1", 7));
    assert_string_equal(refusal((char *)text.data), "more than 64 members");
    buf_release(&text);
}

static void words(void **state)
{
    char name[MEMBER_NAME_SIZE + 1];
    (void)state;
    memset(name, 'n', sizeof name);
    name[MEMBER_NAME_SIZE] = 0;
    assert_err(member_name_check(name, NULL), INVALID);
    name[MEMBER_NAME_SIZE - 1] = 0;
    assert_ok(member_name_check(name, NULL));
    assert_ok(member_name_check("web-1.example_x", NULL));
    assert_err(member_name_check("", NULL), INVALID);
    assert_err(member_name_check("a=b", NULL), INVALID);
    assert_true(member_address_is_wildcard("0.0.0.0:1"));
    assert_true(member_address_is_wildcard("[::]:1"));
    assert_false(member_address_is_wildcard("127.0.0.1:1"));
    assert_false(member_address_is_wildcard("[::1]:1"));
    assert_false(member_address_is_wildcard("host:1"));
    assert_false(member_address_is_wildcard("no address"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_means_nothing), cmocka_unit_test(another_list_is_another_cluster),
        cmocka_unit_test(ids_are_the_same_for_ever), cmocka_unit_test(what_is_no_list),
        cmocka_unit_test(as_many_as_there_can_be), cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
