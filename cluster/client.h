/* The commands' side of a member's local socket: find the member, connect, ask, wait for the answer.
 *
 * Never: libuv, threads, signals. Blocks; one thread.
 */
#ifndef CLUSTER_CLIENT_H
#define CLUSTER_CLIENT_H

#include "proto/kv_pb.h"

/* Zeroed memory is a closed client. */
struct client {
    int fd;
    bool is_open;
    struct buf in, out;
    struct arena arena;
};

/* The data folder that place means, in memory that the caller frees:
 *   - a folder inside a concordfs mount: what the line "data:" of the mount's .fs/status says
 *   - any other folder: itself
 *   - NULL: the mount that the working directory is in; else datadir_default if a member's socket is
 *     there; else the data folder of the only concordfs mount of this host.
 * Errors: INVALID there is no such folder, or several mounts so that one must be named, or a mount
 * without a member (its .fs/status has no such line); NO_LEADER no member was found; IO the mount's
 * daemon is gone, or a read failed. */
enum err_code client_find(const char *place, char **ret_folder, struct err *err) MUST_USE;

/* As client_find, then connects to FOLDER/sock. Errors besides: NO_LEADER the member is not running;
 * DENIED the socket is another user's; IO. */
enum err_code client_open(struct client *client, const char *place, struct err *err) MUST_USE;
/* A client on a connected stream socket, which it takes. */
void client_open_fd(struct client *client, int fd);
/* Harmless when closed. */
void client_close(struct client *client);

/* Sends one request and waits for its answer, which lives until the next call or the close. The
 * answer's own failure is returned like any other, with its text in err; ret is filled in then too.
 * Errors besides: TIMEOUT no answer within SOCKET_ANSWER_MAX_S (a physical compaction may take any
 * time); IO the connection broke; CORRUPT the answer makes no sense. After one of these three the
 * client is of no further use; close it. */
enum err_code client_call(struct client *client, const struct socket_request *request,
                          struct socket_response *ret, struct err *err) MUST_USE;

/* One range, whatever its size, in answers of bounded size at one revision. each is called for every
 * item in key order; a code it returns other than OK ends the walk and is returned. range.limit counts
 * over all. ret_header gets ids, term and revision of the first answer; its total and more hold for the
 * whole range. */
struct client_range {
    struct kv_range range;
    void *context;
    enum err_code (*each)(void *context, const struct kv_item *item);   /* NULL: only the header */
};
struct client_header {
    uint64_t cluster_id, member_id, raft_term;
    kv_rev revision;
    int64_t total;
    bool more;
};
enum err_code client_range(struct client *client, const struct client_range *walk,
                           struct client_header *ret_header, struct err *err) MUST_USE;

#endif
