/* A store simple enough to be believed: of each key the list of its versions, in memory. Committed entries are
 * replayed in it one by one; it says what each must have answered, and what stood where at any revision.
 *
 * It knows what clients of the simulator ask for: txns of puts, deletes, ranges and compares without nesting,
 * compactions, leases, sessions; not renames, records, names, quota.
 */
#ifndef TESTS_SIM_SIM_MODEL_H
#define TESTS_SIM_SIM_MODEL_H

#include "proto/base/entry.h"
#include "proto/kv.h"

struct sim_version {
    kv_rev revision, create_revision;
    int64_t version, lease;
    bool is_deleted;
    struct bytes value;             /* lives as long as the model */
};

struct sim_key {
    struct bytes key;
    struct sim_version *versions;   /* ascending */
    size_t count, capacity;
};

/* What an entry did. */
struct sim_effect {
    uint64_t session, number;       /* 0: of no session */
    enum err_code code;
    kv_rev revision;                /* after it */
    bool changed, succeeded, repeated;
    int64_t deleted;                /* keys, by all its deletes */
    enum sim_lease_event {
        SIM_LEASE_NONE, SIM_LEASE_GRANTED, SIM_LEASE_RENEWED, SIM_LEASE_REVOKED, SIM_LEASE_EXPIRED
    } lease_event;                  /* that took effect */
    int64_t lease, lease_ttl_s;
    bool raises_alarm;
};

struct sim_lease {
    int64_t id, ttl_s;
    raft_index renewed;             /* of the entry that granted or renewed it last */
};

/* One change of a key, as watches see it. */
struct sim_event {
    kv_rev revision;
    const struct sim_key *key;
    size_t version;                 /* its place among the key's */
};

struct sim_model;

struct sim_model *sim_model_new(void);
void sim_model_free(struct sim_model *model);

/* The next entry: index counts up. */
void sim_model_apply(struct sim_model *model, raft_index index, enum entry_type type,
                     struct bytes payload, struct sim_effect *ret);

kv_rev sim_model_revision(const struct sim_model *model);
kv_rev sim_model_floor(const struct sim_model *model);

/* What stood at key at a revision; NULL: nothing. */
const struct sim_version *sim_model_at(const struct sim_model *model, struct bytes key,
                                       kv_rev revision);
/* Keys in order, all that ever were. */
const struct sim_key *const *sim_model_keys(const struct sim_model *model, size_t *ret_count);
/* Whether key lies in the range, as struct kv_range means it. */
bool sim_model_covers(struct bytes key, struct bytes from, struct bytes end);
/* The last change of each key in each revision, in order of revision and key. */
const struct sim_event *sim_model_events(const struct sim_model *model, size_t *ret_count);

/* Those that have not ended, ascending as etcd lists them: by id, unsigned. */
const struct sim_lease *sim_model_leases(const struct sim_model *model, size_t *ret_count);

/* Counts how often a value that begins with this text was written: "TAG:". */
size_t sim_model_count_tag(const struct sim_model *model, uint64_t tag, kv_rev *ret_revision);

#endif
