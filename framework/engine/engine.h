/* The engine interface: run one program once, report through the feed, hold still for the watchdog. */
#pragma once
#include "../program/program.h"
#include "../../watchdog/feed.h"
#include "../../watchdog/probe.h"

struct hl_run_spec {
    const struct hl_config *config;
    const struct hl_program *program;
    uint64_t seed;
    struct hl_feed feed;
};

enum hl_run_state {
    HL_RUN_GOING,  /* more to do */
    HL_RUN_ENDED,  /* every rank's program has ended and all its work is done */
    HL_RUN_STUCK,  /* nothing can ever go on: the simulator knows, a GPU does not */
    HL_RUN_CRASHED /* a rank died or the device reported an error */
};

struct hl_run; /* an engine's own */

struct hl_engine {
    const char *name; /* "sim" or "cuda" */
    enum hl_status (*start)(const struct hl_run_spec *spec, struct hl_run **ret_run, struct hl_error *error);
    /* Goes on for about `slice_ns` of the run's own time, then tells the state and the time. */
    enum hl_run_state (*advance)(struct hl_run *run, uint64_t slice_ns, uint64_t *ret_now_ns);
    /* A view for the watchdog, valid until the next advance or end. */
    struct hl_probe (*probe)(struct hl_run *run);
    /* Why the run crashed, for HL_RUN_CRASHED. */
    const char *(*crash_reason)(const struct hl_run *run);
    /* Releases stuck waits where there are any, and frees everything. */
    void (*end)(struct hl_run *run);
    /* Ends what this process keeps from run to run. NULL: nothing. */
    void (*leave)(void);
};

static inline void hl_engine_leave(const struct hl_engine *engine)
{
    if (engine->leave)
        engine->leave();
}

extern const struct hl_engine hl_engine_sim;
extern const struct hl_engine hl_engine_cuda; /* in builds with CUDA */
