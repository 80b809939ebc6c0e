/* The wire form is protobuf's (schema/member.proto), read by proto/wire.h. */
#include "cluster/membership.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "proto/base/mutant.h"
#include "proto/wire.h"

static void put_tag(struct buf *ret, uint32_t number, enum wire_type type)
{
    buf_append_varint(ret, (uint64_t)number << 3 | type);
}

static void put_bytes(struct buf *ret, uint32_t number, struct bytes value)
{
    put_tag(ret, number, WIRE_BYTES);
    buf_append_varint(ret, value.size);
    buf_append(ret, value);
}

static void put_u64(struct buf *ret, uint32_t number, uint64_t value)
{
    put_tag(ret, number, WIRE_VARINT);
    buf_append_varint(ret, value);
}

void membership_release(struct membership *membership)
{
    free(membership->removed);
    *membership = (struct membership){0};
}

void membership_copy(struct membership *ret, const struct membership *from)
{
    membership_release(ret);
    *ret = *from;
    ret->removed = NULL;
    if (from->removed_count) {
        ret->removed = mem_xalloc(from->removed_count * sizeof *ret->removed);
        memcpy(ret->removed, from->removed, from->removed_count * sizeof *ret->removed);
    }
}

/* ---- looking ---- */

static size_t place_of(const struct membership *membership, raft_id id)
{
    size_t place = 0;
    while (place < membership->count && membership->members[place].id < id)
        place++;
    return place;
}

const struct membership_member *membership_find(const struct membership *membership, raft_id id)
{
    size_t place = place_of(membership, id);
    bool is_there = place < membership->count && membership->members[place].id == id;
    return is_there ? &membership->members[place] : NULL;
}

/* All sixteen digits, so that no name of a member is taken for an id by chance. */
static bool is_id(const char *word, raft_id *ret)
{
    if (strlen(word) != 16 || strspn(word, "0123456789abcdefABCDEF") != 16)
        return false;
    *ret = strtoull(word, NULL, 16);
    return true;
}

const struct membership_member *membership_find_word(const struct membership *membership,
                                                     const char *word)
{
    raft_id id;
    for (size_t i = 0; i < membership->count && word[0]; i++)
        if (strcmp(membership->members[i].name, word) == 0)
            return &membership->members[i];
    return is_id(word, &id) ? membership_find(membership, id) : NULL;
}

static size_t removed_place(const struct membership *membership, raft_id id)
{
    size_t place = 0;
    while (place < membership->removed_count && membership->removed[place] < id)
        place++;
    return place;
}

bool membership_was_removed(const struct membership *membership, raft_id id)
{
    size_t place = removed_place(membership, id);
    return place < membership->removed_count && membership->removed[place] == id;
}

bool membership_is_voter(const struct membership *membership, raft_id id)
{
    return raft_id_set_contains(&membership->configuration.voters, id) ||
           raft_id_set_contains(&membership->configuration.voters_outgoing, id);
}

static bool names(const struct raft_conf_state *configuration, raft_id id)
{
    return raft_id_set_contains(&configuration->voters, id) ||
           raft_id_set_contains(&configuration->voters_outgoing, id) ||
           raft_id_set_contains(&configuration->learners, id);
}

/* ---- changing ---- */

static const struct membership_member *record_in(const struct membership_context *context,
                                                 raft_id id)
{
    for (size_t i = 0; i < context->count; i++)
        if (context->members[i].id == id)
            return &context->members[i];
    return NULL;
}

/* M4. */
static enum err_code check_taken(const struct membership *membership,
                                 const struct membership_member *record, struct err *err)
{
    for (size_t i = 0; i < membership->count; i++) {
        const struct membership_member *other = &membership->members[i];
        if (other->id == record->id)
            continue;
        if (record->name[0] && strcmp(other->name, record->name) == 0)
            return err_set(err, ERR_EXISTS,
                           "the name \"%s\" is that of member %016" PRIx64 ": remove that one "
                           "first, or choose another name", record->name, other->id);
        if (record->address[0] && strcmp(other->address, record->address) == 0)
            return err_set(err, ERR_EXISTS,
                           "the address \"%s\" is that of member \"%s\" (%016" PRIx64 "): remove "
                           "that one first, or choose another address", record->address,
                           other->name, other->id);
    }
    return ERR_OK;
}

/* M5, and M4 of what is updated. */
static enum err_code check_update(const struct membership *membership,
                                  const struct membership_member *member,
                                  const struct membership_member *record, struct err *err)
{
    if (record->generation != member->generation && member->generation != MEMBER_RESERVED)
        return err_set(err, ERR_EXISTS,
                       "member \"%s\" has another data directory already: remove it first",
                       member->name);
    return check_taken(membership, record, err);
}

static enum err_code check_one(const struct membership *membership,
                               const struct raft_change *change,
                               const struct membership_context *context, struct err *err)
{
    const struct membership_member *member = membership_find(membership, change->id);
    const struct membership_member *record = record_in(context, change->id);
    bool is_member = member != NULL;
    bool adds = change->type == RAFT_CHANGE_ADD_VOTER || change->type == RAFT_CHANGE_ADD_LEARNER;
    if (change->id == 0)
        return ERR_OK;
    if (adds && membership_was_removed(membership, change->id))
        return err_set(err, ERR_INVALID, "member %016" PRIx64 " was removed and never comes back",
                       change->id);
    if (adds && !is_member && !record)
        return err_set(err, ERR_INVALID, "member %016" PRIx64 " has no name and address",
                       change->id);
    if (!adds && !is_member)
        return err_set(err, ERR_NOT_FOUND, "there is no member %016" PRIx64, change->id);
    if (adds && !is_member)
        return check_taken(membership, record, err);
    if (change->type == RAFT_CHANGE_UPDATE && record)
        return check_update(membership, member, record, err);
    return ERR_OK;
}

/* M6. */
static enum err_code check_decided_on(const struct membership *membership,
                                      const struct membership_context *context, struct err *err)
{
    bool is_asked_for = context->token[0] || context->token[1];
    if (!is_asked_for || context->decided_on == membership->index || MUTANT(CHANGE_COMES_LATE))
        return ERR_OK;
    return err_set(err, ERR_CONFLICT,
                   "the members have changed at entry %" PRIu64 ", and this was decided by what entry "
                   "%" PRIu64 " made of them", membership->index, context->decided_on);
}

enum err_code membership_check(const struct membership *membership,
                               const struct raft_conf_change *change,
                               const struct membership_context *context, struct err *err)
{
    enum err_code code = check_decided_on(membership, context, err);
    for (size_t i = 0; code == ERR_OK && i < change->count; i++)
        code = check_one(membership, &change->changes[i], context, err);
    return code;
}

static void add(struct membership *membership, raft_id id, const struct membership_context *context)
{
    size_t place = place_of(membership, id);
    const struct membership_member *record = record_in(context, id);
    CHECK(membership->count < RAFT_MEMBERS_MAX);
    memmove(&membership->members[place + 1], &membership->members[place],
            (membership->count - place) * sizeof membership->members[0]);
    membership->members[place] = record ? *record : (struct membership_member){.id = id};
    membership->count++;
}

static void add_all(struct membership *membership, const struct raft_id_set *ids,
                    const struct membership_context *context)
{
    for (size_t i = 0; i < ids->count; i++)
        if (!membership_find(membership, ids->ids[i]))
            add(membership, ids->ids[i], context);
}

static void note_removed(struct membership *membership, raft_id id)
{
    size_t place = removed_place(membership, id);
    membership->removed = mem_xrealloc(membership->removed, (membership->removed_count + 1) *
                                                                sizeof *membership->removed);
    memmove(&membership->removed[place + 1], &membership->removed[place],
            (membership->removed_count - place) * sizeof *membership->removed);
    membership->removed[place] = id;
    membership->removed_count++;
}

static void drop_those_gone(struct membership *membership)
{
    size_t kept = 0;
    for (size_t i = 0; i < membership->count; i++) {
        if (names(&membership->configuration, membership->members[i].id))
            membership->members[kept++] = membership->members[i];
        else
            note_removed(membership, membership->members[i].id);
    }
    membership->count = kept;
}

void membership_update(struct membership *membership, const struct raft_conf_change *change,
                       const struct membership_context *context)
{
    for (size_t i = 0; i < change->count; i++) {
        raft_id id = change->changes[i].id;
        const struct membership_member *record = record_in(context, id);
        size_t place = place_of(membership, id);
        if (change->changes[i].type == RAFT_CHANGE_UPDATE && record &&
            membership_find(membership, id))
            membership->members[place] = *record;
    }
}

void membership_apply(struct membership *membership, raft_index index,
                      const struct membership_context *context,
                      const struct raft_conf_state *configuration)
{
    membership->index = index;
    membership->configuration = *configuration;
    drop_those_gone(membership);
    add_all(membership, &configuration->voters, context);
    add_all(membership, &configuration->voters_outgoing, context);
    add_all(membership, &configuration->learners, context);
}

/* ---- the wire form ---- */

void membership_member_encode(const struct membership_member *member, uint32_t number,
                              struct buf *ret)
{
    struct buf inner = {0};
    put_u64(&inner, 1, member->id);
    put_bytes(&inner, 2, bytes_of_text(member->name));
    put_bytes(&inner, 3, bytes_of_text(member->address));
    if (member->generation) {
        put_tag(&inner, 4, WIRE_64BIT);
        buf_append_le64(&inner, member->generation);
    }
    put_bytes(ret, number, buf_bytes(&inner));
    buf_release(&inner);
}

void membership_encode(const struct membership *membership, struct buf *ret)
{
    struct buf inner = {0};
    raft_conf_state_encode(&membership->configuration, &inner);
    put_bytes(ret, 1, buf_bytes(&inner));
    buf_release(&inner);
    for (size_t i = 0; i < membership->count; i++)
        membership_member_encode(&membership->members[i], 2, ret);
    for (size_t i = 0; i < membership->removed_count; i++)
        put_u64(ret, 3, membership->removed[i]);
    put_u64(ret, 4, membership->index);
}

void membership_context_encode(const struct membership_context *context, struct buf *ret)
{
    for (size_t i = 0; i < 2; i++)
        put_u64(ret, (uint32_t)i + 1, context->token[i]);
    for (size_t i = 0; i < context->count; i++)
        membership_member_encode(&context->members[i], 3, ret);
    put_u64(ret, 4, context->decided_on);
}

static void text_take(struct cursor *cursor, const struct wire_field *field, char *to, size_t size)
{
    struct bytes from = wire_bytes(cursor, field);
    if (from.size >= size || (from.size && memchr(from.data, 0, from.size))) {
        cursor->failed = true;
        return;
    }
    if (from.size)
        memcpy(to, from.data, from.size);
    to[from.size] = 0;
}

bool membership_member_decode(struct bytes from, struct membership_member *ret)
{
    struct cursor cursor = cursor_of(from);
    struct wire_field field;
    *ret = (struct membership_member){0};
    while (wire_next(&cursor, &field))
        switch (field.number) {
        case 1: ret->id = wire_u64(&cursor, &field); break;
        case 2: text_take(&cursor, &field, ret->name, sizeof ret->name); break;
        case 3: text_take(&cursor, &field, ret->address, sizeof ret->address); break;
        case 4: ret->generation = wire_fixed64(&cursor, &field); break;
        }
    return !cursor.failed && ret->id != 0;
}

static void take_member(struct cursor *cursor, const struct wire_field *field,
                        struct membership_member *members, size_t *count, size_t max)
{
    if (*count == max || !membership_member_decode(wire_bytes(cursor, field), &members[*count]))
        cursor->failed = true;
    else
        ++*count;
}

static void take_removed(struct cursor *cursor, const struct wire_field *field,
                         struct membership *ret)
{
    raft_id id = wire_u64(cursor, field);
    bool ascends =
        ret->removed_count == 0 || ret->removed[ret->removed_count - 1] < id;
    if (id == 0 || !ascends)
        cursor->failed = true;
    else
        note_removed(ret, id);
}

/* M1 and M2. */
static bool is_sound(const struct membership *membership)
{
    const struct raft_conf_state *configuration = &membership->configuration;
    const struct raft_id_set *sets[] = {&configuration->voters, &configuration->voters_outgoing,
                                        &configuration->learners};
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < sets[i]->count; k++)
            if (!membership_find(membership, sets[i]->ids[k]))
                return false;
    for (size_t i = 0; i < membership->count; i++) {
        raft_id id = membership->members[i].id;
        if ((i > 0 && membership->members[i - 1].id >= id) || !names(configuration, id) ||
            membership_was_removed(membership, id))
            return false;
    }
    return true;
}

enum err_code membership_decode(struct bytes from, struct membership *ret, struct err *err)
{
    struct cursor cursor = cursor_of(from);
    struct wire_field field;
    membership_release(ret);
    while (wire_next(&cursor, &field))
        switch (field.number) {
        case 1:
            if (raft_conf_state_decode(wire_bytes(&cursor, &field), &ret->configuration) != ERR_OK)
                cursor.failed = true;
            break;
        case 2:
            take_member(&cursor, &field, ret->members, &ret->count, RAFT_MEMBERS_MAX);
            break;
        case 3: take_removed(&cursor, &field, ret); break;
        case 4: ret->index = wire_u64(&cursor, &field); break;
        }
    if (!cursor.failed && is_sound(ret))
        return ERR_OK;
    membership_release(ret);
    return err_set(err, ERR_CORRUPT, "the stored membership cannot be read");
}

enum err_code membership_context_decode(struct bytes from, struct membership_context *ret)
{
    struct cursor cursor = cursor_of(from);
    struct wire_field field;
    *ret = (struct membership_context){0};
    while (wire_next(&cursor, &field))
        switch (field.number) {
        case 1:
        case 2: ret->token[field.number - 1] = wire_u64(&cursor, &field); break;
        case 3:
            take_member(&cursor, &field, ret->members, &ret->count, RAFT_CHANGES_MAX);
            break;
        case 4: ret->decided_on = wire_u64(&cursor, &field); break;
        }
    return cursor.failed ? ERR_CORRUPT : ERR_OK;
}
