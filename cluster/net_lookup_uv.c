/* Names. A look-up cannot be ended once a thread of the pool is at it, and a resolver that does not
 * answer takes many times what a stream waits. So a look-up outlives those who wait for it, and
 * whoever asks for the same name meanwhile joins it: names that hang hold one thread each, however
 * often they are asked for.
 *
 * A resolver that first asks a dead server answers after 5 s, each time. An answer that nobody
 * waits for is therefore kept for the next who asks. */
#include <stdlib.h>
#include <string.h>

#include "cluster/net_internal_uv.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"

struct answer {
    struct list link;                   /* in net->answers, the oldest first */
    uint64_t came_ms;
    union net_sockaddr places[NET_PLACES_MAX];
    size_t count;
    char host[NET_HOST_SIZE_MAX + 1];
};

struct net_lookup {
    uv_getaddrinfo_t request;
    struct net_uv *net;
    struct list link;
    struct list waiting;                /* net_lookup_wait */
    char host[NET_HOST_SIZE_MAX + 1];
};

static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

static int collect(const struct addrinfo *from, union net_sockaddr ret[NET_PLACES_MAX],
                   size_t *ret_count)
{
    size_t count = 0;
    for (; from && count < NET_PLACES_MAX; from = from->ai_next) {
        if (from->ai_family != AF_INET && from->ai_family != AF_INET6)
            continue;
        memset(&ret[count], 0, sizeof(ret[count]));
        memcpy(&ret[count++], from->ai_addr, from->ai_addrlen);
    }
    *ret_count = count;
    return count ? 0 : UV_EAI_NODATA;
}

/* ---- answers that came too late ---- */

static void answer_free(struct answer *answer)
{
    list_remove(&answer->link);
    free(answer);
}

static void forget_old(struct net_uv *net)
{
    while (!list_is_empty(&net->answers)) {
        struct answer *answer = container_of(net->answers.next, struct answer, link);
        if (uv_now(net->loop) - answer->came_ms <= NET_LATE_ANSWER_MAX_MS)
            return;
        answer_free(answer);
    }
}

void net_lookup_forget_all(struct net_uv *net)
{
    LIST_FOR_EACH_SAFE(link, &net->answers)
        answer_free(container_of(link, struct answer, link));
}

static void keep(const struct net_lookup *lookup, const union net_sockaddr *places, size_t count)
{
    struct answer *answer = mem_xzalloc(sizeof(*answer));
    answer->came_ms = uv_now(lookup->net->loop);
    memcpy(answer->places, places, count * sizeof(*places));
    answer->count = count;
    memcpy(answer->host, lookup->host, sizeof(answer->host));
    list_push_back(&lookup->net->answers, &answer->link);
}

bool net_lookup_take(struct net_uv *net, const char *host, union net_sockaddr ret[NET_PLACES_MAX],
                     size_t *ret_count)
{
    forget_old(net);
    LIST_FOR_EACH(link, &net->answers) {
        struct answer *answer = container_of(link, struct answer, link);
        if (strcmp(answer->host, host) != 0)
            continue;
        memcpy(ret, answer->places, answer->count * sizeof(*ret));
        *ret_count = answer->count;
        answer_free(answer);
        return true;
    }
    return false;
}

/* ---- asking ---- */

static void on_done(uv_getaddrinfo_t *request, int error, struct addrinfo *found)
{
    struct net_lookup *lookup = container_of(request, struct net_lookup, request);
    struct net_uv *net = lookup->net;
    union net_sockaddr places[NET_PLACES_MAX];
    size_t count = 0;
    if (!error)
        error = collect(found, places, &count);
    uv_freeaddrinfo(found);
    list_remove(&lookup->link);
    forget_old(net);
    if (!error && list_is_empty(&lookup->waiting) && !net->is_closing)
        keep(lookup, places, count);
    for (struct list *link; (link = list_pop_front(&lookup->waiting));) {
        struct net_lookup_wait *wait = container_of(link, struct net_lookup_wait, link);
        wait->lookup = NULL;
        wait->done(wait, error, places, count);
    }
    free(lookup);
    net_uv_drop(net);
}

static struct net_lookup *find(struct net_uv *net, const char *host)
{
    LIST_FOR_EACH(link, &net->lookups) {
        struct net_lookup *lookup = container_of(link, struct net_lookup, link);
        if (strcmp(lookup->host, host) == 0)
            return lookup;
    }
    return NULL;
}

int net_lookup(struct net_uv *net, const char *host, struct net_lookup_wait *wait)
{
    struct net_lookup *lookup = find(net, host);
    if (!lookup) {
        lookup = mem_xzalloc(sizeof(*lookup));
        memcpy(lookup->host, host, strlen(host) + 1);
        int error = uv_getaddrinfo(net->loop, &lookup->request, on_done, host, NULL, &hints);
        if (error) {
            free(lookup);
            return error;
        }
        lookup->net = net;
        list_init(&lookup->waiting);
        list_push_back(&net->lookups, &lookup->link);
        net->open_count++;
    }
    wait->lookup = lookup;
    list_push_back(&lookup->waiting, &wait->link);
    return 0;
}

void net_lookup_cancel(struct net_lookup_wait *wait)
{
    struct net_lookup *lookup = wait->lookup;
    if (!lookup)
        return;
    wait->lookup = NULL;
    list_remove(&wait->link);
    if (!list_is_empty(&lookup->waiting))
        return;
    /* Nobody may join one that ends without an answer. */
    if (uv_cancel((uv_req_t *)&lookup->request) == 0)
        list_remove(&lookup->link);
}

int net_lookup_now(struct net_uv *net, const char *host, union net_sockaddr ret[NET_PLACES_MAX],
                   size_t *ret_count)
{
    uv_getaddrinfo_t request;
    int error = uv_getaddrinfo(net->loop, &request, NULL, host, NULL, &hints);
    if (error)
        return error;
    error = collect(request.addrinfo, ret, ret_count);
    uv_freeaddrinfo(request.addrinfo);
    return error;
}
