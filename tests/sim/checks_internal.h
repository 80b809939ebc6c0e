/* What the checkers share. */
#ifndef TESTS_SIM_CHECKS_INTERNAL_H
#define TESTS_SIM_CHECKS_INTERNAL_H

#include "cluster/node_internal.h"
#include "tests/sim/checks.h"
#include "tests/sim/sim_model.h"

struct committed {              /* one entry of the truth */
    raft_term term;
    enum entry_type type;
    struct blob *payload;       /* a reference */
    int64_t seen_ns, until_ns;  /* of the world: somebody committed it first in a turn that began and
                                   ended then */
};

struct seen_host {              /* by number - 1 */
    raft_term term;             /* while it was up last */
    raft_term led_term;         /* whose election was looked at */
    struct seen_vote_of {       /* the last that it gave */
        raft_term term;
        raft_id candidate;
    } vote;
    /* The configuration that its core counted by at the end of its last step. */
    struct raft_conf_state configuration;
    bool has_configuration;
    raft_index checked;         /* of its committed entries, up to here */
    struct seen_log {           /* its durable log, as it was when it was up last */
        raft_index first;       /* what is below was in its state */
        raft_term *terms;       /* of each entry from first on */
        size_t count, capacity;
    } log;
    raft_index configured;      /* the configuration that this entry made is noted */
    raft_index changed;         /* its membership was looked at as this entry made it */
    raft_index state_checked;   /* applied index whose state was compared last */
    uint64_t reopenings;        /* of its store, since it was started */
};

struct seen_term {
    raft_term term;
    raft_id leader;
    int64_t seen_ns;
};

struct seen_vote {              /* all that one candidate was given in one term */
    raft_term term;
    raft_id candidate;
    uint64_t voters;            /* a bit each */
};

struct seen_configuration {     /* what counts from the entry at index on */
    raft_index index;
    struct raft_conf_state state;
};

struct seen_state {
    raft_index applied;
    uint64_t hash;
    uint64_t host;
};

struct seen_change {            /* of the membership, that somebody asked for */
    uint64_t token[2];
    raft_index index;           /* the entry that brought it about */
};

struct seen_floor {             /* a compaction of the log */
    kv_rev revision;
    raft_index index;           /* of its entry */
};

struct seen_lease;

struct checks {
    struct committed *committed;        /* entry i + 1 at place i; the first is the bootstrap's */
    size_t committed_count, committed_capacity;
    struct seen_host hosts[WORLD_HOSTS_MAX];
    struct seen_term *terms;
    size_t term_count, term_capacity;
    struct seen_vote *votes;
    size_t vote_count, vote_capacity;
    struct seen_state *states;          /* ascending by applied */
    size_t state_count, state_capacity;
    uint64_t states_compared;
    struct seen_configuration *configurations;  /* ascending; each differs from the one before it */
    size_t configuration_count, configuration_capacity;
    struct seen_change *changes;
    size_t change_count, change_capacity;
    struct sim_model *model;            /* of the committed entries, replayed so far */
    raft_index replayed;
    struct seen_floor *floors;          /* of the replay; ascending */
    size_t floor_count, floor_capacity;
    struct seen_lease *leases;          /* of the replay: those that have not ended */
    size_t lease_count, lease_capacity;
    struct rand rand;                   /* which states are looked at: no part of the run */
};

static inline struct checks *checks_of(struct world *world) { return world->checks; }

void check_leader(struct world *world, struct sim_host *host);
/* At the end, of the healed: hosts outside the core. */
void check_left_alone(struct world *world);
void check_vote(struct world *world, struct sim_host *host);
void check_vote_kept(struct world *world, struct sim_host *host);
void check_vote_given(struct world *world, raft_id voter, raft_term term, raft_id candidate);
void check_count(struct world *world, struct sim_host *host);
/* Whether the host counts by the configuration that it counted by a step ago. */
bool check_count_is_settled(struct world *world, struct sim_host *host);
void check_count_note(struct world *world, struct sim_host *host);
void check_log(struct world *world, struct sim_host *host);
/* Its process is about to end: what is left is what it has now. */
void check_log_keep(struct world *world, const struct sim_host *host);
/* Whether this member has, durably, the entry of that index and term, or state that came of it; term 0: one of
 * any term. Of a host that is down, or was emptied: whether it had when it was up last. */
bool check_log_holds(struct world *world, raft_id id, raft_index index, raft_term term);
void check_state(struct world *world, struct sim_host *host, bool always);
void check_states_equal(struct world *world);
void check_history(struct world *world);
/* After the replay: whether a member may have compacted this revision by that time of the world. None has
 * compacted more than the log had. */
bool check_may_be_compacted(struct world *world, kv_rev revision, int64_t told_ns);
/* The entry at index did that, in the replay. */
void check_lease_entry(struct world *world, raft_index index, const struct sim_effect *effect);
/* The replay is over. is_quiet: nobody has asked for anything for a long time. */
void check_leases_end(struct world *world, bool is_quiet);
/* From its last renewal, or the last election, to the end of a lease of that time: at most. */
int64_t check_lease_bound_ns(const struct world *world, int64_t ttl_s);
/* True: it was emptied, and nothing else is to be asked of it. */
bool check_emptied(struct world *world, struct sim_host *host);
void check_change(struct world *world, struct sim_host *host);
void check_asks(struct world *world);
/* A host that joins has been started. */
void check_join_start(struct world *world, const struct sim_host *host);
void check_join_members(struct world *world, const struct sim_host *host);
void check_joins_end(struct world *world);
void check_stop(struct world *world, int64_t settled_ns, raft_index committed);
void check_watch(struct world *world);

#endif
