/* Tokens: who may write the log, and who the store, now. Waking another thread is the dearest thing a
 * member does, so the loop does a flush or an apply by itself when it is alone with it; it hands over
 * when anything else waits, or when the last one was slow.
 *
 * A token is held by at most one: the loop (inline work) or the lane's job. Loop thread only. */
#ifndef CLUSTER_TOKEN_H
#define CLUSTER_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/check.h"
#include "proto/base/limits.h"

#define TOKEN_MEMORY_NS 1000000000LL    /* how long one slow piece of inline work is remembered */

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

/* Whether the loop may do this piece itself: nothing else is waiting, it is small, and inline work was
 * quick during the last second. */
static inline bool token_may_inline(const struct token *token, int64_t now_ns, size_t waiting,
                                    size_t bytes)
{
    return !token->held && waiting <= 1 && bytes <= INLINE_FLUSH_BYTES_MAX &&
           now_ns >= token->slow_until_ns;
}

static inline void token_took(struct token *token, int64_t now_ns, int64_t took_ns)
{
    if (took_ns > INLINE_SLOW_NS)
        token->slow_until_ns = now_ns + TOKEN_MEMORY_NS;
}

#endif
