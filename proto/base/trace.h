/* Trace: one line per decision, "subject key=value key=value". Golden tests read it, operators grep
 * it. A trace is a function pointer, so that a test collects lines, the program writes them where
 * --trace says, and nobody pays for formatting when there is none.
 *
 *     TRACE(trace, "append index=%" PRIu64 " term=%" PRIu64, index, term);
 */
#ifndef PROTO_BASE_TRACE_H
#define PROTO_BASE_TRACE_H

struct trace {
    /* line: NUL-terminated, no newline, borrowed. Called on the thread that traces. */
    void (*write)(struct trace *trace, const char *line);
};

void trace_line(struct trace *trace, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define TRACE(trace, ...)                                                                          \
    do {                                                                                           \
        if ((trace) != 0)                                                                          \
            trace_line((trace), __VA_ARGS__);                                                      \
    } while (0)

#endif
