/* CHECK is for our own mistakes: it stays on in releases and costs little. VERIFY walks structures
 * and is compiled in with --enable-debug only. Input from disk, network, kernel or command line is
 * never CHECKed but refused. */
#ifndef PROTO_BASE_CHECK_H
#define PROTO_BASE_CHECK_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

/* Prints file, line, function and the fact that does not hold, then aborts. */
_Noreturn void check_failed(const char *file, int line, const char *function, const char *fact);

#define CHECK(fact)                                                                                \
    do {                                                                                           \
        if (__builtin_expect(!(fact), 0))                                                          \
            check_failed(__FILE__, __LINE__, __func__, #fact);                                     \
    } while (0)

#ifdef CONCORD_VERIFY
#define VERIFY(call) call
#else
#define VERIFY(call) ((void)0)
#endif

/* The struct that holds this member. */
#define container_of(pointer, type, member) \
    ((type *)((char *)(pointer)-__builtin_offsetof(type, member)))

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
