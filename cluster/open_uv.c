/* From a data folder to a member that is open: what kind of start it is, the net, joining, log and store, the
 * node, the socket.
 *
 * Joining comes before there is a node: the loop runs inside member_open until the answer is there. What was
 * drawn is on disk before anybody is asked, log and store before the identity; so a start that dies anywhere
 * is begun again, and is the same member.
 */
#include "cluster/loop_internal_uv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/member_call.h"
#include "cluster/net_uv.h"
#include "cluster/transfer.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

static void say(struct member *member, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct member *member, const char *format, ...)
{
    char line[ERR_TEXT_SIZE + 2 * MEMBER_ADDRESS_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    loop_say(member, line);
}

/* ---- log and store ---- */

/* With a log that knows of others a store is not the only one. */
static bool may_be_fetched(const struct member *member, const struct wal_recovery *recovery)
{
    struct raft_conf_state configuration;
    return recovery && recovery->mark.configuration &&
           raft_conf_state_decode(blob_bytes(recovery->mark.configuration), &configuration) == ERR_OK &&
           configuration.voters.count + configuration.learners.count > 1 && member->start.listen[0];
}

static enum err_code open_store(struct member *member, const struct wal_recovery *recovery,
                                struct store **ret, bool *ret_lacks, struct err *err)
{
    struct store_options options = {
        .cluster_id = member->folder.identity.cluster_id,
        .member_id = member->folder.identity.member_id,
        .generation = member->folder.identity.generation,
        .create = !recovery,
        .trace = member->trace,
    };
    enum err_code code =
        transfer_open_store(member->home, &options, recovery, ret, ret_lacks, err);
    if ((code == ERR_CORRUPT || code == ERR_IO) && may_be_fetched(member, recovery) &&
        home_verdict(member->home) == HOME_SOUND)
        return err_wrap(err, code, "open the store in \"%s\" (the log is whole, and \"concordfs rebuild\" "
                        "has another store fetched from the others)", member->folder.path);
    return code == ERR_OK
               ? code
               : err_wrap(err, code, "open the store in \"%s\"", member->folder.path);
}

static uint64_t wal_now_ns(void) { return (uint64_t)clock_monotonic_ns(clock_system()); }

/* What it promised to others stood there, too. */
static enum err_code refuse_log(const struct member *member, struct err *err)
{
    const char *folder = member->folder.path;
    if (!member->start.listen[0])
        return err_wrap(err, ERR_CORRUPT, "open the log in \"%s\" (\"concordfs wal dump %s\" tells how "
                        "far it is whole)", folder, folder);
    return err_wrap(err, ERR_CORRUPT, "open the log in \"%s\" (this member never votes again: "
                    "\"concordfs member remove %s\" on another host, then --join with an empty folder)",
                    folder, member->folder.identity.name);
}

static enum err_code open_wal(struct member *member, const struct member_options *options,
                              bool create, struct wal **ret, struct wal_recovery *ret_recovery,
                              struct err *err)
{
    struct wal_options wal_options = {
        .disk = member->disk,
        .folder = "wal",
        .segment_size = options->segment_size,
        .identity = {member->folder.identity.cluster_id, member->folder.identity.member_id,
                     member->folder.identity.generation},
        .create = create,
        .now_ns = wal_now_ns,
        .trace = options->trace,
    };
    enum err_code code = wal_open(&wal_options, ret, ret_recovery, err);
    if (code == ERR_CORRUPT)
        return refuse_log(member, err);
    return code == ERR_OK ? code
                          : err_wrap(err, code, "open the log in \"%s\"", member->folder.path);
}

/* Both durable: the members' state if it begins with some, else nothing. */
static enum err_code make_log_and_store(struct member *member, const struct member_options *options,
                                        const struct membership_member *members, size_t count,
                                        struct err *err)
{
    struct store *store = NULL;
    struct wal *wal = NULL;
    struct wal_recovery recovery = {0};
    bool lacks;
    enum err_code code = open_store(member, NULL, &store, &lacks, err);
    if (code == ERR_OK)
        code = open_wal(member, options, true, &wal, &recovery, err);
    if (code == ERR_OK && count)
        code = node_bootstrap(store, wal, members, count, err);
    store_close(store);
    wal_recovery_release(&recovery);
    if (wal && code == ERR_OK)
        code = wal_close(wal, err);
    else
        wal_abandon(wal);
    return code;
}

/* ---- joining ---- */

static void on_joined(void *context, enum err_code code, const struct join_answer *answer,
                      const struct err *err)
{
    struct member *member = context;
    member->join = NULL;
    member->open_code = code;
    if (code == ERR_OK)
        member->joined = *answer;
    else
        member->open_err = *err;
    uv_stop(&member->loop);
}

static void join_say(void *context, const char *line)
{
    struct member *member = context;
    loop_say(member, line);
    if (member->progress)
        member->progress(member->log_context, line);
}

static enum err_code ask_to_join(struct member *member, struct err *err)
{
    const struct start *start = &member->start;
    struct join_options options = {
        .net = member->net,
        .clock = clock_system(),
        .address = start->joining.at,
        .member = {.id = start->joining.id, .generation = start->joining.generation},
        .say = join_say,
        .done = on_joined,
        .context = member,
    };
    memcpy(options.member.name, start->name, sizeof options.member.name);
    memcpy(options.member.address, start->advertise, sizeof options.member.address);
    say(member, "asking %s to let \"%s\" (%s) join its cluster", start->joining.at, start->name,
        start->advertise);
    member->join = join_new(&options);
    loop_want_turn(member);
    while (member->join)
        uv_run(&member->loop, UV_RUN_DEFAULT);
    if (member->open_code != ERR_OK)
        *err = member->open_err;
    return member->open_code;
}

/* ---- first starts ---- */

static void draw_identity(struct member *member)
{
    struct identity *identity = &member->folder.identity;
    identity->cluster_id = rand_system_seed();
    identity->member_id = rand_system_seed() >> 1 | 1;
    identity->generation = rand_system_seed() | 2;
    memcpy(identity->name, member->start.name, sizeof identity->name);
}

static enum err_code first_alone(struct member *member, const struct member_options *options,
                                 struct err *err)
{
    draw_identity(member);
    struct membership_member first = {.id = member->folder.identity.member_id};
    memcpy(first.name, member->start.name, sizeof first.name);
    memcpy(first.address, member->start.advertise, sizeof first.address);
    return make_log_and_store(member, options, &first, 1, err);
}

static enum err_code first_of_several(struct member *member, const struct member_options *options,
                                      struct err *err)
{
    const struct first_members *first = &member->start.first;
    struct generations generations;
    draw_identity(member);
    member->folder.identity.cluster_id = first->cluster_id;
    member->folder.identity.member_id = first_members_find(first, member->start.name)->id;
    char *path = datadir_path(&member->folder, "generations");
    enum err_code code = generations_begin(&generations, path, err);
    if (code == ERR_OK)
        code = make_log_and_store(member, options, first->members, first->count, err);
    generations_release(&generations);
    free(path);
    return code;
}

/* An empty log and store: whoever leads sends what there is. */
static enum err_code first_of_joiner(struct member *member, const struct member_options *options,
                                     struct err *err)
{
    enum err_code code = ask_to_join(member, err);
    if (code != ERR_OK)
        return code;
    draw_identity(member);
    member->folder.identity.cluster_id = member->joined.cluster_id;
    member->folder.identity.member_id = member->joined.id;
    member->folder.identity.generation = member->start.joining.generation;
    return make_log_and_store(member, options, NULL, 0, err);
}

static enum err_code first_start(struct member *member, const struct member_options *options,
                                 struct err *err)
{
    enum err_code code = ERR_OK;
    switch (member->start.kind) {
    case START_ALONE: code = first_alone(member, options, err); break;
    case START_FORM: code = first_of_several(member, options, err); break;
    case START_JOIN: code = first_of_joiner(member, options, err); break;
    case START_AGAIN: return ERR_OK;
    }
    struct identity identity = member->folder.identity;
    return code == ERR_OK ? datadir_set_identity(&member->folder, &identity, err) : code;
}

/* ---- the node ---- */

static enum err_code open_generations(struct member *member, struct err *err)
{
    char *path = datadir_path(&member->folder, "generations");
    enum err_code code = generations_open(&member->generations, path, err);
    free(path);
    return code;
}

static void arrival_say(void *context, const char *line)
{
    struct member *member = context;
    loop_say(member, line);
}

static void arrival_progress(void *context, const char *line)
{
    struct member *member = context;
    if (member->progress)
        member->progress(member->log_context, line);
}

static void begin_arrival(struct member *member)
{
    arrival_init(&member->arrival, &(struct arrival_options){
                                       .node = member->node,
                                       .clock = clock_system(),
                                       .self = member->folder.identity.member_id,
                                       .address = member->start.advertise,
                                       .stays_learner = member->start.learner,
                                       .say = arrival_say,
                                       .progress = arrival_progress,
                                       .context = member,
                                   });
}

static enum err_code open_node(struct member *member, const struct member_options *options,
                               struct err *err)
{
    struct wal_recovery recovery = {0};
    struct node_options node_options = {
        .identity = member->folder.identity,
        .clock = clock_system(),
        .worker = worker_threads_door(member->workers),
        .home = member->home,
        .generations = &member->generations,
        .net = member->net,
        .listen_address = member->net ? member->start.listen : NULL,
        .address = member->start.advertise,
        .known = member->joined.members,
        .known_count = member->joined.count,
        .recovery = &recovery,
        .data_path = member->folder.path,
        .timeo_ms = options->timeo_ms,
        .seed = rand_system_seed(),
        .trace = options->trace,
        .say = loop_say,
        .say_context = member,
        .wake = loop_want_turn,
        .wake_context = member,
    };
    enum err_code code = open_generations(member, err);
    if (code == ERR_OK)
        code = open_wal(member, options, false, &node_options.wal, &recovery, err);
    if (code == ERR_OK) {
        code = open_store(member, &recovery, &node_options.store, &node_options.lacks_store, err);
        if (code != ERR_OK)
            wal_abandon(node_options.wal);
    }
    if (code != ERR_OK) {
        wal_recovery_release(&recovery);
        return code;
    }
    if (recovery.dropped_bytes)
        loop_say(member, recovery.dropped_text);
    if (node_options.lacks_store)
        loop_say(member, "without a state: waiting for the leader, to fetch it from there");
    code = node_open(&member->node, &node_options, err);
    wal_recovery_release(&recovery);
    return code;
}

/* ---- the socket ---- */

static void socket_settle(void *context, void (*settled)(void *argument), void *argument)
{
    struct member *member = context;
    if (member->settle)
        member->settle(member->settle_context, settled, argument);
    else
        settled(argument);
}

static void socket_stop(void *context)
{
    struct member *member = context;
    if (member->asked_to_stop)
        member->asked_to_stop(member->asked_context);
    else
        member_stop(member);
}

static void socket_member(void *context, struct socket_member_call *call)
{
    struct member *member = context;
    member_call_begin(member->node, call);
}

static void socket_member_cancel(void *context, struct socket_member_call *call)
{
    struct member *member = context;
    member_call_cancel(member->node, call);
}

static enum err_code open_socket(struct member *member, struct err *err)
{
    member->socket_path = datadir_path(&member->folder, "sock");
    struct socket_options options = {
        .path = member->socket_path,
        .kv = node_kv(member->node),
        .context = member,
        .stop = socket_stop,
        .settle = socket_settle,
        .member = socket_member,
        .member_cancel = socket_member_cancel,
    };
    return socket_open(&member->socket, &member->loop, &options, err);
}

/* ---- all of it ---- */

static enum err_code decide(struct member *member, const struct member_options *options,
                            struct err *err)
{
    enum err_code code = start_decide(&member->start, &options->start, &member->folder, err);
    if (code == ERR_OK && !member->folder.has_identity)
        code = datadir_clear(&member->folder, err);
    return code == ERR_OK ? start_keep(&member->start, &member->folder, err) : code;
}

enum err_code open_member(struct member *member, const struct member_options *options,
                          struct err *err)
{
    enum err_code code = datadir_open(&member->folder, options->data_path, err);
    if (code == ERR_OK)
        code = disk_posix_new(member->folder.path, &member->disk, err);
    if (code == ERR_OK)
        code = decide(member, options, err);
    if (code == ERR_OK)
        code = home_leveldb_new(member->folder.path, &member->home, err);
    if (code == ERR_OK && member->start.listen[0])
        member->net = net_uv_new(&member->loop, NULL);
    if (code == ERR_OK)
        code = first_start(member, options, err);
    if (code == ERR_OK)
        code = start_joined(&member->folder, err);
    if (code == ERR_OK)
        code = open_node(member, options, err);
    if (code != ERR_OK)
        return code;
    begin_arrival(member);
    if (member->net)
        say(member, "listening for other members on %s; what they say to each other is not "
            "encrypted", member->start.listen);
    return options->socket ? open_socket(member, err) : ERR_OK;
}

void open_undo(struct member *member)
{
    struct err err = {0};
    if (datadir_drop_identity(&member->folder, &err) != ERR_OK)
        loop_say(member, err.text);
}
