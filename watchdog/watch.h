/* The watchdog core: follows the feed, tells a stall, collects evidence in a fixed order.
 *
 * It knows the feed and the layout description, neither the engine nor the scenario. */
#pragma once
#include "evidence.h"

struct hl_watch;

/* `threshold_ns` 0: learned from healthy calls, with a floor. NULL when out of memory. */
struct hl_watch *hl_watch_create(int ranks, int workspaces, uint64_t threshold_ns);
void hl_watch_destroy(struct hl_watch *watch);

/* A call is healthy when it ends. The learned threshold is this many times the p99.9 of their durations, but
 * at least the floor: ranks of a serving engine wait for each other's hosts, too. Before enough calls have
 * ended, the hosts still load modules, which takes longer. */
#define HL_WATCH_FACTOR 1000
#define HL_WATCH_FLOOR_NS 100000000ull
#define HL_WATCH_CALLS_TO_LEARN 100
#define HL_WATCH_UNLEARNED_NS 1000000000ull

/* No progress for so long is a stall: as given, or as learned so far. */
uint64_t hl_watch_threshold_ns(const struct hl_watch *watch);

/* Takes one event; never allocates. */
void hl_watch_event(struct hl_watch *watch, const struct hl_event *event);

/* Is work pending without progress for the threshold, or for ever (after a quiescent event)? */
bool hl_watch_stalled(const struct hl_watch *watch, uint64_t now_ns);

/* Fills evidence from what was followed and, unless `probe` is NULL, from the ranks' memory and hosts:
 * flags of all ranks, slots, in-flight calls, host stacks. The caller calls hl_evidence_finish().
 * Returns 0, or -1 when out of memory. */
int hl_watch_collect(struct hl_watch *watch, const struct hl_probe *probe, uint64_t now_ns,
                     struct hl_evidence *evidence);

/* Looks at what the Lamport buffers hold, those of no call included: worth its reads once something is wrong.
 */
void hl_watch_look_at_buffers(const struct hl_probe *probe, struct hl_evidence *evidence);

/* Native stacks of the ranks' hosts, of the processes that the probe names. */
void hl_collect_threads(const struct hl_probe *probe, struct hl_evidence *evidence);
