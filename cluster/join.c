/* One try is one connection: JOIN is written, JOINED or REFUSED comes, or it breaks. A try that broke, or was
 * refused for now, is followed by another RETRY_NS later. */
#include "cluster/join.h"

#include <stdio.h>
#include <stdlib.h>

#include "cluster/peer.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"

#define RETRY_NS (500 * NS_PER_MS)
#define SAY_NS (5 * NS_PER_S)

struct join {
    struct join_options options;
    char *address;
    struct net_stream *stream;      /* NULL: between two tries */
    struct frame_reader reader;
    int64_t begun_ns, retry_ns, said_ns;
    int64_t try_until_ns;           /* of the try */
    bool is_over;                   /* the end is known; the stream is ending */
    enum err_code code;
    struct join_answer answer;
    struct err err;                 /* of the last try, or the end */
};

static int64_t now_of(const struct join *join)
{
    return clock_monotonic_ns(join->options.clock);
}

static void finish(struct join *join)
{
    CHECK(!join->stream);
    join->options.done(join->options.context, join->code,
                       join->code == ERR_OK ? &join->answer : NULL, &join->err);
    join_abandon(join);
}

void join_abandon(struct join *join)
{
    if (!join)
        return;
    frame_reader_release(&join->reader);
    free(join->address);
    free(join);
}

/* The end, as soon as the stream is closed. */
static void end(struct join *join, enum err_code code)
{
    join->is_over = true;
    join->code = code;
    join->err.code = code;
    if (join->stream)
        net_close(join->options.net, join->stream);
}

static void give_up_try(struct join *join, const char *text)
{
    err_set(&join->err, ERR_IO, "%s", text);
    if (join->stream)
        net_close(join->options.net, join->stream);
}

/* ---- what comes ---- */

static void on_refused(struct join *join, struct bytes body)
{
    char text[ERR_TEXT_SIZE];
    uint32_t why;
    if (frame_refused_decode(body, &why, text) != ERR_OK) {
        give_up_try(join, "a malformed refusal");
        return;
    }
    err_set(&join->err, ERR_DENIED, "%s", text);
    if (why == PEER_REFUSED_JOIN || why == PEER_REFUSED_VERSION)
        end(join, ERR_DENIED);
    else
        net_close(join->options.net, join->stream);
}

static void on_joined(struct join *join, struct bytes body)
{
    struct err err = {0};
    if (join_answer_decode(body, &join->answer, &err) != ERR_OK)
        give_up_try(join, err.text);
    else
        end(join, ERR_OK);
}

static enum err_code check_header(void *context, const struct frame_header *header, struct err *err)
{
    (void)context;
    if (header->kind != FRAME_JOINED && header->kind != FRAME_REFUSED)
        return err_set(err, ERR_INVALID, "what answers is no member of a cluster");
    return ERR_OK;
}

static void on_read(void *context, struct bytes from)
{
    struct join *join = context;
    struct frame_header header;
    struct bytes body;
    struct err err = {0};
    bool whole = false;
    if (join->is_over)
        return;
    if (frame_next(&join->reader, &from, &whole, &header, &body, &err) != ERR_OK)
        give_up_try(join, err.text);
    else if (whole && header.kind == FRAME_JOINED)
        on_joined(join, body);
    else if (whole)
        on_refused(join, body);
}

static void on_connected(void *context) { (void)context; }

static void on_closed(void *context, const struct err *why)
{
    struct join *join = context;
    join->stream = NULL;
    frame_reader_release(&join->reader);
    if (why->code != ERR_OK && !join->is_over)
        err_set(&join->err, ERR_IO, "%s", why->text);
    if (join->is_over)
        finish(join);
    else
        join->retry_ns = now_of(join) + RETRY_NS;
}

static const struct net_events events = {
    .connected = on_connected, .read = on_read, .closed = on_closed};

/* ---- tries ---- */

static void try(struct join *join, int64_t now)
{
    const struct net_handler handler = {&events, join};
    struct join_request request = {.version = FRAME_VERSION, .member = join->options.member};
    struct buf frame = {0};
    join->reader = (struct frame_reader){.check = check_header, .context = join};
    join->retry_ns = INT64_MAX;
    join->try_until_ns = now + (PEER_JOIN_MAX_MS + PEER_HELLO_MAX_MS) * NS_PER_MS;
    if (net_connect(join->options.net, join->address, &handler, &join->stream, &join->err) !=
        ERR_OK) {
        join->stream = NULL;
        join->is_over = true;
        join->code = ERR_INVALID;
        join->retry_ns = now;       /* the next turn tells */
        return;
    }
    join_request_encode(&request, &frame);
    if (net_write(join->options.net, join->stream, &frame) != ERR_OK)
        buf_release(&frame);        /* closed says why */
}

static void say_who_is_silent(struct join *join, int64_t now)
{
    char line[ERR_TEXT_SIZE + MEMBER_ADDRESS_SIZE + 32];
    if (!join->err.text[0] || now - join->said_ns < SAY_NS || !join->options.say)
        return;
    join->said_ns = now;
    snprintf(line, sizeof line, "waiting for %s: %s", join->address, join->err.text);
    join->options.say(join->options.context, line);
}

void join_turn(struct join *join)
{
    int64_t now = now_of(join);
    if (join->is_over) {
        if (!join->stream)
            finish(join);
        return;
    }
    say_who_is_silent(join, now);
    if (now - join->begun_ns >= JOIN_PATIENCE_MS * NS_PER_MS) {
        char last[ERR_TEXT_SIZE];
        snprintf(last, sizeof last, "%.200s", join->err.text);
        err_set(&join->err, ERR_TIMEOUT,
                "\"%.100s\" did not let this member join within %d s (%s); what was drawn is kept, "
                "and the same command goes on", join->address, JOIN_PATIENCE_MS / 1000,
                last[0] ? last : "no answer");
        end(join, ERR_TIMEOUT);
        if (!join->stream)
            finish(join);
    } else if (join->stream && now >= join->try_until_ns) {
        join->try_until_ns = INT64_MAX;
        give_up_try(join, "no answer");
    } else if (!join->stream && now >= join->retry_ns) {
        try(join, now);
    }
}

int64_t join_next_wake_ns(const struct join *join)
{
    int64_t next = join->begun_ns + JOIN_PATIENCE_MS * NS_PER_MS;
    int64_t due = join->stream ? join->try_until_ns : join->retry_ns;
    if (join->is_over)
        return join->stream ? INT64_MAX : 0;
    return due < next ? due : next;
}

struct join *join_new(const struct join_options *options)
{
    struct join *join = mem_xzalloc(sizeof *join);
    join->options = *options;
    join->address = mem_xstrdup(options->address);
    join->begun_ns = now_of(join);
    join->said_ns = join->begun_ns - SAY_NS;
    join->retry_ns = join->begun_ns;
    return join;
}
