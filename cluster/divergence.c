#include "cluster/divergence.h"

#include "proto/base/check.h"

/* ---- positions ---- */

void divergence_begin(struct divergence *divergence, struct store_position position)
{
    memset(divergence->own, 0, sizeof divergence->own);
    divergence->since = position.since;
    divergence->last = 0;
    divergence->wanted = 0;
    divergence->doubt_ns = INT64_MAX;
    if (position.index)
        divergence_applied(divergence, position.index, position.hash);
}

void divergence_applied(struct divergence *divergence, raft_index index, uint64_t hash)
{
    size_t place = index & (DIVERGENCE_POSITIONS - 1);
    CHECK(index > divergence->last);
    divergence->last = index;
    divergence->own[place].index = index;
    divergence->own[place].hash = hash;
}

bool divergence_find(const struct divergence *divergence, raft_index index,
                     struct store_position *ret)
{
    size_t place = index & (DIVERGENCE_POSITIONS - 1);
    if (index == 0 || divergence->own[place].index != index)
        return false;
    *ret = (struct store_position){index, divergence->since, divergence->own[place].hash};
    return true;
}

/* More than can be members at a time have spoken: some place is taken over. */
static struct divergence_claims *claims_of(struct divergence *divergence, raft_id from)
{
    for (size_t i = 0; i < divergence->claim_count; i++)
        if (divergence->claims[i].from == from)
            return &divergence->claims[i];
    size_t place = divergence->claim_count < RAFT_MEMBERS_MAX ? divergence->claim_count++
                                                              : from % RAFT_MEMBERS_MAX;
    divergence->claims[place] = (struct divergence_claims){.from = from};
    return &divergence->claims[place];
}

void divergence_claim(struct divergence *divergence, raft_id from, const struct divergence_word *word)
{
    struct divergence_claims *claims = claims_of(divergence, from);
    claims->words[claims->next] = *word;
    claims->next = (claims->next + 1) % DIVERGENCE_CLAIMS;
}

/* ---- judging ---- */

static bool says(const struct divergence_claims *claims, const struct store_position *position)
{
    for (size_t i = 0; i < DIVERGENCE_CLAIMS; i++) {
        const struct store_position *one = &claims->words[i].position;
        if (one->index == position->index && one->since == position->since &&
            one->hash == position->hash)
            return true;
    }
    return false;
}

/* Voters that say this position. */
static size_t votes_for(const struct divergence *divergence, const struct raft_id_set *voters,
                        const struct store_position *position)
{
    size_t votes = 0;
    for (size_t i = 0; i < divergence->claim_count; i++)
        votes += raft_id_set_contains(voters, divergence->claims[i].from) &&
                 says(&divergence->claims[i], position);
    return votes;
}

enum comparison { SAYS_NOTHING, SAME, OTHER };

/* What a position says of this member; *ret_own is its own, that it is about. */
static enum comparison compare(const struct divergence *divergence,
                               const struct store_position *position, struct store_position *ret_own)
{
    if (!divergence_find(divergence, position->index, ret_own) || position->since != ret_own->since)
        return SAYS_NOTHING;
    return position->hash == ret_own->hash ? SAME : OTHER;
}

/* Whether some position has a majority behind it, of more than one voice, and is not this member's. */
static bool is_outvoted(const struct divergence *divergence, const struct raft_id_set *voters,
                        struct divergence_finding *ret)
{
    for (size_t i = 0; i < divergence->claim_count; i++)
        for (size_t k = 0; k < DIVERGENCE_CLAIMS; k++) {
            const struct store_position *position = &divergence->claims[i].words[k].position;
            struct store_position own;
            if (compare(divergence, position, &own) != OTHER)
                continue;
            size_t votes = votes_for(divergence, voters, position);
            if (votes < 2 || votes <= voters->count / 2)
                continue;
            *ret = (struct divergence_finding){own, position->hash, votes, voters->count};
            return true;
        }
    return false;
}

/* The newest position that the leader said in its term and that says something; NULL: none does, or it is
 * the same. */
static const struct store_position *leader_differs(const struct divergence *divergence,
                                                   raft_id leader, raft_term term,
                                                   struct store_position *ret_own)
{
    const struct divergence_claims *claims = NULL;
    for (size_t i = 0; i < divergence->claim_count; i++)
        if (divergence->claims[i].from == leader)
            claims = &divergence->claims[i];
    for (size_t k = 1; claims && k <= DIVERGENCE_CLAIMS; k++) {
        const struct divergence_word *word =
            &claims->words[(claims->next + DIVERGENCE_CLAIMS - k) % DIVERGENCE_CLAIMS];
        enum comparison is =
            word->term == term ? compare(divergence, &word->position, ret_own) : SAYS_NOTHING;
        if (is != SAYS_NOTHING)
            return is == OTHER ? &word->position : NULL;
    }
    return NULL;
}

bool divergence_judge(struct divergence *divergence, const struct raft_id_set *voters, raft_id self,
                      raft_id leader, raft_term term, int64_t now_ns, struct divergence_finding *ret)
{
    struct store_position own;
    if (is_outvoted(divergence, voters, ret))
        return true;
    const struct store_position *other = leader == self || leader == RAFT_NOBODY
                                             ? NULL
                                             : leader_differs(divergence, leader, term, &own);
    bool has_majority = other && votes_for(divergence, voters, &own) +
                                        raft_id_set_contains(voters, self) > voters->count / 2;
    if (!other || has_majority) {
        divergence->doubt_ns = INT64_MAX;
        return false;
    }
    if (divergence->doubt_ns == INT64_MAX)
        divergence->doubt_ns = now_ns;
    if (voters->count > 2 && now_ns < divergence->doubt_ns + DIVERGENCE_PATIENCE_NS)
        return false;
    *ret = (struct divergence_finding){.own = own, .other = other->hash, .voters = voters->count};
    return true;
}

int64_t divergence_next_ns(const struct divergence *divergence)
{
    return divergence->doubt_ns == INT64_MAX ? INT64_MAX
                                             : divergence->doubt_ns + DIVERGENCE_PATIENCE_NS;
}

/* ---- words ---- */

void divergence_word_encode(const struct divergence_word *word, uint8_t to[DIVERGENCE_WORD_SIZE])
{
    to[0] = STORE_HASH_VERSION;
    to[1] = word->asks;
    put_le64(to + 2, word->term);
    put_le64(to + 10, word->position.index);
    put_le64(to + 18, word->position.since);
    put_le64(to + 26, word->position.hash);
}

bool divergence_word_decode(struct bytes from, struct divergence_word *ret)
{
    struct cursor cursor = cursor_of(from);
    uint8_t version = cursor_u8(&cursor), asks = cursor_u8(&cursor);
    struct divergence_word word = {.asks = asks};
    word.term = cursor_le64(&cursor);
    word.position.index = cursor_le64(&cursor);
    word.position.since = cursor_le64(&cursor);
    word.position.hash = cursor_le64(&cursor);
    if (cursor.failed || cursor.rest.size || version != STORE_HASH_VERSION || asks > 1 ||
        word.position.index == 0 || word.position.since > word.position.index)
        return false;
    *ret = word;
    return true;
}
