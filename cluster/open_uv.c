/* From a data folder to a member that is open, what is the system's of it: the folder, its lock, LevelDB, the
 * net, the socket. What happens in between is opening.c's.
 *
 * Joining comes before there is a node: the loop runs inside member_open until the answer is there.
 */
#include "cluster/loop_internal_uv.h"

#include <stdio.h>
#include <stdlib.h>

#include "cluster/member_call.h"
#include "cluster/net_uv.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

/* ---- a start ---- */

static uint64_t log_now_ns(void) { return (uint64_t)clock_monotonic_ns(clock_system()); }

static void opening_say(void *context, const char *line) { loop_say(context, line); }

static void opening_progress(void *context, const char *line)
{
    struct member *member = context;
    if (member->progress)
        member->progress(member->log_context, line);
}

static void opening_asked(void *context)
{
    struct member *member = context;
    uv_stop(&member->loop);
}

static enum err_code begin(struct member *member, const struct member_options *options,
                           struct err *err)
{
    return opening_begin(&member->opening, &(struct opening_options){
                                               .start = options->start,
                                               .folder = &member->folder,
                                               .clock = clock_system(),
                                               .seed = rand_system_seed(),
                                               .segment_size = options->segment_size,
                                               .log_now_ns = log_now_ns,
                                               .trace = options->trace,
                                               .say = opening_say,
                                               .progress = opening_progress,
                                               .context = member,
                                               .asked = opening_asked,
                                           }, err);
}

static void ask(struct member *member)
{
    opening_ask(&member->opening, member->net);
    loop_want_turn(member);
    while (opening_is_asking(&member->opening))
        uv_run(&member->loop, UV_RUN_DEFAULT);
}

static enum err_code finish(struct member *member, const struct member_options *options,
                            struct err *err)
{
    return opening_finish(&member->opening, &(struct node_options){
                                                .clock = clock_system(),
                                                .worker = worker_threads_door(member->workers),
                                                .home = member->home,
                                                .net = member->net,
                                                .timeo_ms = options->timeo_ms,
                                                .seed = rand_system_seed(),
                                                .say = loop_say,
                                                .say_context = member,
                                                .wake = loop_want_turn,
                                                .wake_context = member,
                                            }, &member->node, err);
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

enum err_code open_member(struct member *member, const struct member_options *options,
                          struct err *err)
{
    const struct start *start = &member->opening.start;
    char line[MEMBER_ADDRESS_SIZE + 128];
    enum err_code code = datadir_open(&member->folder, options->data_path, err);
    if (code == ERR_OK)
        code = begin(member, options, err);
    if (code == ERR_OK && opening_is_first(&member->opening))
        code = datadir_clear_stores(&member->folder, err);
    if (code == ERR_OK)
        code = home_leveldb_new(member->folder.path, &member->home, err);
    if (code != ERR_OK)
        return code;
    if (start->listen[0])
        member->net = net_uv_new(&member->loop, NULL);
    ask(member);
    code = finish(member, options, err);
    if (code != ERR_OK)
        return code;
    opening_begin_arrival(&member->opening, member->node, &member->arrival);
    snprintf(line, sizeof line, "listening for other members on %s; what they say to each other is not "
             "encrypted", start->listen);
    if (member->net)
        loop_say(member, line);
    return options->socket ? open_socket(member, err) : ERR_OK;
}
