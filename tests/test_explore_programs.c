/* The rank programs of scenario files, searched: what must hang hangs, its healthy twin is free of it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/engine/engine.h"
#include "../framework/fault/weave.h"
#include "../framework/scenario/scenario.h"
#include "../framework/scenario/words.h"
#include "../framework/search/portfolio.h"

static struct hl_scenario *load(const char *file)
{
    char path[512];
    struct hl_scenario *scenario;
    struct hl_error error;
    snprintf(path, sizeof path, "%s/scenarios/%s.yaml", getenv("HANGLAB_SOURCE"), file);
    cr_assert_eq(hl_scenario_load(path, &scenario, &error), HL_STATUS_OK, "%s", error.message);
    return scenario;
}

static struct hl_portfolio search(const struct hl_config *config, int ranks)
{
    const struct hl_portfolio_options options = { .cover = { .programs = true, .ranks = ranks },
                                                  .explore = { .reduce = true, .states_max = 400000 },
                                                  .walk = { .seed = 1 } };
    struct hl_portfolio portfolio;
    struct hl_error error;
    cr_assert_eq(hl_portfolio_run(config, &options, &portfolio, &error), HL_STATUS_OK, "%s", error.message);
    return portfolio;
}

/* Every case of a file ends as the file says; hangs may also be wrong sums that come before them. */
static void expect_as_written(const char *file, int ranks)
{
    struct hl_scenario *scenario = load(file);
    for (size_t i = 0; i < scenario->n_cases; i++) {
        const struct hl_case *c = &scenario->cases[i];
        struct hl_portfolio p = search(&c->config, ranks);
        const enum hl_answer expected = c->expected.verdict == HL_VERDICT_HANG      ? HL_ANSWER_HANG
                                        : c->expected.verdict == HL_VERDICT_CORRUPT ? HL_ANSWER_CORRUPT
                                                                                    : HL_ANSWER_PROVEN_FREE;
        cr_expect_eq(p.answer, expected, "%s: answer %d, expected %d", c->id, p.answer, expected);
        cr_expect(p.frontier.is_known, "%s", c->id);
        hl_portfolio_finish(&p);
    }
    hl_scenario_destroy(scenario);
}

Test(programs, of_faults_end_as_their_scenarios_say)
{
    static const char *const files[] = { "catalogue/depth-2",       "catalogue/early-init",
                                         "catalogue/late-memset",   "catalogue/swap-order",
                                         "catalogue/stale-graph",   "catalogue/wrong-group",
                                         "catalogue/baked-epoch",   "catalogue/not-resident",
                                         "catalogue/shared-counter" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        expect_as_written(files[i], 3);
}

/* A host that waits for its device waits for a peer's kernel only where they share it. */
Test(programs, of_ranks_with_a_gpu_each_share_nothing)
{
    struct hl_scenario *scenario = load("catalogue/host-block");
    struct hl_config config = scenario->cases[0].config; /* virtual */
    struct hl_cover cover;
    struct hl_error error;
    struct hl_portfolio p = search(&config, 2);
    cr_expect_eq(p.answer, HL_ANSWER_HANG);
    hl_portfolio_finish(&p);
    config.world.gpus = config.world.ranks;
    p = search(&config, 2);
    cr_expect_eq(p.answer, HL_ANSWER_PROVEN_FREE);
    hl_portfolio_finish(&p);
    config.world.gpus = 2; /* two ranks on each */
    const struct hl_cover_options options = { .programs = true };
    cr_expect_eq(hl_cover_make(&config, &options, &cover, &error), HL_STATUS_USAGE);
    cr_expect_not_null(strstr(error.message, "take 1 or 4 instead of 2"), "%s", error.message);
    hl_scenario_destroy(scenario);
}

/* What a search shrinks must leave what the case is about: half of a grid, another size, buffers that are too
 * small; and a fault of the fourth rank among three. */
Test(programs, of_faults_of_sizes_end_as_their_scenarios_say)
{
    static const char *const files[] = { "catalogue/grid-mismatch", "catalogue/other-size",
                                         "catalogue/small-workspace", "catalogue/stray-store",
                                         "catalogue/other-strategy" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        expect_as_written(files[i], 3);
}

Test(programs, of_devices_that_start_nothing_end_as_their_scenarios_say)
{
    static const char *const files[] = { "catalogue/driver-stall", "catalogue/foreign-spin",
                                         "catalogue/serialise-launches" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        expect_as_written(files[i], 3);
}

static const struct hl_case *find_case(const struct hl_scenario *scenario, const char *part)
{
    for (size_t i = 0; i < scenario->n_cases; i++)
        if (strstr(scenario->cases[i].id, part))
            return &scenario->cases[i];
    cr_assert(false, "no case %s", part);
    return NULL;
}

Test(programs, whose_fault_a_cap_would_take_away_are_refused)
{
    struct hl_scenario *scenario = load("catalogue/other-size");
    struct hl_cover_options options = { .programs = true, .ranks = 3, .tokens_max = 2 };
    struct hl_cover cover;
    struct hl_error error;
    const struct hl_config *config =
        &find_case(scenario, "twin=more tokens,subject.backend=mnnvl,schedule.mode=full")->config;
    cr_assert_eq(hl_cover_make(config, &options, &cover, &error), HL_STATUS_USAGE);
    cr_expect_not_null(strstr(error.message, "take --tokens 3"), "%s", error.message);
    options.tokens_max = 3;
    cr_expect_eq(hl_cover_make(config, &options, &cover, &error), HL_STATUS_OK);
    options.programs = false;
    hl_scenario_destroy(scenario);
    scenario = load("catalogue/kill-rank");
    cr_assert_eq(hl_cover_make(&scenario->cases[0].config, &options, &cover, &error), HL_STATUS_USAGE);
    cr_expect_not_null(strstr(error.message, "without --calls"), "%s", error.message);
    hl_scenario_destroy(scenario);
}

/* A mutant strikes where the file says, not at its usual place. */
Test(programs, of_mutants_strike_where_the_file_says)
{
    struct hl_scenario *scenario = load("catalogue/drop-store");
    struct hl_config config = find_case(scenario, "subject.mutant=drop-store")->config;
    config.subject.strike.call = 9;
    struct hl_portfolio p = search(&config, 3);
    cr_expect_eq(p.answer, HL_ANSWER_HANG);
    cr_expect_gt(p.explored.strikes, 0);
    hl_portfolio_finish(&p);
    hl_scenario_destroy(scenario);
}

Test(programs, of_relaxed_memory_end_as_their_scenario_says) { expect_as_written("catalogue/no-release", 2); }

Test(programs, of_sglang_23402_end_as_it_says) { expect_as_written("seed/sglang-23402", 3); }

/* What the simulator's feed says of the calls of each rank, in the order in which they begin. */
struct seen {
    struct hl_call_record calls[HL_RANKS_MAX][HL_SPACE_CALLS_MAX];
    uint32_t n[HL_RANKS_MAX];
};

static void note(void *user, const struct hl_event *event)
{
    struct seen *seen = user;
    if (event->kind == HL_EVENT_CALL_BEGIN && seen->n[event->rank] < HL_SPACE_CALLS_MAX)
        seen->calls[event->rank][seen->n[event->rank]++] = *event->call;
}

static void run(const struct hl_config *config, struct seen *seen)
{
    struct hl_program *program;
    struct hl_run *r;
    struct hl_error error;
    uint64_t now;
    cr_assert_eq(hl_program_create(config, 1, &program, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_faults_weave(program, 1, &error), HL_STATUS_OK, "%s", error.message);
    const struct hl_run_spec spec = { config, program, 1, { note, seen } };
    cr_assert_eq(hl_engine_sim.start(&spec, &r, &error), HL_STATUS_OK);
    while (hl_engine_sim.advance(r, 1000000000, &now) == HL_RUN_GOING) {
    }
    hl_engine_sim.end(r);
    hl_program_destroy(program);
}

/* Lists are made by other code than the simulator's hosts and lanes: both must issue the same calls. */
Test(programs, as_lists_have_the_calls_that_the_simulator_makes)
{
    static const char *const files[] = { "seed/sglang-23402", "catalogue/skip-call", "catalogue/baked-epoch",
                                         "catalogue/drop-store" };
    static struct seen seen;
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        struct hl_scenario *scenario = load(files[f]);
        for (size_t i = 0; i < scenario->n_cases; i++) {
            const struct hl_case *c = &scenario->cases[i];
            struct hl_cover cover;
            struct hl_error error;
            const struct hl_cover_options options = { .programs = true };
            memset(&seen, 0, sizeof seen);
            run(&c->config, &seen);
            cr_assert_eq(hl_cover_make(&c->config, &options, &cover, &error), HL_STATUS_OK, "%s",
                         error.message);
            for (int rank = 0; rank < cover.spec.ranks; rank++) {
                const struct hl_space_stream_program *p = &cover.spec.program[rank][0];
                uint32_t at = 0;
                for (uint32_t k = 0; k < p->n && at < seen.n[rank]; k++) {
                    const struct hl_space_call *call = &p->calls[k];
                    if (call->fills || call->marks || call->waits)
                        continue;
                    const struct hl_call_record *record = &seen.calls[rank][at++];
                    cr_assert_eq(call->protocol, record->protocol, "%s: rank %d, call %u", c->id, rank, at);
                    cr_assert_eq(call->workspace, record->workspace, "%s: rank %d, call %u", c->id, rank, at);
                    cr_assert_eq(call->written < call->tokens, record->rows_written < record->exec_tokens,
                                 "%s: rank %d, call %u has %u rows of %u written, in the run %u of %u", c->id,
                                 rank, at, call->written, call->tokens, record->rows_written,
                                 record->exec_tokens);
                }
                cr_assert_gt(at, 0);
                cr_assert_eq(at, seen.n[rank], "%s: rank %d", c->id, rank);
            }
        }
        hl_scenario_destroy(scenario);
    }
}

/* A row of docs/explore.md: what was proven, of which the cheap ones are proven again. */
static void expect_row(const struct hl_scenario *scenario, const char *backend, const char *strategy,
                       int ranks, const uint64_t states[2])
{
    unsigned found = 0;
    for (size_t i = 0; i < scenario->n_cases; i++) {
        const struct hl_case *c = &scenario->cases[i];
        if (!strstr(hl_words_name(&hl_words_backends, c->config.subject.backend), backend) ||
            !strstr(hl_words_name(&hl_words_strategies, c->config.subject.strategy), strategy))
            continue;
        const enum hl_memory_model memory = c->config.world.memory;
        struct hl_portfolio p = search(&c->config, ranks);
        cr_expect_eq(p.answer, HL_ANSWER_PROVEN_FREE, "%s, %d ranks", c->id, ranks);
        cr_expect_eq(p.states, states[memory], "%s, %d ranks: %lu states", c->id, ranks,
                     (unsigned long)p.states);
        cr_expect_eq(hl_frontier_weakest(&p.frontier), HL_PROMISE_OBE, "%s, %d ranks", c->id, ranks);
        cr_expect_eq(p.frontier.under[HL_PROMISE_UNFAIR], HL_ANSWER_HANG, "%s, %d ranks", c->id, ranks);
        hl_portfolio_finish(&p);
        found |= 1u << memory;
    }
    cr_expect_eq(found, 3, "there is no case of %s, %s, for each memory", backend, strategy);
}

Test(programs, are_proven_as_the_page_says)
{
    struct hl_scenario *scenario = load("explore/protocols");
    char path[512], line[512], backend[16], strategy[16];
    snprintf(path, sizeof path, "%s/docs/explore.md", getenv("HANGLAB_SOURCE"));
    FILE *page = fopen(path, "r");
    int rows = 0, ranks;
    unsigned long sc, relaxed;
    cr_assert_not_null(page);
    while (fgets(line, sizeof line, page)) {
        if (sscanf(line, "| %15s %15s | %d | 2 | %lu | %*f | %lu |", backend, strategy, &ranks, &sc,
                   &relaxed) != 5 ||
            sc > 4900)
            continue;
        expect_row(scenario, backend, strategy, ranks, (uint64_t[]){ sc, relaxed });
        rows++;
    }
    fclose(page);
    cr_expect_eq(rows, 8, "%d cheap rows", rows);
    hl_scenario_destroy(scenario);
}
