/* Workspaces: as executed, for the reduced geometry, and as they would stand in the memory of a GPU.
 *
 * Sizes are those of the scenario (`workspace`): which calls fit is decided with real tokens and rows, and
 * the executed buffers are made so that the same calls fit. Addresses of the real buffers are computed and
 * never used, so that a workspace of many GiB costs nothing. */
#include "../../program/resolve.h"
#include "sim.h"

/* What the fused calls need, as executed. */
struct needs {
    uint32_t tokens; /* of the largest call that fits; at least 1 */
    uint64_t fits,
        too_much; /* rows of the largest call that fits (0: none does), of the smallest that does not */
};

static struct needs find_needs(const struct hl_sim *s)
{
    const struct hl_config *c = &s->program->config;
    struct needs needs = { .tokens = 1, .too_much = UINT64_MAX };
    for (uint32_t i = 0; i < s->geometry.n; i++) {
        const uint32_t executed = s->geometry.executed[i];
        const uint64_t rows =
            hl_protocol_rows(hl_resolved_protocol(c, s->geometry.real[i]), (uint64_t)s->ranks, executed);
        if (!hl_fits_workspace(c, s->geometry.real[i])) {
            needs.too_much = rows < needs.too_much ? rows : needs.too_much;
            continue;
        }
        needs.fits = rows > needs.fits ? rows : needs.fits;
        needs.tokens = executed > needs.tokens ? executed : needs.tokens;
    }
    return needs;
}

/* A workspace in which some calls do not fit, although they are made. */
static enum hl_status make_small(const struct hl_sim *s, const struct needs *needs, struct hl_layout *layout,
                                 struct hl_error *error)
{
    if (needs->too_much <= needs->fits)
        return hl_fail(
            error, HL_STATUS_USAGE,
            "the reduced geometry has no sizes for a workspace in which one- and two-shot calls both "
            "fit and do not fit: choose one subject.strategy, or --geometry full");
    *layout = hl_layout_make(layout->family, s->ranks, needs->tokens, s->geometry.hidden, layout->dtype);
    const uint64_t rows = needs->fits ? needs->fits : 1;
    *layout = hl_layout_sized(*layout, hl_round_up((uint32_t)rows * layout->row_words, 8));
    return HL_STATUS_OK;
}

/* The buffers at their real size. Right kernels align them to 32 bytes, wherever the memory begins. */
static struct hl_real_place place_buffers(const struct hl_sim *s)
{
    const struct hl_config *c = s->config;
    const bool aligned = c->subject.mutant != HL_MUTANT_NO_ALIGN;
    const uint64_t unit = aligned ? 8 : 4, ranks = (uint64_t)s->ranks, tokens = s->geometry.real_tokens_max;
    const uint64_t row_words = (uint64_t)c->subject.hidden * hl_dtype_bytes(c->subject.dtype) / 4;
    const uint64_t oneshot = hl_protocol_rows(HL_MNNVL_ONESHOT, ranks, tokens),
                   twoshot = hl_protocol_rows(HL_MNNVL_TWOSHOT, ranks, tokens);
    uint64_t words = (oneshot > twoshot ? oneshot : twoshot) * row_words;
    if (c->workspace.size_mib)
        words = ((uint64_t)c->workspace.size_mib << 20) / 3 / 4;
    return (struct hl_real_place){ .words_per_buffer = words / unit * unit,
                                   .row_words = (uint32_t)row_words,
                                   .offset_bytes = aligned ? 0 : c->workspace.offset_bytes };
}

enum hl_status hl_sim_lay_out(struct hl_sim *s, struct hl_error *error)
{
    const struct hl_config *c = s->config;
    const struct needs needs = find_needs(s);
    for (int w = 0; w < s->workspaces; w++) {
        struct hl_layout *l = &s->layout[w];
        *l = hl_layout_make(hl_program_family(s->program, w), s->ranks, s->geometry.tokens_max,
                            s->geometry.hidden, c->subject.dtype);
        const uint32_t most = l->words_per_buffer;
        if (l->family != HL_FAMILY_NCCL && !c->workspace.checked && needs.too_much != UINT64_MAX) {
            const enum hl_status status = make_small(s, &needs, l, error);
            if (status)
                return status;
        }
        /* What the largest call writes beyond a buffer that is too small stays in the guard behind that. */
        const uint32_t beyond = most - l->words_per_buffer;
        const uint32_t guard = beyond > l->row_words ? beyond : l->row_words;
        s->guard = guard > s->guard ? hl_round_up(guard, HL_SIM_GRANULE) : s->guard;
    }
    for (int w = 0; w < s->workspaces; w++) {
        s->layout[w] = hl_layout_guarded(s->layout[w], s->guard);
        s->layout[w].depth = c->subject.mutant == HL_MUTANT_DEPTH_2 ? 2 : 3;
        if (s->layout[w].words > s->words_max)
            s->words_max = s->layout[w].words;
    }
    s->real = place_buffers(s);
    return HL_STATUS_OK;
}
