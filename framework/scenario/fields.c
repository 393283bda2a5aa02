/* The rows. In the order in which a person would write them. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "scenario.h"
#include "fields.h"

#define AT(member) .offset = offsetof(struct hl_config, member)
#define COUNT_MAX 1000000
#define TOKENS_MAX 16384
#define MICROSECOND 1e3
#define HOUR 3600e9

static const int rank_counts[] = { 2, 4, 8, 16, 0 };

static const struct hl_field scenario_rows[] = {
    { "hanglab", HL_KIND_OTHER, .required = true, .fixed = true, .doc = "Version of the format: 1." },
    { "name", HL_KIND_NAME, AT(name), .required = true, .fixed = true,
      .doc = "Short name; starts the id of every case. Letters, digits, dots, dashes and underscores." },
    { "title", HL_KIND_OTHER, .fixed = true, .doc = "One line that says what the scenario shows." },

    { "world", HL_KIND_SECTION, .doc = "The ranks and the machine that they run on." },
    { "world.ranks", HL_KIND_INT, AT(world.ranks), .min = 2, .max = 16, .choices = rank_counts,
      .initial = "4", .doc = "Ranks that take part in each allreduce." },
    { "world.placement", HL_KIND_WORD, AT(world.placement), .words = &hl_words_placements,
      .initial = "virtual", .doc = "Where the ranks live." },
    { "world.gpus", HL_KIND_INT, AT(world.gpus), .min = 1, .max = HL_RANKS_MAX, .also = "auto",
      .also_value = 0, .initial = "auto",
      .doc = "GPUs that the ranks are dealt to, in blocks of neighbours. auto = one with placement virtual, "
             "else one for each rank, or as many as a CUDA machine has." },
    { "world.progress", HL_KIND_WORD, AT(world.progress), .words = &hl_words_progress, .initial = "fair",
      .doc = "Which thread blocks (CTAs) the simulator keeps running." },
    { "world.memory", HL_KIND_WORD, AT(world.memory), .words = &hl_words_memory, .initial = "sc",
      .doc = "When the simulator lets a rank see another rank's store." },
    { "world.sms", HL_KIND_INT, AT(world.sms), .min = 1, .max = 1024, .initial = "132",
      .doc = "Multiprocessors of each simulated GPU (H100, H200: 132); a trtllm grid has at most as many "
             "CTAs." },
    { "world.resident_ctas", HL_KIND_INT, AT(world.resident_ctas), .min = 0, .max = 65536, .initial = "0",
      .doc = "CTAs that one simulated GPU holds at a time, with progress lobe; 0 = two for each "
             "multiprocessor." },
    { "world.launch_queue", HL_KIND_INT, AT(world.launch_queue), .min = 1, .max = 65536, .initial = "1024",
      .doc = "Launches that a stream takes before the host that launches blocks." },

    { "subject", HL_KIND_SECTION, .doc = "The fused allreduce under test." },
    { "subject.backend", HL_KIND_WORD, AT(subject.backend), .words = &hl_words_backends, .initial = "mnnvl",
      .doc = "Implementation of the fused allreduce." },
    { "subject.strategy", HL_KIND_WORD, AT(subject.strategy), .words = &hl_words_strategies,
      .initial = "auto", .doc = "One-shot, two-shot, or the backend's own choice by size." },
    { "subject.pattern", HL_KIND_WORD, AT(subject.pattern), .words = &hl_words_patterns,
      .initial = "ar-residual-rmsnorm", .doc = "What is fused with the allreduce." },
    { "subject.dtype", HL_KIND_WORD, AT(subject.dtype), .words = &hl_words_dtypes, .initial = "bf16",
      .doc = "Data type of the rows." },
    { "subject.hidden", HL_KIND_INT, AT(subject.hidden), .min = 64, .max = 16384, .multiple_of = 8,
      .initial = "4096",
      .doc = "Elements of a row. A multiple of 8, so that a row is whole 16-byte fragments in every data "
             "type." },
    { "subject.sentinel_compare", HL_KIND_WORD, AT(subject.sentinel_compare), .words = &hl_words_compares,
      .initial = "bits", .doc = "How an mnnvl wait tells the sentinel word from data." },
    { "subject.mutant", HL_KIND_WORD, AT(subject.mutant), .words = &hl_words_mutants, .initial = "none",
      .doc = "A wrong build of the subject: the negative control." },
    { "subject.plugin", HL_KIND_PATH, AT(subject.plugin), .initial = "none",
      .doc = "A shared object whose kernels run in place of hanglab's own, on a GPU only: a path with a "
             "slash, or the name of an installed one such as flashinfer@0.6.9. See docs/subjects.md." },
    { "subject.fallback", HL_KIND_WORD, AT(subject.fallback), .words = &hl_words_fallbacks, .initial = "none",
      .doc = "What happens when the fused call returns nothing instead of running." },
    { "subject.workspaces", HL_KIND_INT, AT(subject.workspaces), .min = 1, .max = 2, .also = "auto",
      .also_value = 0, .initial = "auto",
      .doc = "1, or 2: attention and MLP calls on workspaces of their own. auto = the preset's own number; "
             "1 without one." },

    { "subject.strike", HL_KIND_SECTION,
      .doc =
          "Where a mutant strikes that does so at one place. A run in which it never does is inconclusive." },
    { "subject.strike.rank", HL_KIND_INT, AT(subject.strike.rank), .min = 0, .max = HL_RANKS_MAX - 1,
      .initial = "1", .doc = "The rank whose kernel deviates." },
    { "subject.strike.call", HL_KIND_INT, AT(subject.strike.call), .min = 0, .max = COUNT_MAX,
      .also = "every", .also_value = -1, .initial = "4",
      .doc = "First call that it hits, counted from 0 on each workspace; every = all of them." },
    { "subject.strike.calls", HL_KIND_INT, AT(subject.strike.calls), .min = 1, .max = COUNT_MAX,
      .initial = "1", .doc = "How many calls in a row it hits." },
    { "subject.strike.token", HL_KIND_INT, AT(subject.strike.token), .min = 0, .max = TOKENS_MAX,
      .also = "last", .also_value = -1, .initial = "last",
      .doc = "The row that it hits, where it is about stores; as executed." },
    { "subject.strike.cta", HL_KIND_INT, AT(subject.strike.cta), .min = 0, .max = COUNT_MAX, .also = "last",
      .also_value = -1, .initial = "last",
      .doc = "The CTA that it hits, where it is about arrivals; as executed." },

    { "workspace", HL_KIND_SECTION,
      .doc = "Size and place of the workspaces' memory. Addresses are computed at these sizes, nothing is "
             "allocated on the simulator." },
    { "workspace.size_mib", HL_KIND_INT, AT(workspace.size_mib), .min = 1, .max = 12288, .also = "exact",
      .also_value = 0, .initial = "exact",
      .doc = "MiB of the three buffers together; exact = what the largest call needs. A call that does not "
             "fit goes to the plain allreduce." },
    { "workspace.offset_bytes", HL_KIND_INT, AT(workspace.offset_bytes), .min = 0, .max = 252,
      .multiple_of = 4, .initial = "0",
      .doc = "Where the memory begins, from a bound of 256 bytes. Right kernels align their buffers." },
    { "workspace.checked", HL_KIND_BOOL, AT(workspace.checked), .initial = "true",
      .doc = "Whether the host looks if a call fits; without, it writes outside (vllm#47589)." },

    { "schedule", HL_KIND_SECTION, .doc = "How the calls are issued." },
    { "schedule.preset", HL_KIND_WORD, AT(schedule.preset), .words = &hl_words_presets, .initial = "none",
      .doc = "A serving engine whose flags (section flags), orders and counts decide the schedule." },
    { "schedule.mode", HL_KIND_WORD, AT(schedule.mode), .words = &hl_words_modes, .initial = "eager",
      .doc = "Eager launches, or which kind of CUDA graphs." },
    { "schedule.fusion", HL_KIND_WORD, AT(schedule.fusion), .words = &hl_words_fusions, .initial = "in-graph",
      .doc = "Piecewise: whether the fused allreduce is in the pieces or between them." },
    { "schedule.layers", HL_KIND_INT, AT(schedule.layers), .min = 1, .max = 256, .initial = "4",
      .doc = "Decoder layers of the model." },
    { "schedule.calls_per_layer", HL_KIND_INT, AT(schedule.calls_per_layer), .min = 1, .max = 2,
      .initial = "2", .doc = "Fused allreduces in a layer: 2 = after attention and after the MLP." },
    { "schedule.sizes", HL_KIND_SIZES, AT(schedule.sizes), .min = 1, .max = TOKENS_MAX, .also = "auto",
      .initial = "auto",
      .doc = "Token counts: one graph is captured for each; eager: the counts that occur. auto = the "
             "preset's own list; without a preset 512, 256, 64 and 4." },
    { "schedule.pieces", HL_KIND_INT, AT(schedule.pieces), .min = 0, .max = 1024, .initial = "0",
      .doc = "Piecewise, breakable: graphs that a forward pass is cut into; 0 = a cut at every split op." },
    { "schedule.warmups", HL_KIND_INT, AT(schedule.warmups), .min = 0, .max = 1000, .also = "auto",
      .also_value = -1, .initial = "auto",
      .doc = "Executed forward passes before each capture; auto = as many as the mode does itself." },
    { "schedule.replays", HL_KIND_INT, AT(schedule.replays), .min = 0, .max = COUNT_MAX, .initial = "20",
      .doc = "Forward passes after the captures." },
    { "schedule.pdl", HL_KIND_BOOL, AT(schedule.pdl), .initial = "true",
      .doc = "Programmatic dependent launch on the fused calls." },
    { "schedule.padding", HL_KIND_BOOL, AT(schedule.padding), .initial = "true",
      .doc = "Replays pad their tokens up to the captured size." },

    { "flags", HL_KIND_SECTION,
      .doc = "The serving engine's own flags, spelt as on its command line; they need schedule.preset." },
    { "flags.flashinfer-allreduce-fusion-backend", HL_KIND_WORD, AT(flags.allreduce_fusion_backend),
      .words = &hl_words_flag_backends, .absent = -1, .doc = "Backend of the fused allreduce." },
    { "flags.enable-flashinfer-allreduce-fusion", HL_KIND_FLAG, AT(flags.enable_allreduce_fusion),
      .absent = -1, .doc = "The legacy flag, mapped to the one above with a warning." },
    { "flags.enforce-disable-flashinfer-allreduce-fusion", HL_KIND_FLAG,
      AT(flags.enforce_disable_allreduce_fusion), .absent = -1,
      .doc = "No fused allreduce, whatever the other flags say." },
    { "flags.enable-deterministic-inference", HL_KIND_FLAG, AT(flags.enable_deterministic_inference),
      .absent = -1, .doc = "Deterministic inference, which is to turn the fused allreduce off." },
    { "flags.enable-piecewise-cuda-graph", HL_KIND_FLAG, AT(flags.enable_piecewise_cuda_graph), .absent = -1,
      .doc = "Piecewise CUDA graphs on or off." },
    { "flags.guard", HL_KIND_WORD, AT(flags.guard), .words = &hl_words_guards, .initial = "shipped",
      .doc = "What keeps the mnnvl backend away from piecewise graphs: the shipped guard, or a proposed "
             "relaxation." },
    { "flags.deterministic-clears-old-flag-only", HL_KIND_FLAG, AT(flags.deterministic_clears_old_flag_only),
      .initial = "false",
      .doc =
          "The bug: deterministic inference clears the legacy flag and leaves the resolved backend active." },
    { "flags.nodes", HL_KIND_INT, AT(flags.nodes), .min = 1, .max = 16, .initial = "1",
      .doc = "Hosts that the ranks are spread over." },

    { "payload", HL_KIND_SECTION, .doc = "What the calls reduce." },
    { "payload.rows", HL_KIND_WORD, AT(payload.rows), .words = &hl_words_rows, .initial = "engine",
      .doc = "Which rows the calls are fed." },
    { "payload.pattern", HL_KIND_WORD, AT(payload.pattern), .words = &hl_words_payload_patterns,
      .initial = "subnormal", .doc = "Content of the rows, with rows: pattern." },
    { "payload.residue", HL_KIND_SECTION,
      .doc = "What an unwritten row holds: pool memory that nobody wrote since its last owner." },
    { "payload.residue.negative_subnormal_rows", HL_KIND_REAL, AT(payload.residue.negative_subnormal_rows),
      .min = 0, .max = 1, .also = "auto", .also_value = HL_RESIDUE_AUTO, .initial = "auto",
      .doc = "Probability that an unwritten row holds a negative subnormal number. auto = 0.05 on the "
             "simulator; on a GPU, and without nan_rows, whatever work in another data type left there." },
    { "payload.residue.nan_rows", HL_KIND_REAL, AT(payload.residue.nan_rows), .min = 0, .max = 1,
      .initial = "0", .doc = "Probability that an unwritten row holds a NaN." },

    { "faults", HL_KIND_OTHER, .fixed = true,
      .doc = "Deviations that are woven into the ranks' programs; at most 16." },

    { "watchdog", HL_KIND_SECTION, .doc = "When a run counts as stalled, and how much is recorded." },
    { "watchdog.threshold", HL_KIND_DURATION, AT(watchdog.threshold_ns), .min = MICROSECOND, .max = HOUR,
      .also = "auto", .also_value = 0, .initial = "auto",
      .doc = "No progress for so long is a stall; auto = many times what healthy calls take." },
    { "watchdog.detail", HL_KIND_WORD, AT(watchdog.detail), .words = &hl_words_details, .initial = "light",
      .doc = "How much is recorded while the run goes on, on a GPU; the simulator records all there is." },

    { "geometry", HL_KIND_WORD, AT(geometry), .words = &hl_words_geometries, .initial = "reduced",
      .doc = "Size of the simulated rows; thresholds and counts follow the real sizes in both." },
    { "runs", HL_KIND_INT, AT(runs), .min = 1, .max = COUNT_MAX, .initial = "20",
      .doc = "Repeats of each case, each with a seed of its own." },

    { "matrix", HL_KIND_OTHER, .fixed = true,
      .doc = "Dotted paths and the values that they take: one case for each combination, the last axis "
             "fastest." },
    { "exclude", HL_KIND_OTHER, .fixed = true,
      .doc =
          "Combinations to leave out: each item a mapping of dotted paths to a value or a list of values." },
    { "expect", HL_KIND_OTHER, .fixed = true,
      .doc = "Expected outcomes. The first that matches decides; default: pass." },
};
const struct hl_field_table hl_scenario_fields = { scenario_rows,
                                                   sizeof scenario_rows / sizeof *scenario_rows };
_Static_assert(sizeof scenario_rows / sizeof *scenario_rows <= HL_FIELDS_MAX, "HL_FIELDS_MAX is too small");

#undef AT
#define AT(member) .offset = offsetof(struct hl_fault, member)
static const struct hl_field fault_rows[] = {
    { "fault", HL_KIND_WORD, AT(kind), .words = &hl_words_faults, .required = true,
      .doc = "What goes wrong." },
    { "rank", HL_KIND_INT, AT(rank), .min = 0, .max = HL_RANKS_MAX - 1, .required = true,
      .doc = "The rank that deviates." },
    { "call", HL_KIND_INT, AT(call), .min = 0, .max = COUNT_MAX, .also = "every", .also_value = -1,
      .initial = "0",
      .doc =
          "First call that it hits, counted from 0 in issue order, warm-ups included; every = all of them." },
    { "calls", HL_KIND_INT, AT(calls), .min = 1, .max = COUNT_MAX, .initial = "1",
      .doc = "How many calls in a row it hits." },
    { "probability", HL_KIND_REAL, AT(probability), .min = 0, .max = 1, .initial = "1",
      .doc = "That it happens at all; drawn once per run." },
    { "tokens", HL_KIND_INT, AT(tokens), .min = 1, .max = TOKENS_MAX,
      .doc = "other-size: the tokens that the rank calls with." },
    { "delay", HL_KIND_DURATION, AT(delay_ns), .min = MICROSECOND, .max = HOUR,
      .doc = "host-delay, early-init, late-memset: how long a host sleeps. Not given: drawn once per run, "
             "log-uniform "
             "from 10 us to 41 ms." },
};
const struct hl_field_table hl_fault_fields = { fault_rows, sizeof fault_rows / sizeof *fault_rows };

#undef AT
#define AT(member) .offset = offsetof(struct hl_expectation, member)
static const struct hl_field expect_rows[] = {
    { "when", HL_KIND_OTHER,
      .doc = "Dotted paths and a value or a list of values: all must match. Absent: always." },
    { "verdict", HL_KIND_WORD, AT(verdict), .words = &hl_words_verdicts, .required = true,
      .doc = "The worst verdict of the case's runs." },
    { "cause", HL_KIND_WORD, AT(cause), .words = &hl_words_causes, .also = "any", .also_value = -1,
      .initial = "any", .doc = "Cause of that verdict." },
    { "rate", HL_KIND_SECTION, .doc = "Bounds for the share of the runs that end with that verdict." },
    { "rate.min", HL_KIND_REAL, AT(rate_min), .min = 0, .max = 1, .initial = "0",
      .doc = "At least this share of the runs." },
    { "rate.max", HL_KIND_REAL, AT(rate_max), .min = 0, .max = 1, .initial = "1",
      .doc = "At most this share of the runs." },
};
const struct hl_field_table hl_expect_fields = { expect_rows, sizeof expect_rows / sizeof *expect_rows };

const struct hl_field *hl_field_find(const struct hl_field_table *table, const char *path)
{
    for (int i = 0; i < table->count; i++)
        if (strcmp(table->rows[i].path, path) == 0)
            return &table->rows[i];
    return NULL;
}

int hl_field_index(const struct hl_field_table *table, const char *path)
{
    const struct hl_field *field = hl_field_find(table, path);
    return field ? (int)(field - table->rows) : -1;
}

const char *hl_field_key(const struct hl_field *field, const char *section)
{
    size_t n = strlen(section);
    const char *key = field->path;
    if (n > 0) {
        if (strncmp(key, section, n) != 0 || key[n] != '.')
            return NULL;
        key += n + 1;
    }
    return strchr(key, '.') ? NULL : key;
}

static bool is_value(const struct hl_field *field)
{
    return field && !field->fixed && field->kind != HL_KIND_SECTION && field->kind != HL_KIND_OTHER;
}

static const char *last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

/* The nearest path; the right key in the wrong section, or in none, is nearest of all. */
static void find_nearest(const char *path, const char *prefix, const struct hl_field_table *table,
                         char *ret_nearest, size_t size)
{
    const char *best = NULL;
    struct hl_nearest nearest = hl_nearest_init(path);
    for (int i = 0; i < table->count; i++) {
        const char *known = table->rows[i].path;
        if (!is_value(&table->rows[i]))
            continue;
        hl_nearest_offer(&nearest, known);
        if (strcmp(last_part(known), last_part(path)) == 0)
            best = known;
    }
    best = best ? best : nearest.best;
    snprintf(ret_nearest, size, "%s%s", best ? prefix : "", best ? best : "");
}

bool hl_path_find(const char *path, struct hl_path *ret_path, char *ret_nearest, size_t size)
{
    const struct hl_field_table *table = &hl_scenario_fields;
    const char *rest = path;
    char prefix[16] = "";
    unsigned fault = 0;
    if (sscanf(path, "faults.%2u.", &fault) == 1 && fault < HL_FAULTS_MAX) {
        snprintf(prefix, sizeof prefix, "faults.%u.", fault);
        if (strncmp(path, prefix, strlen(prefix)) == 0) {
            table = &hl_fault_fields;
            rest = path + strlen(prefix);
        }
    }
    const struct hl_field *field = hl_field_find(table, rest);
    if (!is_value(field)) {
        find_nearest(rest, prefix, table, ret_nearest, size);
        return false;
    }
    bool in_fault = table == &hl_fault_fields;
    *ret_path =
        (struct hl_path){ field,
                          in_fault ? offsetof(struct hl_config, faults) + fault * sizeof(struct hl_fault) : 0,
                          in_fault ? (int)fault : -1 };
    return true;
}
