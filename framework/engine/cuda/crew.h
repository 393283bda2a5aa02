/* The processes that run CUDA for this one: the runner, and with `world.placement: process` a member for each
 * rank. Starting CUDA takes half a second and a run takes milliseconds, so the crew is kept from run to run.
 * This side never touches CUDA, and outlives whatever happens to them.
 *
 * A crew that does not let go of the GPU is killed, the driver clears up behind it, and the next run gets a
 * new one. */
#pragma once
#include <sys/types.h>
#include "../engine.h"
#include "plan.h"
#include "shared.h"

/* A crew for a run of the plan; NULL: for any run. */
enum hl_status hl_crew_need(const struct hl_cuda_plan *plan, struct hl_error *error);
/* Hands the run to all of them and waits until their graphs are made; programs wait for shared->go. */
enum hl_status hl_crew_start(const struct hl_run_spec *spec, struct hl_error *error);
/* Lets all waits pass and waits until everybody is ready for the next run, or kills them. */
void hl_crew_end(void);
void hl_crew_kill(void);

struct hl_shared *hl_crew_shared(void);

/* How a rank's process is, as of the last look. */
enum hl_crew_state { HL_CREW_ALIVE, HL_CREW_STOPPED, HL_CREW_DEAD };
/* Looks at all processes. False: the runner has died, and `text` says of what. */
bool hl_crew_look(char *text, size_t size);
/* Asks /proc about all members: one that was killed is dead to its peers long before the driver has cleared
 * up behind it and it can be waited for. */
void hl_crew_look_closely(void);
/* Of a rank: that of its own process, or the runner's. `ret_signal` is what it died of; may be NULL. */
enum hl_crew_state hl_crew_state_of(int rank, int *ret_signal);

/* The process that hosts a rank; 0: it is dead. */
pid_t hl_crew_pid_of(int rank);
/* Dumps the GPU state of that process into a file; the crew serves no run after this one. 0, or -1 and why.
 */
int hl_crew_dump_core(int rank, const char *path, char *why, size_t size);

/* Copies words of a rank's workspace. 0, or -1. */
int hl_crew_read(int rank, int workspace, uint32_t first, uint32_t count, uint32_t *words);
/* Looks at the guards around all workspaces and leaves what it found in shared->stray. 0, or -1. */
int hl_crew_check_guards(void);
