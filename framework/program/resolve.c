/* Presets, engine flags and `auto`; see resolve.h.
 *
 * Facts about sglang: layers/flashinfer_comm_fusion.py and server_args.py at 00f6ebe5, its guard and the
 * options A and B: pull request 23402. vLLM: compilation/cuda_graph.py at 018fe847, allreduce_rms_fusion.py
 * at 0052812d. TensorRT-LLM: _torch/pyexecutor/cuda_graph_runner.py at 000a01de. */
#include "resolve.h"
#include "../../kernels/layout.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../kernels/protocol.h"

/* sglang's FUSE_ALLREDUCE_MAX_BATCH_SIZE, in tokens. */
enum { SGLANG_FUSED_TOKENS_MAX = 2048 };

#define NAME(id, name, doc) [id] = name,
static const char *const backend_names[] = { HL_BACKENDS(NAME) };
static const char *const mode_names[] = { HL_MODES(NAME) };
static const char *const preset_names[] = { HL_PRESETS(NAME) };
#undef NAME

__attribute__((format(printf, 3, 4))) static void note(struct hl_notes *notes, enum hl_severity severity,
                                                       const char *format, ...)
{
    if (!notes || notes->n == HL_NOTES_MAX)
        return;
    struct hl_note *to = &notes->note[notes->n++];
    to->severity = severity;
    va_list args;
    va_start(args, format);
    vsnprintf(to->text, sizeof to->text, format, args);
    va_end(args);
}

#define NOTE(...) note(notes, HL_SEVERITY_NOTE, __VA_ARGS__)
#define WARN(...) note(notes, HL_SEVERITY_WARNING, __VA_ARGS__)

/* All three engines end up at the same choice in worlds of up to 16 ranks, which are all that hanglab runs.
 */
static enum hl_backend resolve_auto(const struct hl_config *c, struct hl_notes *notes)
{
    const bool one_node = c->flags.nodes <= 1;
    const enum hl_backend backend = one_node ? HL_BACKEND_TRTLLM : HL_BACKEND_MNNVL;
    NOTE("backend auto is %s: trtllm on one node, mnnvl on several (%s, worlds of up to 16 ranks)",
         backend_names[backend],
         c->schedule.preset == HL_PRESET_SGLANG ? "sglang@00f6ebe5" : "FlashInfer 0.6.18, allreduce.py:346");
    return backend;
}

/* The backend that the flags ask for, before anything disables it; HL_BACKEND_NCCL: no fused calls. */
static enum hl_backend sglang_asked_backend(const struct hl_config *c, struct hl_notes *notes)
{
    const struct hl_flags *f = &c->flags;
    int asked = f->allreduce_fusion_backend;
    if (asked < 0 && f->enable_allreduce_fusion == 1) {
        asked = HL_BACKEND_AUTO;
        WARN("enable_flashinfer_allreduce_fusion is deprecated and read as "
             "--flashinfer-allreduce-fusion-backend auto");
    }
    if (asked < 0)
        return c->subject.backend;
    if (c->subject.backend != HL_BACKEND_AUTO && c->subject.backend != (enum hl_backend)asked)
        NOTE("the engine's flags choose backend %s", backend_names[asked]);
    return (enum hl_backend)asked;
}

static enum hl_backend sglang_backend(const struct hl_config *c, struct hl_notes *notes)
{
    const struct hl_flags *f = &c->flags;
    enum hl_backend backend = sglang_asked_backend(c, notes);
    if (backend == HL_BACKEND_AUTO)
        backend = resolve_auto(c, notes);
    if (backend == HL_BACKEND_NCCL)
        return backend;
    if (f->enforce_disable_allreduce_fusion == 1) {
        NOTE("--enforce-disable-flashinfer-allreduce-fusion wins over backend %s: plain allreduce, then norm",
             backend_names[backend]);
        return HL_BACKEND_NCCL;
    }
    if (f->enable_deterministic_inference != 1)
        return backend;
    if (f->deterministic_clears_old_flag_only == 1) {
        WARN("deterministic inference cleared only the legacy flag enable_flashinfer_allreduce_fusion: the "
             "fused "
             "allreduce stays active with backend %s, so results still depend on the batch. Add "
             "--enforce-disable-flashinfer-allreduce-fusion",
             backend_names[backend]);
        return backend;
    }
    NOTE("deterministic inference disables the fused allreduce (backend %s): plain allreduce, then norm",
         backend_names[backend]);
    return HL_BACKEND_NCCL;
}

/* What sglang does about piecewise graphs while the backend is mnnvl (pull request 23402). */
static void sglang_guard(struct hl_config *r, struct hl_notes *notes)
{
    struct hl_schedule *s = &r->schedule;
    switch (r->flags.guard) {
    case HL_GUARD_OPTION_A:
        s->fusion = HL_FUSION_IN_GRAPH;
        NOTE("guard option-a: piecewise graphs stay on with mnnvl, the fused allreduce is inside the pieces");
        break;
    case HL_GUARD_OPTION_B:
        s->fusion = HL_FUSION_SPLIT_OP;
        NOTE("guard option-b: piecewise graphs stay on with mnnvl, the fused allreduce is a split op");
        break;
    default:
        s->mode = HL_MODE_EAGER;
        NOTE("the shipped guard turns piecewise graphs off while the backend is mnnvl: these sizes run "
             "eagerly");
        break;
    }
}

static void resolve_sglang(struct hl_config *r, struct hl_notes *notes)
{
    struct hl_schedule *s = &r->schedule;
    r->subject.backend = sglang_backend(r, notes);
    if (r->flags.enable_piecewise_cuda_graph == 1 && s->mode == HL_MODE_EAGER) {
        s->mode = HL_MODE_PIECEWISE;
        NOTE("the engine's flags turn piecewise graphs on: mode piecewise, not eager");
    } else if (r->flags.enable_piecewise_cuda_graph == 0 && s->mode == HL_MODE_PIECEWISE) {
        s->mode = HL_MODE_EAGER;
        NOTE("the engine's flags turn piecewise graphs off: mode eager, not piecewise");
    }
    if (s->mode == HL_MODE_PIECEWISE && r->subject.backend == HL_BACKEND_MNNVL)
        sglang_guard(r, notes);
    /* What the flags asked for is done; a second resolution must not do it again. */
    const int nodes = r->flags.nodes;
    const enum hl_guard guard = r->flags.guard;
    r->flags = (struct hl_flags){ -1, -1, -1, -1, -1, guard, 0, nodes };
}

static bool has_flags(const struct hl_flags *f)
{
    return f->allreduce_fusion_backend >= 0 || f->enable_allreduce_fusion >= 0 ||
           f->enforce_disable_allreduce_fusion >= 0 || f->enable_deterministic_inference >= 0 ||
           f->enable_piecewise_cuda_graph >= 0;
}

/* Token counts first, first + step, .. up to and with `last`. */
static void add_sizes(struct hl_schedule *s, uint32_t first, uint32_t last, uint32_t step)
{
    for (uint32_t size = first; size <= last && s->n_sizes < HL_SIZES_MAX; size += step)
        s->sizes[s->n_sizes++] = size;
}

/* Captured sizes when the scenario names none: the engines' own lists up to 512 tokens. */
static void fill_sizes(struct hl_schedule *s)
{
    switch (s->preset) {
    case HL_PRESET_SGLANG:
        if (s->mode == HL_MODE_FULL || s->mode == HL_MODE_EAGER) { /* decode: 52 sizes (sglang#11275) */
            add_sizes(s, 1, 2, 1);
            add_sizes(s, 4, 12, 4);
            add_sizes(s, 16, 256, 8);
            add_sizes(s, 272, 496, 16);
            add_sizes(s, 512, 512, 32);
        } else { /* prefill: 30 sizes */
            add_sizes(s, 4, 32, 4);
            add_sizes(s, 48, 256, 16);
            add_sizes(s, 288, 512, 32);
        }
        break;
    case HL_PRESET_VLLM:   /* 67 sizes */
    case HL_PRESET_TRTLLM: /* its own list is not in our sources: vLLM's stands in */
        add_sizes(s, 1, 2, 1);
        add_sizes(s, 4, 4, 1);
        add_sizes(s, 8, 512, 8);
        break;
    default:
        add_sizes(s, 4, 4, 1);
        add_sizes(s, 64, 64, 1);
        add_sizes(s, 256, 512, 256);
        break;
    }
}

static int compare_falling(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void sort_sizes(struct hl_schedule *s)
{
    qsort(s->sizes, (size_t)s->n_sizes, sizeof s->sizes[0], compare_falling);
    int kept = 0;
    for (int i = 0; i < s->n_sizes; i++)
        if (kept == 0 || s->sizes[kept - 1] != s->sizes[i])
            s->sizes[kept++] = s->sizes[i];
    s->n_sizes = kept;
}

/* Executed forward passes per size before its capture (reference 2.2-2.6). */
static int own_warmups(const struct hl_schedule *s)
{
    if (s->mode == HL_MODE_EAGER)
        return 0;
    if (s->preset == HL_PRESET_VLLM)
        return 1; /* cudagraph_num_of_warmups */
    return s->mode == HL_MODE_PIECEWISE && s->preset != HL_PRESET_TRTLLM ? 1 : 2;
}

static void fill_counts(struct hl_config *r)
{
    struct hl_schedule *s = &r->schedule;
    /* sglang: one workspace manager for attention, one for MoE; vLLM and TensorRT-LLM have a single one. */
    if (r->subject.workspaces == 0)
        r->subject.workspaces = s->preset == HL_PRESET_SGLANG ? 2 : 1;
    if (s->calls_per_layer == 0)
        s->calls_per_layer = 2;
    if (s->n_sizes == 0)
        fill_sizes(s);
    sort_sizes(s);
    if (s->warmups < 0)
        s->warmups = own_warmups(s);
}

bool hl_splits_calls(const struct hl_schedule *s)
{
    return s->mode == HL_MODE_PIECEWISE && s->fusion == HL_FUSION_SPLIT_OP;
}

/* Split points of a forward pass: attention, and with `fusion: split-op` every fused allreduce. */
static int split_points(const struct hl_schedule *s)
{
    return s->layers * (hl_splits_calls(s) ? 1 + s->calls_per_layer : 1);
}

int hl_resolved_pieces(const struct hl_config *resolved)
{
    const struct hl_schedule *s = &resolved->schedule;
    if (s->mode == HL_MODE_EAGER)
        return 0;
    if (s->mode == HL_MODE_FULL)
        return 1;
    const int all = split_points(s) + 1;
    return s->pieces > 0 && s->pieces < all ? s->pieces : all;
}

/* vLLM on SM90, in KiB of one rank's rows: FI_ALLREDUCE_FUSION_MAX_SIZE_MB and its one-shot caps for trtllm.
 */
static uint64_t vllm_fused_kib(int ranks)
{
    return ranks == 2 ? 64 << 10 : ranks == 4 ? 2 << 10 : ranks == 8 ? 512 : 0;
}
static uint64_t vllm_oneshot_kib(int ranks) { return ranks == 2 ? 32 << 10 : vllm_fused_kib(ranks); }

static uint64_t row_bytes(const struct hl_config *r)
{
    return (uint64_t)r->subject.hidden * hl_dtype_bytes(r->subject.dtype);
}

static uint64_t fused_tokens_max(const struct hl_config *r)
{
    switch (r->schedule.preset) {
    case HL_PRESET_SGLANG: return SGLANG_FUSED_TOKENS_MAX;
    case HL_PRESET_VLLM: return (vllm_fused_kib(r->world.ranks) << 10) / row_bytes(r);
    default: return UINT64_MAX;
    }
}

static enum hl_protocol mnnvl_protocol(const struct hl_config *r, uint32_t tokens)
{
    const struct hl_subject *s = &r->subject;
    if (s->strategy == HL_STRATEGY_AUTO)
        return hl_mnnvl_is_oneshot(tokens, s->hidden, r->world.ranks, s->dtype) ? HL_MNNVL_ONESHOT
                                                                                : HL_MNNVL_TWOSHOT;
    return s->strategy == HL_STRATEGY_ONESHOT ? HL_MNNVL_ONESHOT : HL_MNNVL_TWOSHOT;
}

static enum hl_protocol trtllm_protocol(const struct hl_config *r, uint32_t tokens)
{
    const struct hl_subject *s = &r->subject;
    bool oneshot = s->strategy == HL_STRATEGY_ONESHOT;
    if (s->strategy == HL_STRATEGY_AUTO && r->schedule.preset == HL_PRESET_VLLM)
        oneshot = tokens * row_bytes(r) <= vllm_oneshot_kib(r->world.ranks) << 10;
    else if (s->strategy == HL_STRATEGY_AUTO)
        oneshot = hl_trtllm_is_oneshot(tokens, s->hidden, r->world.ranks, s->dtype);
    /* The two-shot needs more tokens than ranks, whoever asked for it (trtllm_ar.py:1115). */
    return oneshot || tokens <= (uint32_t)r->world.ranks ? HL_TRTLLM_ONESHOT : HL_TRTLLM_TWOSHOT;
}

bool hl_fits_workspace(const struct hl_config *r, uint32_t tokens)
{
    const uint64_t rows = ((uint64_t)r->workspace.size_mib << 20) / 3 / row_bytes(r);
    const enum hl_protocol protocol =
        r->subject.backend == HL_BACKEND_MNNVL ? mnnvl_protocol(r, tokens) : HL_TRTLLM_ONESHOT;
    return r->workspace.size_mib == 0 || hl_protocol_rows(protocol, (uint64_t)r->world.ranks, tokens) <= rows;
}

bool hl_is_fused(const struct hl_config *r, uint32_t tokens)
{
    return r->subject.backend != HL_BACKEND_NCCL && r->subject.fallback == HL_FALLBACK_NONE &&
           tokens <= fused_tokens_max(r) && (!r->workspace.checked || hl_fits_workspace(r, tokens));
}

enum hl_protocol hl_resolved_protocol(const struct hl_config *r, uint32_t tokens)
{
    if (r->subject.backend != HL_BACKEND_NCCL && r->subject.fallback == HL_FALLBACK_NORM_ONLY)
        return HL_NORM_ONLY;
    if (!hl_is_fused(r, tokens))
        return HL_NCCL;
    return r->subject.backend == HL_BACKEND_MNNVL ? mnnvl_protocol(r, tokens) : trtllm_protocol(r, tokens);
}

uint8_t hl_resolved_workspace(const struct hl_config *r, uint16_t site, uint32_t tokens)
{
    const int workspaces = r->subject.workspaces;
    if (hl_is_fused(r, 1) && !hl_is_fused(r, tokens))
        return (uint8_t)workspaces;
    return (uint8_t)(site % r->schedule.calls_per_layer % workspaces);
}

/* Notes on what follows from the resolved numbers. */
static void note_consequences(const struct hl_config *r, struct hl_notes *notes)
{
    const struct hl_schedule *s = &r->schedule;
    if (r->subject.backend != HL_BACKEND_NCCL && s->sizes[0] > fused_tokens_max(r))
        NOTE("%s fuses calls of up to %llu tokens here: larger ones take plain allreduce, then norm",
             preset_names[s->preset], (unsigned long long)fused_tokens_max(r));
    if (r->subject.backend != HL_BACKEND_NCCL && !hl_fits_workspace(r, s->sizes[0]))
        NOTE("workspace.size_mib %u does not hold a call of %u tokens, which %s", r->workspace.size_mib,
             s->sizes[0], r->workspace.checked ? "takes plain allreduce, then norm" : "writes outside of it");
    if (r->subject.backend == HL_BACKEND_TRTLLM && r->world.ranks == 16 && s->preset != HL_PRESET_VLLM &&
        r->subject.strategy == HL_STRATEGY_AUTO)
        WARN("FlashInfer's one-shot table has no entry for 16 ranks and raises KeyError there "
             "(trtllm_ar.py:973-986); hanglab takes two-shot");
    if ((s->mode == HL_MODE_PIECEWISE || s->mode == HL_MODE_BREAKABLE) && s->pieces > split_points(s) + 1)
        NOTE("schedule.pieces %d: mode %s has only %d split points, so %d pieces", s->pieces,
             mode_names[s->mode], split_points(s), split_points(s) + 1);
}

static enum hl_status check(const struct hl_config *r, struct hl_error *error)
{
    const struct hl_schedule *s = &r->schedule;
    const int ranks = r->world.ranks;
    if (ranks != 2 && ranks != 4 && ranks != 8 && ranks != 16)
        return hl_fail(error, HL_STATUS_USAGE, "world.ranks is %d: it must be 2, 4, 8 or 16", ranks);
    if (s->layers < 1 || s->calls_per_layer < 1 || s->calls_per_layer > 2 || s->replays < 0)
        return hl_fail(error, HL_STATUS_USAGE,
                       "schedule: layers (%d) must be at least 1, calls_per_layer (%d) 1 or 2, replays (%d) "
                       "not negative",
                       s->layers, s->calls_per_layer, s->replays);
    if (s->sizes[s->n_sizes - 1] == 0)
        return hl_fail(error, HL_STATUS_USAGE, "schedule.sizes holds 0: a call has at least 1 token");
    if (r->subject.workspaces < 1 || r->subject.workspaces > 2 || r->subject.hidden == 0)
        return hl_fail(error, HL_STATUS_USAGE, "subject: workspaces (%d) must be 1 or 2, hidden (%u) not 0",
                       r->subject.workspaces, r->subject.hidden);
    return HL_STATUS_OK;
}

enum hl_status hl_resolve(const struct hl_config *config, struct hl_config *ret_resolved,
                          struct hl_notes *notes, struct hl_error *error)
{
    struct hl_config r = *config;
    if (notes)
        notes->n = 0;
    if (r.schedule.preset == HL_PRESET_SGLANG)
        resolve_sglang(&r, notes);
    else if (has_flags(&r.flags))
        WARN("flags are read by preset sglang only: ignored under preset %s",
             preset_names[r.schedule.preset]);
    if (r.subject.backend == HL_BACKEND_AUTO)
        r.subject.backend = resolve_auto(&r, notes);
    fill_counts(&r);
    enum hl_status status = check(&r, error);
    if (status)
        return status;
    note_consequences(&r, notes);
    *ret_resolved = r;
    return HL_STATUS_OK;
}

bool hl_residue_is_open(const struct hl_config *config)
{
    return config->payload.residue.negative_subnormal_rows == HL_RESIDUE_AUTO &&
           config->payload.residue.nan_rows == 0;
}

struct hl_residue hl_residue_model(const struct hl_config *config)
{
    struct hl_residue residue = config->payload.residue;
    if (residue.negative_subnormal_rows == HL_RESIDUE_AUTO)
        residue.negative_subnormal_rows = 0.05;
    return residue;
}
