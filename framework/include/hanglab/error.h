/* Errors: one enum, and a message that says where it went wrong and what to do. */
#pragma once
#include "api.h"

/* X(ID, exit code of the command, doc) */
#define HL_STATUSES(X) \
    X(OK, 0, "no error") \
    X(USAGE, 64, "wrong command line, or a scenario that cannot be run") \
    X(NO_GPU, 77, "asked for a GPU and there is none") \
    X(IO, 99, "a file could not be read or written") \
    X(MEMORY, 99, "out of memory") \
    X(INTERNAL, 99, "hanglab's own failure")

enum hl_status {
#define X(id, code, doc) HL_STATUS_##id,
    HL_STATUSES(X)
#undef X
};

struct hl_error {
    enum hl_status status;
    char message[2048]; /* no trailing newline; may have several lines */
};

/* Fills *err (which may be NULL) and returns `status`, so that a caller writes `return hl_fail(...)`. */
HL_API enum hl_status hl_fail(struct hl_error *err, enum hl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Exit code of the command for a status. */
HL_API int hl_status_exit_code(enum hl_status status);
