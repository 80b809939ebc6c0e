/* Framing, the seal, and what records add up to: all pure, all by hand. */
#include "tests/unit/wal_fixture.h"

#include "proto/base/crc32c.h"
#include "wal/record.h"
#include "wal/replay.h"
#include "wal/seal.h"

static const struct wal_identity identity = {0x1111, 0x22, 0x333333};

static struct record_place first_place(void)
{
    return (struct record_place){.segment = 1, .opening = 1, .seed = record_seed(&identity)};
}

static void put_entry(struct buf *to, struct record_place *place, raft_term term,
                      raft_index index, struct bytes payload)
{
    uint8_t fixed[16];
    put_le64(fixed, term);
    put_le64(fixed + 8, index);
    record_append(to, place, RECORD_ENTRY, ENTRY_NORMAL, bytes_of(fixed, 16), payload);
}

/* The example at the end of wal/FORMAT, as this code writes it. */
static void make_example(struct buf *to)
{
    struct record_place place = first_place();
    uint8_t head[RECORD_HEAD_SIZE], dropped[8] = {0}, state[24];
    record_put_head(head, &(struct record_head){RECORD_VERSION, true, 262144, identity});
    record_append(to, &place, RECORD_HEAD, 0, bytes_of(head, sizeof head), BYTES_EMPTY);
    record_append(to, &place, RECORD_OPEN, 0, bytes_of(dropped, 8), BYTES_EMPTY);
    record_append(to, &place, RECORD_FLUSH, 0, BYTES_EMPTY, BYTES_EMPTY);
    put_entry(to, &place, 2, 1, BYTES_LITERAL("8080\n"));
    record_put_state(state, &(struct hard_state){2, 0x22, 0});
    record_append(to, &place, RECORD_STATE, 0, bytes_of(state, 24), BYTES_EMPTY);
}

/* Lines of "    0010  00 01 ...", as FORMAT has them. */
static void read_example(struct buf *to)
{
    char path[512], line[256];
    const char *source = getenv("srcdir");
    snprintf(path, sizeof path, "%s/wal/FORMAT", source ? source : ".");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        unsigned at, byte;
        int skip = 0, used;
        if (sscanf(line, "    %4x  %n", &at, &skip) != 1 || skip != 10 || at != to->size)
            continue;
        for (char *text = line + skip; sscanf(text, "%2x%n", &byte, &used) == 1; text += used)
            buf_append_u8(to, (uint8_t)byte);
    }
    fclose(file);
}

static void test_the_example_is_what_is_written(void **state)
{
    (void)state;
    struct buf written = {0}, example = {0};
    make_example(&written);
    read_example(&example);
    assert_bytes_equal(buf_bytes(&written), buf_bytes(&example));
    buf_release(&written);
    buf_release(&example);
}

static void test_the_example_reads_back(void **state)
{
    (void)state;
    static const enum record_type types[] = {RECORD_HEAD, RECORD_OPEN, RECORD_FLUSH, RECORD_ENTRY,
                                             RECORD_STATE};
    struct buf example = {0};
    make_example(&example);
    struct record_place place = first_place();
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        struct record record;
        assert_int_equal(record_decode(bytes_skip(buf_bytes(&example), (size_t)place.offset),
                                       place.seed, &record), RECORD_FINE);
        assert_int_equal(record_check(&record, &place), RECORD_FINE);
        assert_int_equal(record.type, types[i]);
        assert_int_equal(record.offset % RECORD_ALIGN, 0);
        record_pass(&place, &record);
    }
    assert_int_equal(place.offset, example.size);
    buf_release(&example);
}

/* One record of each size around the padding comes back as it went in. */
static void test_sizes_and_padding(void **state)
{
    (void)state;
    for (size_t size = 0; size < 40; size++) {
        struct record_place place = first_place(), start = place;
        struct buf buf = {0};
        struct entry entry = fixture_entry(9, 4, size), got;
        struct bytes payload;
        struct record record;
        put_entry(&buf, &place, 4, 9, blob_bytes(entry.payload));
        assert_int_equal(buf.size, record_size_of(16 + size));
        assert_int_equal(record_decode(buf_bytes(&buf), start.seed, &record), RECORD_FINE);
        assert_true(record_get_entry(&record, &got, &payload));
        assert_int_equal(got.index, 9);
        assert_bytes_equal(payload, blob_bytes(entry.payload));
        blob_unref(entry.payload);
        buf_release(&buf);
    }
}

/* No cut and no altered byte of a record decodes, whatever was cut or altered. */
static void test_every_cut_and_every_byte(void **state)
{
    (void)state;
    struct record_place place = first_place();
    uint32_t seed = place.seed;
    struct buf buf = {0};
    struct record record;
    put_entry(&buf, &place, 4, 9, BYTES_LITERAL("thirteen byte"));
    for (size_t size = 0; size < buf.size; size++)
        assert_int_equal(record_decode(bytes_of(buf.data, size), seed, &record), RECORD_CUT);
    for (size_t at = 0; at < buf.size; at++) {
        for (unsigned alter = 1; alter < 256; alter++) {
            buf.data[at] ^= (uint8_t)alter;
            enum record_fault fault = record_decode(buf_bytes(&buf), seed, &record);
            assert_true(fault == RECORD_DAMAGED || fault == RECORD_CUT);
            buf.data[at] ^= (uint8_t)alter;
        }
    }
    assert_int_equal(record_decode(buf_bytes(&buf), seed ^ 1, &record), RECORD_DAMAGED);
    buf_release(&buf);
}

static void test_zeros_are_absent(void **state)
{
    (void)state;
    uint8_t zeros[64] = {0};
    struct record record;
    assert_int_equal(record_decode(bytes_of(zeros, 64), 0, &record), RECORD_ABSENT);
}

/* A size field beyond all bounds is refused before anything is fetched by it. */
static void test_claimed_size_is_bounded(void **state)
{
    (void)state;
    uint8_t header[RECORD_HEADER_SIZE] = {0};
    put_le32(header + 4, UINT32_MAX);
    assert_int_equal(record_claimed_size(header), 0);
    put_le32(header + 4, RECORD_SIZE_MAX - RECORD_HEADER_SIZE + 1);
    assert_int_equal(record_claimed_size(header), 0);
    put_le32(header + 4, RECORD_SIZE_MAX - RECORD_HEADER_SIZE);
    assert_int_equal(record_claimed_size(header), RECORD_SIZE_MAX);
}

static void test_place_decides(void **state)
{
    (void)state;
    struct record_place place = first_place(), next;
    struct buf buf = {0};
    struct record record;
    place.offset = 4096;
    place.previous = 77;
    place.opening = 5;
    next = place;
    put_entry(&buf, &next, 1, 1, BYTES_EMPTY);
    assert_int_equal(record_decode(buf_bytes(&buf), place.seed, &record), RECORD_FINE);
    assert_int_equal(record_check(&record, &place), RECORD_FINE);
    struct record_place other = place;
    other.segment = 2;
    assert_int_equal(record_check(&record, &other), RECORD_MISPLACED);
    other = place;
    other.offset = 4104;
    assert_int_equal(record_check(&record, &other), RECORD_MISPLACED);
    other = place;
    other.previous = 78;
    assert_int_equal(record_check(&record, &other), RECORD_UNCHAINED);
    other = place;
    other.opening = 6;
    assert_int_equal(record_check(&record, &other), RECORD_STALE);
    other = place;
    other.opening = 4;
    assert_int_equal(record_check(&record, &other), RECORD_UNCHAINED);
    record.type = RECORD_END;
    assert_int_equal(record_check(&record, &other), RECORD_FINE);
    buf_release(&buf);
}

static void test_seal(void **state)
{
    (void)state;
    struct seal seal = {.end = {3, 8192, 0xabcdef, 7, record_seed(&identity)}, .rest = 99}, got;
    uint8_t bytes[SEAL_SIZE];
    seal_encode(bytes, &seal);
    assert_true(seal_decode(bytes_of(bytes, SEAL_SIZE), seal.end.seed, &got));
    assert_int_equal(got.end.segment, 3);
    assert_int_equal(got.end.offset, 8192);
    assert_int_equal(got.end.previous, 0xabcdef);
    assert_int_equal(got.end.opening, 7);
    assert_int_equal(got.rest, 99);
    assert_false(seal_decode(bytes_of(bytes, SEAL_SIZE - 1), seal.end.seed, &got));
    assert_false(seal_decode(bytes_of(bytes, SEAL_SIZE), seal.end.seed + 1, &got));
    for (size_t at = 0; at < SEAL_SIZE; at++) {
        bytes[at] ^= 0x10;
        assert_false(seal_decode(bytes_of(bytes, SEAL_SIZE), seal.end.seed, &got));
        bytes[at] ^= 0x10;
    }
}

/* --- what records add up to --- */

struct story {
    struct replay replay;
    struct record_place place;
};

static const char *tell(struct story *story, enum record_type type, uint8_t kind, uint64_t first,
                        uint64_t second)
{
    struct buf buf = {0};
    struct record record;
    uint8_t fixed[24] = {0};
    put_le64(fixed, first);
    put_le64(fixed + 8, second);
    size_t size = type == RECORD_STATE ? 24 : 16;
    record_append(&buf, &story->place, type, kind, bytes_of(fixed, size), BYTES_EMPTY);
    assert_int_equal(record_decode(buf_bytes(&buf), story->place.seed, &record), RECORD_FINE);
    const char *why = replay_record(&story->replay, &record);
    buf_release(&buf);
    return why;
}

static const char *tell_entry(struct story *story, raft_index index, raft_term term)
{
    return tell(story, RECORD_ENTRY, 0, term, index);
}

static const char *tell_mark(struct story *story, raft_index index, uint8_t kind)
{
    return tell(story, RECORD_MARK, kind, index, 1);
}

static void test_replay_refuses_what_cannot_be(void **state)
{
    (void)state;
    struct story story = {.place = first_place()};
    assert_null(tell_entry(&story, 5, 1));
    assert_non_null(replay_end(&story.replay));
    assert_non_null(tell_entry(&story, 7, 1));
    assert_non_null(tell_entry(&story, 6, 0));
    assert_non_null(tell(&story, RECORD_ENTRY, 3, 1, 6));
    assert_null(tell_entry(&story, 6, 1));
    assert_non_null(tell_mark(&story, 7, 0));
    assert_null(tell_mark(&story, 5, 0));
    assert_null(replay_end(&story.replay));
    assert_int_equal(story.replay.count, 1);
    assert_non_null(tell_mark(&story, 4, 0));
    assert_non_null(tell_entry(&story, 5, 1));
    replay_release(&story.replay);
}

static void test_replay_of_marks(void **state)
{
    (void)state;
    struct story story = {.place = first_place()};
    for (raft_index index = 1; index <= 9; index++)
        assert_null(tell_entry(&story, index, 1));
    assert_null(tell_mark(&story, 4, 0));
    assert_int_equal(story.replay.count, 5);
    assert_null(tell_mark(&story, 9, 0));
    assert_int_equal(story.replay.count, 0);
    assert_non_null(tell_entry(&story, 11, 1));
    assert_null(tell_entry(&story, 10, 1));
    assert_null(tell_mark(&story, 10, RECORD_MARK_REPLACE));
    assert_int_equal(story.replay.count, 0);
    assert_null(tell_entry(&story, 11, 2));
    assert_null(tell_entry(&story, 11, 3));
    assert_int_equal(story.replay.count, 1);
    assert_int_equal(story.replay.entries[0].term, 3);
    assert_null(tell(&story, RECORD_STATE, 0, 3, 4));
    assert_int_equal(story.replay.state.vote, 4);
    replay_release(&story.replay);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(record_type_name(RECORD_SEAL), "seal");
    assert_string_equal(record_type_name((enum record_type)99), "unknown");
    assert_string_equal(record_fault_text(RECORD_CUT), "the record is cut off");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_the_example_is_what_is_written),
    cmocka_unit_test(test_the_example_reads_back),
    cmocka_unit_test(test_sizes_and_padding),
    cmocka_unit_test(test_every_cut_and_every_byte),
    cmocka_unit_test(test_zeros_are_absent),
    cmocka_unit_test(test_claimed_size_is_bounded),
    cmocka_unit_test(test_place_decides),
    cmocka_unit_test(test_seal),
    cmocka_unit_test(test_replay_refuses_what_cannot_be),
    cmocka_unit_test(test_replay_of_marks),
    cmocka_unit_test(test_names),
};

int main(void) { return cmocka_run_group_tests(tests, NULL, NULL); }
