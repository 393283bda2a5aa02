/* From a stopped thread to frames, and from frames to names: libdwfl behind four functions. */
#pragma once
#include "stacks.h"

/* Reads which objects a process has mapped. NULL: it could not; `ret_error` is an errno where one tells why.
 */
void *hl_unwind_open(int pid, int *ret_error);
void hl_unwind_close(void *symbols);

/* Frames of a stopped thread, or of a snapshot of one, by their pcs alone. */
void hl_unwind_thread(void *symbols, const struct hl_snapshot *snapshot, int frames_max, uint64_t deadline_ns,
                      struct hl_thread_stack *thread);

/* Names, lines, and where the CUDA driver was entered; the thread may run again by then. Lines are left out
 * once the deadline is over. */
void hl_unwind_name(void *symbols, struct hl_thread_stack *thread, uint64_t deadline_ns);
