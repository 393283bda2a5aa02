/* Native stacks of the processes that ranks run in. Ranks may share one: it is looked at once, and each rank
 * gets its own thread and those that belong to none. */
#include <stdlib.h>
#include <string.h>
#include "host/stacks.h"
#include "watch_state.h"

/* A rank of a process has that thread for its host; -1: none has. */
static int rank_of_thread(const struct hl_host_place *places, int ranks, int pid, int tid)
{
    for (int r = 0; r < ranks; r++)
        if (places[r].pid == pid && places[r].tid == tid)
            return r;
    return -1;
}

static void note_driver_call(const struct hl_thread_stack *thread, struct hl_rank_evidence *rank)
{
    if (thread->driver_frame < 0)
        return;
    snprintf(rank->driver_call, sizeof rank->driver_call, "%s",
             thread->frames[thread->driver_frame].function);
    if (thread->caller_frame >= 0)
        hl_frame_describe(&thread->frames[thread->caller_frame], rank->called_by, sizeof rank->called_by);
}

/* The threads of one process as a rank's file shows them. NULL when out of memory. */
static char *text_of_rank(const struct hl_process_stacks *stacks, const struct hl_host_place *places,
                          int ranks, int rank)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    hl_stacks_write_head(stacks, out);
    for (int own = 1; own >= 0; own--)
        for (int i = 0; i < stacks->n_threads; i++) {
            const int of = rank_of_thread(places, ranks, stacks->pid, stacks->threads[i].tid);
            if (own ? of == rank : of < 0)
                hl_stacks_write_thread(&stacks->threads[i], out);
        }
    return fclose(out) == 0 ? text : NULL;
}

void hl_collect_threads(const struct hl_probe *probe, struct hl_evidence *evidence)
{
    struct hl_host_place places[HL_RANKS_MAX];
    for (int r = 0; r < evidence->ranks; r++)
        places[r] = probe->host_place(probe->user, r);
    for (int first = 0; first < evidence->ranks; first++) {
        const int pid = places[first].pid;
        struct hl_process_stacks stacks;
        if (pid == 0 || evidence->rank[first].threads)
            continue;
        hl_stacks_collect(pid, HL_STACK_LIMITS, NULL, &stacks);
        for (int r = first; r < evidence->ranks; r++)
            if (places[r].pid == pid)
                evidence->rank[r].threads = text_of_rank(&stacks, places, evidence->ranks, r);
        for (int i = 0; i < stacks.n_threads; i++) {
            const int r = rank_of_thread(places, evidence->ranks, pid, stacks.threads[i].tid);
            if (r >= 0)
                note_driver_call(&stacks.threads[i], &evidence->rank[r]);
        }
        hl_stacks_finish(&stacks);
    }
}
