#include "proto/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/check.h"

static const struct {
    const char *name, *text;
    enum err_kind kind;
    int posix;
    enum grpc_status grpc;
} err_table[ERR_CODE_COUNT] = {
#define ERR_ROW(name, kind, posix, grpc, text) {#name, text, ERR_KIND_##kind, posix, GRPC_##grpc},
    ERR_TABLE(ERR_ROW)
#undef ERR_ROW
};

const char *err_name(enum err_code code)
{
    CHECK((unsigned)code < ERR_CODE_COUNT);
    return err_table[code].name;
}

const char *err_text(enum err_code code)
{
    CHECK((unsigned)code < ERR_CODE_COUNT);
    return err_table[code].text;
}

enum err_kind err_kind(enum err_code code)
{
    CHECK((unsigned)code < ERR_CODE_COUNT);
    return err_table[code].kind;
}

int err_errno(enum err_code code)
{
    CHECK((unsigned)code < ERR_CODE_COUNT);
    return err_table[code].posix;
}

enum grpc_status err_grpc(enum err_code code)
{
    CHECK((unsigned)code < ERR_CODE_COUNT);
    return err_table[code].grpc;
}

enum err_code err_set(struct err *err, enum err_code code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        err->code = code;
    }
    return code;
}

static enum err_code code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case ENOENT:
        return ERR_NOT_FOUND;
    case ENOMEM:
        return ERR_NO_MEMORY;
    default:
        return ERR_IO;
    }
}

enum err_code err_set_errno(struct err *err, int errnum, const char *format, ...)
{
    enum err_code code = code_of_errno(errnum);
    if (err) {
        va_list args;
        va_start(args, format);
        int used = vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        if (used >= 0 && (size_t)used < sizeof err->text)
            snprintf(err->text + used, sizeof err->text - (size_t)used, ": %s", strerror(errnum));
        err->code = code;
    }
    return code;
}

enum err_code err_wrap(struct err *err, enum err_code code, const char *format, ...)
{
    if (!err)
        return code;
    struct err inner = *err;
    va_list args;
    va_start(args, format);
    int used = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof err->text)
        snprintf(err->text + used, sizeof err->text - (size_t)used, ": %.*s",
                 (int)(sizeof err->text - (size_t)used), inner.text);
    err->code = code;
    return code;
}
