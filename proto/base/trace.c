#include "proto/base/trace.h"

#include <stdarg.h>
#include <stdio.h>

void trace_line(struct trace *trace, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    trace->write(trace, line);
}
