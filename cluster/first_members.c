#include "cluster/first_members.h"

#include <stdio.h>
#include <stdlib.h>

#include "cluster/net_address.h"
#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "proto/base/mem.h"

#define CLUSTER_SEED UINT64_C(0x636f6e636f726401)   /* of ids made from a list: never another */
#define NAME_CHARACTERS                                                                            \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

/* ---- words ---- */

enum err_code member_name_check(const char *name, struct err *err)
{
    size_t size = strlen(name);
    if (size == 0 || strchr(".-_", name[0]) || size >= MEMBER_NAME_SIZE ||
        strspn(name, NAME_CHARACTERS) != size)
        return err_set(err, ERR_INVALID,
                       "not a name of a member: \"%.80s\" (letters, digits, '.', '-' and '_', a "
                       "letter or digit first, %d at most)", name, MEMBER_NAME_SIZE - 1);
    return ERR_OK;
}

bool member_address_is_wildcard(const char *address)
{
    static const uint8_t zeros[16];
    struct net_address parsed;
    union net_sockaddr number;
    if (net_address_parse(address, &parsed, NULL) != ERR_OK ||
        !net_address_number(&parsed, &number))
        return false;
    if (number.any.sa_family == AF_INET)
        return number.v4.sin_addr.s_addr == 0;
    return memcmp(&number.v6.sin6_addr, zeros, sizeof zeros) == 0;
}

enum err_code member_address_check(const char *address, struct err *err)
{
    struct net_address parsed;
    enum err_code code = net_address_parse(address, &parsed, err);
    if (code != ERR_OK)
        return code;
    if (strlen(address) >= MEMBER_ADDRESS_SIZE)
        return err_set(err, ERR_INVALID, "an address of more than %d bytes: \"%.80s...\"",
                       MEMBER_ADDRESS_SIZE - 1, address);
    if (parsed.port == 0)
        return err_set(err, ERR_INVALID, "port 0 is nowhere to connect to: \"%s\"", address);
    if (member_address_is_wildcard(address))
        return err_set(err, ERR_INVALID,
                       "\"%s\" is every address of a host and nowhere to connect to", address);
    return ERR_OK;
}

/* ---- the list ---- */

static enum err_code take_word(const char *word, struct membership_member *ret, struct err *err)
{
    const char *equals = strchr(word, '=');
    if (!equals || equals == word || !equals[1])
        return err_set(err, ERR_INVALID, "not NAME=HOST:PORT: \"%.80s\"", word);
    char *name = mem_xformat("%.*s", (int)(equals - word), word);
    enum err_code code = member_name_check(name, err);
    if (code == ERR_OK)
        code = member_address_check(equals + 1, err);
    if (code == ERR_OK) {
        *ret = (struct membership_member){0};
        snprintf(ret->name, sizeof ret->name, "%s", name);
        snprintf(ret->address, sizeof ret->address, "%s", equals + 1);
    }
    free(name);
    return code;
}

static enum err_code check_twice(const struct first_members *first,
                                 const struct membership_member *member, struct err *err)
{
    for (size_t i = 0; i < first->count; i++) {
        if (strcmp(first->members[i].name, member->name) == 0)
            return err_set(err, ERR_INVALID, "two members are called \"%s\"", member->name);
        if (strcmp(first->members[i].address, member->address) == 0)
            return err_set(err, ERR_INVALID, "\"%s\" and \"%s\" have the same address \"%s\"",
                           first->members[i].name, member->name, member->address);
    }
    return ERR_OK;
}

static void insert(struct first_members *first, const struct membership_member *member)
{
    size_t place = 0;
    while (place < first->count && strcmp(first->members[place].name, member->name) < 0)
        place++;
    memmove(&first->members[place + 1], &first->members[place],
            (first->count - place) * sizeof first->members[0]);
    first->members[place] = *member;
    first->count++;
}

/* An id of raft's: not nobody's, none of its local threads', and of 63 bits as those that are drawn. */
static raft_id member_id(uint64_t cluster_id, const char *name)
{
    raft_id id = hash_bytes(cluster_id, bytes_of_text(name)) >> 1;
    return id ? id : 1;
}

static enum err_code make_ids(struct first_members *first, struct err *err)
{
    struct buf whole = {0};
    for (size_t i = 0; i < first->count; i++)
        buf_append_format(&whole, "%s=%s,", first->members[i].name, first->members[i].address);
    first->cluster_id = hash_bytes(CLUSTER_SEED, buf_bytes(&whole));
    buf_release(&whole);
    for (size_t i = 0; i < first->count; i++) {
        first->members[i].id = member_id(first->cluster_id, first->members[i].name);
        for (size_t k = 0; k < i; k++)
            if (first->members[k].id == first->members[i].id)
                return err_set(err, ERR_INVALID,
                               "\"%s\" and \"%s\" would have the same id: rename one",
                               first->members[k].name, first->members[i].name);
    }
    return ERR_OK;
}

enum err_code first_members_parse(const char *text, struct first_members *ret, struct err *err)
{
    struct first_members *first = mem_xzalloc(sizeof *first);
    char *words = mem_xstrdup(text), *next = words;
    enum err_code code = ERR_OK;
    while (code == ERR_OK && next) {
        struct membership_member member;
        char *word = next, *comma = strchr(word, ',');
        next = comma ? comma + 1 : NULL;
        if (comma)
            *comma = '\0';
        code = first->count == RAFT_MEMBERS_MAX
                   ? err_set(err, ERR_INVALID, "more than %d members", RAFT_MEMBERS_MAX)
                   : take_word(word, &member, err);
        if (code == ERR_OK)
            code = check_twice(first, &member, err);
        if (code == ERR_OK)
            insert(first, &member);
    }
    if (code == ERR_OK)
        code = make_ids(first, err);
    if (code == ERR_OK)
        *ret = *first;
    free(words);
    free(first);
    return code;
}

const struct membership_member *first_members_find(const struct first_members *first,
                                                   const char *name)
{
    for (size_t i = 0; i < first->count; i++)
        if (strcmp(first->members[i].name, name) == 0)
            return &first->members[i];
    return NULL;
}
