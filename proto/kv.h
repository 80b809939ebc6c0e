/* kv: THE contract between files and members. Range, txn, names, compaction, watch, lease, status.
 *
 * The meaning is etcd v3's (etcd api/etcdserverpb/rpc.proto, server/etcdserver/txn) wherever etcd has
 * the request; what only our members can do (names, rename, times, sizes) is a capability, so that the
 * same filesystem runs over a plain etcd and degrades in a documented way.
 *
 * Never: policy, sockets, files. This header knows neither member nor network.
 *
 * A request is embedded in its caller's struct, filled in, and submitted. Its callback runs exactly
 * once, on the loop thread, never inside kv_submit. The request, and every byte it borrows, must live
 * until then. The answer lives in the request's arena until kv_request_release.
 *
 * Revisions: 64 bit, the store starts at 1, the first write is 2. 0 in a request means "newest".
 * Times: nanoseconds since 1970, UTC, as the leader stamped them.
 */
#ifndef PROTO_KV_H
#define PROTO_KV_H

#include "proto/base/arena.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/list.h"

typedef int64_t kv_rev;
typedef int64_t kv_time;        /* ns since 1970 */

/* What a kv can do beyond range, put, delete, txn and compact. */
enum kv_capability {
    KV_CAN_NAMES = 1 << 0,      /* LOOKUP and LIST, directory counts and times */
    KV_CAN_RENAME = 1 << 1,     /* rename of any number of keys as one operation */
    KV_CAN_TIMES = 1 << 2,      /* revision -> time */
    KV_CAN_SYSTEM = 1 << 3,     /* .concordfs/ is passed over by ranges; metadata dies with its key */
    KV_CAN_WATCH = 1 << 4,
    KV_CAN_LEASE = 1 << 5,
    KV_CAN_OBSERVE = 1 << 6,    /* kv_observer */
};

/* The system range: keys that begin so. */
#define KV_SYSTEM_PREFIX ".concordfs/"
#define KV_META_PREFIX ".concordfs/meta/"       /* + key: the record of a value, or of a fifo, socket, device */
#define KV_DIR_PREFIX ".concordfs/dir/"         /* + directory's key without its last '/': its record */
#define KV_CONFIG_PREFIX ".concordfs/config/"   /* + name: a cluster setting, decimal text */
#define KV_PIN_PREFIX ".concordfs/pin/"         /* + name: a revision that compaction keeps readable */

/* ---- operations; the numbers are etcd's ---- */

enum kv_sort_order { KV_SORT_NONE = 0, KV_SORT_ASCEND = 1, KV_SORT_DESCEND = 2 };
enum kv_sort_target {
    KV_SORT_KEY = 0, KV_SORT_VERSION = 1, KV_SORT_CREATE = 2, KV_SORT_MOD = 3, KV_SORT_VALUE = 4
};

/* range_end: empty = the one key; "\0" = every key from key on; else exclusive. */
struct kv_range {
    struct bytes key, range_end;
    int64_t limit;                              /* 0 = none */
    kv_rev revision;
    enum kv_sort_order sort_order;
    enum kv_sort_target sort_target;
    bool serializable;                          /* do not make the member current first */
    bool keys_only, count_only;
    bool sizes_only;                            /* ours: as keys_only, and item.size is filled in */
    bool want_times;                            /* ours: item.create_time, item.mod_time */
    kv_rev min_mod_revision, max_mod_revision, min_create_revision, max_create_revision;
};

struct kv_put {
    struct bytes key, value;
    int64_t lease;
    bool want_previous, ignore_value, ignore_lease;
};

struct kv_delete {
    struct bytes key, range_end;
    bool want_previous;
};

/* Ours. Moves the value at from, every key below from + '/', and the records of each to the same place
 * under to. One revision; sub-revisions in key order. Identity, mtime and birth time go along.
 * Fails, and changes nothing: NOT_FOUND nothing at from; EXISTS something at to and no exchange;
 * TOO_WIDE over the settings rename_keys or rename_bytes; INVALID to lies below from. */
struct kv_rename {
    struct bytes from, to;
    bool value_only;                            /* not the keys below from, nor its directory record */
    bool replace;                               /* a value (with its record) at to goes first; an empty
                                                   directory at to as well when from is a directory */
    bool exchange;                              /* both change places; both must exist */
};

enum kv_compare_target {
    KV_COMPARE_VERSION = 0, KV_COMPARE_CREATE = 1, KV_COMPARE_MOD = 2, KV_COMPARE_VALUE = 3,
    KV_COMPARE_LEASE = 4
};
enum kv_compare_result { KV_EQUAL = 0, KV_GREATER = 1, KV_LESS = 2, KV_NOT_EQUAL = 3 };

/* Holds when every key of the range does (a missing key compares as 0; its VALUE never holds). So over
 * a range CREATE GREATER 0 means "something is there", and CREATE EQUAL 0 "nothing is". */
struct kv_compare {
    struct bytes key, range_end;
    enum kv_compare_target target;
    enum kv_compare_result result;
    int64_t number;                             /* version, revision or lease */
    struct bytes value;
};

struct kv_op;

struct kv_txn {
    const struct kv_compare *compares;
    const struct kv_op *success, *failure;
    size_t compare_count, success_count, failure_count;
};

enum kv_op_kind { KV_OP_RANGE, KV_OP_PUT, KV_OP_DELETE, KV_OP_TXN, KV_OP_RENAME };

struct kv_op {
    enum kv_op_kind kind;
    union {
        struct kv_range range;
        struct kv_put put;
        struct kv_delete del;
        struct kv_txn txn;
        struct kv_rename rename;
    };
};

/* Ours. One name: directory is the raw key up to and including a '/', or empty; name the component that
 * follows, without '/' (it may be empty). See mvcc/names.c. */
struct kv_lookup {
    struct bytes directory, name;
    kv_rev revision;
    bool serializable;
};

/* Ours. The names of a directory in byte order, from after (exclusive) when has_after is set. */
struct kv_list {
    struct bytes directory, after;
    bool has_after, serializable;
    kv_rev revision;
    uint32_t limit;                             /* 1 to LIST_LIMIT_MAX; the answer may hold fewer */
};
#define LIST_LIMIT_MAX 1024

struct kv_compact {
    kv_rev revision;
    bool physical;                              /* answer when the rows are gone, not when promised */
};

/* ---- answers ---- */

struct kv_item {
    struct bytes key, value;
    kv_rev create_revision, mod_revision;
    int64_t version, lease;
    uint64_t size;                              /* of the value; when sizes_only or the value is here */
    kv_time create_time, mod_time;              /* when want_times */
};

struct kv_range_result {
    struct kv_item *items;
    size_t count;                               /* of items */
    int64_t total;                              /* matches, whatever the limit */
    bool more;
};

/* What stands at a name. At least one of has_value, has_node, is_directory holds when found. */
struct kv_name {
    struct bytes name;                          /* the raw component */
    bool has_value;                             /* the key exists: the fields of the value count */
    bool has_node;                              /* no key, but a record: fifo, socket or device */
    bool is_directory;                          /* keys or records lie below, or it has a record */
    /* the value, or for a node its record alone */
    kv_rev create_revision, mod_revision;
    int64_t version, lease;
    uint64_t size;
    kv_time create_time, mod_time;
    struct bytes meta;                          /* encoded record that counts for this value; else empty */
    kv_rev meta_mod_revision;                   /* 0: there is none, or it does not count */
    kv_time meta_mod_time;
    /* the directory */
    struct bytes directory_record;              /* encoded; empty: implicit directory */
    kv_rev directory_create_revision, directory_mod_revision;  /* of the record; 0: implicit */
    kv_time directory_create_time, directory_mod_time;
    uint64_t name_count, directory_count;       /* names in it; those of them that are directories */
    kv_rev change_revision;                     /* its names changed last */
    kv_time change_time;
};

struct kv_list_result {
    struct kv_name *names;
    size_t count;
    bool more;
};

struct kv_lease_result {
    int64_t id;
    int64_t ttl_s;                              /* GRANT, KEEP_ALIVE: its time. TIME_TO_LIVE: what is
                                                   left of it, in whole seconds: exact on the leader;
                                                   elsewhere what the stamp of the last renewal and this
                                                   member's wall clock say, within 0 and its time (an
                                                   election since then has lengthened it) */
    int64_t granted_ttl_s;                      /* its time */
    struct bytes *keys;                         /* in byte order; NULL unless wanted */
    size_t key_count;
    int64_t *ids;                               /* LIST: in order, negative ones last */
    size_t id_count;
};

struct kv_op_result;

struct kv_txn_result {
    bool succeeded;
    struct kv_op_result *results;
    size_t count;
};

struct kv_op_result {
    enum kv_op_kind kind;
    union {
        struct kv_range_result range;
        struct {
            bool has_previous;
            struct kv_item previous;
        } put;
        struct {
            int64_t deleted;
            struct kv_item *previous;           /* deleted of them, when wanted */
        } del;
        struct kv_txn_result txn;
        struct {
            int64_t moved;
        } rename;
    };
};

enum kv_kind {
    KV_RANGE,       /* -> op_result.range */
    KV_TXN,         /* -> op_result.txn; puts and deletes travel as a txn without compares */
    KV_LOOKUP,      /* -> name; NOT_FOUND when nothing stands there */
    KV_LIST,        /* -> list */
    KV_CURRENT,     /* a read barrier: done when local state is as new as any answer given before */
    KV_COMPACT,
    KV_LEASE_GRANT,             /* -> leased: id, ttl_s */
    KV_LEASE_REVOKE,            /* ends it and deletes its keys, in one revision */
    KV_LEASE_KEEP_ALIVE,        /* -> leased: id, ttl_s: its whole time begins again */
    KV_LEASE_TIME_TO_LIVE,      /* -> leased: all of it but ids */
    KV_LEASE_LIST,              /* -> leased.ids */
};

/* A lease lives ttl_s after it was granted or kept alive last, by the leader's monotonic clock; then the
 * leader ends it as REVOKE does. Never earlier; later while there is no leader that is certain of being
 * it, and by a whole ttl_s when the leader changes. Keys hang on it by put.lease until they are put
 * without it or deleted; a rename takes them along.
 *
 * Errors, with etcd's texts, by which whoever serves its API knows what status and what answer its
 * clients expect:
 *   NOT_FOUND "requested lease not found": REVOKE, KEEP_ALIVE (etcd: no error, ttl 0), TIME_TO_LIVE
 *             (etcd: no error, ttl -1); and a put. leased.ttl_s is then 0, or -1 for TIME_TO_LIVE.
 *   EXISTS    "lease already exists": GRANT of an id that is in use
 *   TOO_BIG   "too large lease TTL": GRANT above LEASE_TTL_MAX_S
 *   NO_SPACE  GRANT over the quota, while the alarm is raised, or on a full disk */
struct kv_lease {
    int64_t id;                                 /* GRANT: 0 lets the member pick a positive one */
    int64_t ttl_s;                              /* GRANT: raised to the least there is, see leased */
    bool want_keys;                             /* TIME_TO_LIVE */
};

struct kv_request {
    /* filled in by the caller */
    enum kv_kind kind;
    union {
        struct kv_range range;
        struct kv_txn txn;
        struct kv_lookup lookup;
        struct kv_list list;
        struct kv_compact compact;
        struct kv_lease lease;
    };
    int64_t timeout_ms;                         /* 0 = the default (timeo) */
    bool privileged;                            /* may write inside the system range */
    bool is_guest;                              /* asked for beside the observer's owner (the local
                                                   socket): its changes are told as somebody else's */
    void (*done)(struct kv_request *request, enum err_code code);

    /* the answer */
    struct err err;                             /* set when code is not OK */
    kv_rev revision;                            /* of the store: after a write its own, else as read */
    union {
        struct kv_op_result result;             /* RANGE, TXN */
        struct kv_name name;
        struct kv_list_result listing;
        struct kv_lease_result leased;
    };
    struct arena arena;                         /* what the answer borrows from */

    /* the implementation's */
    struct list link;
    struct kv *owner;                           /* NULL when not in flight */
    uint64_t session, number;
    int64_t deadline_ns, submitted_ns;
    void *state;
    unsigned stage;
};

/* Errors a request can end with, beside those of its kind above:
 *   INVALID, TOO_BIG   the request itself (text says what)
 *   COMPACTED, FUTURE  its revision
 *   NO_SPACE           quota, alarm or disk: what puts or renames; DENIED the system range without privilege
 *   NO_LEADER, BUSY, CLOSING   nothing happened
 *   TIMEOUT, SESSION_LOST, CANCELED   it may have happened
 *   NOT_CAPABLE        see kv_capabilities
 *   IO, CORRUPT        the member stops */

#define KV_MEMBERS_MAX 64           /* as many as a cluster can have */

struct kv_member_status {
    uint64_t id;
    char name[64];
    bool is_voter, is_leader, is_self;
    bool is_low;                                /* its disk is nearly full */
    uint64_t match_index;
    int64_t last_contact_ns;                    /* how long ago; 0: itself, or never */
};

/* What is believed because a member is alone is believed so long at most. It has ceased to say that it is
 * alone for longer (KV_ADMIT_MS) when another one is admitted; a status may be KV_STATUS_AGE_MS old. */
#define KV_ALONE_MS 1000
#define KV_STATUS_AGE_MS 50
#define KV_ADMIT_MS (KV_ALONE_MS + 2 * KV_STATUS_AGE_MS)

struct kv_status {
    uint64_t cluster_id, member_id, leader_id;
    uint64_t raft_term, raft_index, applied_index;
    kv_rev revision, compact_revision;
    uint64_t quota_used, quota_limit;           /* logical bytes */
    uint64_t key_count;                         /* live user keys; UINT64_MAX if unknown */
    uint64_t file_size_max;                     /* setting max_file_size */
    uint64_t disk_total, disk_free;             /* bytes, of the data folder's filesystem */
    bool is_alarmed;                            /* disks are nearly full: only what frees space is accepted */
    bool no_space;                              /* it is so, or this member's own disk is full */
    bool alone;                                 /* one voter, no learner, no other client; see KV_ALONE_MS */
    bool has_quorum;
    int64_t quorum_lost_ns;                     /* how long ago; 0 when has_quorum */
    uint64_t flushes, log_bytes, entries;       /* since start */
    kv_time clock;                              /* highest stamp */
    char version[32];
    char last_error[ERR_TEXT_SIZE];
    struct kv_member_status members[KV_MEMBERS_MAX];
    size_t member_count;
};

/* Hears every change as it is applied, on the loop, in revision order, before any answer to it. */
enum kv_change {
    KV_CHANGED_VALUE = 1 << 0, KV_CHANGED_META = 1 << 1, KV_CHANGED_NAME = 1 << 2 /* came or went */
};
struct kv_changed {
    struct bytes key;                           /* the user's key (a record's change is told for the key it
                                                   describes); borrowed */
    unsigned changes;                           /* enum kv_change */
    size_t top;                                 /* NAME: what came or went is the name that the first top
                                                   bytes of key end in: key's own, or that of a directory
                                                   above it that stands by the keys below it alone */
    kv_rev revision;
    bool own;                                   /* asked for by a request of this kv whose done is about
                                                   to run */
};
struct kv_move {
    struct bytes from, to;                      /* user's keys; borrowed */
    bool exchange;
};
struct kv_observer {
    void (*changed)(struct kv_observer *observer, const struct kv_changed *changed);
    /* A rename: told before what it does to each key, at the same revision. May be NULL. */
    void (*moved)(struct kv_observer *observer, const struct kv_move *move, kv_rev revision, bool own);
    /* State was replaced or a gap passed: believe nothing. */
    void (*reset)(struct kv_observer *observer);
    /* Call settled(context) once all that was told before has been acted on; from any thread. */
    void (*settle)(struct kv_observer *observer, void (*settled)(void *context), void *context);
};

/* ---- watches ---- */

/* What a revision did to a key: one event per key and revision, the last one should a txn have changed the
 * key several times (so a delete may be told of a key that was not there before). */
enum kv_event_kind { KV_EVENT_PUT = 0, KV_EVENT_DELETE = 1 };      /* etcd's numbers */
struct kv_event {
    enum kv_event_kind kind;
    struct kv_item item;                        /* of a delete: key, mod_revision, mod_time alone */
    bool has_previous;                          /* wanted, was there, and is not compacted */
    struct kv_item previous;                    /* as it was at item.mod_revision - 1 */
};

/* A watch hears of every change of its keys from start_revision on: in the order of revisions, each event
 * once, none left out, the events of one revision never in two calls. It lives from kv_watch until ended
 * was called: exactly once, whatever happens. Callbacks run on the loop, never inside a call of this
 * section that names the same watch; they may call anything of this header. An event is told when its
 * revision can be read, and before the answer of the request that made it leaves; so whoever has a
 * put's answer and then watches from the revision after it does not hear of that put.
 *
 * The system range is passed over unless key lies inside of it.
 *
 * Who cannot take more says kv_watch_pause, in the callback or at any time. A paused watch holds its
 * place and nothing else: no event waits for it anywhere. After kv_watch_resume it is told what it
 * missed, or ends with COMPACTED when that is gone. Nobody else waits for it. */
struct kv_watch {
    /* filled in by the caller; the bytes must live until ended */
    struct bytes key, range_end;                /* as struct kv_range */
    kv_rev start_revision;                      /* 0: what is written from now on. May be in the future */
    bool want_previous, no_put, no_delete;
    bool privileged;                            /* key may lie in the system range */
    /* Once, before anything else is told, unless the watch is refused. revision: the store's. */
    void (*created)(struct kv_watch *watch, kv_rev revision);
    /* All that happened up to revision is told herewith. The events live until it returns. */
    void (*events)(struct kv_watch *watch, const struct kv_event *const *events, size_t count,
                   kv_rev revision);
    /* Asked for by kv_watch_progress; may be NULL. Everything up to revision has been told; the watch can
     * be taken up again at the later of revision + 1 and start_revision. */
    void (*progress)(struct kv_watch *watch, kv_rev revision);
    /* The last call; the struct is the caller's again. compact_revision: with COMPACTED the lowest
     * revision that a new watch may start at, else 0. err says more. Codes:
     *   COMPACTED  history from where it stood is gone; at once for a negative start
     *   CANCELED   kv_unwatch
     *   CLOSING    the kv ends
     *   INVALID, TOO_BIG, DENIED (the system range, without privilege), BUSY (too many watches)  refused */
    void (*ended)(struct kv_watch *watch, enum err_code code, kv_rev compact_revision);

    struct err err;

    /* the implementation's */
    struct kv *owner;                           /* NULL when it has ended */
    void *state;
};

struct kv_ops {
    void (*submit)(struct kv *kv, struct kv_request *request);
    void (*cancel)(struct kv *kv, struct kv_request *request);
    unsigned (*capabilities)(struct kv *kv);
    void (*status)(struct kv *kv, struct kv_status *ret_status);
    void (*observe)(struct kv *kv, struct kv_observer *observer);
    /* These where KV_CAN_WATCH. */
    void (*watch)(struct kv *kv, struct kv_watch *watch);
    void (*unwatch)(struct kv *kv, struct kv_watch *watch);
    void (*watch_pause)(struct kv *kv, struct kv_watch *watch);
    void (*watch_resume)(struct kv *kv, struct kv_watch *watch);
    void (*watch_progress)(struct kv *kv, struct kv_watch *watch);
};

struct kv {
    const struct kv_ops *ops;
};

/* ---- use; loop thread alone ---- */

/* Takes the request for its flight. */
static inline void kv_submit(struct kv *kv, struct kv_request *request)
{
    kv->ops->submit(kv, request);
}
/* Asks a request in flight to end soon, with CANCELED unless its answer is there already. Its done
 * still runs exactly once, later. A request that is not in flight is left alone. */
static inline void kv_cancel(struct kv *kv, struct kv_request *request)
{
    if (request->owner)
        kv->ops->cancel(kv, request);
}
static inline unsigned kv_capabilities(struct kv *kv) { return kv->ops->capabilities(kv); }
static inline void kv_status_get(struct kv *kv, struct kv_status *ret_status)
{
    kv->ops->status(kv, ret_status);
}
/* One observer at most; NULL ends it. */
static inline void kv_observe(struct kv *kv, struct kv_observer *observer)
{
    kv->ops->observe(kv, observer);
}

/* Takes the watch until it has ended. Only where KV_CAN_WATCH. */
static inline void kv_watch(struct kv *kv, struct kv_watch *watch) { kv->ops->watch(kv, watch); }
/* These leave a watch that has ended alone. */

/* Nothing is told any more; ended follows soon, with CANCELED unless it had another end before. */
static inline void kv_unwatch(struct kv *kv, struct kv_watch *watch)
{
    if (watch->owner)
        kv->ops->unwatch(kv, watch);
}
/* No more events and no progress until resumed; created and ended come all the same. */
static inline void kv_watch_pause(struct kv *kv, struct kv_watch *watch)
{
    if (watch->owner)
        kv->ops->watch_pause(kv, watch);
}
static inline void kv_watch_resume(struct kv *kv, struct kv_watch *watch)
{
    if (watch->owner)
        kv->ops->watch_resume(kv, watch);
}
/* Asks for one call of progress, once everything that was there when it was asked has been told. */
static inline void kv_watch_progress(struct kv *kv, struct kv_watch *watch)
{
    if (watch->owner)
        kv->ops->watch_progress(kv, watch);
}

/* Ends what the answer borrowed. Not while in flight. Harmless when repeated. */
static inline void kv_request_release(struct kv_request *request) { arena_release(&request->arena); }

/* The end of the range of all keys that start with prefix (its last byte + 1; "\0" when there is none),
 * written to a buf. */
void kv_prefix_end(struct buf *ret_end, struct bytes prefix);

/* Refuses what etcd refuses before it is proposed (etcd api/v3rpc/key.go:check*Request), with etcd's
 * texts: INVALID (empty key, value and ignore_value, too many ops, duplicate keys, bad enum), TOO_BIG. */
enum err_code kv_validate_range(const struct kv_range *range, struct err *err) MUST_USE;
enum err_code kv_validate_txn(const struct kv_txn *txn, struct err *err) MUST_USE;
/* Whether a txn, whichever way it goes, may take room that a full disk has not got: it puts or renames. What
 * stays small does not count: settings (one of them shortens what is kept), and records of the system range
 * beside a delete (who removes a name may have to write that of the directory it was in). By the txn alone,
 * so that who proposes and who applies judge alike. Of a txn that kv_validate_txn lets through. */
bool kv_txn_needs_room(const struct kv_txn *txn);
/* The codes of a watch that is refused (api/v3rpc/watch.go), COMPACTED for a negative start included. */
enum err_code kv_validate_watch(const struct kv_watch *watch, struct err *err) MUST_USE;

#endif
