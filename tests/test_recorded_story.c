/* The seed hang, as its recording tells it: which kernel, in which line of its wait loop, for which word of
 * which slot, and what launched it. The simulator has neither CUPTI nor processes: what they would tell is
 * put beside its run, recorded, and has to come back. */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "../framework/campaign/playback.h"
#include "command.h"

static void device(void *user, int index, struct hl_device_evidence *ret_evidence)
{
    (void)user, (void)index;
    *ret_evidence = (struct hl_device_evidence){
        .known = true,
        .pid = 4711,
        .detail = HL_PAGE_PC,
        .state = HL_PAGE_WATCHING,
        .stall = { HL_STALL_DEVICE, 1000, 3, HL_PAGE_NONE },
        .time_ns = 5000,
        .unfinished = { .number = 17,
                        .behind = 6,
                        .known = true,
                        .nodes = 8,
                        .node = 2,
                        .kernel = 5,
                        .by_samples = true,
                        .device = HL_DEVICE_SPINS,
                        .launch = { .kernel = HL_PAGE_NONE, .exec = 1, .tid = 4711 } },
        .kernel = "mnnvl_oneshot",
        .before = "hl_before_call",
        .n_calls = 1,
        .calls = { { .tid = 4711, .api = HL_API_cuStreamSynchronize, .since_ns = 2000 } },
        .samples = 100,
        .n_lines = 1,
        .lines = { { "mnnvl_oneshot", "kernels/step_cuda.cuh", 274, 0xa30, 97 } },
    };
}

/* All ranks are threads of this process, as virtual ranks are of theirs; rank 0 is the one that looks. */
static struct hl_host_place host_place(void *user, int rank)
{
    (void)user;
    return (struct hl_host_place){ getpid(), rank == 0 ? (int)syscall(SYS_gettid) : 0 };
}

static enum hl_status start(const struct hl_run_spec *spec, struct hl_run **ret_run, struct hl_error *error)
{
    return hl_engine_sim.start(spec, ret_run, error);
}

static enum hl_run_state advance(struct hl_run *run, uint64_t slice_ns, uint64_t *ret_now_ns)
{
    return hl_engine_sim.advance(run, slice_ns, ret_now_ns);
}

static struct hl_probe probe(struct hl_run *run)
{
    struct hl_probe of_run = hl_engine_sim.probe(run);
    of_run.devices = 1;
    of_run.device = device;
    of_run.host_place = host_place;
    return of_run;
}

static const char *crash_reason(const struct hl_run *run) { return hl_engine_sim.crash_reason(run); }
static void end(struct hl_run *run) { hl_engine_sim.end(run); }
static const struct hl_engine watched = { "watched", start, advance, probe, crash_reason, end, NULL };

static const char text[] =
    "hanglab: 1\nname: seed\nworld: {ranks: 4, placement: virtual}\n"
    "subject: {backend: mnnvl, dtype: bf16, hidden: 4096, sentinel_compare: float-ftz}\n"
    "schedule: {mode: piecewise, fusion: in-graph, layers: 2, sizes: [16, 4], replays: 6}\n"
    "payload: {rows: engine, residue: {negative_subnormal_rows: 0.5}}\n";

static void record(const char *path)
{
    struct hl_scenario *scenario;
    struct hl_error error;
    struct hl_run_result result;
    struct hl_recording recording;
    cr_assert_eq(hl_scenario_parse("test", text, strlen(text), &scenario, &error), HL_STATUS_OK, "%s",
                 error.message);
    const struct hl_run_options options = { .engine = hl_recorder_begin(&watched, 1 << 20),
                                            .seed = 2,
                                            .seed_is_of_run = true };
    cr_assert_eq(hl_run_once(scenario, &scenario->cases[0], &options, 0, HL_VERDICT_SKIPPED, &result, &error),
                 HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(result.finding.verdict, HL_VERDICT_HANG, "%s", result.finding.summary);
    cr_assert(hl_recorder_end(&recording));
    hl_put(&recording.scenario, text, strlen(text));
    strcpy(recording.header.verdict, "hang");
    snprintf(recording.header.cause, sizeof recording.header.cause, "%s",
             hl_cause_name(result.finding.cause));
    strcpy(recording.header.geometry, "reduced");
    cr_assert_eq(hl_recording_write(path, &recording, &error), HL_STATUS_OK, "%s", error.message);
    hl_recording_finish(&recording);
    hl_run_result_finish(&result);
    hl_scenario_destroy(scenario);
}

Test(recorded_story, names_kernel_line_word_and_launch, .timeout = 60)
{
    struct command c;
    char path[PATH_MAX];
    command_init(&c);
    snprintf(path, sizeof path, "%s/seed.hlrec", c.folder);
    record(path);
    command_expect(&c, "hanglab replay --out o seed.hlrec", 0);
    command_expect(&c, "hanglab explain o/evidence/seed/0", 0);
    command_said(&c, "sentinel-collision");
    command_said(&c, "Does not end: mnnvl_oneshot, node 2 of a graph with 8 kernels");
    command_said(&c, "97.0 %  kernels/step_cuda.cuh:274  mnnvl_oneshot+0xa30");
    command_said(&c, "waits for word ");
    command_said(&c, "of the slot that rank ");
    command_said(&c, "launched by op ");
    command_said(&c, "graph-launch, graph ");
    command_said(&c, "Thread 4711 is in cuStreamSynchronize");
    command_expect(&c, "grep -q '^process ' o/evidence/seed/0/stacks/rank0.txt", 0);
    command_finish(&c);
}

/* The same of an H100, with the native stacks of its hosts. */
Test(recorded_story, of_an_h100_names_all_of_that_by_itself, .timeout = 60)
{
    struct command c;
    char line[PATH_MAX];
    command_init(&c);
    snprintf(line, sizeof line, "hanglab replay --out o '%s/tests/recordings/h100/seed-pc.hlrec'",
             getenv("HANGLAB_SOURCE"));
    command_expect(&c, line, 0);
    command_expect(&c, "hanglab explain o/evidence/seed-pc/0", 0);
    command_said(&c, "sentinel-collision, proven");
    command_said(&c, "Does not end: void mnnvl_oneshot<4, ");
    command_said(&c, "50.7 %  kernels/step_cuda.cuh:275  void mnnvl_oneshot<4, ");
    command_said(&c, "Rank 1 waits for word 178 of the slot that rank 0 fills for token 12");
    command_said(&c, "It holds 0x80570000");
    command_said(
        &c, "rank 1: launched by op 473, graph-launch, graph 6, stream 0, in replay 0, 9 tokens in size 16");
    command_said(&c, "hl_cuda_rank_run at ../framework/engine/cuda/rank.c:");
    command_finish(&c);
}
