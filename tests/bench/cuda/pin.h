/* Programs that take turns do so on one core, or each would be as fast as the core it happens to be on. */
#pragma once
#include <sched.h>

/* The calling thread alone; those that it has started stay where they are. */
static inline void hl_pin_to_last_core(void)
{
    cpu_set_t cores;
    int last = CPU_SETSIZE - 1;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0)
        return;
    while (last > 0 && !CPU_ISSET(last, &cores))
        last--;
    CPU_ZERO(&cores);
    CPU_SET(last, &cores);
    sched_setaffinity(0, sizeof cores, &cores);
}
