#include "tests/script/raft_env.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/raft/print.h"
#include "proto/base/check.h"
#include "tests/script/raft_vectors.h"

/* --- messages under way ----------------------------------------------------------------------- */

static void keep(struct raft_env *env, struct raft_messages *messages,
                 const struct raft_message *message)
{
    CHECK(messages->count < RAFT_ENV_MESSAGES_MAX);
    messages->list[messages->count++] = raft_message_clone(&env->mem, message);
}

static struct raft_message *take(struct raft_messages *messages, size_t place)
{
    struct raft_message *message = messages->list[place];
    messages->count--;
    memmove(messages->list + place, messages->list + place + 1,
            (messages->count - place) * sizeof(messages->list[0]));
    return message;
}

static void drop_all(struct raft_env *env, struct raft_messages *messages)
{
    while (messages->count > 0)
        raft_message_free(&env->mem, take(messages, 0));
}

static bool is_thread(raft_id id)
{
    return id == RAFT_APPEND_THREAD || id == RAFT_APPLY_THREAD;
}

/* Where the next message for that member stands, or the count. */
static size_t find_message(const struct raft_messages *messages, raft_id to, int type, bool drop)
{
    size_t place = 0;
    for (; place < messages->count; place++) {
        const struct raft_message *message = messages->list[place];
        bool local = message->from == message->to || is_thread(message->from);
        if (message->to == to && !(drop && local) && (type < 0 || (int)message->type == type))
            break;
    }
    return place;
}

/* --- life ------------------------------------------------------------------------------------- */

static void write_trace(struct trace *trace, const char *line)
{
    struct raft_env *env = container_of(trace, struct raft_env, trace);
    if (env->shows_trace)
        buf_append_format(env->output, "%s\n", line);
    if (env->outer_trace)
        env->outer_trace->write(env->outer_trace, line);
}

void raft_env_init(struct raft_env *env)
{
    memset(env, 0, sizeof(*env));
    env->trace.write = write_trace;
}

static void release_node(struct raft_env *env, struct raft_node *node)
{
    raft_free(node->raft);
    raft_storage_release(&node->storage);
    drop_all(env, &node->append_work);
    drop_all(env, &node->apply_work);
}

void raft_env_release(struct raft_env *env)
{
    for (size_t i = 0; i < env->node_count; i++)
        release_node(env, &env->nodes[i]);
    drop_all(env, &env->network);
    CHECK(env->mem.live == 0);
}

/* --- output ----------------------------------------------------------------------------------- */

static void print_line(struct buf *output, const char *text)
{
    buf_append_format(output, "%s\n", text);
}

/* Everything from start on, two blanks deeper. */
static void indent(struct buf *output, size_t start)
{
    struct buf whole = {0};
    bool line_start = true;
    for (size_t i = start; i < output->size; i++) {
        if (line_start)
            buf_append(&whole, BYTES_LITERAL("  "));
        buf_append_u8(&whole, output->data[i]);
        line_start = output->data[i] == '\n';
    }
    output->size = start;
    buf_append(output, buf_bytes(&whole));
    buf_release(&whole);
}

static const char *step_text(const struct raft_message *message, enum err_code code)
{
    switch (code) {
    case ERR_NO_LEADER:
    case ERR_BUSY:
        return "raft proposal dropped";
    case ERR_NOT_FOUND:
        return "raft: cannot step as peer not found";
    case ERR_INVALID:
        return raft_message_is_local(message->type) ? "raft: cannot step raft local message"
                                                    : "raft: unsound message";
    default:
        return err_text(code);
    }
}

static void print_proposal(struct buf *output, enum err_code code)
{
    if (code)
        print_line(output, code == ERR_INVALID ? "invalid proposal" : "raft proposal dropped");
}

/* --- nodes ------------------------------------------------------------------------------------ */

static uint64_t number(const struct script_command *command, const char *key, uint64_t fallback)
{
    const char *value = script_value(command, key, NULL);
    return value ? strtoull(value, NULL, 10) : fallback;
}

static void read_ids(const struct script_command *command, const char *key, struct raft_id_set *set)
{
    for (size_t i = 0; i < command->arg_count; i++) {
        if (strcmp(command->args[i].key, key) != 0)
            continue;
        for (size_t j = 0; j < command->args[i].value_count; j++)
            CHECK(raft_id_set_add(set, strtoull(command->args[i].values[j], NULL, 10)));
    }
}

static struct raft_config read_config(const struct script_command *command)
{
    bool lease = strcmp(script_value(command, "read-only", "safe"), "lease-based") == 0;
    return (struct raft_config){
        .election_tick = 3,
        .heartbeat_tick = 1,
        .applied = number(command, "index", 0),
        .async_storage_writes = script_flag(command, "async-storage-writes"),
        .max_size_per_message = number(command, "max-size-per-message", RAFT_NO_LIMIT),
        .max_committed_size_per_ready = number(command, "max-committed-size-per-ready", 0),
        .max_uncommitted_size = number(command, "max-uncommitted-size", 0),
        .max_inflight_messages = (size_t)number(command, "inflight", INT32_MAX),
        .max_inflight_bytes = number(command, "inflight-bytes", 0),
        .check_quorum = script_flag(command, "checkquorum"),
        .pre_vote = script_flag(command, "prevote"),
        .read_only = lease ? RAFT_READ_LEASE_BASED : RAFT_READ_SAFE,
        .disable_proposal_forwarding = script_flag(command, "disable-proposal-forwarding"),
        .disable_conf_change_validation = script_flag(command, "disable-conf-change-validation"),
        .commit_in_votes = script_flag(command, "commit-in-votes"),
        .step_down_on_removal = script_flag(command, "step-down-on-removal"),
        .eager_vote_requests = !script_flag(command, "vote-requests-wait"),
    };
}

static void add_node(struct raft_env *env, const struct raft_config *config,
                     const struct raft_conf_state *state, const struct raft_snapshot *snapshot,
                     struct buf *output)
{
    CHECK(env->node_count < RAFT_ENV_NODES_MAX);
    struct raft_node *node = &env->nodes[env->node_count];
    struct err err = {0};
    memset(node, 0, sizeof(*node));
    raft_storage_init(&node->storage);
    node->storage.initial = *state;
    raft_storage_install(&node->storage, snapshot);
    raft_storage_offer(&node->storage, snapshot);
    node->config = *config;
    node->config.id = env->node_count + 1;
    node->config.seed = node->config.id;
    node->config.log = &node->storage.view;
    node->config.mem = &env->mem;
    node->config.trace = &env->trace;
    if (raft_new(&node->config, &node->raft, &err)) {
        print_line(output, err.text);
        raft_storage_release(&node->storage);
        return;
    }
    env->node_count++;
}

static void add_nodes(struct raft_env *env, const struct script_command *command,
                      struct buf *output)
{
    struct raft_config config = read_config(command);
    struct raft_conf_state state = {0};
    const char *content = script_value(command, "content", "");
    read_ids(command, "voters", &state.voters);
    read_ids(command, "learners", &state.learners);
    bool bootstrap = config.applied > 0 || state.voters.count > 0 || state.learners.count > 0;
    if (bootstrap && config.applied <= 1) {
        print_line(output, "index must be specified as > 1 due to bootstrap");
        return;
    }
    struct raft_snapshot snapshot = {
        .mark = {config.applied, bootstrap, raft_storage_encode(&state)},
        .data = blob_copy(bytes_of_text(content)),
    };
    for (uint64_t count = script_id(command, 0); count > 0; count--)
        add_node(env, &config, &state, &snapshot, output);
    blob_unref(snapshot.mark.configuration);
    blob_unref(snapshot.data);
}

static struct raft_node *node_of(struct raft_env *env, raft_id id)
{
    return id > 0 && id <= env->node_count ? &env->nodes[id - 1] : NULL;
}

/* --- storage ---------------------------------------------------------------------------------- */

/* The state is the text of all that was applied; after each entry there is a snapshot of it. */
static void record(struct raft_node *node, const struct entry *entry, struct bytes update,
                   struct blob *configuration)
{
    struct bytes before = blob_bytes(node->storage.snapshot.data);
    struct blob *data = blob_new(before.size + update.size);
    struct raft_snapshot snapshot = {{entry->index, entry->term, configuration}, data};
    if (before.size > 0)
        memcpy(data->data, before.data, before.size);
    if (update.size > 0)
        memcpy(data->data + before.size, update.data, update.size);
    raft_storage_offer(&node->storage, &snapshot);
    blob_unref(data);
}

static void apply_change(struct raft_node *node, const struct entry *entry, struct buf *output)
{
    struct raft_conf_change change;
    struct raft_conf_state state;
    struct err err = {0};
    CHECK(raft_conf_change_decode(entry, &change) == ERR_OK);
    if (raft_apply_conf_change(node->raft, &change, &state, &err))
        print_line(output, err.text);
    struct blob *configuration = raft_storage_encode(&state);
    record(node, entry, change.context, configuration);
    blob_unref(configuration);
}

static void apply(struct raft_node *node, const struct entry *entries, size_t count,
                  struct buf *output)
{
    for (size_t i = 0; i < count; i++) {
        if (entries[i].type == ENTRY_NORMAL)
            record(node, &entries[i], blob_bytes(entries[i].payload),
                   node->storage.snapshot.mark.configuration);
        else
            apply_change(node, &entries[i], output);
    }
}

/* An installed snapshot is not offered before the next entry is applied: the harness whose answers
 * we compare with keeps its history by applied entries alone. */
static void persist(struct raft_node *node, const struct raft_ready *ready)
{
    if (ready->has_hard_state)
        node->storage.hard = ready->hard_state;
    if (ready->snapshot)
        raft_storage_install(&node->storage, ready->snapshot);
    raft_storage_append(&node->storage, ready->entries, ready->entry_count);
}

/* --- a round ---------------------------------------------------------------------------------- */

static void send(struct raft_env *env, struct raft_node *node, const struct raft_message *message)
{
    if (message->to == RAFT_APPEND_THREAD)
        keep(env, &node->append_work, message);
    else if (message->to == RAFT_APPLY_THREAD)
        keep(env, &node->apply_work, message);
    else
        keep(env, &env->network, message);
}

static void process_ready(struct raft_env *env, struct raft_node *node, struct buf *output)
{
    struct raft_ready ready;
    CHECK(raft_ready(node->raft, &ready) == ERR_OK);
    raft_print_ready(output, &ready);
    if (!node->config.async_storage_writes) {
        persist(node, &ready);
        apply(node, ready.committed, ready.committed_count, output);
    }
    for (size_t i = 0; i < ready.message_count; i++)
        send(env, node, &ready.messages[i]);
    for (size_t i = 0; i < ready.messages_after_count; i++)
        send(env, node, &ready.messages_after[i]);
    if (!node->config.async_storage_writes)
        CHECK(raft_advance(node->raft) == ERR_OK);
}

static size_t deliver(struct raft_env *env, raft_id to, int type, bool drop, struct buf *output)
{
    /* Only what is there now: a step may not add to it, since nothing is sent before the next
     * ready. */
    size_t count = 0;
    for (size_t place; (place = find_message(&env->network, to, type, drop)) < env->network.count;
         count++) {
        struct raft_message *message = take(&env->network, place);
        struct raft_node *node = node_of(env, to);
        if (drop)
            buf_append_format(output, "dropped: ");
        raft_print_message(output, message);
        buf_append_u8(output, '\n');
        if (!drop && node) {
            enum err_code code = raft_step(node->raft, message);
            if (code)
                print_line(output, step_text(message, code));
        }
        raft_message_free(&env->mem, message);
    }
    return count;
}

static void print_work(struct raft_message *message, struct buf *output)
{
    size_t responses = message->response_count;
    message->response_count = 0;
    print_line(output, "Processing:");
    raft_print_message(output, message);
    print_line(output, "");
    message->response_count = responses;
}

static void finish_work(struct raft_env *env, struct raft_message *message, struct buf *output)
{
    print_line(output, "Responses:");
    for (size_t i = 0; i < message->response_count; i++) {
        raft_print_message(output, &message->responses[i]);
        buf_append_u8(output, '\n');
        keep(env, &env->network, &message->responses[i]);
    }
    raft_message_free(&env->mem, message);
}

static void process_append(struct raft_env *env, struct raft_node *node, struct buf *output)
{
    if (node->append_work.count == 0) {
        print_line(output, "no append work to perform");
        return;
    }
    struct raft_message *message = take(&node->append_work, 0);
    print_work(message, output);
    raft_storage_write(&node->storage, message);
    finish_work(env, message, output);
}

static void process_apply(struct raft_env *env, struct raft_node *node, struct buf *output)
{
    if (node->apply_work.count == 0) {
        print_line(output, "no apply work to perform");
        return;
    }
    struct raft_message *message = take(&node->apply_work, 0);
    print_work(message, output);
    apply(node, message->entries, message->entry_count, output);
    finish_work(env, message, output);
}

typedef void process_function(struct raft_env *env, struct raft_node *node, struct buf *output);

/* One node without a heading, several with one each. */
static void process_each(struct raft_env *env, const struct script_command *command,
                         const char *heading, process_function *process, struct buf *output)
{
    struct raft_node *node;
    bool headings = script_id(command, 1) != 0;
    for (size_t i = 0; (node = node_of(env, script_id(command, i))); i++) {
        if (headings)
            buf_append_format(output, "> %" PRIu64 " %s\n", node->config.id, heading);
        size_t start = output->size;
        process(env, node, output);
        if (headings)
            indent(output, start);
    }
}

/* --- stabilize -------------------------------------------------------------------------------- */

static bool is_listed(const struct script_command *command, raft_id id)
{
    if (script_id(command, 0) == 0)
        return true;
    for (size_t i = 0; script_id(command, i) != 0; i++)
        if (script_id(command, i) == id)
            return true;
    return false;
}

static bool wants_ready(struct raft_env *env, struct raft_node *node)
{
    (void)env;
    return raft_has_ready(node->raft);
}

static bool wants_messages(struct raft_env *env, struct raft_node *node)
{
    return find_message(&env->network, node->config.id, -1, false) < env->network.count;
}

static bool wants_append(struct raft_env *env, struct raft_node *node)
{
    (void)env;
    return node->append_work.count > 0;
}

static bool wants_apply(struct raft_env *env, struct raft_node *node)
{
    (void)env;
    return node->apply_work.count > 0;
}

static void receive(struct raft_env *env, struct raft_node *node, struct buf *output)
{
    deliver(env, node->config.id, -1, false, output);
}

static void process_all_append(struct raft_env *env, struct raft_node *node, struct buf *output)
{
    while (node->append_work.count > 0)
        process_append(env, node, output);
}

static void process_all_apply(struct raft_env *env, struct raft_node *node, struct buf *output)
{
    while (node->apply_work.count > 0)
        process_apply(env, node, output);
}

static const struct stage {
    const char *heading;
    bool (*wants)(struct raft_env *env, struct raft_node *node);
    process_function *process;
} stages[] = {
    {"handling Ready", wants_ready, process_ready},
    {"receiving messages", wants_messages, receive},
    {"processing append thread", wants_append, process_all_append},
    {"processing apply thread", wants_apply, process_all_apply},
};

static bool run_stage(struct raft_env *env, const struct stage *stage,
                      const struct script_command *command, struct buf *output)
{
    bool worked = false;
    for (size_t i = 0; i < env->node_count; i++) {
        struct raft_node *node = &env->nodes[i];
        if (!is_listed(command, node->config.id) || !stage->wants(env, node))
            continue;
        buf_append_format(output, "> %" PRIu64 " %s\n", node->config.id, stage->heading);
        size_t start = output->size;
        stage->process(env, node, output);
        indent(output, start);
        worked = true;
    }
    return worked;
}

static void stabilize(struct raft_env *env, const struct script_command *command,
                      struct buf *output)
{
    bool worked = true;
    while (worked) {
        worked = false;
        for (size_t i = 0; i < ARRAY_COUNT(stages); i++)
            worked |= run_stage(env, &stages[i], command, output);
    }
    if (strcmp(script_value(command, "log-level", ""), "none") == 0)
        buf_clear(output);
}

/* --- commands --------------------------------------------------------------------------------- */

static int message_type(const char *name)
{
    for (int type = 0; type < RAFT_MSG_TYPE_COUNT; type++)
        if (strcmp(raft_message_name((enum raft_message_type)type), name) == 0)
            return type;
    return -1;
}

static void deliver_messages(struct raft_env *env, const struct script_command *command,
                             struct buf *output)
{
    int type = message_type(script_value(command, "type", ""));
    size_t count = 0;
    for (size_t i = 0; i < command->arg_count; i++) {
        const struct script_arg *arg = &command->args[i];
        if (arg->value_count == 0)
            count += deliver(env, strtoull(arg->key, NULL, 10), type, false, output);
        for (size_t j = 0; strcmp(arg->key, "drop") == 0 && j < arg->value_count; j++)
            count += deliver(env, strtoull(arg->values[j], NULL, 10), type, true, output);
    }
    if (count == 0)
        print_line(output, "no messages");
}

static void print_log(struct raft_node *node, struct buf *output)
{
    const struct raft_storage *storage = &node->storage;
    if (storage->count == 0)
        buf_append_format(output, "log is empty: first index=%" PRIu64 ", last index=%" PRIu64 "\n",
                          storage->base.index + 1, storage->base.index);
    for (size_t i = 0; i < storage->count; i++) {
        raft_print_entry(output, &storage->entries[i]);
        buf_append_u8(output, '\n');
    }
}

static void print_state(struct raft_env *env, struct buf *output)
{
    for (size_t i = 0; i < env->node_count; i++) {
        struct raft_status status;
        raft_status(env->nodes[i].raft, &status);
        bool voter = raft_id_set_contains(&status.configuration.voters, status.id) ||
                     raft_id_set_contains(&status.configuration.voters_outgoing, status.id);
        buf_append_format(output, "%" PRIu64 ": %s (%s) Term:%" PRIu64 " Lead:%" PRIu64 "\n",
                          status.id, raft_role_name(status.soft_state.role),
                          voter ? "Voter" : "Non-Voter", status.hard_state.term,
                          status.soft_state.leader);
    }
}

static void print_status(struct raft_node *node, struct buf *output)
{
    struct raft_status status;
    raft_status(node->raft, &status);
    for (size_t i = 0; i < status.progress_count; i++) {
        buf_append_format(output, "%" PRIu64 ": ", status.progress[i].id);
        raft_print_progress(output, &status.progress[i]);
        buf_append_u8(output, '\n');
    }
}

static void propose(struct raft_node *node, const struct script_command *command,
                    struct buf *output)
{
    struct entry entry = {.payload = blob_copy(bytes_of_text(command->args[1].key))};
    print_proposal(output, raft_propose(node->raft, &entry, 1));
    blob_unref(entry.payload);
}

static void propose_conf_change(struct raft_node *node, const struct script_command *command,
                                struct buf *output)
{
    struct raft_conf_change change = {0};
    const char *transition = script_value(command, "transition", "auto");
    if (strcmp(transition, "explicit") == 0)
        change.transition = RAFT_TRANSITION_JOINT_EXPLICIT;
    else if (strcmp(transition, "implicit") == 0)
        change.transition = RAFT_TRANSITION_JOINT_IMPLICIT;
    if (!raft_parse_changes(command->input, change.changes, &change.count)) {
        print_line(output, "unknown change");
        return;
    }
    print_proposal(output,
                   raft_propose_conf_change(node->raft, &change, script_flag(command, "v1")));
}

static void send_snapshot(struct raft_env *env, struct raft_node *node,
                          const struct script_command *command, struct buf *output)
{
    struct raft_message message = {
        .type = RAFT_MSG_SNAP,
        .term = raft_current_term(node->raft),
        .from = node->config.id,
        .to = script_id(command, 1),
        .snapshot = &node->storage.snapshot,
    };
    keep(env, &env->network, &message);
    raft_print_message(output, &message);
}

static void tick(struct raft_node *node, uint32_t count)
{
    while (count-- > 0)
        CHECK(raft_tick(node->raft) == ERR_OK);
}

/* A read's context is a word; its answer shows in the ready. */
static void read_index(struct raft_node *node, const struct script_command *command,
                       struct buf *output)
{
    struct blob *context = blob_copy(bytes_of_text(command->args[1].key));
    enum err_code code = raft_read_index(node->raft, context);
    if (code)
        print_line(output, err_text(code));
    blob_unref(context);
}

/* The member stops and starts again from what it has stored; what was under way in it is lost. */
static void restart(struct raft_env *env, struct raft_node *node, struct buf *output)
{
    struct err err = {0};
    struct raft_conf_state state;
    raft_configuration(node->raft, &state);
    drop_all(env, &node->append_work);
    drop_all(env, &node->apply_work);
    node->config.applied = raft_applied(node->raft);
    node->storage.initial = state;
    /* What is applied is committed, though the stored state may not say so yet. */
    if (node->storage.hard.term > 0 && node->storage.hard.commit < node->config.applied)
        node->storage.hard.commit = node->config.applied;
    raft_free(node->raft);
    node->raft = NULL;
    if (raft_new(&node->config, &node->raft, &err))
        print_line(output, err.text);
}

/* The stored log from its base on gets these terms, and the member starts again with it. */
static void write_log(struct raft_env *env, struct raft_node *node,
                      const struct script_command *command, struct buf *output)
{
    struct raft_storage *storage = &node->storage;
    for (size_t i = 0; i < command->arg_count; i++) {
        if (strcmp(command->args[i].key, "terms") != 0)
            continue;
        for (size_t j = 0; j < command->args[i].value_count; j++) {
            struct entry entry = {
                .index = storage->base.index + 1 + j,
                .term = strtoull(command->args[i].values[j], NULL, 10),
            };
            raft_storage_append(storage, &entry, 1);
        }
    }
    storage->hard = (struct hard_state){number(command, "term", 0), 0, storage->base.index};
    restart(env, node, output);
}

static void set_required(struct raft_node *node, const struct script_command *command)
{
    struct raft_id_set ids = {0};
    read_ids(command, "ids", &ids);
    CHECK(raft_set_required(node->raft, &ids) == ERR_OK);
}

static void report_snapshot(struct raft_node *node, const struct script_command *command)
{
    CHECK(raft_report_snapshot(node->raft, script_id(command, 1), script_flag(command, "failed")) ==
          ERR_OK);
}

/* Commands about one node, which is the first argument (or from=). False: not one of them. */
static bool node_command(struct raft_env *env, struct raft_node *node,
                         const struct script_command *command, struct buf *output)
{
    const char *name = command->name;
    if (strcmp(name, "campaign") == 0)
        CHECK(raft_campaign(node->raft) == ERR_OK);
    else if (strcmp(name, "compact") == 0) {
        raft_storage_compact(&node->storage, script_id(command, 1));
        print_log(node, output);
    } else if (strcmp(name, "raft-log") == 0)
        print_log(node, output);
    else if (strcmp(name, "status") == 0)
        print_status(node, output);
    else if (strcmp(name, "propose") == 0)
        propose(node, command, output);
    else if (strcmp(name, "propose-conf-change") == 0)
        propose_conf_change(node, command, output);
    else if (strcmp(name, "set-randomized-election-timeout") == 0)
        raft_set_randomized_election_timeout(node->raft, (uint32_t)number(command, "timeout", 0));
    else if (strcmp(name, "tick-election") == 0)
        tick(node, node->config.election_tick);
    else if (strcmp(name, "tick-heartbeat") == 0)
        tick(node, node->config.heartbeat_tick);
    else if (strcmp(name, "transfer-leadership") == 0)
        CHECK(raft_transfer_leader(node->raft, number(command, "to", 0)) == ERR_OK);
    else if (strcmp(name, "forget-leader") == 0)
        CHECK(raft_forget_leader(node->raft) == ERR_OK);
    else if (strcmp(name, "send-snapshot") == 0)
        send_snapshot(env, node, command, output);
    else if (strcmp(name, "report-unreachable") == 0)
        CHECK(raft_report_unreachable(node->raft, script_id(command, 1)) == ERR_OK);
    else if (strcmp(name, "report-snapshot") == 0)
        report_snapshot(node, command);
    else if (strcmp(name, "read-index") == 0)
        read_index(node, command, output);
    else if (strcmp(name, "restart") == 0)
        restart(env, node, output);
    else if (strcmp(name, "write-log") == 0)
        write_log(env, node, command, output);
    else if (strcmp(name, "require") == 0)
        set_required(node, command);
    else
        return false;
    return true;
}

static bool group_command(struct raft_env *env, const struct script_command *command,
                          struct buf *output)
{
    const char *name = command->name;
    if (strcmp(name, "add-nodes") == 0)
        add_nodes(env, command, output);
    else if (strcmp(name, "log-level") == 0)
        env->quiet = strcmp(command->args[0].key, "none") == 0;
    else if (strcmp(name, "trace") == 0)
        env->shows_trace = script_flag(command, "on");
    else if (strcmp(name, "deliver-msgs") == 0)
        deliver_messages(env, command, output);
    else if (strcmp(name, "process-ready") == 0)
        process_each(env, command, "handling Ready", process_ready, output);
    else if (strcmp(name, "process-append-thread") == 0)
        process_each(env, command, "processing append thread", process_append, output);
    else if (strcmp(name, "process-apply-thread") == 0)
        process_each(env, command, "processing apply thread", process_apply, output);
    else if (strcmp(name, "stabilize") == 0)
        stabilize(env, command, output);
    else if (strcmp(name, "raft-state") == 0)
        print_state(env, output);
    else if (strcmp(name, "_breakpoint") != 0)
        return false;
    return true;
}

/* The one text that is an error of the command itself, and so is not silenced. */
static void silence(struct buf *output)
{
    static const char dropped[] = "raft proposal dropped\n";
    if (!bytes_equal(buf_bytes(output), bytes_of_text(dropped)))
        buf_clear(output);
}

bool raft_env_command(struct raft_env *env, const struct script_command *command,
                      struct buf *output)
{
    env->output = output;
    bool known = group_command(env, command, output);
    if (!known) {
        raft_id id = number(command, "from", script_id(command, 0));
        struct raft_node *node = node_of(env, id);
        known = node && node_command(env, node, command, output);
    }
    for (size_t i = 0; i < env->node_count; i++)
        raft_validate(env->nodes[i].raft);
    if (env->quiet && known)
        silence(output);
    return known;
}
