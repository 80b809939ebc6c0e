/* What a joiner, or a member that passes on a question, sends, and the texts that tell of first members and of
 * data folders: decoded or refused, and what is decoded comes back the same from its own encoding. The first
 * byte says which. */
#include <stdlib.h>

#include "cluster/first_members.h"
#include "cluster/generations.h"
#include "cluster/join_frame.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes body_of(const struct buf *frame)
{
    return bytes_skip(buf_bytes(frame), FRAME_HEADER_SIZE);
}

static void same(const struct membership_member *one, const struct membership_member *other)
{
    CHECK(one->id == other->id && one->generation == other->generation);
    CHECK(strcmp(one->name, other->name) == 0);
    CHECK(strcmp(one->address, other->address) == 0);
}

static void request(struct bytes from)
{
    struct join_request first, second;
    struct buf buf = {0};
    if (join_request_decode(from, &first, NULL) == ERR_OK) {
        join_request_encode(&first, &buf);
        CHECK(join_request_decode(body_of(&buf), &second, NULL) == ERR_OK);
        CHECK(first.version == second.version);
        same(&first.member, &second.member);
    }
    buf_release(&buf);
}

static void answer(struct bytes from)
{
    struct join_answer first, second;
    struct buf buf = {0};
    if (join_answer_decode(from, &first, NULL) == ERR_OK) {
        join_answer_encode(&first, 1, &buf);
        CHECK(join_answer_decode(body_of(&buf), &second, NULL) == ERR_OK);
        CHECK(first.cluster_id == second.cluster_id && first.id == second.id);
        CHECK(first.count == second.count && first.count <= RAFT_MEMBERS_MAX);
        for (size_t i = 0; i < first.count; i++)
            same(&first.members[i], &second.members[i]);
    }
    buf_release(&buf);
}

static void question(struct bytes from)
{
    struct ask_frame first, second;
    struct answer_frame one, other;
    struct buf buf = {0};
    if (ask_frame_decode(from, &first) == ERR_OK) {
        ask_frame_encode(&first, &buf);
        CHECK(ask_frame_decode(buf_bytes(&buf), &second) == ERR_OK);
        CHECK(first.number == second.number && first.kind == second.kind);
        same(&first.member, &second.member);
    }
    buf_clear(&buf);
    if (answer_frame_decode(from, &one) == ERR_OK) {
        CHECK(one.code < ERR_CODE_COUNT);
        answer_frame_encode(&one, &buf);
        CHECK(answer_frame_decode(buf_bytes(&buf), &other) == ERR_OK);
        CHECK(one.code == other.code && strcmp(one.text, other.text) == 0);
    }
    buf_release(&buf);
}

static void texts(struct bytes from)
{
    struct first_members first, again;
    struct generations known, back;
    struct buf buf = {0};
    char *text = bytes_to_text(from);
    if (first_members_parse(text, &first, NULL) == ERR_OK) {
        for (size_t i = 0; i < first.count; i++)
            buf_append_format(&buf, "%s%s=%s", i ? "," : "", first.members[i].name,
                              first.members[i].address);
        char *sorted = bytes_to_text(buf_bytes(&buf));
        CHECK(first_members_parse(sorted, &again, NULL) == ERR_OK);
        CHECK(first.cluster_id == again.cluster_id);
        free(sorted);
    }
    buf_clear(&buf);
    if (generations_parse(from, &known, NULL) == ERR_OK) {
        generations_format(&known, &buf);
        CHECK(bytes_equal(from, buf_bytes(&buf)));
        CHECK(generations_parse(buf_bytes(&buf), &back, NULL) == ERR_OK);
    }
    buf_release(&buf);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes from = bytes_of(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0: request(from); break;
    case 1: answer(from); break;
    case 2: question(from); break;
    case 3: texts(from); break;
    }
    return 0;
}
