/* A stream that waits for ever while others go on: no deadlock, and a hang all the same.
 *
 * A run of calls that end cannot be one: every kernel takes finitely many steps, and there are finitely many
 * kernels, so that such a run ends or comes to a state without a step. Only where lists are without end can a
 * schedule come back to a state, by a cycle in which a stream with work left takes no step. It counts if it
 * is fair (weakly, to each agent): whoever takes no step in the cycle cannot take one in some state of it. */
#pragma once
#include "graph.h"

/* Are there lists without end? */
bool hl_space_goes_on(const struct hl_space *space);
/* A way to such a cycle, with the cycle behind it: `again` of its steps; *ret_path is empty if there is none.
 * *ret_whole: false when that is not known, as there are more than `states_max` states or a stop was asked
 * for. */
enum hl_status hl_lasso_find(struct hl_space *space, uint32_t states_max, const volatile sig_atomic_t *stop,
                             struct hl_path *ret_path, bool *ret_whole, struct hl_error *error);
/* Is the path such a lasso? If so, *ret_rank and *ret_stream wait. */
bool hl_lasso_holds(struct hl_space *space, const struct hl_path *path, int *ret_rank, int *ret_stream);
