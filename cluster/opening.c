#include "cluster/opening.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/transfer.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "proto/base/mutant.h"

static void say(struct opening *opening, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct opening *opening, const char *format, ...)
{
    char line[ERR_TEXT_SIZE + 2 * MEMBER_ADDRESS_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    opening->options.say(opening->options.context, line);
}

static struct identity *identity_of(struct opening *opening)
{
    return &opening->options.folder->identity;
}

/* ---- what start it is ---- */

bool opening_is_first(const struct opening *opening)
{
    return !opening->options.folder->has_identity;
}

enum err_code opening_begin(struct opening *opening, const struct opening_options *options,
                            struct err *err)
{
    struct datadir *folder = options->folder;
    *opening = (struct opening){.options = *options};
    rand_init(&opening->rand, options->seed);
    enum err_code code = start_decide(&opening->start, &options->start, folder, err);
    if (code == ERR_OK && opening_is_first(opening))
        code = datadir_clear(folder, err);
    if (code != ERR_OK)
        return code;
    start_draw(&opening->start, &opening->rand);
    return start_keep(&opening->start, folder, err);
}

/* ---- joining ---- */

static void on_joined(void *context, enum err_code code, const struct join_answer *answer,
                      const struct err *err)
{
    struct opening *opening = context;
    opening->join = NULL;
    opening->asked_code = code;
    if (code == ERR_OK)
        opening->joined = *answer;
    else
        opening->asked_err = *err;
    opening->options.asked(opening->options.context);
}

static void join_say(void *context, const char *line)
{
    struct opening *opening = context;
    say(opening, "%s", line);
    if (opening->options.progress)
        opening->options.progress(opening->options.context, line);
}

void opening_ask(struct opening *opening, struct net *net)
{
    const struct start *start = &opening->start;
    if (start->kind != START_JOIN)
        return;
    struct join_options options = {
        .net = net,
        .clock = opening->options.clock,
        .address = start->joining.at,
        .member = {.id = start->joining.id, .generation = start->joining.generation},
        .say = join_say,
        .done = on_joined,
        .context = opening,
    };
    memcpy(options.member.name, start->name, sizeof options.member.name);
    memcpy(options.member.address, start->advertise, sizeof options.member.address);
    say(opening, "asking %s to let \"%s\" (%s) join its cluster", start->joining.at, start->name,
        start->advertise);
    opening->join = join_new(&options);
}

bool opening_is_asking(const struct opening *opening) { return opening->join != NULL; }

void opening_turn(struct opening *opening)
{
    if (opening->join)
        join_turn(opening->join);
}

int64_t opening_next_wake_ns(const struct opening *opening)
{
    return opening->join ? join_next_wake_ns(opening->join) : INT64_MAX;
}

/* ---- log and store ---- */

/* With a log that knows of others a store is not the only one. */
static bool may_be_fetched(const struct opening *opening, const struct wal_recovery *recovery)
{
    struct raft_conf_state configuration;
    return recovery && recovery->mark.configuration &&
           raft_conf_state_decode(blob_bytes(recovery->mark.configuration), &configuration) == ERR_OK &&
           configuration.voters.count + configuration.learners.count > 1 && opening->start.listen[0];
}

static enum err_code open_store(struct opening *opening, struct home *home,
                                const struct wal_recovery *recovery, struct store **ret,
                                bool *ret_lacks, struct err *err)
{
    const char *path = opening->options.folder->path;
    struct store_options options = {
        .cluster_id = identity_of(opening)->cluster_id,
        .member_id = identity_of(opening)->member_id,
        .generation = identity_of(opening)->generation,
        .create = !recovery,
        .trace = opening->options.trace,
    };
    enum err_code code = transfer_open_store(home, &options, recovery, ret, ret_lacks, err);
    if ((code == ERR_CORRUPT || code == ERR_IO) && may_be_fetched(opening, recovery) &&
        home_verdict(home) == HOME_SOUND)
        return err_wrap(err, code, "open the store in \"%s\" (the log is whole, and \"concordfs rebuild\" "
                        "has another store fetched from the others)", path);
    return code == ERR_OK ? code : err_wrap(err, code, "open the store in \"%s\"", path);
}

/* What it promised to others stood there, too. */
static enum err_code refuse_log(const struct opening *opening, struct err *err)
{
    const char *folder = opening->options.folder->path;
    if (!opening->start.listen[0])
        return err_wrap(err, ERR_CORRUPT, "open the log in \"%s\" (\"concordfs wal dump %s\" tells how "
                        "far it is whole)", folder, folder);
    return err_wrap(err, ERR_CORRUPT, "open the log in \"%s\" (this member never votes again: "
                    "\"concordfs member remove %s\" on another host, then --join with an empty folder)",
                    folder, opening->options.folder->identity.name);
}

static enum err_code open_wal(struct opening *opening, bool create, struct wal **ret,
                              struct wal_recovery *ret_recovery, struct err *err)
{
    const struct datadir *folder = opening->options.folder;
    struct wal_options options = {
        .disk = folder->disk,
        .folder = "wal",
        .segment_size = opening->options.segment_size,
        .identity = {folder->identity.cluster_id, folder->identity.member_id,
                     folder->identity.generation},
        .create = create,
        .now_ns = opening->options.log_now_ns,
        .trace = opening->options.trace,
    };
    enum err_code code = wal_open(&options, ret, ret_recovery, err);
    if (code == ERR_CORRUPT)
        return refuse_log(opening, err);
    return code == ERR_OK ? code : err_wrap(err, code, "open the log in \"%s\"", folder->path);
}

/* Both durable: the members' state if it begins with some, else nothing. */
static enum err_code make_log_and_store(struct opening *opening, struct home *home,
                                        const struct membership_member *members, size_t count,
                                        struct err *err)
{
    struct store *store = NULL;
    struct wal *wal = NULL;
    struct wal_recovery recovery = {0};
    bool lacks;
    enum err_code code = open_store(opening, home, NULL, &store, &lacks, err);
    if (code == ERR_OK)
        code = open_wal(opening, true, &wal, &recovery, err);
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

/* ---- first starts ---- */

static void draw_identity(struct opening *opening)
{
    struct identity *identity = identity_of(opening);
    identity->cluster_id = rand_u64(&opening->rand);
    identity->member_id = rand_u64(&opening->rand) >> 1 | 1;
    identity->generation = rand_u64(&opening->rand) | 2;
    memcpy(identity->name, opening->start.name, sizeof identity->name);
}

static enum err_code first_alone(struct opening *opening, struct home *home, struct err *err)
{
    struct membership_member first = {.id = identity_of(opening)->member_id};
    memcpy(first.name, opening->start.name, sizeof first.name);
    memcpy(first.address, opening->start.advertise, sizeof first.address);
    return make_log_and_store(opening, home, &first, 1, err);
}

static enum err_code first_of_several(struct opening *opening, struct home *home, struct err *err)
{
    const struct first_members *first = &opening->start.first;
    identity_of(opening)->cluster_id = first->cluster_id;
    identity_of(opening)->member_id = first_members_find(first, opening->start.name)->id;
    enum err_code code = generations_begin(&opening->generations, opening->options.folder->disk, err);
    if (code == ERR_OK)
        code = make_log_and_store(opening, home, first->members, first->count, err);
    return code;
}

/* An empty log and store: whoever leads sends what there is. */
static enum err_code first_of_joiner(struct opening *opening, struct home *home, struct err *err)
{
    if (opening->asked_code != ERR_OK) {
        *err = opening->asked_err;
        return opening->asked_code;
    }
    identity_of(opening)->cluster_id = opening->joined.cluster_id;
    identity_of(opening)->member_id = opening->joined.id;
    identity_of(opening)->generation = opening->start.joining.generation;
    struct identity identity = *identity_of(opening);
    if (MUTANT(IDENTITY_BEFORE_LOG) &&
        datadir_set_identity(opening->options.folder, &identity, err) != ERR_OK)
        return err->code;
    return make_log_and_store(opening, home, NULL, 0, err);
}

static enum err_code first_start(struct opening *opening, struct home *home, struct err *err)
{
    enum err_code code = ERR_OK;
    if (opening->start.kind == START_AGAIN)
        return ERR_OK;
    draw_identity(opening);
    switch (opening->start.kind) {
    case START_ALONE: code = first_alone(opening, home, err); break;
    case START_FORM: code = first_of_several(opening, home, err); break;
    case START_JOIN: code = first_of_joiner(opening, home, err); break;
    case START_AGAIN: break;
    }
    struct identity identity = *identity_of(opening);
    return code == ERR_OK ? datadir_set_identity(opening->options.folder, &identity, err) : code;
}

/* ---- the node ---- */

static enum err_code open_generations(struct opening *opening, struct err *err)
{
    const struct datadir *folder = opening->options.folder;
    generations_clear(&opening->generations);
    enum err_code code = generations_open(&opening->generations, folder->disk, err);
    return code == ERR_OK ? code : err_wrap(err, code, "open \"%s\"", folder->path);
}

static enum err_code open_log_and_store(struct opening *opening, struct wal_recovery *ret_recovery,
                                        struct node_options *options, struct err *err)
{
    enum err_code code = open_wal(opening, false, &options->wal, ret_recovery, err);
    if (code != ERR_OK)
        return code;
    code = open_store(opening, options->home, ret_recovery, &options->store, &options->lacks_store,
                      err);
    if (code != ERR_OK)
        wal_abandon(options->wal);
    return code;
}

static enum err_code open_node(struct opening *opening, const struct node_options *with,
                               struct node **ret, struct err *err)
{
    const struct start *start = &opening->start;
    struct wal_recovery recovery = {0};
    struct node_options options = *with;
    options.identity = *identity_of(opening);
    options.generations = &opening->generations;
    options.listen_address = options.net ? start->listen : NULL;
    options.address = start->advertise;
    options.known = opening->joined.members;
    options.known_count = opening->joined.count;
    options.recovery = &recovery;
    options.data_path = opening->options.folder->path;
    options.trace = opening->options.trace;
    enum err_code code = open_log_and_store(opening, &recovery, &options, err);
    if (code == ERR_OK) {
        if (recovery.dropped_bytes)
            say(opening, "%s", recovery.dropped_text);
        if (options.lacks_store)
            say(opening, "without a state: waiting for the leader, to fetch it from there");
        code = node_open(ret, &options, err);
    }
    wal_recovery_release(&recovery);
    return code;
}

enum err_code opening_finish(struct opening *opening, const struct node_options *with,
                             struct node **ret, struct err *err)
{
    CHECK(!opening_is_asking(opening));
    enum err_code code =
        MUTANT(JOINING_FORGOTTEN_EARLY) ? start_joined(opening->options.folder, err) : ERR_OK;
    if (code == ERR_OK)
        code = first_start(opening, with->home, err);
    if (code == ERR_OK)
        code = start_joined(opening->options.folder, err);
    if (code == ERR_OK)
        code = open_generations(opening, err);
    return code == ERR_OK ? open_node(opening, with, ret, err) : code;
}

void opening_begin_arrival(struct opening *opening, struct node *node, struct arrival *arrival)
{
    arrival_init(arrival, &(struct arrival_options){
                              .node = node,
                              .clock = opening->options.clock,
                              .self = identity_of(opening)->member_id,
                              .address = opening->start.advertise,
                              .stays_learner = opening->start.learner,
                              .say = opening->options.say,
                              .progress = opening->options.progress,
                              .context = opening->options.context,
                          });
}

void opening_undo(struct opening *opening)
{
    struct err err = {0};
    if (datadir_drop_identity(opening->options.folder, &err) != ERR_OK)
        say(opening, "%s", err.text);
}

void opening_abandon(struct opening *opening)
{
    join_abandon(opening->join);
    opening->join = NULL;
}
