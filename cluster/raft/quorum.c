/* Majorities, and what both majorities of a joint configuration agree on. */
#include "cluster/raft/raft_internal.h"

uint64_t quorum_committed(const struct raft_id_set *voters, acked_function *acked,
                          const void *context)
{
    if (voters->count == 0)
        return UINT64_MAX;
    uint64_t reached[RAFT_MEMBERS_MAX]; /* ascending */
    for (size_t i = 0; i < voters->count; i++) {
        uint64_t index = acked(context, voters->ids[i]);
        size_t place = i;
        for (; place > 0 && reached[place - 1] > index; place--)
            reached[place] = reached[place - 1];
        reached[place] = index;
    }
    /* From here to the end are just as many as make a majority. */
    return reached[MUTANT(COMMIT_BY_HALF) ? voters->count / 2
                                          : voters->count - (voters->count / 2 + 1)];
}

uint64_t quorum_joint_committed(const struct raft_conf_state *config, acked_function *acked,
                                const void *context)
{
    if (MUTANT(COMMIT_BY_ONE_MAJORITY))
        return quorum_committed(&config->voters, acked, context);
    return min_u64(quorum_committed(&config->voters, acked, context),
                   quorum_committed(&config->voters_outgoing, acked, context));
}

enum vote_result quorum_vote(const struct raft_id_set *voters, const struct raft_id_set *voted,
                             const struct raft_id_set *granted)
{
    size_t yes = 0, missing = 0, majority = voters->count / 2 + 1;
    if (MUTANT(VOTE_BY_HALF))
        majority = (voters->count + 1) / 2;
    if (voters->count == 0)
        return VOTE_WON;
    for (size_t i = 0; i < voters->count; i++) {
        if (!raft_id_set_contains(voted, voters->ids[i]))
            missing++;
        else if (raft_id_set_contains(granted, voters->ids[i]))
            yes++;
    }
    if (yes >= majority)
        return VOTE_WON;
    return yes + missing >= majority ? VOTE_PENDING : VOTE_LOST;
}

enum vote_result quorum_joint_vote(const struct raft_conf_state *config,
                                   const struct raft_id_set *voted,
                                   const struct raft_id_set *granted)
{
    enum vote_result incoming = quorum_vote(&config->voters, voted, granted);
    enum vote_result outgoing = quorum_vote(&config->voters_outgoing, voted, granted);
    if (incoming == outgoing || MUTANT(VOTE_BY_ONE_MAJORITY))
        return incoming;
    if (incoming == VOTE_LOST || outgoing == VOTE_LOST)
        return VOTE_LOST;
    return VOTE_PENDING;
}
