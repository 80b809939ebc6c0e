/* The net's life; what it does is in net_stream_uv.c, net_listen_uv.c, net_lookup_uv.c. */
#include "cluster/net_uv.h"

#include <signal.h>
#include <stdlib.h>

#include "cluster/net_internal_uv.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"

static const struct net_calls calls = {
    .listen = net_listener_open,
    .listener_close = net_listener_end,
    .connect = net_stream_connect,
    .write = net_stream_write,
    .unsent = net_stream_unsent,
    .close = net_stream_close,
    .address = net_stream_address,
};

struct net_uv *net_uv_of(const struct net *net)
{
    CHECK(net->calls == &calls);
    struct net_uv *own = container_of(net, struct net_uv, net);
    CHECK(pthread_equal(own->thread, pthread_self()));
    return own;
}

/* libuv writes with write(2): without this, a stream that broke would end the process. */
static void ignore_sigpipe(void)
{
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) &&
        action.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

struct net *net_uv_new(struct uv_loop_s *loop, const struct net_uv_options *options)
{
    struct net_uv *net = mem_xzalloc(sizeof(*net));
    net->net.calls = &calls;
    net->loop = loop;
    net->thread = pthread_self();
    if (options)
        net->options = *options;
    if (!net->options.silence_ms)
        net->options.silence_ms = NET_SILENCE_MAX_MS;
    if (!net->options.linger_ms)
        net->options.linger_ms = NET_LINGER_MAX_MS;
    CHECK(net->options.silence_ms > 0);
    CHECK(net->options.linger_ms > 0);
    list_init(&net->streams);
    list_init(&net->listeners);
    list_init(&net->lookups);
    list_init(&net->answers);
    CHECK(uv_timer_init(loop, &net->anchor) == 0);
    net->open_count = 1;
    ignore_sigpipe();
    return &net->net;
}

void net_uv_drop(struct net_uv *net)
{
    CHECK(net->open_count > 0);
    if (--net->open_count)
        return;
    CHECK(net->is_closing);
    CHECK(list_is_empty(&net->streams));
    CHECK(list_is_empty(&net->listeners));
    CHECK(list_is_empty(&net->lookups));
    CHECK(list_is_empty(&net->answers));
    void (*closed)(void *context) = net->closed;
    void *context = net->closed_context;
    free(net);
    closed(context);
}

static void on_anchor_closed(uv_handle_t *handle)
{
    net_uv_drop(container_of((uv_timer_t *)handle, struct net_uv, anchor));
}

void net_uv_close(struct net *net, void (*closed)(void *context), void *context)
{
    struct net_uv *own = net_uv_of(net);
    CHECK(!own->is_closing);
    own->is_closing = true;
    own->closed = closed;
    own->closed_context = context;
    net_listener_end_all(own);
    net_stream_close_all(own);
    net_lookup_forget_all(own);
    uv_close((uv_handle_t *)&own->anchor, on_anchor_closed);
}
