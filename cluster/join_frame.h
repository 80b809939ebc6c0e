/* The frames by which a host becomes a member: JOIN is the first of a connection, JOINED (or REFUSED) its
 * answer. And the bodies of ASK and ANSWER, by which a member asks its leader. Pure: bytes in, structs out.
 *
 * A joiner draws its id and generation once and keeps them before it asks, so that asking again after any
 * crash is the same request.
 */
#ifndef CLUSTER_JOIN_FRAME_H
#define CLUSTER_JOIN_FRAME_H

#include "cluster/frame.h"
#include "cluster/membership.h"

struct join_request {
    uint32_t version;                       /* FRAME_VERSION of the joiner */
    struct membership_member member;        /* everything of it is there */
};

struct join_answer {
    uint64_t cluster_id;
    raft_id id;                             /* of the joiner; another than it drew where it was reserved */
    size_t count;
    struct membership_member members[RAFT_MEMBERS_MAX];     /* as the asked one knows them */
};

/* Each appends a whole frame. */
void join_request_encode(const struct join_request *request, struct buf *buf);
void join_answer_encode(const struct join_answer *answer, raft_id from, struct buf *buf);
/* INVALID: malformed, no id of a member, no generation; of a request with this version also: a name or an
 * address that cannot be one. */
enum err_code join_request_decode(struct bytes body, struct join_request *ret,
                                  struct err *err) MUST_USE;
enum err_code join_answer_decode(struct bytes body, struct join_answer *ret,
                                 struct err *err) MUST_USE;

/* ---- to the leader ---- */

struct ask_frame {
    uint64_t number;                        /* of the asker's, to tell answers apart */
    uint32_t kind;                          /* enum node_ask_kind */
    bool force;
    struct membership_member member;
};

struct answer_frame {
    uint64_t number;
    enum err_code code;
    char text[ERR_TEXT_SIZE];
    raft_id id;
};

/* Bodies alone: they travel by peers_send_frame. INVALID: malformed. */
void ask_frame_encode(const struct ask_frame *ask, struct buf *buf);
void answer_frame_encode(const struct answer_frame *answer, struct buf *buf);
enum err_code ask_frame_decode(struct bytes body, struct ask_frame *ret) MUST_USE;
enum err_code answer_frame_decode(struct bytes body, struct answer_frame *ret) MUST_USE;

#endif
