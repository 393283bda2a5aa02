/* The schedule of CDD and its rounds; see cdd.h. */
#include "cdd.h"
#include <assert.h>
#include <math.h>
#include <string.h>

enum { CDD_ELEMENTS_MAX = 256 };

int hl_cdd_part_size(int round)
{
    const double first = 0.1; /* p_0 of ProbDD and CDD */
    const double p = first / pow(1 - exp(-1), round);
    if (p >= 0.63)
        return 1;
    /* d/ds s (1 - p)^s = 0, and the better of the two whole numbers around it. */
    const double s = floor(-1 / log1p(-p));
    return (s + 1) * pow(1 - p, s + 1) > s * pow(1 - p, s) ? (int)s + 1 : (int)s;
}

/* One pass over the elements that are left, in parts of `size`: the number of parts that went, or below 0. */
static int pass(int n, bool *remove, int size, hl_cdd_test test, void *user)
{
    bool candidate[CDD_ELEMENTS_MAX];
    int gone = 0;
    for (int at = 0; at < n;) {
        int taken = 0;
        memcpy(candidate, remove, (size_t)n * sizeof *candidate);
        for (; at < n && taken < size; at++)
            if (!candidate[at]) {
                candidate[at] = true;
                taken++;
            }
        if (taken == 0)
            break;
        const int answer = test(user, candidate);
        if (answer < 0)
            return answer;
        if (answer > 0) {
            memcpy(remove, candidate, (size_t)n * sizeof *candidate);
            gone++;
        }
    }
    return gone;
}

int hl_cdd_reduce(int n, bool *remove, hl_cdd_test test, void *user)
{
    assert(n >= 0 && n <= CDD_ELEMENTS_MAX);
    int size = n + 1;
    for (int round = 0; size > 1; round++) {
        size = hl_cdd_part_size(round);
        if (size > n && size > 1)
            size = n > 1 ? n : 1;
        const int gone = pass(n, remove, size, test, user);
        if (gone < 0)
            return gone;
    }
    /* One by one until nothing goes: an element may have become needless by the loss of a later one. */
    for (int gone = 1; gone > 0;) {
        gone = pass(n, remove, 1, test, user);
        if (gone < 0)
            return gone;
    }
    return 0;
}
