#include "cluster/join_frame.h"

#include <inttypes.h>

#include "cluster/first_members.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/wire.h"

static void put_number(struct buf *buf, unsigned number, uint64_t value)
{
    buf_append_varint(buf, number << 3 | WIRE_VARINT);
    buf_append_varint(buf, value);
}

static void put_bytes(struct buf *buf, unsigned number, struct bytes bytes)
{
    buf_append_varint(buf, number << 3 | WIRE_BYTES);
    buf_append_varint(buf, bytes.size);
    buf_append(buf, bytes);
}

static bool can_be_member(raft_id id)
{
    return id != RAFT_NOBODY && id != RAFT_APPEND_THREAD && id != RAFT_APPLY_THREAD;
}

/* ---- JOIN ---- */

void join_request_encode(const struct join_request *request, struct buf *buf)
{
    struct frame_header header = {.kind = FRAME_JOIN, .from = request->member.id};
    size_t begin = frame_begin(buf);
    put_number(buf, 1, request->version);
    membership_member_encode(&request->member, 2, buf);
    frame_end(buf, begin, &header);
}

/* What another version says of itself is its own affair: it is refused by its version. */
static enum err_code check_request(const struct join_request *request, struct err *err)
{
    const struct membership_member *member = &request->member;
    if (request->version != FRAME_VERSION)
        return ERR_OK;
    if (!can_be_member(member->id) || member->generation <= MEMBER_RESERVED)
        return err_set(err, ERR_INVALID, "no member can have the id %016" PRIx64
                       " and the generation %016" PRIx64, member->id, member->generation);
    enum err_code code = member_name_check(member->name, err);
    return code == ERR_OK ? member_address_check(member->address, err) : code;
}

enum err_code join_request_decode(struct bytes body, struct join_request *ret, struct err *err)
{
    struct cursor cursor = cursor_of(body);
    struct wire_field field;
    struct join_request request = {0};
    bool has_member = false;
    while (wire_next(&cursor, &field)) {
        if (field.number == 1) {
            request.version = wire_below(&cursor, &field, UINT32_MAX);
        } else if (field.number == 2) {
            has_member = membership_member_decode(wire_bytes(&cursor, &field), &request.member);
            cursor.failed |= !has_member;
        }
    }
    if (cursor.failed || !has_member)
        return err_set(err, ERR_INVALID, "a malformed request to join");
    enum err_code code = check_request(&request, err);
    if (code == ERR_OK)
        *ret = request;
    return code;
}

/* ---- JOINED ---- */

void join_answer_encode(const struct join_answer *answer, raft_id from, struct buf *buf)
{
    struct frame_header header = {
        .kind = FRAME_JOINED, .cluster_id = answer->cluster_id, .from = from, .to = answer->id};
    size_t begin = frame_begin(buf);
    buf_append_varint(buf, 1 << 3 | WIRE_64BIT);
    buf_append_le64(buf, answer->cluster_id);
    put_number(buf, 2, answer->id);
    for (size_t i = 0; i < answer->count; i++)
        membership_member_encode(&answer->members[i], 3, buf);
    frame_end(buf, begin, &header);
}

static void take_member(struct cursor *cursor, const struct wire_field *field,
                        struct join_answer *ret)
{
    if (ret->count == RAFT_MEMBERS_MAX ||
        !membership_member_decode(wire_bytes(cursor, field), &ret->members[ret->count]))
        cursor->failed = true;
    else
        ret->count++;
}

enum err_code join_answer_decode(struct bytes body, struct join_answer *ret, struct err *err)
{
    struct cursor cursor = cursor_of(body);
    struct wire_field field;
    *ret = (struct join_answer){0};
    while (wire_next(&cursor, &field)) {
        switch (field.number) {
        case 1: ret->cluster_id = wire_fixed64(&cursor, &field); break;
        case 2: ret->id = wire_u64(&cursor, &field); break;
        case 3: take_member(&cursor, &field, ret); break;
        }
    }
    if (cursor.failed || ret->cluster_id == 0 || !can_be_member(ret->id))
        return err_set(err, ERR_INVALID, "a malformed answer to a request to join");
    return ERR_OK;
}

/* ---- ASK and ANSWER ---- */

void ask_frame_encode(const struct ask_frame *ask, struct buf *buf)
{
    put_number(buf, 1, ask->number);
    put_number(buf, 2, ask->kind);
    membership_member_encode(&ask->member, 3, buf);
    put_number(buf, 4, ask->force);
}

enum err_code ask_frame_decode(struct bytes body, struct ask_frame *ret)
{
    struct cursor cursor = cursor_of(body);
    struct wire_field field;
    struct ask_frame ask = {0};
    while (wire_next(&cursor, &field)) {
        switch (field.number) {
        case 1: ask.number = wire_u64(&cursor, &field); break;
        case 2: ask.kind = wire_below(&cursor, &field, UINT32_MAX); break;
        case 3:
            cursor.failed |=
                !membership_member_decode(wire_bytes(&cursor, &field), &ask.member);
            break;
        case 4: ask.force = wire_bool(&cursor, &field); break;
        }
    }
    if (cursor.failed || !can_be_member(ask.member.id))
        return ERR_INVALID;
    *ret = ask;
    return ERR_OK;
}

void answer_frame_encode(const struct answer_frame *answer, struct buf *buf)
{
    put_number(buf, 1, answer->number);
    put_number(buf, 2, answer->code);
    put_bytes(buf, 3, bytes_of_text(answer->text));
    put_number(buf, 4, answer->id);
}

/* For a terminal: printable, and cut to what a sentence holds. */
static void take_text(struct bytes from, char ret[ERR_TEXT_SIZE])
{
    size_t size = from.size < ERR_TEXT_SIZE - 1 ? from.size : ERR_TEXT_SIZE - 1;
    for (size_t i = 0; i < size; i++)
        ret[i] = from.data[i] >= ' ' && from.data[i] <= '~' ? (char)from.data[i] : '?';
    ret[size] = '\0';
}

enum err_code answer_frame_decode(struct bytes body, struct answer_frame *ret)
{
    struct cursor cursor = cursor_of(body);
    struct wire_field field;
    struct answer_frame answer = {0};
    while (wire_next(&cursor, &field)) {
        switch (field.number) {
        case 1: answer.number = wire_u64(&cursor, &field); break;
        case 2:
            answer.code = (enum err_code)wire_below(&cursor, &field, ERR_CODE_COUNT - 1);
            break;
        case 3: take_text(wire_bytes(&cursor, &field), answer.text); break;
        case 4: answer.id = wire_u64(&cursor, &field); break;
        }
    }
    if (cursor.failed)
        return ERR_INVALID;
    *ret = answer;
    return ERR_OK;
}
