/* Where a member listens, as a text ("host:port", "[v6]:port") and as the system has it. Pure: asks
 * nobody; a host that is no number is left to whoever resolves names.
 */
#ifndef CLUSTER_NET_ADDRESS_H
#define CLUSTER_NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proto/base/err.h"

#define NET_HOST_SIZE_MAX 253           /* a name of DNS */
#define NET_ADDRESS_TEXT_SIZE 80        /* a number with scope, brackets and port */

struct net_address {
    char host[NET_HOST_SIZE_MAX + 1];   /* without brackets */
    uint16_t port;
};

union net_sockaddr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* INVALID: no host, no port or one that is no number up to 65535, a host that cannot be one, a
 * number of IPv6 without brackets; the text says which. Port 0 is let through. */
enum err_code net_address_parse(const char *text, struct net_address *ret,
                                struct err *err) MUST_USE;
/* True when the host is a number of IPv4 or IPv6 (with a scope, "%eth0", maybe). */
bool net_address_number(const struct net_address *address, union net_sockaddr *ret);

socklen_t net_sockaddr_size(const union net_sockaddr *address);
uint16_t net_sockaddr_port(const union net_sockaddr *address);
void net_sockaddr_set_port(union net_sockaddr *address, uint16_t port);
/* "1.2.3.4:80", "[::1]:80"; IPv4 inside IPv6 as IPv4. */
void net_sockaddr_format(const union net_sockaddr *address, char ret[NET_ADDRESS_TEXT_SIZE]);

#endif
