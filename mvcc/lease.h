/* The lessor: when each lease runs out, by the clock of the member that leads. What leases there are and
 * which keys hang on them is replicated state (lease_rows.h); this is its shadow in memory, told of what
 * was applied, and it decides nothing but what to propose next.
 *
 * Never: clocks (time arrives as data), rows, proposals.
 *
 * Invariants
 *   E1  a lease is due ttl_s after the lessor heard of its last grant or renewal, or after it was
 *       promoted, whichever came last; never earlier.
 *   E2  nothing is due while the lessor is not promoted.
 *   E3  what is due comes by deadline, then by id: equal calls, equal answers.
 *   E4  at most LEASE_EXPIRE_IN_FLIGHT_MAX were given out and have not ended, been renewed or been put
 *       back, and at most LEASE_EXPIRE_RATE are given out in a second.
 *
 * Threads: one, the loop's. Memory: an entry of some 60 bytes per lease.
 */
#ifndef MVCC_LEASE_H
#define MVCC_LEASE_H

#include "proto/base/entry.h"
#include "proto/kv.h"

/* What an entry did to a lease. */
enum lease_event { LEASE_NONE, LEASE_GRANTED, LEASE_RENEWED, LEASE_ENDED };

struct lease_change {
    enum lease_event event;
    int64_t id, ttl_s;
    raft_index renewed;                 /* of the entry that granted or renewed it last */
};

struct lessor;

struct lessor *lessor_new(void);
void lessor_free(struct lessor *lessor);            /* NULL is fine */
/* Forgets every lease, and is not promoted: the store is another one now. */
void lessor_clear(struct lessor *lessor);

/* An entry was applied; or, as LEASE_GRANTED, a lease was found in the store. LEASE_NONE and an end or
 * a renewal of a lease that is not known are passed over. */
void lessor_apply(struct lessor *lessor, const struct lease_change *change, int64_t now_ns);

/* This member leads: every lease gets its whole time again, and extend_ns on top, since their holders
 * may have renewed them with a leader that is gone. Where many would end together they are pulled
 * apart, to three quarters of LEASE_EXPIRE_RATE in any second. What was in flight before is not. */
void lessor_promote(struct lessor *lessor, int64_t now_ns, int64_t extend_ns);
void lessor_demote(struct lessor *lessor);
bool lessor_is_promoted(const struct lessor *lessor);

/* When lessor_due may have something; INT64_MAX: not before something is applied. */
int64_t lessor_next_ns(const struct lessor *lessor);
/* The next lease whose time is over, in flight from now on: id and renewed are what to propose. False:
 * none is due, or as many as may be are in flight. */
bool lessor_due(struct lessor *lessor, int64_t now_ns, struct lease_change *ret);
/* It could not be proposed: it is due still. */
void lessor_put_back(struct lessor *lessor, int64_t id);

/* What is left of a lease's time, 0 when it is over. False: not promoted, or no such lease. */
bool lessor_remaining_ns(const struct lessor *lessor, int64_t id, int64_t now_ns, int64_t *ret);

size_t lessor_count(const struct lessor *lessor);
void lessor_validate(const struct lessor *lessor);  /* CHECKs the heap and the table */

#endif
