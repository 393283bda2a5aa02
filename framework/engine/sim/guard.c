/* Guards: canary words around every buffer of a workspace, and before the workspace, so that a write outside
 * of a buffer is found and located.
 *
 * A GPU has no bounds: a store past a buffer lands in whatever lies there and shows up much later as
 * something else (flashinfer#3869, TensorRT-LLM#5698). */
#include "sim.h"

/* Guard b stands before buffer b, BEHIND behind the last one, BEFORE_ALL before the flags. */
enum { BEHIND = 3, BEFORE_ALL, GUARDS };

static uint32_t *guard_of(struct hl_sim *s, int workspace, int rank, uint32_t index)
{
    const struct hl_layout *l = &s->layout[workspace];
    uint32_t *start = hl_sim_workspace(s, workspace, rank);
    return start - s->guard + (index == BEFORE_ALL ? 0 : hl_buffer_at(l, index));
}

void hl_sim_fill_guards(struct hl_sim *s)
{
    for (int w = 0; w < s->workspaces; w++)
        for (int rank = 0; rank < s->ranks; rank++)
            for (uint32_t g = 0; g < GUARDS; g++)
                for (uint32_t i = 0; i < s->guard; i++)
                    guard_of(s, w, rank, g)[i] = HL_SIM_CANARY;
}

/* Is word `i` of a guard told from what follows the guard? Between two buffers, from the nearer one. */
static bool is_before(const struct hl_sim *s, uint32_t index, uint32_t i)
{
    return index == 0 || index == BEFORE_ALL || (index != BEHIND && i >= s->guard / 2);
}

static void note_stray(struct hl_sim *s, int rank, int workspace, uint32_t index, uint32_t i)
{
    const bool before = is_before(s, index, i);
    const uint32_t *word = guard_of(s, workspace, rank, index) + i;
    const uint32_t at = (uint32_t)(word - hl_sim_workspace(s, workspace, rank));
    const struct hl_sim_trace *trace =
        s->traces[workspace][rank] ? hl_sim_trace(s, workspace, rank, at) : NULL;
    s->stray = (struct hl_stray_write){ .found = true,
                                        .rank = rank,
                                        .workspace = workspace,
                                        .buffer = index == BEFORE_ALL ? -1 : (int)index - !before,
                                        .distance = before ? (int64_t)i - s->guard : i,
                                        .value = *word,
                                        .by_rank = trace ? trace->stored_by : -1,
                                        .by_call = trace ? trace->stored_call : 0 };
    if (trace && trace->cleared_by >= 0 && (trace->stored_by < 0 || trace->cleared_ns > trace->stored_ns)) {
        s->stray.by_rank = trace->cleared_by;
        s->stray.by_call = trace->cleared_call;
    }
}

/* No early end, so that it is quick: it runs at the end of every call. */
static bool is_whole(const struct hl_sim *s, const uint32_t *guard)
{
    uint32_t differs = 0;
    for (uint32_t i = 0; i < s->guard; i++)
        differs |= guard[i] ^ HL_SIM_CANARY;
    return differs == 0;
}

void hl_sim_check_guards(struct hl_sim *s, int rank)
{
    for (int w = 0; w < s->workspaces && !s->stray.found; w++)
        for (uint32_t g = 0; g < GUARDS && !s->stray.found; g++) {
            const uint32_t *guard = guard_of(s, w, rank, g);
            uint32_t i = 0;
            if (is_whole(s, guard))
                continue;
            while (guard[i] == HL_SIM_CANARY)
                i++;
            note_stray(s, rank, w, g, i);
        }
}
