/* Raft messages as bytes: ours against protobuf-c's generated code, both ways. */
#include "tests/test.h"

#include "cluster/raft_pb.h"
#include "proto/base/limits.h"
#include "proto/base/rand.h"
#include "proto/schema/raft.pb-c.h"

#define RANDOM_ROUNDS 3000
#define ENTRIES_MAX 6

/* --- drawing ---------------------------------------------------------------------------------- */

static struct raft_message drawn;
static struct entry drawn_entries[ENTRIES_MAX];
static struct raft_snapshot drawn_snapshot;
static uint8_t drawn_context[40];

static uint64_t draw_number(struct rand *rand)
{
    switch (rand_below(rand, 4)) {
    case 0: return 0;
    case 1: return rand_below(rand, 200);
    case 2: return UINT64_MAX - rand_below(rand, 3);
    default: return rand_u64(rand);
    }
}

static struct blob *draw_blob(struct rand *rand, size_t size_max)
{
    size_t size = rand_below(rand, size_max);
    if (size == 0)
        return NULL;
    struct blob *blob = blob_new(size);
    for (size_t i = 0; i < size; i++)
        blob->data[i] = (uint8_t)rand_u32(rand);
    return blob;
}

static void draw_snapshot(struct rand *rand)
{
    struct raft_conf_state conf = {.auto_leave = rand_chance(rand, 1, 2)};
    struct buf buf = {0};
    for (raft_id id = 1; id <= rand_below(rand, 5); id++)
        assert_true(raft_id_set_add(&conf.voters, id));
    if (rand_chance(rand, 1, 2))
        assert_true(raft_id_set_add(&conf.learners, 77));
    raft_conf_state_encode(&conf, &buf);
    drawn_snapshot = (struct raft_snapshot){
        .mark = {draw_number(rand), draw_number(rand), blob_copy(buf_bytes(&buf))},
        .data = draw_blob(rand, 300),
    };
    drawn.snapshot = &drawn_snapshot;
    buf_release(&buf);
}

static void draw(struct rand *rand)
{
    drawn = (struct raft_message){
        .type = (enum raft_message_type)rand_below(rand, RAFT_MSG_TYPE_COUNT),
        .reject = rand_chance(rand, 1, 2),
        .to = draw_number(rand),
        .from = draw_number(rand),
        .term = draw_number(rand),
        .log_term = draw_number(rand),
        .index = draw_number(rand),
        .commit = draw_number(rand),
        .vote = draw_number(rand),
        .reject_hint = draw_number(rand),
        .entries = drawn_entries,
        .entry_count = rand_below(rand, ENTRIES_MAX + 1),
        .context = {drawn_context, rand_below(rand, sizeof(drawn_context))},
    };
    for (size_t i = 0; i < sizeof(drawn_context); i++)
        drawn_context[i] = (uint8_t)rand_u32(rand);
    for (size_t i = 0; i < drawn.entry_count; i++)
        drawn_entries[i] = (struct entry){
            .term = draw_number(rand),
            .index = draw_number(rand),
            .type = (enum entry_type)rand_below(rand, 3),
            .payload = draw_blob(rand, 200),
        };
    if (rand_chance(rand, 1, 3))
        draw_snapshot(rand);
}

static void drawn_release(void)
{
    for (size_t i = 0; i < drawn.entry_count; i++)
        blob_unref(drawn_entries[i].payload);
    if (drawn.snapshot) {
        blob_unref(drawn_snapshot.mark.configuration);
        blob_unref(drawn_snapshot.data);
    }
    drawn = (struct raft_message){0};
}

/* --- comparing -------------------------------------------------------------------------------- */

static struct bytes of_binary(ProtobufCBinaryData from)
{
    return bytes_of(from.data, from.len);
}

static void assert_snapshot(const Raft__Snapshot *theirs, const struct raft_snapshot *ours)
{
    struct raft_conf_state conf;
    assert_non_null(theirs->metadata);
    assert_bytes_equal(of_binary(theirs->data), blob_bytes(ours->data));
    assert_int_equal(theirs->metadata->index, ours->mark.index);
    assert_int_equal(theirs->metadata->term, ours->mark.term);
    assert_ok(raft_conf_state_decode(blob_bytes(ours->mark.configuration), &conf));
    const Raft__ConfState *state = theirs->metadata->conf_state;
    assert_non_null(state);
    assert_int_equal(state->n_voters, conf.voters.count);
    for (size_t i = 0; i < conf.voters.count; i++)
        assert_int_equal(state->voters[i], conf.voters.ids[i]);
    assert_int_equal(state->n_learners, conf.learners.count);
    assert_int_equal(state->auto_leave, conf.auto_leave);
}

static void assert_same(const Raft__Message *theirs, const struct raft_message *ours)
{
    assert_int_equal(theirs->type, ours->type);
    assert_int_equal(theirs->to, ours->to);
    assert_int_equal(theirs->from, ours->from);
    assert_int_equal(theirs->term, ours->term);
    assert_int_equal(theirs->logterm, ours->log_term);
    assert_int_equal(theirs->index, ours->index);
    assert_int_equal(theirs->commit, ours->commit);
    assert_int_equal(theirs->vote, ours->vote);
    assert_int_equal(theirs->reject, ours->reject);
    assert_int_equal(theirs->rejecthint, ours->reject_hint);
    assert_bytes_equal(of_binary(theirs->context), ours->context);
    assert_int_equal(theirs->n_responses, 0);
    assert_int_equal(theirs->n_entries, ours->entry_count);
    for (size_t i = 0; i < ours->entry_count; i++) {
        const Raft__Entry *entry = theirs->entries[i];
        assert_int_equal(entry->type, ours->entries[i].type);
        assert_int_equal(entry->term, ours->entries[i].term);
        assert_int_equal(entry->index, ours->entries[i].index);
        assert_bytes_equal(of_binary(entry->data), blob_bytes(ours->entries[i].payload));
    }
    assert_int_equal(!theirs->snapshot, !ours->snapshot);
    if (ours->snapshot)
        assert_snapshot(theirs->snapshot, ours->snapshot);
}

/* --- tests ------------------------------------------------------------------------------------ */

/* What we write they read, to the same fields; what they write of it we read, to the same
 * fields. */
static void test_agree(void **state)
{
    (void)state;
    struct rand rand;
    struct raft_received received = {0};
    struct err err;
    rand_init(&rand, 4);
    for (int round = 0; round < RANDOM_ROUNDS; round++) {
        struct buf ours = {0};
        draw(&rand);
        raft_message_encode(&drawn, &ours);
        assert_int_equal(ours.size, raft_message_wire_size(&drawn));

        Raft__Message *theirs = raft__message__unpack(NULL, ours.size, ours.data);
        assert_non_null(theirs);
        assert_same(theirs, &drawn);

        struct buf packed = {0};
        size_t size = raft__message__get_packed_size(theirs);
        raft__message__pack(theirs, buf_extend(&packed, size));
        if (!drawn.snapshot)
            assert_bytes_equal(buf_bytes(&packed), buf_bytes(&ours));
        assert_ok(raft_message_decode(buf_bytes(&packed), &received, &err));
        assert_same(theirs, &received.message);
        assert_ok(raft_message_decode(buf_bytes(&ours), &received, &err));
        assert_same(theirs, &received.message);

        raft__message__free_unpacked(theirs, NULL);
        buf_release(&packed);
        buf_release(&ours);
        drawn_release();
    }
    raft_received_release(&received);
}

static void test_empty(void **state)
{
    (void)state;
    struct raft_message message = {0};
    struct raft_received received = {0};
    struct buf buf = {0};
    raft_message_encode(&message, &buf);
    assert_int_equal(buf.size, 0);
    assert_ok(raft_message_decode(BYTES_EMPTY, &received, NULL));
    assert_int_equal(received.message.type, RAFT_MSG_HUP);
    assert_int_equal(received.message.entry_count, 0);
    assert_null(received.message.snapshot);
    raft_received_release(&received);
    buf_release(&buf);
}

/* A payload is the receiver's own: it may still be written to, and outlives the bytes. */
static void test_payload_is_private(void **state)
{
    (void)state;
    struct entry entry = {.term = 1, .index = 2, .payload = blob_copy(BYTES_LITERAL("payload"))};
    struct raft_message message = {.type = RAFT_MSG_PROP, .entries = &entry, .entry_count = 1};
    struct raft_received received = {0};
    struct buf buf = {0};
    raft_message_encode(&message, &buf);
    assert_int_equal(atomic_load(&entry.payload->references), 1);
    assert_ok(raft_message_decode(buf_bytes(&buf), &received, NULL));
    struct blob *payload = received.message.entries[0].payload;
    assert_int_equal(atomic_load(&payload->references), 1);
    assert_ptr_not_equal(payload, entry.payload);
    memset(buf.data, 0xff, buf.size);
    assert_bytes_equal(blob_bytes(payload), BYTES_LITERAL("payload"));
    blob_ref(payload);
    raft_received_release(&received);
    assert_int_equal(atomic_load(&payload->references), 1);
    blob_unref(payload);
    blob_unref(entry.payload);
    buf_release(&buf);
}

static void refuse(const char *name, struct bytes from)
{
    struct raft_received received = {0};
    struct err err = {0};
    enum err_code code = raft_message_decode(from, &received, &err);
    if (code != ERR_INVALID || !*err.text)
        fail_msg("%s: code %d, '%s'", name, (int)code, err.text);
    assert_int_equal(received.message.entry_count, 0);
    assert_null(received.message.snapshot);
    raft_received_release(&received);
}

static void test_refused(void **state)
{
    (void)state;
    struct buf many = {0};
    refuse("unknown type", BYTES_LITERAL("\x08\x18"));
    refuse("unknown entry type", BYTES_LITERAL("\x3a\x02\x08\x03"));
    refuse("type of another wire type", BYTES_LITERAL("\x0a\x00"));
    refuse("entry of another wire type", BYTES_LITERAL("\x38\x00"));
    refuse("snapshot of another wire type", BYTES_LITERAL("\x48\x00"));
    refuse("cut number", BYTES_LITERAL("\x10\x80"));
    refuse("cut entry", BYTES_LITERAL("\x3a\x05\x10\x01"));
    refuse("cut field of an entry", BYTES_LITERAL("\x3a\x02\x22\x05"));
    refuse("cut snapshot", BYTES_LITERAL("\x4a\x02\x0a\x05"));
    refuse("cut metadata", BYTES_LITERAL("\x4a\x04\x12\x02\x0a\x05"));
    refuse("responses", BYTES_LITERAL("\x72\x00"));
    refuse("a group", BYTES_LITERAL("\x13"));
    /* the good first entry is not leaked when the second is bad */
    refuse("second entry", BYTES_LITERAL("\x3a\x03\x22\x01x\x3a\x02\x22\x05"));
    refuse("snapshot, then bad", BYTES_LITERAL("\x4a\x03\x0a\x01x\x10\x80"));
    for (size_t i = 0; i <= MESSAGE_ENTRIES_MAX; i++)
        buf_append(&many, BYTES_LITERAL("\x3a\x00"));
    refuse("too many entries", buf_bytes(&many));
    buf_release(&many);
}

static void test_most_entries(void **state)
{
    (void)state;
    struct raft_received received = {0};
    struct buf many = {0};
    for (size_t i = 0; i < MESSAGE_ENTRIES_MAX; i++)
        buf_append(&many, BYTES_LITERAL("\x3a\x00"));
    assert_ok(raft_message_decode(buf_bytes(&many), &received, NULL));
    assert_int_equal(received.message.entry_count, MESSAGE_ENTRIES_MAX);
    raft_received_release(&received);
    buf_release(&many);
}

/* Fields that come later: 100 as a number, bytes, both fixed sizes; at every level. */
static void test_unknown_fields(void **state)
{
    (void)state;
    struct bytes unknown = BYTES_LITERAL("\xa0\x06\x01\xa2\x06\x01y\xa1\x06"
                                         "12345678\xa5\x06"
                                         "1234");
    struct raft_received received = {0};
    struct buf buf = {0};
    buf_append(&buf, unknown);
    buf_append(&buf, BYTES_LITERAL("\x08\x03\x3a"));
    buf_append_u8(&buf, (uint8_t)(2 + unknown.size));
    buf_append(&buf, unknown);
    buf_append(&buf, BYTES_LITERAL("\x10\x07"));
    assert_ok(raft_message_decode(buf_bytes(&buf), &received, NULL));
    assert_int_equal(received.message.type, RAFT_MSG_APP);
    assert_int_equal(received.message.entry_count, 1);
    assert_int_equal(received.message.entries[0].term, 7);
    raft_received_release(&received);
    buf_release(&buf);
}

/* The last of a field that comes twice counts, and nothing leaks. */
static void test_twice(void **state)
{
    (void)state;
    struct raft_received received = {0};
    assert_ok(raft_message_decode(BYTES_LITERAL("\x3a\x06\x22\x01x\x22\x01y"
                                                "\x4a\x03\x0a\x01p\x4a\x03\x0a\x01q"),
                                  &received, NULL));
    assert_bytes_equal(blob_bytes(received.message.entries[0].payload), BYTES_LITERAL("y"));
    assert_bytes_equal(blob_bytes(received.message.snapshot->data), BYTES_LITERAL("q"));
    raft_received_release(&received);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agree),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_payload_is_private),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_most_entries),
        cmocka_unit_test(test_unknown_fields),
        cmocka_unit_test(test_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
