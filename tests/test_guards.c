/* A write outside of the buffers of a workspace is found wherever it lands, and told from the nearest buffer.
 */
#include <criterion/criterion.h>
#include "../framework/engine/sim/sim.h"
#include "../framework/scenario/scenario.h"
#include "../framework/verdict/classifier.h"

static struct hl_scenario *scenario;
static struct hl_program *program;
static struct hl_sim *sim;

static void start(void)
{
    static const char text[] = "hanglab: 1\nname: guards\nworld: {ranks: 2}\nschedule: {sizes: [8]}\n";
    struct hl_error error;
    cr_assert_eq(hl_scenario_parse("guards", text, strlen(text), &scenario, &error), HL_STATUS_OK);
    cr_assert_eq(hl_program_create(&scenario->cases[0].config, 1, &program, &error), HL_STATUS_OK);
    const struct hl_run_spec spec = { &scenario->cases[0].config, program, 1, { 0 } };
    cr_assert_eq(hl_sim_create(&spec, &sim, &error), HL_STATUS_OK);
}
static void stop(void)
{
    hl_sim_destroy(sim);
    hl_program_destroy(program);
    hl_scenario_destroy(scenario);
}
TestSuite(guards, .init = start, .fini = stop);

/* Writes one word of rank 1's workspace and says what the guards make of it. */
static struct hl_stray_write poke(int64_t at)
{
    uint32_t *word = hl_sim_workspace(sim, 0, 1) + at, before = *word;
    *word = 0x1234;
    sim->stray.found = false;
    hl_sim_check_guards(sim, 1);
    const struct hl_stray_write found = sim->stray;
    *word = before;
    return found;
}

static void expect_stray(int64_t at, int buffer, int64_t distance)
{
    const struct hl_stray_write s = poke(at);
    cr_assert(s.found, "word %lld is not guarded", (long long)at);
    cr_expect(s.rank == 1 && s.workspace == 0 && s.value == 0x1234);
    cr_expect(s.buffer == buffer && s.distance == distance, "word %lld: %lld of buffer %d", (long long)at,
              (long long)s.distance, s.buffer);
}

Test(guards, stand_around_every_buffer_and_before_the_workspace)
{
    const struct hl_layout *l = &sim->layout[0];
    const int64_t gap = l->gap, size = l->words_per_buffer;
    cr_assert_geq(gap, l->row_words, "a row beside a buffer must not reach the next one");
    expect_stray(-1, -1, -1);
    expect_stray(-gap, -1, -gap);
    for (int b = 0; b < 3; b++) {
        const int64_t at = hl_buffer_at(l, (uint32_t)b);
        expect_stray(at - 1, b, -1);
        expect_stray(at + size, b, 0);
        if (b > 0)
            expect_stray(at - gap / 2 - 1, b - 1, gap / 2 - 1);
    }
    expect_stray((int64_t)hl_buffer_at(l, 2) + size + gap - 1, 2, gap - 1);
}

Test(guards, leave_every_word_of_flags_and_buffers_alone)
{
    const struct hl_layout *l = &sim->layout[0];
    for (int64_t at = 0; at < HL_FLAG_WORDS; at++)
        cr_assert_not(poke(at).found);
    for (uint32_t b = 0; b < 3; b++)
        for (int64_t i = 0; i < l->words_per_buffer; i++)
            cr_assert_not(poke(hl_buffer_at(l, b) + i).found);
}

Test(guards, are_named_in_the_finding)
{
    struct hl_evidence *e = malloc(sizeof *e);
    hl_evidence_init(e);
    e->stray = (struct hl_stray_write){ .found = true, .rank = 1, .buffer = 1, .distance = 3, .by_rank = -1 };
    struct hl_finding f = hl_classify(e);
    cr_expect(f.verdict == HL_VERDICT_CORRUPT && f.cause == HL_CAUSE_OUT_OF_BOUNDS);
    cr_expect_not_null(strstr(f.summary, "4 words behind buffer 1"), "%s", f.summary);
    e->stray.buffer = -1;
    e->stray.distance = -2;
    f = hl_classify(e);
    cr_expect_not_null(strstr(f.summary, "2 words before the whole of it"), "%s", f.summary);
    hl_evidence_finish(e);
    free(e);
}
