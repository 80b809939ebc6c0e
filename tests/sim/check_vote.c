/* Who was elected, and by whom. A vote counts as given when its bytes have left the member, whatever becomes
 * of either then (paper 5.2, figure 2: votedFor is persistent).
 *   - nobody votes for two candidates in one term;
 *   - a member that comes back knows the last term that it voted in, and for whom;
 *   - a leader was given the votes of a majority, or of both while the configuration is joint. */
#include "tests/sim/checks_internal.h"

#include <inttypes.h>

#include "cluster/frame.h"
#include "proto/base/mem.h"

/* ---- votes as they leave ---- */

static struct seen_vote *votes_of(struct checks *checks, raft_term term, raft_id candidate)
{
    for (size_t i = checks->vote_count; i-- > 0;)
        if (checks->votes[i].term == term && checks->votes[i].candidate == candidate)
            return &checks->votes[i];
    if (checks->vote_count == checks->vote_capacity) {
        checks->vote_capacity = checks->vote_capacity ? 2 * checks->vote_capacity : 64;
        checks->votes =
            mem_xrealloc(checks->votes, checks->vote_capacity * sizeof *checks->votes);
    }
    checks->votes[checks->vote_count] = (struct seen_vote){term, candidate, bit(candidate)};
    return &checks->votes[checks->vote_count++];
}

void check_vote_given(struct world *world, raft_id voter, raft_term term, raft_id candidate)
{
    struct seen_vote_of *last = &checks_of(world)->hosts[voter - 1].vote;
    if (world->emptied & bit(voter))
        world_fail(world, "host %" PRIu64 " was emptied and votes", voter);
    if (last->term == term && last->candidate != candidate)
        world_fail(world, "host %" PRIu64 " votes for %" PRIu64 " and %" PRIu64 " in term %" PRIu64,
                   voter, last->candidate, candidate, term);
    if (term > last->term)
        *last = (struct seen_vote_of){term, candidate};
    votes_of(checks_of(world), term, candidate)->voters |= bit(voter);
}

static void look_at(struct world *world, uint64_t host, struct bytes message)
{
    struct raft_received received = {0};
    if (raft_message_decode(message, &received, NULL) == ERR_OK &&
        received.message.type == RAFT_MSG_VOTE_RESP && !received.message.reject)
        check_vote_given(world, host, received.message.term, received.message.to);
    raft_received_release(&received);
}

/* Votes are small; what is larger need not be decoded. */
#define VOTE_SIZE_MAX 128

void checks_written(void *context, uint64_t host, struct bytes bytes)
{
    struct bytes message;
    size_t size;
    for (; bytes.size; bytes = bytes_skip(bytes, size)) {
        bool has_messages = frame_measure(bytes, &size);
        if (size == 0)
            return;
        struct cursor cursor = cursor_of(
            bytes_of(bytes.data + FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE));
        while (has_messages && frame_message_next(&cursor, &message))
            if (message.size <= VOTE_SIZE_MAX)
                look_at(context, host, message);
    }
}

/* ---- members ---- */

void check_vote_kept(struct world *world, struct sim_host *host)
{
    const struct seen_vote_of *last = &checks_of(world)->hosts[host->number - 1].vote;
    struct raft_status status;
    raft_status(host->node->raft, &status);
    const struct hard_state *state = &status.hard_state;
    if (state->term < last->term ||
        (state->term == last->term && state->vote != last->candidate))
        world_fail(world,
                   "host %" PRIu64 " voted for %" PRIu64 " in term %" PRIu64
                   " and comes back in term %" PRIu64 " with a vote for %" PRIu64,
                   host->number, last->candidate, last->term, state->term, state->vote);
}

static bool is_majority(const struct raft_id_set *voters, uint64_t votes)
{
    size_t count = 0;
    for (size_t i = 0; i < voters->count; i++)
        count += (votes & bit(voters->ids[i])) != 0;
    return voters->count == 0 || count > voters->count / 2;
}

/* Once in each term. */
void check_vote(struct world *world, struct sim_host *host)
{
    struct checks *checks = checks_of(world);
    struct seen_host *seen = &checks->hosts[host->number - 1];
    raft_term term = raft_current_term(host->node->raft);
    struct raft_conf_state state;
    if (raft_role(host->node->raft) != RAFT_LEADER || seen->led_term == term)
        return;
    seen->led_term = term;
    if (!check_count_is_settled(world, host))
        return;
    raft_configuration(host->node->raft, &state);
    uint64_t votes = votes_of(checks, term, host->number)->voters;
    if (!is_majority(&state.voters, votes) || !is_majority(&state.voters_outgoing, votes))
        world_fail(world, "host %" PRIu64 " leads term %" PRIu64 " without the votes of a majority",
                   host->number, term);
}
