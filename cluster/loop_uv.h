/* The thread that owns a member, and its mailbox. Opens the data folder, log, store and node, drives
 * the node's turns on a libuv loop, and lends that loop to the filesystem: a descriptor to poll, an
 * alarm, calls from other threads.
 *
 * All calls from the thread that opened the member, member_post and member_stop excepted. The thread
 * must not fork any more once a member is open (LevelDB's thread would stay behind).
 */
#ifndef CLUSTER_LOOP_UV_H
#define CLUSTER_LOOP_UV_H

#include "cluster/start.h"
#include "proto/base/trace.h"
#include "proto/kv.h"

struct member;
struct uv_loop_s;

struct member_options {
    const char *data_path;      /* created when it is missing */
    struct start_options start; /* who it is among others, and where it listens */
    int64_t timeo_ms;           /* 0: TIMEO_DEFAULT_MS */
    bool socket;                /* serve DATA/sock */
    uint64_t segment_size;      /* of a new log; 0: SEGMENT_SIZE_DEFAULT */
    struct trace *trace;        /* may be NULL; must take lines of the loop thread */
    /* A line for the operator: what was dropped from the log's tail, a full disk, why it stops.
     * Called on the loop thread; NULL: stderr. */
    void (*log)(void *context, const char *line);
    /* How far a joiner is, about once a second, for a terminal. NULL: nobody looks. */
    void (*progress)(void *context, const char *line);
    void *log_context;
};

/* Opens everything; a folder without an identity becomes a member that is alone, or what options.start says
 * (start.h). One that joins is a member when it returns, which may take JOIN_PATIENCE_MS. When it returns the
 * kv takes requests, which are answered once member_run is running. Errors as datadir_open, start_decide,
 * join.h, wal_open, store_open, node_open; text says what and where. */
enum err_code member_open(struct member **ret, const struct member_options *options,
                          struct err *err) MUST_USE;
struct kv *member_kv(struct member *member);
const char *member_data_path(const struct member *member);      /* absolute */
struct uv_loop_s *member_loop(struct member *member);
/* It has joined and has not caught up yet: what it is asked waits for a state that is on its way. */
bool member_is_behind(const struct member *member);

/* Runs until member_stop, or until a fault ends the member: then its code, and err says why (REMOVED: it is
 * no member any more). On return every request has been answered. */
enum err_code member_run(struct member *member, struct err *err) MUST_USE;
/* Makes member_run return soon: open requests are finished first. Any thread; not a signal handler. */
void member_stop(struct member *member);
/* Stops cleanly: checkpoint, seal. Then everything is freed, also on error (IO: as after a kill). */
enum err_code member_close(struct member *member, struct err *err) MUST_USE;

/* Runs call(context) on the loop, soon, once. Any thread. */
void member_post(struct member *member, void (*call)(void *context), void *context);

/* What wants to know that a descriptor can be read. Embedded in its owner; the owner stops it before
 * the descriptor closes, and keeps it until stopped was called. */
struct member_poll {
    int fd;
    void (*readable)(struct member_poll *poll);
    void *handle;               /* the loop's */
};
void member_poll_start(struct member *member, struct member_poll *poll);
void member_poll_stop(struct member *member, struct member_poll *poll);

/* One alarm; setting it again replaces. Embedded in its owner, who stops it before it ends. */
struct member_alarm {
    void (*fire)(struct member_alarm *alarm);
    void *handle;               /* the loop's; NULL: never set */
};
/* Negative: never. */
void member_alarm_set(struct member *member, struct member_alarm *alarm, int64_t delay_ms);
void member_alarm_stop(struct member *member, struct member_alarm *alarm);

/* A signal, delivered on the loop. The loop keeps it until the member is closed. */
void member_on_signal(struct member *member, int number,
                      void (*caught)(void *context, int number), void *context);

/* How a change made through the socket waits until the kernel has been told: set by the mount. */
void member_set_settle(struct member *member,
                       void (*settle)(void *context, void (*settled)(void *argument),
                                      void *argument),
                       void *context);

/* Who is told, on the loop, when the socket asks the member to stop; calls member_stop in the end. Without
 * one the member stops at once. */
void member_set_asked_to_stop(struct member *member, void (*asked)(void *context), void *context);

#endif
