/* Tokens: who may write the log, and who the store, now. Waking another thread is the dearest thing a
 * member does, so the loop does a flush or an apply by itself when it is alone with it; it hands over
 * when anything else waits, or when the last one was slow: then for so long that slow work takes at most
 * one part in INLINE_SLOW_REST of the loop's time. A disk that is slow now and then keeps the quick way,
 * one that is slow always loses it.
 *
 * A token is held by at most one: the loop (inline work) or the lane's job. Loop thread only. */
#ifndef CLUSTER_TOKEN_H
#define CLUSTER_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/check.h"
#include "proto/base/limits.h"

#define INLINE_SLOW_REST 16             /* no inline work for so many times what a slow piece took */
#define INLINE_SLOW_REST_MAX_NS NS_PER_S

struct token {
    bool held;
    int64_t slow_until_ns;      /* no inline work before that */
};

static inline void token_take(struct token *token)
{
    CHECK(!token->held);
    token->held = true;
}

static inline void token_give(struct token *token)
{
    CHECK(token->held);
    token->held = false;
}

/* Whether the loop may do this piece itself: nothing else is waiting, it is small, and no slow one was
 * done shortly before. */
static inline bool token_may_inline(const struct token *token, int64_t now_ns, size_t waiting,
                                    size_t bytes)
{
    return !token->held && waiting <= 1 && bytes <= INLINE_FLUSH_BYTES_MAX &&
           now_ns >= token->slow_until_ns;
}

static inline void token_took(struct token *token, int64_t now_ns, int64_t took_ns)
{
    if (took_ns <= INLINE_SLOW_NS)
        return;
    bool is_long = took_ns > INLINE_SLOW_REST_MAX_NS / INLINE_SLOW_REST;
    token->slow_until_ns = now_ns + (is_long ? INLINE_SLOW_REST_MAX_NS : took_ns * INLINE_SLOW_REST);
}

#endif
