/* What sim_net.c (the door and time) and sim_net_faults.c (links, tricks on what is written)
 * share. */
#ifndef TESTS_SIM_SIM_NET_INTERNAL_H
#define TESTS_SIM_SIM_NET_INTERNAL_H

#include "proto/base/list.h"
#include "tests/sim/sim_net.h"

#define SIM_NET_HOSTS_MAX 64

struct sim_host {
    struct net door;
    struct sim_net *sim;
    uint64_t id;
    size_t place;               /* in sim->hosts, and in the links */
    struct list listeners;
    bool dark;                  /* crashed in silence and not listening again: answers nothing */
};

struct net_listener {
    struct list link;           /* of the host's listeners */
    struct sim_host *host;
    char *address;
    struct net_acceptor acceptor;
};

struct sim_link {
    bool cut;
    int64_t since_ns;           /* of the cut */
    int64_t period_ns;          /* of flapping; 0: it does not */
    int64_t next_ns;
    struct buf again;           /* a frame that will come once more */
};

/* Addresses that anybody has listened at: a connect knows which link it takes. */
struct sim_address {
    struct list link;
    struct sim_host *host;
    char *text;
};

enum piece_kind { PIECE_SYN, PIECE_ACK, PIECE_DATA, PIECE_FIN, PIECE_RESET };

struct piece {
    struct list link;           /* of the stream that wrote it */
    enum piece_kind kind;
    int64_t due_ns;
    struct buf bytes;
};

enum stream_state {
    STREAM_CONNECTING,
    STREAM_CONNECTED,
    STREAM_LINGERING,           /* its owner closed it, or is dead */
};

/* One end. */
struct net_stream {
    struct list link;           /* of sim->streams, in order of making */
    struct sim_host *host, *far;        /* far: NULL when the address is nobody's */
    struct net_stream *other;   /* NULL: not accepted yet, or gone */
    struct net_handler handler; /* events NULL: the owner is dead */
    char *address;
    enum stream_state state;
    struct list pieces;         /* written by this end and not yet there */
    size_t under_way;           /* bytes of them */
    bool full;                  /* unsent was above 0: drained is owed */
    int64_t last_due_ns;
    int64_t made_ns;
    int64_t silent_ns;          /* since when the other side is dead and nobody told; 0: not so */
    int64_t linger_ns;          /* LINGERING: how long at most */
    struct buf held;            /* a frame that waits for the next, to leave behind it */
    struct {                    /* how it will end */
        bool is_due;
        int64_t due_ns;
        bool over_link;         /* the news comes from far, if the link lets it */
        struct err why;
    } end;
};

struct sim_net {
    struct rand rand;
    int64_t now_ns;
    struct sim_host *hosts[SIM_NET_HOSTS_MAX];
    size_t host_count;
    struct sim_link links[SIM_NET_HOSTS_MAX][SIM_NET_HOSTS_MAX];        /* from, to */
    struct list streams, addresses;
    struct sim_net_faults faults;
    sim_net_measure measure;
    sim_net_tap tap;
    void *tap_context;
    struct sim_net_counters counters;
};

/* sim_net.c */
struct sim_host *sim_net_host_of(struct sim_net *sim, uint64_t id);
/* The stream will end; an end that is due already stays. */
void sim_net_end(struct net_stream *stream, int64_t due_ns, bool over_link, enum err_code code,
                 const char *text);
int64_t sim_net_delay(struct sim_net *sim);

/* sim_net_faults.c */
bool sim_net_link_is_cut(const struct sim_net *sim, const struct sim_host *from,
                         const struct sim_host *to);
/* Since when either direction between them is cut; INT64_MAX: neither is. */
int64_t sim_net_cut_since(const struct sim_net *sim, const struct sim_host *a,
                          const struct sim_host *b);
/* Loses, doubles and swaps whole frames of what is about to be written, and flips bits. */
void sim_net_spoil(struct net_stream *stream, struct buf *bytes);
int64_t sim_net_next_flap_ns(const struct sim_net *sim);
void sim_net_flap_due(struct sim_net *sim);

#endif
