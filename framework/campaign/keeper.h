/* Which bundles of a sweep are kept: of each signature the first one and the newest few; the rest is counted
 * only.
 *
 * A worker asks before it writes one. The answer is in memory that all processes share: a signature is
 * written at most once a second (a bundle costs more than a run, and a scenario that always hangs would write
 * nothing else), and none when the disk's or the sweep's own room is used up. The newest bundle is then never
 * older than a second before the newest hang. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct hl_keeper;

/* `bytes_max`: of all bundles; `newest`: how many a signature has besides its first one, at least 1. NULL:
 * out of memory. */
struct hl_keeper *hl_keeper_create(const char *folder, uint64_t bytes_max, int newest);
void hl_keeper_destroy(struct hl_keeper *keeper);

/* In any process: shall a bundle of this signature (its hash) be written? */
bool hl_keeper_wants(struct hl_keeper *keeper, uint64_t signature);
/* In the one that created it: a bundle, relative to the folder, is there. *ret_dropped is the bundle that
 * gives way to it, to be removed and freed by the caller, or NULL. False: out of memory. */
bool hl_keeper_add(struct hl_keeper *keeper, int signature, const char *bundle, char **ret_dropped);
/* Bundles are not written any more for want of room. */
bool hl_keeper_is_full(const struct hl_keeper *keeper);
