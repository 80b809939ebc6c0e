/* Words about positions between members (divergence.h), and the end of a member that is wrong. */
#include "cluster/node_internal.h"

#include <inttypes.h>
#include <stdio.h>

enum { DIVERGENCE_KIND_WORD = PEER_KIND_OWN + 32 };

bool divergence_is_frame(uint32_t kind) { return kind == DIVERGENCE_KIND_WORD; }

static void tell(struct node *node, struct store_position position, bool asks)
{
    uint8_t frame[DIVERGENCE_WORD_SIZE];
    struct divergence_word word = {asks, raft_current_term(node->raft), position};
    divergence_word_encode(&word, frame);
    node_peers_tell(node, DIVERGENCE_KIND_WORD, bytes_of(frame, sizeof frame));
}

void node_fence(struct node *node, const struct divergence_finding *finding)
{
    struct err err = {0}, ignored;
    char who[64];
    snprintf(who, sizeof who, "%zu of %zu voters have", finding->votes, finding->voters);
    enum err_code code = err_set(
        &err, ERR_DIVERGED,
        "the state of this member is not the others': at entry %" PRIu64 " it has %016" PRIx64
        ", %s %016" PRIx64 "; it serves nobody any more; its log is whole: fetch the state from the "
        "others with \"concordfs rebuild%s%s\", then start it again",
        finding->own.index, finding->own.hash, finding->votes ? who : "the leader has",
        finding->other, node->data_path ? " --data " : "", node->data_path ? node->data_path : "");
    /* The last thing that it does, so the loop may wait for the disk. Without the verdict a start would
     * serve until the others' next word. */
    if (node->home && home_judge(node->home, HOME_CONDEMNED, &ignored) != ERR_OK)
        node_say(node, "%s", ignored.text);
    node_say(node, "%s", err.text);
    node_fail(node, code, &err);
}

static void judge(struct node *node)
{
    struct divergence_finding finding;
    if (node_store_is_held(node))     /* what would be judged is being replaced */
        return;
    if (divergence_judge(&node->divergence, &node->membership.configuration.voters,
                         node->identity.member_id, node->leader, raft_current_term(node->raft),
                         node_now(node), &finding))
        node_fence(node, &finding);
}

void divergence_on_frame(struct node *node, raft_id from, struct bytes bytes)
{
    struct divergence *divergence = &node->divergence;
    struct divergence_word word;
    if (!divergence_word_decode(bytes, &word))
        return;
    divergence_claim(divergence, from, &word);
    if (word.asks && from == node->leader && divergence->wanted <= divergence->last)
        divergence->wanted = word.position.index;
    judge(node);
    node->wake(node->wake_context);
}

static bool has_company(const struct node *node)
{
    return node->peers && !node->peers_closing && node->membership.count > 1;
}

/* A leader's word is due. */
static bool has_news(const struct node *node)
{
    return has_company(node) && raft_role(node->raft) == RAFT_LEADER &&
           node->divergence.last > node->divergence.told;
}

void divergence_turn(struct node *node)
{
    struct divergence *divergence = &node->divergence;
    struct store_position position;
    int64_t now = node_now(node);
    if (divergence->wanted && divergence->wanted <= divergence->last) {
        if (divergence_find(divergence, divergence->wanted, &position))
            tell(node, position, false);
        divergence->wanted = 0;
        judge(node);
    }
    if (has_news(node) && now >= divergence->tell_ns &&
        divergence_find(divergence, divergence->last, &position)) {
        divergence->told = position.index;
        divergence->tell_ns = now + DIVERGENCE_PERIOD_NS;
        tell(node, position, true);
    }
    if (now >= divergence_next_ns(divergence))
        judge(node);
}

int64_t divergence_next_wake_ns(const struct node *node)
{
    int64_t doubt = divergence_next_ns(&node->divergence);
    if (!has_news(node))
        return doubt;
    return node->divergence.tell_ns < doubt ? node->divergence.tell_ns : doubt;
}
