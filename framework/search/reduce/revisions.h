/* The points of an axis of git revisions: each is checked out into a worktree of its own, built once, and
 * tested by the user's command. */
#pragma once
#include <stdint.h>
#include "bisect.h"

struct hl_revisions_options {
    const char *repository; /* a folder in it */
    const char *range;      /* GOOD..BAD */
    const char *build;      /* shell command, run in a worktree; NULL: nothing to build */
    const char *test;       /* shell command, run in a worktree: one run */
    const char *folder;     /* where worktrees, builds and logs are kept */
    const char *scenario;   /* absolute path of the case's file, for the commands; or NULL */
    uint64_t seed;
    double timeout_s; /* a test that takes longer hangs */
};

struct hl_revisions {
    struct hl_revisions_options options;
    char *folder;  /* absolute */
    char **hashes; /* GOOD first, BAD last, along first parents */
    int n;
    int *built; /* 0 not tried, 1 yes, -1 failed */
};

enum hl_status hl_revisions_init(struct hl_revisions *revisions, const struct hl_revisions_options *options,
                                 struct hl_error *error);
void hl_revisions_finish(struct hl_revisions *revisions);

/* hl_bisect_options.run; `user` is a struct hl_revisions. The test's exit code: 0 it passed, 1 it hung,
 * anything else shows nothing. It finds HANGLAB_SEED, HANGLAB_REVISION and HANGLAB_SCENARIO in its
 * environment. */
enum hl_status hl_revisions_run(void *user, int point, int first, int n, enum hl_shown *ret_shown,
                                struct hl_error *error);
