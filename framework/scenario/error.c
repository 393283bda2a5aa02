/* The two functions of error.h. They are here because every other part links this one. */
#include <stdarg.h>
#include <stdio.h>
#include "hanglab/error.h"

enum hl_status hl_fail(struct hl_error *err, enum hl_status status, const char *format, ...)
{
    if (!err)
        return status;
    err->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return status;
}

int hl_status_exit_code(enum hl_status status)
{
    switch (status) {
#define X(id, code, doc) \
    case HL_STATUS_##id: return code;
        HL_STATUSES(X)
#undef X
    }
    return 99;
}
