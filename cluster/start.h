/* What a start of a member is: the first of a cluster of one, the first of several, the first of a joiner, or
 * a later one; and what was said at an earlier start and need not be said again.
 *
 *   DATA/options   text: "listen HOST:PORT", "advertise HOST:PORT", "learner"; lines that do not hold are
 *                  left out
 *   DATA/joining   text: what a joiner drew and whom it asks, from before it asks until its identity stands
 *
 * Never: the network, chance but by start_draw. Any thread, no state kept.
 */
#ifndef CLUSTER_START_H
#define CLUSTER_START_H

#include "cluster/datadir.h"
#include "cluster/first_members.h"
#include "proto/base/rand.h"

struct start_options {              /* of the command line; NULL: not said */
    const char *name;
    const char *listen;             /* where to bind: HOST:PORT, a wildcard too */
    const char *advertise;          /* where the others connect to */
    const char *cluster;            /* NAME=HOST:PORT,... of a cluster that begins */
    const char *join;               /* HOST:PORT of any member of a cluster that is */
    bool learner;                   /* of a joiner: it stays one */
};

enum start_kind {
    START_ALONE,    /* a cluster of one */
    START_FORM,     /* one of the first members of several */
    START_JOIN,     /* joining.* says as whom */
    START_AGAIN,    /* the folder is a member's */
};

struct start {
    enum start_kind kind;
    char name[MEMBER_NAME_SIZE];
    char listen[MEMBER_ADDRESS_SIZE];       /* "": nowhere, it has no peers */
    char advertise[MEMBER_ADDRESS_SIZE];    /* "": nowhere */
    bool learner;
    struct first_members first;             /* FORM */
    struct {                                /* JOIN */
        char at[MEMBER_ADDRESS_SIZE];
        raft_id id;                         /* these two: 0 until drawn */
        uint64_t generation;
    } joining;
};

/* What the options and the folder make of it; reads DATA/options and DATA/joining, writes nothing. Errors:
 *   INVALID   options that cannot be, do not go together, or contradict what the folder is (each with its
 *             sentence): another --cluster, --name of another member. --join is passed over on a folder
 *             that is a member's, and so is the same --cluster: a unit file may keep them
 *   CORRUPT, IO   a file of the folder */
enum err_code start_decide(struct start *ret, const struct start_options *options,
                           const struct datadir *folder, struct err *err) MUST_USE;
/* As whom a joiner asks, unless an earlier start has drawn that. */
void start_draw(struct start *start, struct rand *rand);
/* Keeps what later starts need: DATA/options, and of a joiner DATA/joining. Durable when it returns. What stands
 * there already is not written again: a start that changes nothing needs no room. */
enum err_code start_keep(const struct start *start, const struct datadir *folder,
                         struct err *err) MUST_USE;
/* The identity stands: nobody joins any more. */
enum err_code start_joined(const struct datadir *folder, struct err *err) MUST_USE;

#endif
