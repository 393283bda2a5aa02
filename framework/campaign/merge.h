/* Joins the results of several OUTs, such as a set's shards on several machines, into one. Results are known
 * by their content hash: merging again, or merging parts that overlap, changes nothing. */
#pragma once
#include "results.h"

/* Adds all of `part` to `store`, whose contents are in `results`, and copies the bundles. */
enum hl_status hl_merge(struct hl_store *store, struct hl_results *results, const char *out_dir,
                        const char *part, struct hl_error *error);
