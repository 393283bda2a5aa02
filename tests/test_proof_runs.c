/* Proofs from the evidence alone, on runs of the simulator that is not asked: an engine around it says
 * neither that nothing can go on nor what befell a word, as a GPU cannot. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "../framework/campaign/playback.h"

static struct hl_feed listener;

static void on_event(void *user, const struct hl_event *event)
{
    (void)user;
    if (event->kind != HL_EVENT_QUIESCENT)
        listener.on_event(listener.user, event);
}

static enum hl_status start(const struct hl_run_spec *spec, struct hl_run **ret_run, struct hl_error *error)
{
    struct hl_run_spec inner = *spec;
    listener = spec->feed;
    inner.feed = (struct hl_feed){ on_event, NULL };
    return hl_engine_sim.start(&inner, ret_run, error);
}

static enum hl_run_state advance(struct hl_run *run, uint64_t slice_ns, uint64_t *ret_now_ns)
{
    return hl_engine_sim.advance(run, slice_ns, ret_now_ns);
}

static struct hl_word_history no_history(void *user, int rank, int workspace, uint32_t word)
{
    (void)user, (void)rank, (void)workspace, (void)word;
    return (struct hl_word_history){ .known = false, .stored_by = -1, .cleared_by = -1 };
}

static struct hl_probe probe(struct hl_run *run)
{
    struct hl_probe of_run = hl_engine_sim.probe(run);
    of_run.word_history = no_history;
    return of_run;
}

static const char *crash_reason(const struct hl_run *run) { return hl_engine_sim.crash_reason(run); }
static void end(struct hl_run *run) { hl_engine_sim.end(run); }
static const struct hl_engine mute = { "mute", start, advance, probe, crash_reason, end, NULL };

/* Runs it, or records it and plays it back. */
static void run(const char *fault, bool recorded, struct hl_run_result *ret_result)
{
    char text[512];
    struct hl_scenario *scenario;
    struct hl_error error;
    snprintf(text, sizeof text,
             "hanglab: 1\nname: proof\nworld: {ranks: 4, placement: virtual}\n"
             "schedule: {mode: full, layers: 2, sizes: [16, 8], replays: 6, padding: false}\n"
             "faults: [{fault: %s, rank: 1, call: 9}]\n",
             fault);
    cr_assert_eq(hl_scenario_parse("test", text, strlen(text), &scenario, &error), HL_STATUS_OK, "%s",
                 error.message);
    const struct hl_run_options options = { .engine = recorded ? hl_recorder_begin(&mute, 1 << 20) : &mute,
                                            .seed = 3,
                                            .seed_is_of_run = true };
    cr_assert_eq(
        hl_run_once(scenario, &scenario->cases[0], &options, 0, HL_VERDICT_SKIPPED, ret_result, &error),
        HL_STATUS_OK, "%s", error.message);
    hl_scenario_destroy(scenario);
    if (!recorded)
        return;
    struct hl_recording recording;
    cr_assert(hl_recorder_end(&recording));
    hl_put(&recording.scenario, text, strlen(text));
    snprintf(recording.header.geometry, sizeof recording.header.geometry, "reduced");
    hl_run_result_finish(ret_result);
    cr_assert_eq(hl_play_back(&recording, "proof", NULL, 0, ret_result, &error), HL_STATUS_OK, "%s",
                 error.message);
    hl_recording_finish(&recording);
}

static void expect(const char *fault, enum hl_certainty certainty)
{
    for (int recorded = 0; recorded < 2; recorded++) {
        struct hl_run_result result;
        run(fault, recorded, &result);
        cr_expect_eq(result.finding.verdict, HL_VERDICT_HANG, "%s: %s", fault, result.finding.summary);
        cr_expect_eq(result.finding.certainty, certainty, "%s, %s: certainty %d: %s", fault,
                     recorded ? "played back" : "run", (int)result.finding.certainty, result.finding.summary);
        hl_run_result_finish(&result);
    }
}

Test(proof_runs, a_host_that_waits_at_a_barrier_for_the_waiter_is_proof)
{
    expect("lone-barrier", HL_CERTAINTY_PROVEN);
}

Test(proof_runs, a_rank_that_is_dead_or_over_is_proof)
{
    expect("kill-rank", HL_CERTAINTY_PROVEN);
    expect("skip-call", HL_CERTAINTY_PROVEN);
}

/* The simulator knows that these never end; from the evidence it cannot be told. */
Test(proof_runs, a_host_that_is_merely_held_is_none)
{
    expect("stop-rank", HL_CERTAINTY_OBSERVED);
    expect("host-block", HL_CERTAINTY_OBSERVED);
}
