/* Child processes for git, builds and tests of a user's tree. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "hanglab/error.h"

struct hl_process {
    const char *const *argv;
    const char *folder;     /* working directory, or NULL: the caller's */
    const char *const *set; /* pairs NAME, value for the environment, ended by NULL; or NULL */
    const char *log;        /* stdout and stderr go to the end of this file; NULL: thrown away */
    double timeout_s;       /* the whole process group is killed after it; 0: never */
};

struct hl_process_end {
    int code; /* exit code, or 128 + signal */
    bool timed_out;
};

/* Runs it to its end. Fails when it cannot be started at all. */
enum hl_status hl_process_run(const struct hl_process *process, struct hl_process_end *ret_end,
                              struct hl_error *error);
/* The same, and keeps its stdout (free() it); fails unless it ends with 0. */
enum hl_status hl_process_read(const struct hl_process *process, char **ret_text, struct hl_error *error);
