/* The net (cluster/net.h) on TCP over libuv.
 *
 * Listening: "0.0.0.0:port" is every address of IPv4, "[::]:port" every address at all; a name, or
 * a number that is this host's, is that alone. A name that is listened at is resolved in the call,
 * which waits for that; all of its addresses that this host has are taken. Port 0 is one that is
 * free: net_uv_port. Nobody is accepted into the last NET_DESCRIPTORS_RESERVED descriptors of the
 * process: who comes then is closed, and the others wait NET_ACCEPT_PAUSE_MS in the kernel.
 *
 * Connecting: numbers at once; names are resolved on libuv's thread pool (which has no threads
 * before the first name), no more than one look-up per name at a time; an answer that comes when
 * nobody waits any more is for the next who asks. The addresses are tried in the order of the
 * answer: the last has NET_SILENCE_MAX_MS, those before it share NET_CONNECT_TURNS_MS, so that a
 * silent one does not hide the next.
 *
 * The end of a stream: net_close sends what is unsent, ends this direction and reads into nothing
 * until the other side ends too, or NET_LINGER_MAX_MS: a socket closed with bytes in it would take
 * back what was last said. On net_close before the stream is connected it still connects if there
 * is something to send, and without connected. A write that fails ends the stream after what
 * arrived before: a refusal that the other side sent before it closed is read.
 *
 * Cost, counted. A frame written: one write(2), no allocation, no copy. When the system does not
 * take all of it: one allocation, one write(2) that finds no room, and one each time there is some
 * again. A frame read: one read(2) and one epoll_wait(2) for everything that arrived at once, with
 * no copy; up to 64 KiB in the net's buffer, or up to the owner's room. A read that fills its
 * place is repeated at once, so that a frame of 1 MiB without a room is 16 reads. A stream: nine
 * system calls to be accepted, ten to be connected, five to end.
 */
#ifndef CLUSTER_NET_UV_H
#define CLUSTER_NET_UV_H

#include "cluster/net.h"

struct uv_loop_s;

struct net_uv_options {
    int silence_ms;             /* 0: NET_SILENCE_MAX_MS. Keep-alive counts in whole seconds */
    int linger_ms;              /* 0: NET_LINGER_MAX_MS */
};

/* The loop is borrowed until closed; its thread is the calling one. options may be NULL. A process
 * that has not said what to do on SIGPIPE ignores it from here on. */
struct net *net_uv_new(struct uv_loop_s *loop, const struct net_uv_options *options);
/* Closes every listener, and every stream as net_close does. closed runs once, on the loop, when
 * the last stream had its own closed and no look-up of a name is under way; the net is freed
 * before it. Until then net_listen and net_connect answer CLOSING. May be called from inside a
 * callback. */
void net_uv_close(struct net *net, void (*closed)(void *context), void *context);
/* Where a listener listens; what port 0 became. */
uint16_t net_uv_port(const struct net_listener *listener);

#endif
