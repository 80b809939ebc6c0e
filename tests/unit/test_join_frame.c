/* cluster/join_frame: requests to join, their answers, and what members ask of their leader; cut, altered and
 * strange ones. */
#include "tests/test.h"

#include "cluster/join_frame.h"
#include "cluster/net_address.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/rand.h"

static struct join_request request_of(const char *name, const char *address)
{
    struct join_request request = {.version = FRAME_VERSION,
                                   .member = {.id = 0x1234, .generation = 0x5678}};
    snprintf(request.member.name, sizeof request.member.name, "%s", name);
    snprintf(request.member.address, sizeof request.member.address, "%s", address);
    return request;
}

/* The body of a frame that was just encoded, whose header has to be right. */
static struct bytes body_of(const struct buf *frame, uint32_t kind)
{
    struct frame_header header;
    assert_ok(frame_header_decode(frame->data, &header, NULL));
    assert_int_equal(header.kind, kind);
    assert_int_equal(header.size, frame->size - FRAME_HEADER_SIZE);
    return bytes_skip(buf_bytes(frame), FRAME_HEADER_SIZE);
}

static void a_request_there_and_back(void **state)
{
    struct join_request request = request_of("d", "h:4"), back;
    struct buf frame = {0};
    (void)state;
    join_request_encode(&request, &frame);
    assert_true(frame.size < FRAME_SIZE_FIRST_MAX);
    struct bytes body = body_of(&frame, FRAME_JOIN);
    assert_ok(join_request_decode(body, &back, NULL));
    assert_int_equal(back.version, FRAME_VERSION);
    assert_int_equal(back.member.id, 0x1234);
    assert_int_equal(back.member.generation, 0x5678);
    assert_string_equal(back.member.name, "d");
    assert_string_equal(back.member.address, "h:4");
    for (size_t size = 0; size < body.size; size++) {   /* none of its beginnings is another request */
        struct join_request cut;
        if (join_request_decode(bytes_of(body.data, size), &cut, NULL) == ERR_OK)
            fail();
    }
    buf_release(&frame);
}

static void the_longest_request_is_a_first_frame(void **state)
{
    struct join_request request = request_of("", ""), back;
    struct buf frame = {0};
    (void)state;
    memset(request.member.name, 'n', MEMBER_NAME_SIZE - 1);
    memset(request.member.address, 'h', NET_HOST_SIZE_MAX);
    memcpy(request.member.address + NET_HOST_SIZE_MAX, ":65535", 7);
    join_request_encode(&request, &frame);
    assert_ok(join_request_decode(body_of(&frame, FRAME_JOIN), &back, NULL));
    buf_release(&frame);
}

static void refuse(struct join_request request, const char *wanted)
{
    struct buf frame = {0};
    struct join_request back = {.version = 99};
    struct err err = {0};
    join_request_encode(&request, &frame);
    assert_err(join_request_decode(bytes_skip(buf_bytes(&frame), FRAME_HEADER_SIZE), &back, &err),
               INVALID);
    assert_int_equal(back.version, 99);
    assert_non_null(strstr(err.text, wanted));
    buf_release(&frame);
}

static void requests_that_cannot_be(void **state)
{
    struct join_request request = request_of("d", "h:4");
    (void)state;
    refuse(request_of("", "h:4"), "not a name");
    refuse(request_of("a b", "h:4"), "not a name");
    refuse(request_of("d", "h:0"), "port 0");
    refuse(request_of("d", "0.0.0.0:1"), "every address");
    refuse(request_of("d", ""), "");
    request.member.generation = MEMBER_RESERVED;
    refuse(request, "generation");
    request.member.generation = 5;
    request.member.id = RAFT_APPLY_THREAD;
    refuse(request, "no member can have the id");
    request.member.id = 0;
    refuse(request, "malformed");
}

/* It is to be refused by its version, whatever it says else. */
static void of_another_version_anything_goes(void **state)
{
    struct join_request request = request_of("a b", ""), back;
    struct buf frame = {0};
    (void)state;
    request.version = FRAME_VERSION + 1;
    join_request_encode(&request, &frame);
    assert_ok(join_request_decode(body_of(&frame, FRAME_JOIN), &back, NULL));
    assert_int_equal(back.version, FRAME_VERSION + 1);
    buf_release(&frame);
}

static struct join_answer full_answer(void)
{
    struct join_answer answer = {.cluster_id = 7, .id = 8, .count = RAFT_MEMBERS_MAX};
    for (size_t i = 0; i < answer.count; i++) {
        answer.members[i].id = UINT64_MAX / 2 + i;
        answer.members[i].generation = UINT64_MAX;
        memset(answer.members[i].name, 'n', MEMBER_NAME_SIZE - 1);
        memset(answer.members[i].address, 'h', MEMBER_ADDRESS_SIZE - 1);
    }
    return answer;
}

static void the_largest_answer_fits_its_bound(void **state)
{
    struct join_answer answer = full_answer(), back;
    struct buf frame = {0};
    struct frame_header header;
    (void)state;
    join_answer_encode(&answer, 5, &frame);
    assert_ok(frame_header_decode(frame.data, &header, NULL));
    assert_in_range(header.size, FRAME_SIZE_FIRST_MAX, FRAME_SIZE_JOINED_MAX);
    assert_int_equal(header.from, 5);
    assert_ok(join_answer_decode(body_of(&frame, FRAME_JOINED), &back, NULL));
    assert_int_equal(back.count, RAFT_MEMBERS_MAX);
    assert_int_equal(back.cluster_id, 7);
    assert_int_equal(back.id, 8);
    assert_int_equal(back.members[63].id, answer.members[63].id);
    buf_clear(&frame);
    answer.id = 0;
    join_answer_encode(&answer, 5, &frame);
    assert_err(join_answer_decode(body_of(&frame, FRAME_JOINED), &back, NULL), INVALID);
    buf_release(&frame);
}

static void too_large_frames_are_refused_by_their_header(void **state)
{
    static const struct { uint32_t kind; size_t most; } bounds[] = {
        {FRAME_JOIN, FRAME_SIZE_FIRST_MAX}, {FRAME_JOINED, FRAME_SIZE_JOINED_MAX}};
    struct frame_header header;
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bounds); i++)
        for (size_t more = 0; more < 2; more++) {
            struct buf frame = {0};
            size_t begin = frame_begin(&frame);
            memset(buf_extend(&frame, bounds[i].most + more), 0, bounds[i].most + more);
            frame_end(&frame, begin, &(struct frame_header){.kind = bounds[i].kind});
            assert_int_equal(frame_header_decode(frame.data, &header, NULL),
                             more ? ERR_INVALID : ERR_OK);
            buf_release(&frame);
        }
}

static void asks_and_answers(void **state)
{
    struct ask_frame ask = {.number = 77, .kind = 2, .force = true,
                            .member = request_of("d", "h:4").member}, ask_back;
    struct answer_frame answer = {.number = 77, .code = ERR_READ_ONLY, .text = "no\n\x7f", .id = 9}, back;
    struct buf body = {0};
    (void)state;
    ask_frame_encode(&ask, &body);
    assert_ok(ask_frame_decode(buf_bytes(&body), &ask_back));
    assert_int_equal(ask_back.number, 77);
    assert_int_equal(ask_back.kind, 2);
    assert_true(ask_back.force);
    assert_int_equal(ask_back.member.generation, 0x5678);
    assert_err(ask_frame_decode(BYTES_EMPTY, &ask_back), INVALID);
    buf_clear(&body);
    answer_frame_encode(&answer, &body);
    assert_ok(answer_frame_decode(buf_bytes(&body), &back));
    assert_int_equal(back.code, ERR_READ_ONLY);
    assert_string_equal(back.text, "no??");     /* for a terminal */
    assert_int_equal(back.id, 9);
    body.data[3] = ERR_CODE_COUNT;
    assert_err(answer_frame_decode(buf_bytes(&body), &back), INVALID);
    buf_release(&body);
}

/* Whatever stands there: decoded or refused, never more. */
static void garbage(void **state)
{
    struct rand rand;
    struct buf frame = {0};
    struct join_request request;
    struct join_answer answer, full = full_answer();
    struct ask_frame ask;
    struct answer_frame told;
    size_t taken = 0;
    (void)state;
    rand_init(&rand, 5);
    join_answer_encode(&full, 5, &frame);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[96];
        size_t size = rand_below(&rand, sizeof bytes);
        memcpy(bytes, frame.data + FRAME_HEADER_SIZE + rand_below(&rand, 1000), size);
        for (size_t k = 0; k < 3 && size; k++)
            bytes[rand_below(&rand, size)] = (uint8_t)rand_u32(&rand);
        taken += join_request_decode(bytes_of(bytes, size), &request, NULL) == ERR_OK;
        taken += join_answer_decode(bytes_of(bytes, size), &answer, NULL) == ERR_OK;
        taken += ask_frame_decode(bytes_of(bytes, size), &ask) == ERR_OK;
        taken += answer_frame_decode(bytes_of(bytes, size), &told) == ERR_OK;
    }
    assert_in_range(taken, 0, 40000);
    buf_release(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_there_and_back),
        cmocka_unit_test(the_longest_request_is_a_first_frame),
        cmocka_unit_test(requests_that_cannot_be),
        cmocka_unit_test(of_another_version_anything_goes),
        cmocka_unit_test(the_largest_answer_fits_its_bound),
        cmocka_unit_test(too_large_frames_are_refused_by_their_header),
        cmocka_unit_test(asks_and_answers),
        cmocka_unit_test(garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
