/* Where a thread stands, told by itself: for a supervisor that may not trace it (Yama, a container without
 * CAP_SYS_PTRACE).
 *
 * The supervisor sends a signal; its handler copies the registers and the upper end of the stack into memory
 * that both have, and returns. Unwinding is done outside, by the same code as for traced threads. Inside, it
 * would take the loader's lock (dl_iterate_phdr), which a thread that is stuck in dlopen() or in a module
 * load may hold; a copy takes nothing: no lock, no memory. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HL_SNAPSHOT_STACK (64u << 10)
#define HL_SNAPSHOT_REGISTERS 33

struct hl_snapshot {
    int signal;              /* that is handled; 0: none is, so no thread may be asked */
    _Atomic uint32_t wanted; /* the thread that is asked; 0: nobody, or it is at it */
    _Atomic uint32_t done;
    uint64_t registers[HL_SNAPSHOT_REGISTERS]; /* in the order of DWARF, then the pc */
    uint64_t stack_at;                         /* the stack pointer */
    uint32_t stack_bytes;
    uint8_t stack[HL_SNAPSHOT_STACK];
};

/* In the process that will be asked: takes a signal that nobody uses. */
void hl_snapshot_allow(struct hl_snapshot *snapshot);

/* In the supervisor: asks one thread. False: `why` says why it did not answer. */
bool hl_snapshot_take(struct hl_snapshot *snapshot, int pid, int tid, uint64_t deadline_ns, char *why,
                      size_t size);
