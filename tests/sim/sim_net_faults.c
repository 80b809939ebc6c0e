/* Links that are cut and flap, and what happens to bytes as they are written. */
#include "tests/sim/sim_net_internal.h"

#include "proto/base/check.h"

static bool chance(struct sim_net *sim, unsigned of_1000)
{
    return of_1000 && rand_chance(&sim->rand, of_1000, 1000);
}

/* --- links ------------------------------------------------------------------------------------ */

bool sim_net_link_is_cut(const struct sim_net *sim, const struct sim_host *from,
                         const struct sim_host *to)
{
    return from && to && sim->links[from->place][to->place].cut;
}

int64_t sim_net_cut_since(const struct sim_net *sim, const struct sim_host *a,
                          const struct sim_host *b)
{
    int64_t since = INT64_MAX;
    if (!a || !b)
        return since;
    const struct sim_link *there = &sim->links[a->place][b->place];
    const struct sim_link *back = &sim->links[b->place][a->place];
    if (there->cut)
        since = there->since_ns;
    if (back->cut && back->since_ns < since)
        since = back->since_ns;
    return since;
}

static void link_set(struct sim_net *sim, struct sim_link *link, bool cut)
{
    if (link->cut == cut)
        return;
    link->cut = cut;
    link->since_ns = sim->now_ns;
    sim->counters.cuts += cut;
}

/* Calls visit for each link that (from, to) means. */
static void for_links(struct sim_net *sim, uint64_t from, uint64_t to,
                      void (*visit)(struct sim_net *sim, struct sim_link *link, int64_t argument),
                      int64_t argument)
{
    if (from)
        sim_net_host_of(sim, from);
    if (to)
        sim_net_host_of(sim, to);
    for (size_t i = 0; i < sim->host_count; i++)
        for (size_t j = 0; j < sim->host_count; j++)
            if (i != j && (!from || sim->hosts[i]->id == from) &&
                (!to || sim->hosts[j]->id == to))
                visit(sim, &sim->links[i][j], argument);
}

static void visit_cut(struct sim_net *sim, struct sim_link *link, int64_t cut)
{
    link->period_ns = 0;
    link_set(sim, link, cut != 0);
}

static void visit_flap(struct sim_net *sim, struct sim_link *link, int64_t period_ns)
{
    link->period_ns = period_ns;
    link->next_ns = sim->now_ns + period_ns;
    link_set(sim, link, true);
}

void sim_net_cut(struct sim_net *sim, uint64_t from, uint64_t to)
{
    for_links(sim, from, to, visit_cut, true);
}

void sim_net_mend(struct sim_net *sim, uint64_t from, uint64_t to)
{
    for_links(sim, from, to, visit_cut, false);
}

void sim_net_mend_all(struct sim_net *sim)
{
    sim_net_mend(sim, 0, 0);
}

void sim_net_flap(struct sim_net *sim, uint64_t from, uint64_t to, int64_t period_ns)
{
    CHECK(period_ns > 0);
    for_links(sim, from, to, visit_flap, period_ns);
}

void sim_net_split(struct sim_net *sim, uint64_t side)
{
    for (size_t i = 0; i < sim->host_count; i++) {
        for (size_t j = 0; j < sim->host_count; j++) {
            uint64_t from = sim->hosts[i]->id, to = sim->hosts[j]->id;
            CHECK(from < 64);
            if ((side >> from & 1) != (side >> to & 1))
                visit_cut(sim, &sim->links[i][j], true);
        }
    }
}

bool sim_net_is_cut(const struct sim_net *sim, uint64_t from, uint64_t to)
{
    for (size_t i = 0; i < sim->host_count; i++)
        for (size_t j = 0; j < sim->host_count; j++)
            if (sim->hosts[i]->id == from && sim->hosts[j]->id == to)
                return sim->links[i][j].cut;
    return false;
}

int64_t sim_net_next_flap_ns(const struct sim_net *sim)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < sim->host_count; i++)
        for (size_t j = 0; j < sim->host_count; j++) {
            const struct sim_link *link = &sim->links[i][j];
            if (link->period_ns && link->next_ns < next)
                next = link->next_ns;
        }
    return next;
}

void sim_net_flap_due(struct sim_net *sim)
{
    for (size_t i = 0; i < sim->host_count; i++)
        for (size_t j = 0; j < sim->host_count; j++) {
            struct sim_link *link = &sim->links[i][j];
            if (!link->period_ns || link->next_ns > sim->now_ns)
                continue;
            sim->counters.flaps++;
            link_set(sim, link, !link->cut);
            link->next_ns = sim->now_ns + link->period_ns;
        }
}

/* --- what is written -------------------------------------------------------------------------- */

static void append_held(struct net_stream *stream, struct buf *to)
{
    buf_append(to, buf_bytes(&stream->held));
    buf_clear(&stream->held);
}

/* A frame of before comes once more, and one is kept for that. */
static void come_again(struct net_stream *stream, struct bytes frame, struct buf *to)
{
    struct sim_net *sim = stream->host->sim;
    if (!stream->far)
        return;
    struct buf *again = &sim->links[stream->host->place][stream->far->place].again;
    if (again->size && chance(sim, sim->faults.frame_again)) {
        buf_append(to, buf_bytes(again));
        buf_clear(again);
        sim->counters.frames_again++;
    }
    if (again->size == 0 && chance(sim, sim->faults.frame_again))
        buf_append(again, frame);
}

/* One frame that may be touched. A frame that is held back leaves behind the next one. */
static void trick(struct net_stream *stream, struct bytes frame, struct buf *to)
{
    struct sim_net *sim = stream->host->sim;
    if (chance(sim, sim->faults.frame_lost)) {
        sim->counters.frames_lost++;
        return;
    }
    if (stream->held.size == 0 && chance(sim, sim->faults.frame_swapped)) {
        buf_append(&stream->held, frame);
        return;
    }
    buf_append(to, frame);
    if (stream->held.size) {
        append_held(stream, to);
        sim->counters.frames_swapped++;
    }
    if (chance(sim, sim->faults.frame_doubled)) {
        buf_append(to, frame);
        sim->counters.frames_doubled++;
    }
    come_again(stream, frame, to);
}

static void trick_frames(struct net_stream *stream, struct buf *bytes)
{
    struct sim_net *sim = stream->host->sim;
    struct buf out = {0};
    struct bytes rest = buf_bytes(bytes);
    while (rest.size) {
        size_t size;
        bool may = sim->measure(rest, &size);
        if (size == 0)
            size = rest.size;
        if (may)
            trick(stream, bytes_of(rest.data, size), &out);
        else
            buf_append(&out, bytes_of(rest.data, size));
        rest = bytes_skip(rest, size);
    }
    buf_release(bytes);
    *bytes = out;
}

void sim_net_spoil(struct net_stream *stream, struct buf *bytes)
{
    struct sim_net *sim = stream->host->sim;
    const struct sim_net_faults *faults = &sim->faults;
    bool tricks = faults->frame_lost || faults->frame_doubled || faults->frame_swapped ||
                  faults->frame_again;
    if (sim->measure && (tricks || stream->held.size))
        trick_frames(stream, bytes);
    if (bytes->size && chance(sim, faults->corrupt)) {
        bytes->data[rand_below(&sim->rand, bytes->size)] ^=
            (uint8_t)(1u << rand_below(&sim->rand, 8));
        sim->counters.corruptions++;
    }
}
