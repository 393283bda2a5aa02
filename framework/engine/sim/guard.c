/* Guards: canary words before and behind every workspace, so that a write outside of it is found and located.
 *
 * A GPU has no bounds: a store past a buffer lands in whatever lies there and shows up much later as
 * something else (flashinfer#3869, TRT-LLM#5698). */
#include "sim.h"

void hl_sim_fill_guards(struct hl_sim *s)
{
    for (int w = 0; w < s->workspaces; w++)
        for (int rank = 0; rank < s->ranks; rank++) {
            uint32_t *words = hl_sim_workspace(s, w, rank);
            for (uint32_t i = 1; i <= s->guard; i++)
                words[-(ptrdiff_t)i] = HL_SIM_CANARY;
            for (uint32_t i = 0; i < s->guard; i++)
                words[s->layout[w].words + i] = HL_SIM_CANARY;
        }
}

/* `at` counts from the start of the workspace and is negative, as far as 32 bits go, before it. */
static void note_stray(struct hl_sim *s, int rank, int workspace, uint32_t at, uint32_t value)
{
    const bool before = at > UINT32_MAX / 2;
    const struct hl_sim_trace *trace =
        s->traces[workspace][rank] ? hl_sim_trace(s, workspace, rank, at) : NULL;
    s->stray =
        (struct hl_stray_write){ .found = true,
                                 .rank = rank,
                                 .workspace = workspace,
                                 .distance = before ? (int32_t)at : (int64_t)at - s->layout[workspace].words,
                                 .value = value,
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
    for (int w = 0; w < s->workspaces && !s->stray.found; w++) {
        const uint32_t *words = hl_sim_workspace(s, w, rank);
        const uint32_t end = s->layout[w].words;
        if (is_whole(s, words + end) && is_whole(s, words - s->guard))
            continue;
        for (uint32_t i = 0; i < s->guard && !s->stray.found; i++)
            if (words[end + i] != HL_SIM_CANARY)
                note_stray(s, rank, w, end + i, words[end + i]);
        for (uint32_t i = 1; i <= s->guard && !s->stray.found; i++)
            if (words[-(ptrdiff_t)i] != HL_SIM_CANARY)
                note_stray(s, rank, w, 0u - i, words[-(ptrdiff_t)i]);
    }
}
