#include "cluster/net_address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"

/* ---- text ---- */

static bool parse_port(const char *text, uint16_t *ret)
{
    unsigned long port = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        port = port * 10 + (unsigned long)(*text - '0');
        if (port > UINT16_MAX)
            return false;
    }
    *ret = (uint16_t)port;
    return true;
}

/* Which of these is a name is for the resolver to say; none of what is refused here is. */
static bool host_is_plausible(const char *host, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)host[i];
        if (byte <= ' ' || byte == 0x7f || strchr("[]/@:%\"'\\", byte))
            return false;
    }
    return size > 0 && size <= NET_HOST_SIZE_MAX;
}

/* The parts of host and port within text. NULL: fine; else what is wrong. */
static const char *split(const char *text, const char **ret_host, size_t *ret_size,
                         const char **ret_port)
{
    const char *colon = strrchr(text, ':');
    if (*text == '[') {
        const char *bracket = strchr(text, ']');
        if (!bracket || bracket[1] != ':')
            return "\"[\" without \"]:port\"";
        *ret_host = text + 1;
        *ret_size = (size_t)(bracket - text) - 1;
        *ret_port = bracket + 2;
        return NULL;
    }
    if (!colon)
        return "no port";
    if (strchr(text, ':') != colon)
        return "an address of IPv6 stands in brackets, as \"[::1]:80\"";
    *ret_host = text;
    *ret_size = (size_t)(colon - text);
    *ret_port = colon + 1;
    return NULL;
}

enum err_code net_address_parse(const char *text, struct net_address *ret, struct err *err)
{
    const char *host, *port;
    size_t size;
    struct net_address address = {0};
    union net_sockaddr number;
    bool bracketed = *text == '[';
    const char *wrong = split(text, &host, &size, &port);
    if (!wrong && !parse_port(port, &address.port))
        wrong = "the port is no number up to 65535";
    if (!wrong && size == 0)
        wrong = "no host";
    if (!wrong && (size > NET_HOST_SIZE_MAX || (!bracketed && !host_is_plausible(host, size))))
        wrong = "the host cannot be one";
    if (!wrong) {
        memcpy(address.host, host, size);
        if (bracketed &&
            (!net_address_number(&address, &number) || number.any.sa_family != AF_INET6))
            wrong = "no number of IPv6 stands in the brackets";
    }
    if (wrong)
        return err_set(err, ERR_INVALID, "\"%s\" is not an address: %s", text, wrong);
    *ret = address;
    return ERR_OK;
}

/* ---- numbers ---- */

/* The number of an interface, by name or as it is; 0: there is none. */
static uint32_t parse_scope(const char *text)
{
    char *end;
    unsigned index = if_nametoindex(text);
    if (index)
        return index;
    unsigned long number = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && number <= UINT32_MAX ? (uint32_t)number : 0;
}

bool net_address_number(const struct net_address *address, union net_sockaddr *ret)
{
    union net_sockaddr number = {.v4 = {.sin_family = AF_INET}};
    char host[NET_HOST_SIZE_MAX + 1];
    if (inet_pton(AF_INET, address->host, &number.v4.sin_addr) == 1) {
        number.v4.sin_port = htons(address->port);
        *ret = number;
        return true;
    }
    memcpy(host, address->host, sizeof(host));
    char *scope = strchr(host, '%');
    if (scope)
        *scope++ = '\0';
    number = (union net_sockaddr){.v6 = {.sin6_family = AF_INET6}};
    if (inet_pton(AF_INET6, host, &number.v6.sin6_addr) != 1 ||
        (scope && !(number.v6.sin6_scope_id = parse_scope(scope))))
        return false;
    number.v6.sin6_port = htons(address->port);
    *ret = number;
    return true;
}

socklen_t net_sockaddr_size(const union net_sockaddr *address)
{
    return address->any.sa_family == AF_INET6 ? sizeof(address->v6) : sizeof(address->v4);
}

uint16_t net_sockaddr_port(const union net_sockaddr *address)
{
    return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port
                                                    : address->v4.sin_port);
}

void net_sockaddr_set_port(union net_sockaddr *address, uint16_t port)
{
    if (address->any.sa_family == AF_INET6)
        address->v6.sin6_port = htons(port);
    else
        address->v4.sin_port = htons(port);
}

void net_sockaddr_format(const union net_sockaddr *address, char ret[NET_ADDRESS_TEXT_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "?", scope[16] = "";
    unsigned port = net_sockaddr_port(address);
    const struct in6_addr *v6 = &address->v6.sin6_addr;
    if (address->any.sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(v6)) {
        inet_ntop(AF_INET6, v6, host, sizeof(host));
        if (address->v6.sin6_scope_id)
            snprintf(scope, sizeof(scope), "%%%u", address->v6.sin6_scope_id);
        snprintf(ret, NET_ADDRESS_TEXT_SIZE, "[%s%s]:%u", host, scope, port);
        return;
    }
    inet_ntop(AF_INET,
              address->any.sa_family == AF_INET6 ? (const void *)&v6->s6_addr[12]
                                                 : (const void *)&address->v4.sin_addr,
              host, sizeof(host));
    snprintf(ret, NET_ADDRESS_TEXT_SIZE, "%s:%u", host, port);
}
