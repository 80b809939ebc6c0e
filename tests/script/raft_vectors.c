#include "tests/script/raft_vectors.h"

#include <stdlib.h>

#include "cluster/raft/print.h"

/* --- quorum ----------------------------------------------------------------------------------- */

/* What is known of each voter, in the order in which the configuration names them. */
struct lookup {
    size_t count;
    struct {
        raft_id id;
        const char *value;
    } known[2 * RAFT_MEMBERS_MAX];
};

static const struct script_arg *find(const struct script_command *command, const char *key)
{
    for (size_t i = 0; i < command->arg_count; i++)
        if (strcmp(command->args[i].key, key) == 0)
            return &command->args[i];
    return NULL;
}

static const char *lookup_value(const struct lookup *lookup, raft_id id)
{
    for (size_t i = 0; i < lookup->count; i++)
        if (lookup->known[i].id == id)
            return lookup->known[i].value;
    return NULL;
}

static void add_voters(const struct script_arg *ids, struct raft_id_set *set, struct lookup *lookup,
                       const struct script_arg *values)
{
    for (size_t i = 0; ids && i < ids->value_count; i++) {
        raft_id id = strtoull(ids->values[i], NULL, 10);
        if (id == 0)
            continue; /* "zero": the empty half */
        CHECK(raft_id_set_add(set, id));
        if (lookup_value(lookup, id) || !values || lookup->count >= values->value_count)
            continue;
        lookup->known[lookup->count].id = id;
        lookup->known[lookup->count].value = values->values[lookup->count];
        lookup->count++;
    }
}

static bool is_known(const struct lookup *lookup, raft_id id)
{
    const char *value = lookup_value(lookup, id);
    return value && strcmp(value, "_") != 0;
}

static uint64_t index_of(const void *context, raft_id id)
{
    return is_known(context, id) ? strtoull(lookup_value(context, id), NULL, 10) : 0;
}

/* How many voters have a lower index. */
static size_t bar_of(const struct raft_id_set *ids, const struct lookup *lookup, raft_id id)
{
    uint64_t own = index_of(lookup, id);
    size_t lower = 0;
    for (size_t i = 0; i < ids->count; i++)
        lower += index_of(lookup, ids->ids[i]) < own;
    return lower;
}

static void describe(struct buf *output, const struct raft_id_set *ids, const struct lookup *lookup)
{
    if (ids->count == 0) {
        buf_append_format(output, "<empty majority quorum>");
        return;
    }
    buf_append_format(output, "%*s    idx\n", (int)ids->count, "");
    for (size_t i = 0; i < ids->count; i++) {
        uint64_t index = index_of(lookup, ids->ids[i]);
        bool known = is_known(lookup, ids->ids[i]);
        size_t bar = known ? bar_of(ids, lookup, ids->ids[i]) : 0;
        for (size_t j = 0; j < bar; j++)
            buf_append_u8(output, 'x');
        buf_append_format(output, "%c%*s %5" PRIu64 "    (id=%" PRIu64 ")\n", known ? '>' : '?',
                          (int)(ids->count - bar), "", index, ids->ids[i]);
    }
}

static void print_committed(struct buf *output, const struct raft_conf_state *config,
                            const struct lookup *lookup)
{
    struct raft_id_set all = config->voters;
    for (size_t i = 0; i < config->voters_outgoing.count; i++)
        CHECK(raft_id_set_add(&all, config->voters_outgoing.ids[i]));
    describe(output, &all, lookup);
    uint64_t index = quorum_joint_committed(config, index_of, lookup);
    if (index == UINT64_MAX)
        buf_append_format(output, "∞\n");
    else
        buf_append_format(output, "%" PRIu64 "\n", index);
}

static void print_vote(struct buf *output, const struct raft_conf_state *config,
                       const struct lookup *lookup)
{
    static const char *const names[] = {
        [VOTE_PENDING] = "VotePending", [VOTE_LOST] = "VoteLost", [VOTE_WON] = "VoteWon"};
    struct raft_id_set voted = {0}, granted = {0};
    for (size_t i = 0; i < lookup->count; i++) {
        if (*lookup->known[i].value != '_')
            CHECK(raft_id_set_add(&voted, lookup->known[i].id));
        if (*lookup->known[i].value == 'y')
            CHECK(raft_id_set_add(&granted, lookup->known[i].id));
    }
    struct raft_conf_state swapped = *config;
    swapped.voters = config->voters_outgoing;
    swapped.voters_outgoing = config->voters;
    enum vote_result result = quorum_joint_vote(config, &voted, &granted);
    CHECK(quorum_joint_vote(&swapped, &voted, &granted) == result);
    buf_append_format(output, "%s\n", names[result]);
}

static void quorum_command(const struct script_command *command, struct buf *output)
{
    bool vote = strcmp(command->name, "vote") == 0;
    const struct script_arg *values = find(command, vote ? "votes" : "idx");
    struct raft_conf_state config = {0};
    struct lookup lookup = {0};
    add_voters(find(command, "cfg"), &config.voters, &lookup, values);
    add_voters(find(command, "cfgj"), &config.voters_outgoing, &lookup, values);
    if (vote)
        print_vote(output, &config, &lookup);
    else
        print_committed(output, &config, &lookup);
}

/* --- confchange ------------------------------------------------------------------------------- */

bool raft_parse_changes(const char *text, struct raft_change *changes, size_t *ret_count)
{
    static const char letters[] = "vrul";
    *ret_count = 0;
    while (*(text += strspn(text, " \n")) && *ret_count < RAFT_CHANGES_MAX) {
        const char *letter = strchr(letters, *text);
        char *end;
        if (!letter)
            return false;
        changes[*ret_count].type = (enum raft_change_type)(letter - letters);
        changes[*ret_count].id = strtoull(text + 1, &end, 10);
        (*ret_count)++;
        text = end;
    }
    return true;
}

static void print_tracker(struct buf *output, const struct tracker *tracker)
{
    raft_print_configuration(output, &tracker->config);
    buf_append_u8(output, '\n');
    for (size_t i = 0; i < tracker->count; i++) {
        const struct progress *progress = &tracker->progress[i];
        struct raft_progress_status status = {
            .match = progress->match,
            .next = progress->next,
            .state = progress->state,
            .learner = progress->learner,
            .recent_active = progress->recent_active,
        };
        buf_append_format(output, "%" PRIu64 ": ", progress->id);
        raft_print_progress(output, &status);
        buf_append_u8(output, '\n');
    }
}

static bool change_command(struct raft_vectors *vectors, const struct script_command *command,
                           struct buf *output)
{
    struct raft_change changes[RAFT_CHANGES_MAX];
    struct tracker next = vectors->tracker;
    struct err err = {0};
    size_t count = 0;
    enum err_code code;
    if (!raft_parse_changes(command->input, changes, &count))
        return false;
    if (strcmp(command->name, "simple") == 0)
        code = tracker_simple(&next, vectors->last_index, changes, count, &err);
    else if (strcmp(command->name, "enter-joint") == 0)
        code = tracker_enter_joint(&next, vectors->last_index, script_flag(command, "autoleave"),
                                   changes, count, &err);
    else
        code = tracker_leave_joint(&next, &err);
    vectors->last_index++;
    if (code) {
        buf_append_format(output, "%s\n", err.text);
        return true;
    }
    vectors->tracker = next;
    print_tracker(output, &vectors->tracker);
    return true;
}

bool raft_vectors_command(struct raft_vectors *vectors, const struct script_command *command,
                          struct buf *output)
{
    if (strcmp(command->name, "committed") == 0 || strcmp(command->name, "vote") == 0) {
        quorum_command(command, output);
        return true;
    }
    if (strcmp(command->name, "simple") != 0 && strcmp(command->name, "enter-joint") != 0 &&
        strcmp(command->name, "leave-joint") != 0)
        return false;
    return change_command(vectors, command, output);
}
