/* Diagnostics: all mistakes of one file, each with its place, the line and a caret, what was expected and
 * the nearest valid word. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "hanglab/error.h"

struct hl_diagnostics {
    const char *name; /* of the file */
    const char *text;
    size_t size;
    struct hl_error *error; /* may be NULL */
    size_t length;          /* of error->message */
    int count;              /* mistakes found; those that do not fit are only counted */
    int shown;
    bool out_of_memory;
};

/* What goes with a message; each may be NULL. */
struct hl_hint {
    const char *expected; /* "an integer from 1 to 256": a line "expected ..." */
    const char *nearest;  /* "mnnvl": a line "did you mean ..." */
};

struct hl_diagnostics hl_diagnostics_init(const char *name, const char *text, size_t size,
                                          struct hl_error *error);
/* A mistake at byte `offset` of the text. */
void hl_diagnose(struct hl_diagnostics *diagnostics, size_t offset, struct hl_hint hint, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));
void hl_diagnose_memory(struct hl_diagnostics *diagnostics);
/* OK when nothing was found; else the status, and the error is complete. */
enum hl_status hl_diagnostics_finish(struct hl_diagnostics *diagnostics);
