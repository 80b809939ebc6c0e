/* A net in memory behind the door cluster/net.h: any number of hosts in one process, their streams,
 * and everything that goes wrong between them. Time is a number that the caller moves; chance comes
 * from one seed. Equal seeds and equal calls give equal runs.
 *
 *     struct sim_net *sim = sim_net_new(seed);
 *     struct net *a = sim_net_host(sim, 1), *b = sim_net_host(sim, 2);     a door for each member
 *     ...
 *     int64_t next = sim_net_next_ns(sim);         when something happens
 *     sim_net_advance(sim, next);                  it happens: callbacks run, and nowhere else
 *
 * Two levels of faults.
 * STREAMS behave as TCP does at its worst: bytes come late, in pieces cut anywhere, or not at all,
 * and then the stream ends (a reset after silence); altered bytes pass TCP's weak sum at times.
 * They are never lost or reordered in the middle of a stream. FRAMES: what raft must bear (messages
 * lost, doubled, out of order) cannot happen within a stream, so it is done to whole frames, as
 * they are written and before they become bytes of the stream. A hook, sim_net_on_frames, tells
 * where they end and which may be touched; cluster/frame.h's frame_measure fits: it says that
 * frames of messages may be, and nothing before or beside them.
 *
 * What is written between two advances is written at the time of the first.
 *
 * A link is one direction between two hosts. A cut link holds bytes back (it does not lose them); a
 * connect over it, or bytes held for NET_SILENCE_MAX_MS, fail as on a silent net: both ends are
 * told, each when its own link lets it know or its own silence is over.
 *
 * One thread at a time.
 */
#ifndef TESTS_SIM_SIM_NET_H
#define TESTS_SIM_SIM_NET_H

#include "cluster/net.h"
#include "proto/base/rand.h"

struct sim_net;

/* What is drawn; chances are of 1000, for each thing written unless it says otherwise. All zero but
 * the delays is a good net. */
struct sim_net_faults {
    int64_t delay_min_ns, delay_max_ns;     /* of each piece; order within a stream stays */
    unsigned late;                          /* a piece takes up to late_ns more, as all behind it */
    int64_t late_ns;
    unsigned fragment;                      /* cut in two or more at any byte */
    unsigned reset;                         /* the stream ends for both sides, here and now */
    unsigned corrupt;                       /* a bit of what is written flips */
    unsigned refuse;                        /* a connect fails */
    unsigned frame_lost, frame_doubled;     /* whole frames */
    unsigned frame_swapped;                 /* with the next */
    unsigned frame_again;                   /* comes once more, behind a later one over the same link,
                                               on whichever stream */
    unsigned silent;                        /* of a crash: nobody is told, silence must tell */
    size_t unsent_bytes;                    /* what the system takes of a stream before it is read;
                                               0: everything */
};

/* How often each happened. */
struct sim_net_counters {
    uint64_t connects, streams_closed, pieces, bytes;
    uint64_t late, fragments, resets, corruptions, refusals;
    uint64_t frames_lost, frames_doubled, frames_swapped, frames_again;
    uint64_t cuts, held, silences, flaps, crashes_reset, crashes_silent;
};

/* ---- life ---- */

struct sim_net *sim_net_new(uint64_t seed);
void sim_net_free(struct sim_net *sim);     /* no callbacks; NULL is fine */
/* The door of a host; made at the first call. Lives until sim_net_free. */
struct net *sim_net_host(struct sim_net *sim, uint64_t host);

/* ---- faults ---- */

void sim_net_set_faults(struct sim_net *sim, const struct sim_net_faults *faults);
/* size: bytes of the first frame in from, 0 when it is not whole. Returns whether it may be lost,
 * doubled or swapped. NULL: no faults of frames. */
typedef bool (*sim_net_measure)(struct bytes from, size_t *ret_size);
void sim_net_on_frames(struct sim_net *sim, sim_net_measure measure);
/* Told of what a host writes, before anything happens to it. NULL: nobody is. */
typedef void (*sim_net_tap)(void *context, uint64_t host, struct bytes from);
void sim_net_on_written(struct sim_net *sim, sim_net_tap tap, void *context);

/* One direction; both: call twice. Host 0 is any. */
void sim_net_cut(struct sim_net *sim, uint64_t from, uint64_t to);
void sim_net_mend(struct sim_net *sim, uint64_t from, uint64_t to);
void sim_net_mend_all(struct sim_net *sim);             /* cuts and flapping */
/* Cuts every link between the hosts with a bit set in side (bit n: host n, 1 to 63) and the
 * others. */
void sim_net_split(struct sim_net *sim, uint64_t side);
bool sim_net_is_cut(const struct sim_net *sim, uint64_t from, uint64_t to);
/* Cuts and mends that link, each for period_ns, until mended. */
void sim_net_flap(struct sim_net *sim, uint64_t from, uint64_t to, int64_t period_ns);
/* Every stream between the two ends for both sides. Host 0 is any. */
void sim_net_reset(struct sim_net *sim, uint64_t a, uint64_t b);
/* The host's process dies: its streams and listeners vanish without a callback to it. The others
 * get what it had written and a reset, or nothing and silence (drawn), until it listens again. Its
 * door may be used again at once. Not from inside a callback. */
void sim_net_crash(struct sim_net *sim, uint64_t host);

/* ---- time ---- */

/* When something is due; INT64_MAX: nothing is under way. */
int64_t sim_net_next_ns(const struct sim_net *sim);
/* Everything due up to now_ns happens, in order, callbacks included. Returns how many things
 * did. */
size_t sim_net_advance(struct sim_net *sim, int64_t now_ns);

/* ---- looking in ---- */

const struct sim_net_counters *sim_net_counters(const struct sim_net *sim);
/* Open ends of that host; 0: of all. */
size_t sim_net_streams(const struct sim_net *sim, uint64_t host);

#endif
