/* Configurations and changes as bytes: raftpb's ConfState, ConfChange and ConfChangeV2, written by
 * hand because the core knows no protobuf library. Scalars are written even when they are zero, as
 * raftpb's generated code does, so that equal changes have equal bytes everywhere. */
#include "cluster/raft/raft.h"

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct field {
    uint64_t number;
    enum wire wire;
    uint64_t value;     /* of a varint */
    struct bytes bytes; /* of WIRE_BYTES */
};

/* --- sets ------------------------------------------------------------------------------------- */

static size_t place_of(const struct raft_id_set *set, raft_id id)
{
    size_t place = 0;
    while (place < set->count && set->ids[place] < id)
        place++;
    return place;
}

bool raft_id_set_contains(const struct raft_id_set *set, raft_id id)
{
    size_t place = place_of(set, id);
    return place < set->count && set->ids[place] == id;
}

bool raft_id_set_add(struct raft_id_set *set, raft_id id)
{
    size_t place = place_of(set, id);
    if (place < set->count && set->ids[place] == id)
        return true;
    if (set->count == RAFT_MEMBERS_MAX)
        return false;
    memmove(set->ids + place + 1, set->ids + place, (set->count - place) * sizeof(*set->ids));
    set->ids[place] = id;
    set->count++;
    return true;
}

void raft_id_set_remove(struct raft_id_set *set, raft_id id)
{
    if (!raft_id_set_contains(set, id))
        return;
    size_t place = place_of(set, id);
    set->count--;
    memmove(set->ids + place, set->ids + place + 1, (set->count - place) * sizeof(*set->ids));
}

static bool set_equal(const struct raft_id_set *a, const struct raft_id_set *b)
{
    return a->count == b->count && memcmp(a->ids, b->ids, a->count * sizeof(*a->ids)) == 0;
}

bool raft_conf_state_equal(const struct raft_conf_state *a, const struct raft_conf_state *b)
{
    return set_equal(&a->voters, &b->voters) && set_equal(&a->learners, &b->learners) &&
           set_equal(&a->voters_outgoing, &b->voters_outgoing) &&
           set_equal(&a->learners_next, &b->learners_next) && a->auto_leave == b->auto_leave;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void put_varint(struct buf *buf, uint64_t number, uint64_t value)
{
    buf_append_varint(buf, number << 3 | WIRE_VARINT);
    buf_append_varint(buf, value);
}

static void put_bytes(struct buf *buf, uint64_t number, struct bytes bytes)
{
    buf_append_varint(buf, number << 3 | WIRE_BYTES);
    buf_append_varint(buf, bytes.size);
    buf_append(buf, bytes);
}

static void put_set(struct buf *buf, uint64_t number, const struct raft_id_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        put_varint(buf, number, set->ids[i]);
}

void raft_conf_state_encode(const struct raft_conf_state *state, struct buf *buf)
{
    put_set(buf, 1, &state->voters);
    put_set(buf, 2, &state->learners);
    put_set(buf, 3, &state->voters_outgoing);
    put_set(buf, 4, &state->learners_next);
    put_varint(buf, 5, state->auto_leave);
}

static void put_change(struct buf *buf, const struct raft_change *change)
{
    struct buf inner = {0};
    put_varint(&inner, 1, (uint64_t)change->type);
    put_varint(&inner, 2, change->id);
    put_bytes(buf, 2, buf_bytes(&inner));
    buf_release(&inner);
}

enum err_code raft_conf_change_encode(const struct raft_conf_change *change, bool v1,
                                      struct buf *buf)
{
    if (v1) {
        if (change->count != 1 || change->transition != RAFT_TRANSITION_AUTO)
            return ERR_INVALID;
        put_varint(buf, 1, 0);
        put_varint(buf, 2, (uint64_t)change->changes[0].type);
        put_varint(buf, 3, change->changes[0].id);
    } else {
        put_varint(buf, 1, (uint64_t)change->transition);
        for (size_t i = 0; i < change->count; i++)
            put_change(buf, &change->changes[i]);
    }
    if (change->context.size > 0)
        put_bytes(buf, v1 ? 4 : 3, change->context);
    return ERR_OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The next field; false at the end, or when the cursor fails. */
static bool next_field(struct cursor *cursor, struct field *field)
{
    if (cursor->rest.size == 0)
        return false;
    uint64_t tag = cursor_varint(cursor);
    *field = (struct field){.number = tag >> 3, .wire = (enum wire)(tag & 7)};
    switch (field->wire) {
    case WIRE_VARINT:
        field->value = cursor_varint(cursor);
        break;
    case WIRE_FIXED64:
        cursor_take(cursor, 8);
        break;
    case WIRE_BYTES:
        field->bytes = cursor_take(cursor, cursor_varint(cursor));
        break;
    case WIRE_FIXED32:
        cursor_take(cursor, 4);
        break;
    default:
        cursor->failed = true;
    }
    return !cursor->failed;
}

static bool add_new(struct raft_id_set *set, raft_id id)
{
    return id != 0 && !raft_id_set_contains(set, id) && raft_id_set_add(set, id);
}

/* One id, or several in the packed form. */
static bool add_ids(struct raft_id_set *set, const struct field *field)
{
    if (field->wire == WIRE_VARINT)
        return add_new(set, field->value);
    if (field->wire != WIRE_BYTES)
        return false;
    struct cursor packed = cursor_of(field->bytes);
    while (packed.rest.size > 0)
        if (!add_new(set, cursor_varint(&packed)))
            return false;
    return !packed.failed;
}

static bool conf_state_field(struct raft_conf_state *state, const struct field *field)
{
    switch (field->number) {
    case 1:
        return add_ids(&state->voters, field);
    case 2:
        return add_ids(&state->learners, field);
    case 3:
        return add_ids(&state->voters_outgoing, field);
    case 4:
        return add_ids(&state->learners_next, field);
    case 5:
        state->auto_leave = field->value != 0;
        return field->wire == WIRE_VARINT;
    default:
        return true;
    }
}

enum err_code raft_conf_state_decode(struct bytes from, struct raft_conf_state *ret_state)
{
    struct raft_conf_state state = {0};
    struct cursor cursor = cursor_of(from);
    struct field field;
    while (next_field(&cursor, &field))
        if (!conf_state_field(&state, &field))
            return ERR_CORRUPT;
    if (cursor.failed)
        return ERR_CORRUPT;
    *ret_state = state;
    return ERR_OK;
}

static bool read_type(struct raft_change *change, uint64_t value)
{
    change->type = (enum raft_change_type)value;
    return value <= RAFT_CHANGE_ADD_LEARNER;
}

static bool decode_single(struct bytes from, struct raft_change *change)
{
    struct cursor cursor = cursor_of(from);
    struct field field;
    while (next_field(&cursor, &field)) {
        if (field.number == 1 && (field.wire != WIRE_VARINT || !read_type(change, field.value)))
            return false;
        if (field.number == 2)
            change->id = field.value;
    }
    return !cursor.failed;
}

static bool v1_field(struct raft_conf_change *change, const struct field *field)
{
    switch (field->number) {
    case 2:
        return read_type(&change->changes[0], field->value);
    case 3:
        change->changes[0].id = field->value;
        return true;
    case 4:
        change->context = field->bytes;
        return true;
    default:
        return true;
    }
}

static bool v2_field(struct raft_conf_change *change, const struct field *field)
{
    switch (field->number) {
    case 1:
        change->transition = (enum raft_transition)field->value;
        return field->value <= RAFT_TRANSITION_JOINT_EXPLICIT;
    case 2:
        return change->count < RAFT_CHANGES_MAX &&
               decode_single(field->bytes, &change->changes[change->count++]);
    case 3:
        change->context = field->bytes;
        return true;
    default:
        return true;
    }
}

enum err_code raft_conf_change_decode(const struct entry *entry,
                                      struct raft_conf_change *ret_change)
{
    struct raft_conf_change change = {0};
    struct cursor cursor = cursor_of(blob_bytes(entry->payload));
    struct field field;
    bool v1 = entry->type == ENTRY_CONF_CHANGE;
    if (!v1 && entry->type != ENTRY_CONF_CHANGE_V2)
        return ERR_INVALID;
    change.count = v1;
    while (next_field(&cursor, &field))
        if (!(v1 ? v1_field(&change, &field) : v2_field(&change, &field)))
            return ERR_CORRUPT;
    if (cursor.failed)
        return ERR_CORRUPT;
    *ret_change = change;
    return ERR_OK;
}
