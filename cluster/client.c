/* One connection to a member, one request at a time; and ranges of any size in bounded pieces. */
#include "cluster/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/limits.h"

#define CHUNK_ITEMS_FIRST 16
#define CHUNK_ITEMS_MAX 4096

void client_open_fd(struct client *client, int fd)
{
    *client = (struct client){.fd = fd, .is_open = true};
}

void client_close(struct client *client)
{
    if (!client->is_open)
        return;
    close(client->fd);
    buf_release(&client->in);
    buf_release(&client->out);
    arena_release(&client->arena);
    *client = (struct client){0};
}

static void set_patience(int fd, time_t seconds)
{
    struct timeval limit = {.tv_sec = seconds};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

/* A socket's address holds 107 bytes; by the way of an open folder any path fits. */
static int connect_in(int folder_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    set_patience(fd, SOCKET_ANSWER_MAX_S);
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/sock", folder_fd);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static enum err_code refuse(const char *folder, int errnum, struct err *err)
{
    switch (errnum) {
    case ENOENT:
    case ECONNREFUSED:
        return err_set(err, ERR_NO_LEADER, "no member runs on \"%s\"", folder);
    case EACCES:
    case EPERM:
        return err_set(err, ERR_DENIED, "the member on \"%s\" belongs to another user", folder);
    default:
        return err_set(err, ERR_IO, "cannot connect to the member on \"%s\": %s", folder,
                       strerror(errnum));
    }
}

enum err_code client_open(struct client *client, const char *place, struct err *err)
{
    char *folder = NULL;
    enum err_code code = client_find(place, &folder, err);
    if (code != ERR_OK)
        return code;
    int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
    if (folder_fd >= 0)
        fd = connect_in(folder_fd);
    if (fd >= 0)
        client_open_fd(client, fd);
    else
        code = refuse(folder, errno, err);
    if (folder_fd >= 0)
        close(folder_fd);
    free(folder);
    return code;
}

static enum err_code broken(ssize_t result, struct err *err)
{
    if (result == 0)
        return err_set(err, ERR_IO, "the member closed the connection");
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return err_set(err, ERR_TIMEOUT, "no answer from the member in %d s", SOCKET_ANSWER_MAX_S);
    return err_set(err, ERR_IO, "the connection to the member broke: %s", strerror(errno));
}

/* A member that refuses a connection answers and closes, maybe before all was sent: what it said is
 * still there to be read, so a broken pipe is no failure yet. */
static enum err_code send_all(int fd, struct bytes from, struct err *err)
{
    while (from.size) {
        ssize_t sent = send(fd, from.data, from.size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
            return ERR_OK;
        if (sent <= 0)
            return broken(sent, err);
        from = bytes_skip(from, (size_t)sent);
    }
    return ERR_OK;
}

static enum err_code receive_all(int fd, uint8_t *to, size_t size, struct err *err)
{
    while (size) {
        ssize_t got = recv(fd, to, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return broken(got, err);
        to += got;
        size -= (size_t)got;
    }
    return ERR_OK;
}

static enum err_code receive_frame(struct client *client, struct err *err)
{
    uint8_t size_bytes[4];
    enum err_code code = receive_all(client->fd, size_bytes, sizeof(size_bytes), err);
    if (code != ERR_OK)
        return code;
    size_t size = get_le32(size_bytes);
    if (size > SOCKET_RESPONSE_SIZE_MAX)
        return err_set(err, ERR_CORRUPT, "the member's answer claims %zu bytes", size);
    buf_clear(&client->in);
    return receive_all(client->fd, buf_extend(&client->in, size), size, err);
}

enum err_code client_call(struct client *client, const struct socket_request *request,
                          struct socket_response *ret, struct err *err)
{
    CHECK(client->is_open);
    arena_clear(&client->arena);
    buf_clear(&client->out);
    socket_request_encode(request, &client->out);
    if (request->kind == SOCKET_COMPACT && request->compact.physical)
        set_patience(client->fd, 0);
    enum err_code code = send_all(client->fd, buf_bytes(&client->out), err);
    if (code == ERR_OK)
        code = receive_frame(client, err);
    if (code == ERR_OK)
        code = socket_response_decode(buf_bytes(&client->in), &client->arena, ret, err);
    if (code != ERR_OK)
        return code;
    if (ret->code != ERR_OK) {
        if (err)
            *err = ret->err;
        return ret->code;
    }
    if (ret->kind != request->kind)
        return err_set(err, ERR_CORRUPT, "the member answered another question");
    return ERR_OK;
}

/* ---- ranges ---- */

struct walk {
    const struct client_range *wanted;
    struct kv_range range;      /* of the next piece */
    struct buf next;            /* its first key */
    int64_t left;               /* items still wanted; 0 when there is no limit */
    int64_t chunk;
};

static int64_t walk_piece(const struct walk *walk)
{
    return walk->left && walk->left < walk->chunk ? walk->left : walk->chunk;
}

/* The size of the last answer says how many items the next one should have. */
static void walk_adapt(struct walk *walk, size_t answer_size)
{
    if (answer_size < CLIENT_CHUNK_BYTES / 2 && walk->chunk < CHUNK_ITEMS_MAX)
        walk->chunk *= 2;
    else if (answer_size > CLIENT_CHUNK_BYTES * 2 && walk->chunk > 1)
        walk->chunk /= 2;
}

/* Later pieces are read where the first one was, so that the whole is one revision. */
static void walk_on(struct walk *walk, const struct kv_range_result *piece, kv_rev revision)
{
    buf_assign(&walk->next, piece->items[piece->count - 1].key);
    buf_append_u8(&walk->next, 0);
    walk->range.key = buf_bytes(&walk->next);
    walk->range.serializable = true;
    if (walk->range.revision == 0)
        walk->range.revision = revision;
    if (walk->left)
        walk->left -= (int64_t)piece->count;
}

static enum err_code walk_deliver(const struct walk *walk, const struct kv_range_result *piece)
{
    for (size_t i = 0; i < piece->count && walk->wanted->each; i++) {
        enum err_code code = walk->wanted->each(walk->wanted->context, &piece->items[i]);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

static enum err_code walk_step(struct client *client, struct walk *walk,
                               struct client_header *header, bool *is_first, bool *ret_done,
                               struct err *err)
{
    struct socket_request request = {.kind = SOCKET_RANGE, .range = walk->range};
    struct socket_response response;
    if (!walk->range.count_only)
        request.range.limit = walk_piece(walk);
    enum err_code code = client_call(client, &request, &response, err);
    if (code != ERR_OK)
        return code;
    const struct kv_range_result *piece = &response.result.range;
    if (*is_first)
        *header = (struct client_header){response.cluster_id, response.member_id,
                                         response.raft_term, response.revision, piece->total,
                                         piece->more};
    header->more = piece->more;
    *is_first = false;
    code = walk_deliver(walk, piece);
    *ret_done = code != ERR_OK || !piece->more || !piece->count ||
                (walk->left && walk->left <= (int64_t)piece->count);
    if (!*ret_done) {
        walk_on(walk, piece, response.revision);
        walk_adapt(walk, client->in.size);
    }
    return code;
}

enum err_code client_range(struct client *client, const struct client_range *wanted,
                           struct client_header *ret_header, struct err *err)
{
    struct walk walk = {.wanted = wanted, .range = wanted->range, .left = wanted->range.limit,
                        .chunk = CHUNK_ITEMS_FIRST};
    bool is_first = true, is_done = false;
    enum err_code code = ERR_OK;
    CHECK(walk.range.sort_order == KV_SORT_NONE);
    while (code == ERR_OK && !is_done)
        code = walk_step(client, &walk, ret_header, &is_first, &is_done, err);
    buf_release(&walk.next);
    return code;
}
