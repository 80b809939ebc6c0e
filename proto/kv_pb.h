/* Schema <-> structs: what a log entry holds, and what travels over a member's local socket. The only
 * file of proto that knows protobuf-c is kv_pb.c.
 *
 * A log entry's payload: ENTRY_STAMP_SIZE bytes of stamp (little endian, ns since 1970; filled in by
 * the leader's node before the entry is stepped), then an EntryRequest (schema/kv.proto). An empty
 * payload is the entry the core makes at the start of a term.
 *
 * Any thread; nothing here keeps state.
 */
#ifndef PROTO_KV_PB_H
#define PROTO_KV_PB_H

#include "proto/kv.h"

#define ENTRY_STAMP_SIZE 8

enum entry_request_kind {
    ENTRY_TXN = 1,              /* put and delete_range are txns of one op in memory */
    ENTRY_COMPACT,              /* compact.revision */
    ENTRY_COMPACTED,            /* the walk up to compact.revision is done: freed bytes on every member */
    ENTRY_SESSION_OPEN,         /* number is the opener's nonce; the session's id is the entry's index */
    ENTRY_SESSION_CLOSE,        /* session */
    ENTRY_LEASE_GRANT,          /* lease.id, not 0, and lease.ttl_s */
    ENTRY_LEASE_RENEW,          /* lease.id */
    ENTRY_LEASE_REVOKE,         /* lease.id: a client ends it */
    ENTRY_LEASE_EXPIRE,         /* lease.id: the leader does, unless it was renewed after lease_renewed */
    ENTRY_ALARM,                /* alarm_raised: from here on what takes room is refused, or is not any more */
};

struct entry_request {
    enum entry_request_kind kind;
    uint64_t session;           /* 0: none (opening one, the member's own entries) */
    uint64_t number;            /* of the request in its session */
    uint64_t lowest_open;       /* numbers below it were answered and may be forgotten */
    bool privileged;            /* may write inside the system range */
    union {
        struct kv_txn txn;
        struct kv_compact compact;
        struct kv_lease lease;
    };
    uint64_t compacted_bytes;
    bool alarm_raised;
    uint64_t lease_renewed;     /* index of the entry that granted or renewed it last, as the leader saw */
};

/* A payload with the stamp slot zeroed; one reference. */
struct blob *entry_request_encode(const struct entry_request *request);
/* What is decoded borrows from payload and lives in arena. CORRUPT with a text: not a request of a
 * kind we know, nested deeper than TXN_DEPTH_MAX, more than 4 * TXN_OPS_MAX ops, a wire error. */
enum err_code entry_request_decode(struct bytes payload, struct arena *arena,
                                   struct entry_request *ret, struct err *err) MUST_USE;
/* Whether applying it may touch far more rows than its size says: it renames what lies below a key,
 * deletes or reads an interval, or ends a lease. For whoever decides where to apply it. False for what does not decode. */
bool entry_request_is_wide(struct bytes payload);
kv_time entry_stamp(struct bytes payload);                      /* 0 when shorter than a stamp */
void entry_stamp_set(struct blob *payload, kv_time stamp);      /* before it is shared */

/* The local socket: SocketRequest and SocketResponse. */
enum socket_kind { SOCKET_RANGE = 1, SOCKET_TXN, SOCKET_COMPACT, SOCKET_STATUS, SOCKET_STOP,
                   SOCKET_MEMBER };

enum socket_member_action {
    SOCKET_MEMBER_LIST = 1,
    SOCKET_MEMBER_ADD,          /* target is its name */
    SOCKET_MEMBER_REMOVE,
    SOCKET_MEMBER_PROMOTE,
    SOCKET_MEMBER_TRANSFER,
};

#define SOCKET_WORD_SIZE 320    /* a name, an id or an address, with its NUL */

struct socket_member {
    enum socket_member_action action;
    char target[SOCKET_WORD_SIZE], address[SOCKET_WORD_SIZE];
    bool force;
};

struct socket_request {
    enum socket_kind kind;
    union {
        struct kv_range range;
        struct kv_txn txn;
        struct kv_compact compact;
        struct socket_member member;
    };
};

struct socket_response {
    enum socket_kind kind;
    enum err_code code;
    struct err err;                     /* when code is not OK */
    uint64_t cluster_id, member_id, raft_term;
    kv_rev revision;
    struct kv_op_result result;         /* RANGE and TXN */
    struct bytes status;                /* STATUS: one screen of text; MEMBER: the list, or an id */
};

/* Append one message behind its size (4 bytes, little endian). */
void socket_request_encode(const struct socket_request *request, struct buf *ret);
void socket_response_encode(const struct socket_response *response, struct buf *ret);
/* The message without its size. CORRUPT as above. */
enum err_code socket_request_decode(struct bytes from, struct arena *arena,
                                    struct socket_request *ret, struct err *err) MUST_USE;
enum err_code socket_response_decode(struct bytes from, struct arena *arena,
                                     struct socket_response *ret, struct err *err) MUST_USE;

#endif
