/* A table by id and a heap by deadline. The heap holds every lease while the lessor is promoted, but for
 * those in flight: they come back into it when they are renewed or put back, and leave the table when
 * they end. */
#include "mvcc/lease.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/hash.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"
#include "proto/base/mutant.h"

#define TABLE_SIZE_FIRST 64             /* a power of two */
#define NOT_IN_HEAP SIZE_MAX
/* Of those that a change of leader has thrown together; the rest of the rate is for others. */
#define SPREAD_RATE (LEASE_EXPIRE_RATE * 3 / 4)

struct lease {
    struct lease *next;                 /* of its bucket */
    int64_t id, ttl_s;
    raft_index renewed;
    int64_t deadline_ns;                /* counts while promoted */
    size_t place;                       /* in the heap */
    bool in_flight;
};

struct lessor {
    struct lease **table;
    size_t table_size, count;
    struct lease **heap;
    size_t heap_count, heap_capacity;
    size_t in_flight;
    bool is_promoted;
    int64_t second_ns;                  /* the second that given counts in began then */
    size_t given;
};

/* ---- the table ---- */

static struct lease **bucket_of(const struct lessor *lessor, int64_t id)
{
    return &lessor->table[hash_u64((uint64_t)id) & (lessor->table_size - 1)];
}

static struct lease *find(const struct lessor *lessor, int64_t id)
{
    struct lease *lease = *bucket_of(lessor, id);
    while (lease && lease->id != id)
        lease = lease->next;
    return lease;
}

static void table_insert(struct lessor *lessor, struct lease *lease)
{
    struct lease **bucket = bucket_of(lessor, lease->id);
    lease->next = *bucket;
    *bucket = lease;
}

static void table_grow(struct lessor *lessor)
{
    struct lease **old = lessor->table;
    size_t old_size = lessor->table_size;
    lessor->table_size *= 2;
    lessor->table = mem_xzalloc(lessor->table_size * sizeof(struct lease *));
    for (size_t i = 0; i < old_size; i++) {
        for (struct lease *lease = old[i], *next; lease; lease = next) {
            next = lease->next;
            table_insert(lessor, lease);
        }
    }
    free(old);
}

/* Puts all leases into ret, which has room for them. In no order. */
static void table_gather(const struct lessor *lessor, struct lease **ret)
{
    size_t count = 0;
    for (size_t i = 0; i < lessor->table_size; i++)
        for (struct lease *lease = lessor->table[i]; lease; lease = lease->next)
            ret[count++] = lease;
    CHECK(count == lessor->count);
}

/* ---- the heap ---- */

static bool is_before(const struct lease *left, const struct lease *right)
{
    return left->deadline_ns != right->deadline_ns ? left->deadline_ns < right->deadline_ns
                                                   : left->id < right->id;
}

static void heap_set(struct lessor *lessor, size_t place, struct lease *lease)
{
    lessor->heap[place] = lease;
    lease->place = place;
}

static void heap_rise(struct lessor *lessor, size_t place)
{
    struct lease *lease = lessor->heap[place];
    while (place > 0 && is_before(lease, lessor->heap[(place - 1) / 2])) {
        heap_set(lessor, place, lessor->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    heap_set(lessor, place, lease);
}

static void heap_sink(struct lessor *lessor, size_t place)
{
    struct lease *lease = lessor->heap[place];
    for (size_t child; (child = 2 * place + 1) < lessor->heap_count; place = child) {
        if (child + 1 < lessor->heap_count &&
            is_before(lessor->heap[child + 1], lessor->heap[child]))
            child++;
        if (!is_before(lessor->heap[child], lease))
            break;
        heap_set(lessor, place, lessor->heap[child]);
    }
    heap_set(lessor, place, lease);
}

static void heap_insert(struct lessor *lessor, struct lease *lease)
{
    if (lessor->heap_count == lessor->heap_capacity) {
        lessor->heap_capacity = lessor->heap_capacity ? 2 * lessor->heap_capacity : 64;
        lessor->heap =
            mem_xrealloc(lessor->heap, lessor->heap_capacity * sizeof(struct lease *));
    }
    heap_set(lessor, lessor->heap_count++, lease);
    heap_rise(lessor, lease->place);
}

static void heap_remove(struct lessor *lessor, struct lease *lease)
{
    size_t place = lease->place;
    if (place == NOT_IN_HEAP)
        return;
    struct lease *last = lessor->heap[--lessor->heap_count];
    lease->place = NOT_IN_HEAP;
    if (last == lease)
        return;
    heap_set(lessor, place, last);
    heap_rise(lessor, place);
    heap_sink(lessor, last->place);
}

static void heap_clear(struct lessor *lessor)
{
    for (size_t i = 0; i < lessor->heap_count; i++)
        lessor->heap[i]->place = NOT_IN_HEAP;
    lessor->heap_count = 0;
}

/* ---- life ---- */

struct lessor *lessor_new(void)
{
    struct lessor *lessor = mem_xzalloc(sizeof(*lessor));
    lessor->table_size = TABLE_SIZE_FIRST;
    lessor->table = mem_xzalloc(lessor->table_size * sizeof(struct lease *));
    return lessor;
}

void lessor_clear(struct lessor *lessor)
{
    lessor_demote(lessor);
    for (size_t i = 0; i < lessor->table_size; i++) {
        for (struct lease *lease = lessor->table[i], *next; lease; lease = next) {
            next = lease->next;
            free(lease);
        }
        lessor->table[i] = NULL;
    }
    lessor->count = 0;
}

void lessor_free(struct lessor *lessor)
{
    if (!lessor)
        return;
    lessor_clear(lessor);
    free(lessor->table);
    free(lessor->heap);
    free(lessor);
}

/* ---- what was applied ---- */

static int64_t later(int64_t from_ns, int64_t by_ns)
{
    return from_ns > INT64_MAX - by_ns ? INT64_MAX : from_ns + by_ns;
}

static int64_t whole_time_ns(const struct lease *lease)
{
    return lease->ttl_s > LEASE_TTL_MAX_S ? INT64_MAX : lease->ttl_s * NS_PER_S;
}

static void land(struct lessor *lessor, struct lease *lease)
{
    lessor->in_flight -= lease->in_flight;
    lease->in_flight = false;
}

static void arm(struct lessor *lessor, struct lease *lease, int64_t deadline_ns)
{
    land(lessor, lease);
    heap_remove(lessor, lease);
    lease->deadline_ns = deadline_ns;
    if (lessor->is_promoted)
        heap_insert(lessor, lease);
}

static struct lease *add(struct lessor *lessor, int64_t id)
{
    struct lease *lease = mem_xzalloc(sizeof(*lease));
    lease->id = id;
    lease->place = NOT_IN_HEAP;
    if (++lessor->count > lessor->table_size)
        table_grow(lessor);
    table_insert(lessor, lease);
    return lease;
}

static void end(struct lessor *lessor, struct lease *lease)
{
    struct lease **place = bucket_of(lessor, lease->id);
    while (*place != lease)
        place = &(*place)->next;
    *place = lease->next;
    land(lessor, lease);
    heap_remove(lessor, lease);
    lessor->count--;
    free(lease);
}

void lessor_apply(struct lessor *lessor, const struct lease_change *change, int64_t now_ns)
{
    if (change->event == LEASE_NONE)
        return;
    struct lease *lease = find(lessor, change->id);
    if (change->event == LEASE_ENDED) {
        if (lease)
            end(lessor, lease);
        return;
    }
    if (!lease && change->event == LEASE_RENEWED)
        return;
    if (!lease)
        lease = add(lessor, change->id);
    lease->ttl_s = change->ttl_s;
    lease->renewed = change->renewed;
    if (MUTANT(LEASE_ENDS_RENEWED) && change->event == LEASE_RENEWED)
        now_ns = lease->deadline_ns - whole_time_ns(lease);
    arm(lessor, lease, later(now_ns, whole_time_ns(lease)));
}

/* ---- leading ---- */

static int by_deadline(const void *left, const void *right)
{
    const struct lease *a = *(struct lease *const *)left, *b = *(struct lease *const *)right;
    return is_before(a, b) ? -1 : is_before(b, a);
}

/* No more than SPREAD_RATE deadlines in any second: each is at least a second after the one that many
 * places before it. Deadlines move later only, and keep their order. */
static void spread(struct lease **leases, size_t count)
{
    for (size_t i = SPREAD_RATE; i < count; i++) {
        int64_t earliest = later(leases[i - SPREAD_RATE]->deadline_ns, NS_PER_S);
        if (leases[i]->deadline_ns < earliest)
            leases[i]->deadline_ns = earliest;
    }
}

void lessor_promote(struct lessor *lessor, int64_t now_ns, int64_t extend_ns)
{
    lessor_demote(lessor);
    struct lease **all = mem_xzalloc((lessor->count + 1) * sizeof(struct lease *));
    table_gather(lessor, all);
    for (size_t i = 0; i < lessor->count; i++)
        all[i]->deadline_ns = later(later(now_ns, whole_time_ns(all[i])), extend_ns);
    qsort(all, lessor->count, sizeof(struct lease *), by_deadline);
    spread(all, lessor->count);
    lessor->is_promoted = true;
    lessor->second_ns = now_ns;
    lessor->given = 0;
    for (size_t i = 0; i < lessor->count; i++)
        heap_insert(lessor, all[i]);
    free(all);
}

void lessor_demote(struct lessor *lessor)
{
    heap_clear(lessor);
    for (size_t i = 0; i < lessor->table_size && lessor->in_flight; i++)
        for (struct lease *lease = lessor->table[i]; lease; lease = lease->next)
            land(lessor, lease);
    lessor->is_promoted = false;
}

bool lessor_is_promoted(const struct lessor *lessor)
{
    return lessor->is_promoted;
}

int64_t lessor_next_ns(const struct lessor *lessor)
{
    if (lessor->heap_count == 0 || lessor->in_flight >= LEASE_EXPIRE_IN_FLIGHT_MAX)
        return INT64_MAX;
    int64_t due = lessor->heap[0]->deadline_ns, next_second = later(lessor->second_ns, NS_PER_S);
    return lessor->given >= LEASE_EXPIRE_RATE && due < next_second ? next_second : due;
}

bool lessor_due(struct lessor *lessor, int64_t now_ns, struct lease_change *ret)
{
    if (now_ns < lessor_next_ns(lessor))
        return false;
    if (lessor->heap_count == 0 || lessor->in_flight >= LEASE_EXPIRE_IN_FLIGHT_MAX)
        return false;                   /* at the end of time */
    if (now_ns >= later(lessor->second_ns, NS_PER_S)) {
        lessor->second_ns = now_ns;
        lessor->given = 0;
    }
    struct lease *lease = lessor->heap[0];
    heap_remove(lessor, lease);
    lease->in_flight = true;
    lessor->in_flight++;
    lessor->given++;
    *ret = (struct lease_change){LEASE_ENDED, lease->id, lease->ttl_s, lease->renewed};
    return true;
}

void lessor_put_back(struct lessor *lessor, int64_t id)
{
    struct lease *lease = find(lessor, id);
    CHECK(lease && lease->in_flight);
    lessor->given -= lessor->given > 0;     /* its second may be over */
    arm(lessor, lease, lease->deadline_ns);
}

bool lessor_remaining_ns(const struct lessor *lessor, int64_t id, int64_t now_ns, int64_t *ret)
{
    const struct lease *lease = lessor->is_promoted ? find(lessor, id) : NULL;
    if (!lease)
        return false;
    *ret = lease->deadline_ns > now_ns ? lease->deadline_ns - now_ns : 0;
    return true;
}

size_t lessor_count(const struct lessor *lessor)
{
    return lessor->count;
}

void lessor_validate(const struct lessor *lessor)
{
    size_t count = 0, in_flight = 0;
    for (size_t i = 0; i < lessor->heap_count; i++) {
        CHECK(lessor->heap[i]->place == i && !lessor->heap[i]->in_flight);
        CHECK(i == 0 || !is_before(lessor->heap[i], lessor->heap[(i - 1) / 2]));
    }
    for (size_t i = 0; i < lessor->table_size; i++) {
        for (const struct lease *lease = lessor->table[i]; lease; lease = lease->next) {
            bool in_heap = lease->place != NOT_IN_HEAP;
            CHECK(bucket_of(lessor, lease->id) == &lessor->table[i]);
            CHECK(in_heap == (lessor->is_promoted && !lease->in_flight));
            CHECK(!in_heap || lessor->heap[lease->place] == lease);
            count++;
            in_flight += lease->in_flight;
        }
    }
    CHECK(count == lessor->count && in_flight == lessor->in_flight);
    CHECK(lessor->heap_count == (lessor->is_promoted ? count - in_flight : 0));
    CHECK(lessor->in_flight <= LEASE_EXPIRE_IN_FLIGHT_MAX);
    CHECK(lessor->given <= LEASE_EXPIRE_RATE);
}
