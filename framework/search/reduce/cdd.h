/* Counter-based delta debugging: the smallest part of a list that still shows an effect.
 *
 * CDD (arXiv 2408.04735) found that the probabilities which ProbDD learns while it goes are no more than a
 * counter: after r rounds an element is needed with probability p_r = p_0 / (1 - 1/e)^r, whatever the
 * answers were. So the sizes of the parts to leave out are a fixed, falling schedule, and an element is
 * never tried in smaller parts than its round asks for. */
#pragma once
#include <stdbool.h>

/* Does the effect remain without the elements of which remove[i] holds? 1 yes, 0 no, below 0: stop. */
typedef int (*hl_cdd_test)(void *user, const bool *remove);

/* The size of the parts that round `round` leaves out: the s that maximises s (1 - p_r)^s. */
int hl_cdd_part_size(int round);

/* Marks in remove[0 .. n-1] (false at first) what the effect does not need. On return with 0, leaving out
 * any single further element was answered with no. Below 0: the test said stop; `remove` holds what was
 * found until then. */
int hl_cdd_reduce(int n, bool *remove, hl_cdd_test test, void *user);
