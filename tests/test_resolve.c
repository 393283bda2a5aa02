/* Presets, engine flags and `auto` resolve as the engines do, and say so. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "../framework/program/resolve.h"
#include "walk.h"

static struct hl_config resolved(const struct hl_config *config, struct hl_notes *notes)
{
    struct hl_config r;
    struct hl_error error;
    cr_assert_eq(hl_resolve(config, &r, notes, &error), HL_STATUS_OK, "%s", error.message);
    return r;
}

static int count_notes(const struct hl_notes *notes, enum hl_severity severity, const char *text)
{
    int n = 0;
    for (int i = 0; i < notes->n; i++)
        n += notes->note[i].severity == severity && strstr(notes->note[i].text, text) != NULL;
    return n;
}

static struct hl_config sglang(enum hl_mode mode)
{
    struct hl_config c = hl_plain_config(mode);
    c.schedule.preset = HL_PRESET_SGLANG;
    return c;
}

/* One row of the table: flags as given (-1: not), and what they must come to. */
static void expect_backend(const struct hl_flags *f, const struct hl_config *r, const struct hl_notes *notes)
{
    const bool legacy = f->allreduce_fusion_backend < 0 && f->enable_allreduce_fusion == 1;
    const bool is_auto = legacy || f->allreduce_fusion_backend == HL_BACKEND_AUTO;
    const bool deterministic = f->enable_deterministic_inference == 1;
    const bool disabled =
        f->enforce_disable_allreduce_fusion == 1 || (deterministic && !f->deterministic_clears_old_flag_only);
    enum hl_backend expected = HL_BACKEND_MNNVL; /* the scenario's own */
    if (is_auto)
        expected = f->nodes > 1 ? HL_BACKEND_MNNVL : HL_BACKEND_TRTLLM;
    else if (f->allreduce_fusion_backend >= 0)
        expected = (enum hl_backend)f->allreduce_fusion_backend;
    cr_expect_eq(count_notes(notes, HL_SEVERITY_WARNING, "deprecated"), legacy);
    cr_expect_eq(count_notes(notes, HL_SEVERITY_NOTE, "backend auto is"), is_auto);
    const int stays = deterministic && f->deterministic_clears_old_flag_only && !disabled;
    cr_expect_eq(count_notes(notes, HL_SEVERITY_WARNING, "stays active"), stays);
    cr_expect_eq(count_notes(notes, HL_SEVERITY_WARNING,
                             expected == HL_BACKEND_MNNVL ? "backend mnnvl, so" : "backend trtllm, so"),
                 stays);
    cr_expect_eq(r->subject.backend, disabled ? HL_BACKEND_NCCL : expected);
}

Test(sglang, backend_flags_in_every_combination)
{
    static const int backends[] = { -1, HL_BACKEND_MNNVL, HL_BACKEND_TRTLLM, HL_BACKEND_AUTO };
    for (int i = 0; i < 4 * 3 * 3 * 3 * 2 * 2; i++) {
        int k = i;
        struct hl_config c = sglang(HL_MODE_EAGER);
        c.flags.allreduce_fusion_backend = backends[k % 4], k /= 4;
        c.flags.enable_allreduce_fusion = k % 3 - 1, k /= 3;
        c.flags.enforce_disable_allreduce_fusion = k % 3 - 1, k /= 3;
        c.flags.enable_deterministic_inference = k % 3 - 1, k /= 3;
        c.flags.deterministic_clears_old_flag_only = k % 2, k /= 2;
        c.flags.nodes = 1 + k % 2;
        struct hl_notes notes;
        const struct hl_config r = resolved(&c, &notes);
        expect_backend(&c.flags, &r, &notes);
        struct hl_notes again;
        const struct hl_config twice = resolved(&r, &again);
        cr_expect_eq(twice.subject.backend, r.subject.backend, "resolving twice changes nothing");
        cr_expect_eq(count_notes(&again, HL_SEVERITY_WARNING, ""), 0);
    }
}

Test(sglang, piecewise_flag_and_guard_in_every_combination)
{
    for (int i = 0; i < 3 * HL_GUARD_COUNT * 2 * HL_MODE_COUNT * HL_FUSION_COUNT; i++) {
        int k = i;
        struct hl_config c = sglang(HL_MODE_EAGER);
        const int flag = c.flags.enable_piecewise_cuda_graph = k % 3 - 1;
        k /= 3;
        c.flags.guard = (enum hl_guard)(k % HL_GUARD_COUNT), k /= HL_GUARD_COUNT;
        const bool mnnvl = k % 2;
        c.subject.backend = mnnvl ? HL_BACKEND_MNNVL : HL_BACKEND_TRTLLM, k /= 2;
        const enum hl_mode mode = c.schedule.mode = (enum hl_mode)(k % HL_MODE_COUNT);
        k /= HL_MODE_COUNT;
        c.schedule.fusion = (enum hl_fusion)k;
        struct hl_notes notes;
        const struct hl_config r = resolved(&c, &notes);

        enum hl_mode wanted = mode;
        if (flag == 1 && mode == HL_MODE_EAGER)
            wanted = HL_MODE_PIECEWISE;
        if (flag == 0 && mode == HL_MODE_PIECEWISE)
            wanted = HL_MODE_EAGER;
        const bool guarded = wanted == HL_MODE_PIECEWISE && mnnvl;
        const bool off = guarded && c.flags.guard == HL_GUARD_SHIPPED;
        cr_expect_eq(r.schedule.mode, off ? HL_MODE_EAGER : wanted);
        cr_expect_eq(count_notes(&notes, HL_SEVERITY_NOTE, "the shipped guard"), off);
        if (guarded && c.flags.guard == HL_GUARD_OPTION_A)
            cr_expect_eq(r.schedule.fusion, HL_FUSION_IN_GRAPH);
        else if (guarded && c.flags.guard == HL_GUARD_OPTION_B)
            cr_expect_eq(r.schedule.fusion, HL_FUSION_SPLIT_OP);
        else
            cr_expect_eq(r.schedule.fusion, c.schedule.fusion);
    }
}

Test(sglang, fills_its_own_counts)
{
    struct hl_config c = sglang(HL_MODE_FULL);
    c.subject.workspaces = c.schedule.calls_per_layer = c.schedule.n_sizes = 0;
    struct hl_config r = resolved(&c, NULL);
    cr_expect_eq(r.subject.workspaces, 2);
    cr_expect_eq(r.schedule.calls_per_layer, 2);
    cr_expect_eq(r.schedule.n_sizes, 52, "decode sizes up to 512 (sglang#11275)");
    cr_expect_eq(r.schedule.warmups, 2);
    c.schedule.mode = HL_MODE_PIECEWISE;
    c.subject.backend = HL_BACKEND_TRTLLM;
    r = resolved(&c, NULL);
    cr_expect_eq(r.schedule.n_sizes, 30, "prefill sizes up to 512");
    cr_expect_eq(r.schedule.sizes[0], 512);
    cr_expect_eq(r.schedule.sizes[29], 4);
    cr_expect_eq(r.schedule.warmups, 1);
}

Test(sglang, calls_above_2048_tokens_are_not_fused)
{
    struct hl_config c = sglang(HL_MODE_EAGER);
    struct hl_notes notes;
    struct hl_config r = resolved(&c, &notes);
    cr_expect_eq(notes.n, 0, "nothing to say about a plain configuration");
    cr_expect_eq(hl_resolved_protocol(&r, 2048), HL_MNNVL_TWOSHOT);
    cr_expect_eq(hl_resolved_protocol(&r, 2049), HL_NCCL);
    cr_expect_eq(hl_resolved_workspace(&r, 1, 2048), 0);
    cr_expect_eq(hl_resolved_workspace(&r, 1, 2049), 1);
    c.schedule.sizes[0] = 4096;
    resolved(&c, &notes);
    cr_expect_eq(count_notes(&notes, HL_SEVERITY_NOTE, "up to 2048 tokens"), 1);
}

Test(presets, vllm_and_trtllm_have_their_own_counts)
{
    struct hl_config c = hl_plain_config(HL_MODE_PIECEWISE);
    c.schedule.n_sizes = c.subject.workspaces = 0;
    c.schedule.preset = HL_PRESET_VLLM;
    struct hl_config r = resolved(&c, NULL);
    cr_expect_eq(r.schedule.n_sizes, 67);
    cr_expect_eq(r.schedule.warmups, 1);
    cr_expect_eq(r.subject.workspaces, 1);
    /* SM90, 4 ranks: fused up to 2 MB of 8 KiB rows. */
    cr_expect(hl_is_fused(&r, 256) && !hl_is_fused(&r, 257));
    c.schedule.preset = HL_PRESET_TRTLLM;
    r = resolved(&c, NULL);
    cr_expect_eq(r.schedule.warmups, 2);
    cr_expect(hl_is_fused(&r, 100000));
}

Test(presets, flags_without_sglang_are_warned_about)
{
    struct hl_config c = hl_plain_config(HL_MODE_EAGER);
    struct hl_notes notes;
    c.flags.enforce_disable_allreduce_fusion = 1;
    cr_expect_eq(resolved(&c, &notes).subject.backend, HL_BACKEND_MNNVL);
    cr_expect_eq(count_notes(&notes, HL_SEVERITY_WARNING, "ignored"), 1);
}

Test(presets, without_one_auto_follows_the_nodes)
{
    struct hl_config c = hl_plain_config(HL_MODE_EAGER);
    c.subject.backend = HL_BACKEND_AUTO;
    cr_expect_eq(resolved(&c, NULL).subject.backend, HL_BACKEND_TRTLLM);
    c.flags.nodes = 2;
    cr_expect_eq(resolved(&c, NULL).subject.backend, HL_BACKEND_MNNVL);
}

/* Last one-shot token count of mnnvl: tokens * hidden * ranks * 2 bytes <= 1 MiB (mnnvl_ar.py:40-51). */
Test(protocols, mnnvl_switches_at_one_mebibyte)
{
    static const struct {
        int ranks;
        uint32_t hidden, last;
    } rows[] = { { 2, 2880, 91 }, { 2, 4096, 64 }, { 2, 8192, 32 }, { 4, 2880, 45 }, { 4, 4096, 32 },
                 { 4, 5120, 25 }, { 4, 7168, 18 }, { 8, 2880, 22 }, { 8, 7168, 9 },  { 8, 8192, 8 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hl_config c = hl_plain_config(HL_MODE_EAGER);
        c.world.ranks = rows[i].ranks;
        c.subject.hidden = rows[i].hidden;
        const struct hl_config r = resolved(&c, NULL);
        cr_expect_eq(hl_resolved_protocol(&r, rows[i].last), HL_MNNVL_ONESHOT);
        cr_expect_eq(hl_resolved_protocol(&r, rows[i].last + 1), HL_MNNVL_TWOSHOT);
    }
}

Test(protocols, trtllm_two_shot_needs_more_tokens_than_ranks)
{
    struct hl_config c = hl_plain_config(HL_MODE_EAGER);
    struct hl_notes notes;
    c.subject.backend = HL_BACKEND_TRTLLM;
    c.subject.strategy = HL_STRATEGY_TWOSHOT;
    struct hl_config r = resolved(&c, NULL);
    cr_expect_eq(hl_resolved_protocol(&r, 4), HL_TRTLLM_ONESHOT);
    cr_expect_eq(hl_resolved_protocol(&r, 5), HL_TRTLLM_TWOSHOT);
    c.subject.strategy = HL_STRATEGY_AUTO; /* 64 MiB at 4 ranks, with the table's factor 2 */
    r = resolved(&c, NULL);
    cr_expect_eq(hl_resolved_protocol(&r, 1024), HL_TRTLLM_ONESHOT);
    cr_expect_eq(hl_resolved_protocol(&r, 1025), HL_TRTLLM_TWOSHOT);
    c.world.ranks = 16;
    r = resolved(&c, &notes);
    cr_expect_eq(hl_resolved_protocol(&r, 17), HL_TRTLLM_TWOSHOT);
    cr_expect_eq(count_notes(&notes, HL_SEVERITY_WARNING, "KeyError"), 1);
}

Test(protocols, fallbacks_lose_or_keep_the_allreduce)
{
    struct hl_config c = hl_plain_config(HL_MODE_EAGER);
    c.subject.fallback = HL_FALLBACK_NORM_ONLY;
    struct hl_config r = resolved(&c, NULL);
    cr_expect_eq(hl_resolved_protocol(&r, 8), HL_NORM_ONLY);
    c.subject.fallback = HL_FALLBACK_ALLREDUCE_FIRST;
    r = resolved(&c, NULL);
    cr_expect_eq(hl_resolved_protocol(&r, 8), HL_NCCL);
    c.subject.backend = HL_BACKEND_NCCL; /* there is no fused call that could fall back */
    c.subject.fallback = HL_FALLBACK_NORM_ONLY;
    r = resolved(&c, NULL);
    cr_expect_eq(hl_resolved_protocol(&r, 8), HL_NCCL);
}

Test(sizes, fall_and_occur_once)
{
    struct hl_config c = hl_plain_config(HL_MODE_FULL);
    const uint32_t sizes[] = { 8, 512, 8, 64, 512 };
    memcpy(c.schedule.sizes, sizes, sizeof sizes);
    c.schedule.n_sizes = 5;
    const struct hl_config r = resolved(&c, NULL);
    cr_assert_eq(r.schedule.n_sizes, 3);
    cr_expect(r.schedule.sizes[0] == 512 && r.schedule.sizes[1] == 64 && r.schedule.sizes[2] == 8);
}

Test(pieces, beyond_the_split_points_are_noted)
{
    struct hl_config c = hl_plain_config(HL_MODE_PIECEWISE);
    struct hl_notes notes;
    c.schedule.pieces = 4;
    const struct hl_config r = resolved(&c, &notes);
    cr_expect_eq(hl_resolved_pieces(&r), 3);
    cr_expect_eq(count_notes(&notes, HL_SEVERITY_NOTE, "only 2 split points"), 1);
}

Test(errors, say_what_is_out_of_range)
{
    struct hl_config c = hl_plain_config(HL_MODE_EAGER), r;
    struct hl_error error;
    c.world.ranks = 3;
    cr_expect_eq(hl_resolve(&c, &r, NULL, &error), HL_STATUS_USAGE);
    cr_expect_not_null(strstr(error.message, "world.ranks is 3"));
    c = hl_plain_config(HL_MODE_EAGER);
    c.schedule.sizes[0] = 0;
    cr_expect_eq(hl_resolve(&c, &r, NULL, &error), HL_STATUS_USAGE);
}
