/* The local socket on libuv.
 *
 * A connection reads bytes into one buffer and cuts frames from its front. Each frame becomes a struct
 * call, which owns the frame's bytes (the kv_request borrows from them) and goes through
 *
 *     asked -> (settling, for writes) -> answered -> sending -> gone
 *
 * Calls stand in the order of their requests; only the first one's answer may be sent, so answers leave
 * in that order. Reading stops while a connection has too many calls, or bytes that the peer does not
 * take.
 *
 * A connection ends when its peer goes or a frame was bad. It is freed when its pipe is closed and its
 * last call is gone; a call is gone once its request is done and its bytes are sent or given up. So
 * whatever order the callbacks come in, none finds freed memory.
 */
#include "cluster/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <uv.h>

#include "cluster/settler.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"
#include "proto/kv_pb.h"
#include "proto/status.h"

#define READ_SIZE 65536
#define BACKLOG 128

struct socket {
    uv_pipe_t pipe;                 /* listens */
    struct socket_options options;
    char *path;
    struct settler *settler;        /* NULL: nothing to wait for */
    struct list connections;
    size_t connection_count;
    bool is_closing, is_pipe_closed;
    void (*closed)(void *context);
    void *closed_context;
};

struct connection {
    uv_pipe_t pipe;
    struct socket *server;
    struct list link;
    struct list calls;              /* in the order of their requests */
    size_t call_count, unsent_bytes;
    struct buf in;
    bool is_privileged;
    bool is_reading;
    bool is_ending;                 /* no more requests; closes when all answers are sent */
    bool is_closing, is_closed;     /* uv_close was called; its callback came */
};

struct call {
    struct connection *connection;
    struct list link;
    struct buf frame;               /* what the request borrows from */
    struct arena arena;
    struct socket_request request;
    struct socket_response response;
    struct kv_request kv;
    struct buf out;
    uv_write_t write;
    struct socket_member_call member;
    bool is_in_flight;              /* its done has yet to run */
    struct settle_wait settle;
    bool is_answered, is_sending;
};

static void connection_parse(struct connection *connection);
static void connection_flow(struct connection *connection);

/* ---- ends ---- */

static void server_on_settler_closed(void *context);

static void server_check_closed(struct socket *server)
{
    if (!server->is_closing || !server->is_pipe_closed || server->connection_count)
        return;
    if (server->settler) {          /* the last: connections wait on it */
        struct settler *settler = server->settler;
        server->settler = NULL;
        settler_close(settler, server_on_settler_closed, server);
        return;
    }
    void (*closed)(void *) = server->closed;
    void *context = server->closed_context;
    free(server->path);
    free(server);
    closed(context);
}

static void server_on_settler_closed(void *context) { server_check_closed(context); }

static void connection_check_gone(struct connection *connection)
{
    struct socket *server = connection->server;
    if (!connection->is_closed || connection->call_count)
        return;
    list_remove(&connection->link);
    server->connection_count--;
    buf_release(&connection->in);
    free(connection);
    server_check_closed(server);
}

static void connection_on_closed(uv_handle_t *handle)
{
    struct connection *connection = container_of((uv_pipe_t *)handle, struct connection, pipe);
    connection->is_closed = true;
    connection_check_gone(connection);
}

static void call_free(struct call *call)
{
    struct connection *connection = call->connection;
    settler_cancel(&call->settle);
    list_remove(&call->link);
    connection->call_count--;
    connection->unsent_bytes -= call->out.size;
    kv_request_release(&call->kv);
    arena_release(&call->arena);
    buf_release(&call->frame);
    buf_release(&call->out);
    buf_release(&call->member.text);
    free(call);
}

static void call_cancel(struct call *call)
{
    const struct socket_options *options = &call->connection->server->options;
    if (call->request.kind == SOCKET_MEMBER)
        options->member_cancel(options->context, &call->member);
    else
        kv_cancel(options->kv, &call->kv);
}

/* Gives up what has not been sent, cancels what is not done. Calls that nothing holds go at once, the
 * others as soon as their last callback has run. */
static void connection_drop(struct connection *connection)
{
    if (connection->is_closing)
        return;
    connection->is_closing = connection->is_ending = true;
    connection->is_reading = false;
    uv_close((uv_handle_t *)&connection->pipe, connection_on_closed);
    LIST_FOR_EACH_SAFE(link, &connection->calls) {
        struct call *call = container_of(link, struct call, link);
        if (call->is_in_flight)
            call_cancel(call);
        else if (!call->is_sending)
            call_free(call);
    }
}

/* ---- answers ---- */

static void call_on_sent(uv_write_t *write, int status)
{
    struct call *call = container_of(write, struct call, write);
    struct connection *connection = call->connection;
    call_free(call);
    if (status < 0)
        connection_drop(connection);
    if (connection->is_closing) {
        connection_check_gone(connection);
        return;
    }
    connection_parse(connection);
    connection_flow(connection);
}

/* Sends the answers that are ready, from the front on. */
static void connection_send(struct connection *connection)
{
    LIST_FOR_EACH(link, &connection->calls) {
        struct call *call = container_of(link, struct call, link);
        if (!call->is_answered)
            return;
        if (call->is_sending)
            continue;
        uv_buf_t buf = uv_buf_init((char *)call->out.data, (unsigned)call->out.size);
        call->is_sending = true;
        if (uv_write(&call->write, (uv_stream_t *)&connection->pipe, &buf, 1, call_on_sent) < 0) {
            call->is_sending = false;
            connection_drop(connection);
            return;
        }
    }
}

static void call_encode(struct call *call)
{
    struct kv_status status;
    struct socket_response *response = &call->response;
    kv_status_get(call->connection->server->options.kv, &status);
    response->kind = call->request.kind;
    response->cluster_id = status.cluster_id;
    response->member_id = status.member_id;
    response->raft_term = status.raft_term;
    if (!response->revision)
        response->revision = status.revision;
    socket_response_encode(response, &call->out);
    if (call->out.size <= SOCKET_RESPONSE_SIZE_MAX)
        return;
    size_t size = call->out.size;
    response->code = err_set(&response->err, ERR_TOO_BIG,
                             "an answer of %zu bytes is too large; ask with a limit", size);
    response->result = (struct kv_op_result){0};
    response->status = BYTES_EMPTY;
    buf_clear(&call->out);
    socket_response_encode(response, &call->out);
}

/* The answer is known: it goes when those before it have gone, or nowhere if the peer has gone. */
static void call_answer(struct call *call)
{
    struct connection *connection = call->connection;
    if (connection->is_closing) {
        call_free(call);
        connection_check_gone(connection);
        return;
    }
    call_encode(call);
    kv_request_release(&call->kv);
    call->is_answered = true;
    connection->unsent_bytes += call->out.size;
    connection_send(connection);
}

static void call_fail(struct call *call, enum err_code code, const struct err *err)
{
    call->response.code = code;
    if (err)
        call->response.err = *err;
    else
        (void)err_set(&call->response.err, code, "%s", err_text(code));
    call_answer(call);
}

/* ---- requests ---- */

static void call_on_settled(struct settle_wait *wait)
{
    call_answer(container_of(wait, struct call, settle));
}

static bool is_write(const struct call *call)
{
    return call->request.kind == SOCKET_TXN;
}

static void call_on_done(struct kv_request *request, enum err_code code)
{
    struct call *call = container_of(request, struct call, kv);
    struct settler *settler = call->connection->server->settler;
    call->is_in_flight = false;
    if (code != ERR_OK) {
        call_fail(call, code, &request->err);
        return;
    }
    call->response.code = ERR_OK;
    call->response.revision = request->revision;
    if (call->request.kind == SOCKET_RANGE || is_write(call))
        call->response.result = request->result;
    if (is_write(call) && settler && !call->connection->is_closing) {
        call->settle.done = call_on_settled;
        settler_wait(settler, &call->settle);
        return;
    }
    call_answer(call);
}

static void call_submit(struct call *call, enum kv_kind kind)
{
    call->kv.kind = kind;
    call->kv.privileged = call->connection->is_privileged;
    call->kv.is_guest = true;
    call->kv.done = call_on_done;
    call->is_in_flight = true;
    kv_submit(call->connection->server->options.kv, &call->kv);
}

/* The socket stands in the data folder. */
static void format_own_status(const struct socket_options *options, struct buf *ret)
{
    struct kv_status status;
    const char *slash = strrchr(options->path, '/');
    char *folder = slash ? mem_xformat("%.*s", (int)(slash - options->path), options->path) : NULL;
    kv_status_get(options->kv, &status);
    status_format(ret, &status, folder);
    free(folder);
}

static void call_status(struct call *call)
{
    const struct socket_options *options = &call->connection->server->options;
    struct buf text = {0};
    if (options->status)
        options->status(options->context, &text);
    else
        format_own_status(options, &text);
    call->response.status = arena_copy(&call->arena, buf_bytes(&text));
    buf_release(&text);
    call_answer(call);
}

static void call_stop(struct call *call)
{
    const struct socket_options *options = &call->connection->server->options;
    struct err err = {0};
    if (!call->connection->is_privileged) {
        call_fail(call, err_set(&err, ERR_DENIED, "only root and the member's user may stop it"),
                  &err);
        return;
    }
    if (!options->stop) {
        call_fail(call, err_set(&err, ERR_NOT_CAPABLE, "this member cannot be stopped so"), &err);
        return;
    }
    options->stop(options->context);
    call_answer(call);
}

static void call_on_member_done(struct socket_member_call *member, enum err_code code)
{
    struct call *call = container_of(member, struct call, member);
    call->is_in_flight = false;
    if (code != ERR_OK) {
        call_fail(call, code, &member->err);
        return;
    }
    call->response.status = buf_bytes(&member->text);
    call_answer(call);
}

static void call_member(struct call *call)
{
    const struct socket_options *options = &call->connection->server->options;
    struct err err = {0};
    if (!options->member) {
        call_fail(call, err_set(&err, ERR_NOT_CAPABLE, "this member has no others"), &err);
        return;
    }
    if (!call->connection->is_privileged && call->request.member.action != SOCKET_MEMBER_LIST) {
        call_fail(call, err_set(&err, ERR_DENIED,
                                "only root and the member's user may change the members"), &err);
        return;
    }
    call->member.request = call->request.member;
    call->member.done = call_on_member_done;
    call->is_in_flight = true;
    options->member(options->context, &call->member);
}

static void call_start(struct call *call)
{
    struct err err = {0};
    if (socket_request_decode(buf_bytes(&call->frame), &call->arena, &call->request, &err) !=
        ERR_OK) {
        err.code = ERR_INVALID;
        call->request.kind = SOCKET_STATUS;     /* an answer must have a kind */
        call->connection->is_ending = true;
        call_fail(call, err_wrap(&err, ERR_INVALID, "bad request"), &err);
        return;
    }
    switch (call->request.kind) {
    case SOCKET_RANGE:
        call->kv.range = call->request.range;
        call_submit(call, KV_RANGE);
        return;
    case SOCKET_TXN:
        call->kv.txn = call->request.txn;
        call_submit(call, KV_TXN);
        return;
    case SOCKET_COMPACT:
        call->kv.compact = call->request.compact;
        call_submit(call, KV_COMPACT);
        return;
    case SOCKET_STATUS: call_status(call); return;
    case SOCKET_STOP: call_stop(call); return;
    case SOCKET_MEMBER: call_member(call); return;
    }
    CHECK(false);                               /* the decoder lets no other kind through */
}

static struct call *call_new(struct connection *connection, struct bytes frame)
{
    struct call *call = mem_xzalloc(sizeof(*call));
    call->connection = connection;
    list_push_back(&connection->calls, &call->link);
    connection->call_count++;
    buf_append(&call->frame, frame);
    return call;
}

/* ---- bytes in ---- */

static bool connection_is_full(const struct connection *connection)
{
    return connection->call_count >= SOCKET_REQUESTS_MAX ||
           connection->unsent_bytes >= SOCKET_OUTPUT_BYTES_MAX;
}

/* One answer without a request, and the end. */
static void connection_refuse(struct connection *connection, const struct err *err)
{
    struct call *call = call_new(connection, BYTES_EMPTY);
    call->request.kind = SOCKET_STATUS;
    connection->is_ending = true;
    buf_clear(&connection->in);
    call_fail(call, err->code, err);
}

/* Cuts one frame from the front and starts it. False: there is no whole one, or no room. */
static bool connection_parse_one(struct connection *connection)
{
    if (connection->is_ending || connection_is_full(connection) || connection->in.size < 4)
        return false;
    size_t size = get_le32(connection->in.data);
    if (size > SOCKET_REQUEST_SIZE_MAX) {
        struct err err;
        (void)err_set(&err, ERR_TOO_BIG, "a request of %zu bytes is too large", size);
        connection_refuse(connection, &err);
        return false;
    }
    if (connection->in.size < 4 + size)
        return false;
    struct call *call = call_new(connection, bytes_of(connection->in.data + 4, size));
    size_t rest = connection->in.size - 4 - size;
    memmove(connection->in.data, connection->in.data + 4 + size, rest);
    connection->in.size = rest;
    call_start(call);
    return true;
}

static void connection_parse(struct connection *connection)
{
    while (connection_parse_one(connection))
        continue;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct connection *connection = container_of((uv_pipe_t *)handle, struct connection, pipe);
    (void)suggested;
    buf_reserve(&connection->in, READ_SIZE);
    *ret = uv_buf_init((char *)connection->in.data + connection->in.size, READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct connection *connection = container_of((uv_pipe_t *)stream, struct connection, pipe);
    (void)buf;
    if (got < 0) {
        connection_drop(connection);
        return;
    }
    connection->in.size += (size_t)got;
    connection_parse(connection);
    connection_flow(connection);
}

/* Reads while there is room, and ends a connection that has nothing more to do. */
static void connection_flow(struct connection *connection)
{
    if (connection->is_closing)
        return;
    if (connection->is_ending && list_is_empty(&connection->calls)) {
        connection_drop(connection);
        return;
    }
    bool should_read = !connection->is_ending && !connection_is_full(connection);
    if (should_read == connection->is_reading)
        return;
    connection->is_reading = should_read;
    if (!should_read)
        uv_read_stop((uv_stream_t *)&connection->pipe);
    else if (uv_read_start((uv_stream_t *)&connection->pipe, on_alloc, on_read) < 0)
        connection_drop(connection);
}

/* ---- connections ---- */

static bool peer_is_privileged(const uv_pipe_t *pipe)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    int fd;
    if (uv_fileno((const uv_handle_t *)pipe, &fd) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return false;
    return peer.uid == 0 || peer.uid == geteuid();
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct socket *server = container_of((uv_pipe_t *)stream, struct socket, pipe);
    if (status < 0)
        return;
    struct connection *connection = mem_xzalloc(sizeof(*connection));
    connection->server = server;
    list_init(&connection->calls);
    list_push_back(&server->connections, &connection->link);
    server->connection_count++;
    CHECK(uv_pipe_init(stream->loop, &connection->pipe, 0) == 0);
    if (uv_accept(stream, (uv_stream_t *)&connection->pipe) < 0) {
        connection_drop(connection);
        return;
    }
    connection->is_privileged = peer_is_privileged(&connection->pipe);
    if (server->connection_count > SOCKET_CONNECTIONS_MAX) {
        struct err err;
        (void)err_set(&err, ERR_BUSY, "more than %d connections", SOCKET_CONNECTIONS_MAX);
        connection_refuse(connection, &err);
    }
    connection_flow(connection);
}

/* ---- the server ---- */

/* A socket's address holds 107 bytes; by the way of its open folder any path fits. The mode is set
 * before the file exists, so that no one else can connect in between. */
static int bind_in(int folder_fd, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int size = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s",
                        folder_fd, name);
    if (fd < 0)
        return -1;
    if (size >= (int)sizeof(address.sun_path))
        errno = ENAMETOOLONG;
    else if (fchmod(fd, 0600) == 0 && (unlinkat(folder_fd, name, 0) == 0 || errno == ENOENT) &&
             bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int bind_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == path ? mem_xstrdup("/")
                   : slash       ? mem_xformat("%.*s", (int)(slash - path), path)
                                 : mem_xstrdup(".");
    int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
    free(folder);
    if (folder_fd < 0)
        return -1;
    fd = bind_in(folder_fd, slash ? slash + 1 : path);
    int saved = errno;
    close(folder_fd);
    errno = saved;
    return fd;
}

static void server_on_pipe_closed(uv_handle_t *handle)
{
    struct socket *server = container_of((uv_pipe_t *)handle, struct socket, pipe);
    server->is_pipe_closed = true;
    server_check_closed(server);
}

static void ignore_closed(void *context) { (void)context; }

enum err_code socket_open(struct socket **ret, struct uv_loop_s *loop,
                          const struct socket_options *options, struct err *err)
{
    int fd = bind_path(options->path);
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot make the socket \"%s\": %s", options->path,
                       strerror(errno));
    struct socket *server = mem_xzalloc(sizeof(*server));
    server->options = *options;
    server->path = mem_xstrdup(options->path);
    server->options.path = server->path;
    list_init(&server->connections);
    if (options->settle)
        server->settler = settler_new(loop, options->settle, options->context);
    CHECK(uv_pipe_init(loop, &server->pipe, 0) == 0);
    int result = uv_pipe_open(&server->pipe, fd);
    if (result < 0)
        close(fd);
    else
        result = uv_listen((uv_stream_t *)&server->pipe, BACKLOG, on_connection);
    if (result < 0) {
        socket_close(server, ignore_closed, NULL);
        return err_set(err, ERR_IO, "cannot listen on \"%s\": %s", options->path,
                       uv_strerror(result));
    }
    *ret = server;
    return ERR_OK;
}

void socket_close(struct socket *server, void (*closed)(void *context), void *context)
{
    CHECK(!server->is_closing);
    server->is_closing = true;
    server->closed = closed;
    server->closed_context = context;
    unlink(server->path);
    uv_close((uv_handle_t *)&server->pipe, server_on_pipe_closed);
    LIST_FOR_EACH_SAFE(link, &server->connections) {
        struct connection *connection = container_of(link, struct connection, link);
        connection_drop(connection);
    }
}
