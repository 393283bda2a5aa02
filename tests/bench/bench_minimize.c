/* minimize on planted hangs: does it find the faults that are necessary, and only those?
 *
 * 20 plants: 12 faults, 1 to 3 of them necessary together, hang rates 1.0, 0.3 and 0.05, a number of replays
 * below which nothing hangs, and a needless fault that now and then makes a hang of another kind. The plants
 * answer for the simulator; their faults are host delays, told apart by their lengths. */
#include "bench.h"
#include <string.h>
#include "../../framework/program/random.h"
#include "../../framework/search/reduce/minimize.h"

enum { PLANTS = 20, FAULTS = 12 };

struct plant {
    uint64_t seed;
    bool necessary[FAULTS];
    int decoy, replays;
    double rate;
};

static uint64_t hash_of(const struct hl_config *config)
{
    uint64_t hash = (uint64_t)config->schedule.replays;
    for (int i = 0; i < config->n_faults; i++)
        hash = hl_random_stream(hash, config->faults[i].delay_ns, (uint64_t)config->faults[i].call);
    return hash;
}

static enum hl_status trial(void *user, const struct hl_scenario *scenario, const struct hl_case *c,
                            int first, int n, struct hl_likeness *ret_likenesses, struct hl_error *error)
{
    const struct plant *plant = user;
    const struct hl_likeness hang = { HL_VERDICT_HANG, HL_CAUSE_LATE_CLEAR, 0, HL_BLAME_SLOT };
    const struct hl_likeness other = { HL_VERDICT_HANG, HL_CAUSE_INIT_RACE, 0, HL_BLAME_SLOT };
    bool there[FAULTS] = { false };
    (void)scenario;
    (void)error;
    for (int i = 0; i < c->config.n_faults; i++)
        there[c->config.faults[i].delay_ns / 1000000 - 1] = true;
    bool armed = c->config.schedule.replays >= plant->replays;
    for (int i = 0; i < FAULTS; i++)
        armed &= there[i] || !plant->necessary[i];
    for (int i = 0; i < n; i++) {
        uint64_t state = hl_random_stream(plant->seed, hash_of(&c->config), (uint64_t)(first + i));
        const double chance = hl_random_unit(&state), decoy_chance = hl_random_unit(&state);
        ret_likenesses[i] = (struct hl_likeness){ .verdict = HL_VERDICT_PASS, .stage = -1 };
        if (armed && chance < plant->rate)
            ret_likenesses[i] = hang;
        else if (there[plant->decoy] && decoy_chance < plant->rate / 5)
            ret_likenesses[i] = other;
    }
    return HL_STATUS_OK;
}

static struct plant make_plant(int index)
{
    static const double rates[] = { 1.0, 0.3, 0.05 };
    uint64_t state = hl_random_stream(1, 0x6d696e69, (uint64_t)index);
    struct plant plant = { .seed = hl_random_next(&state),
                           .rate = rates[index % 3],
                           .replays = 1 + (int)hl_random_below(&state, 20) };
    for (int left = 1 + index / 3 % 3; left > 0;) {
        const uint32_t i = hl_random_below(&state, FAULTS);
        left -= !plant.necessary[i];
        plant.necessary[i] = true;
    }
    do
        plant.decoy = (int)hl_random_below(&state, FAULTS);
    while (plant.necessary[plant.decoy]);
    return plant;
}

static struct hl_scenario *make_scenario(void)
{
    char text[4096] =
        "hanglab: 1\nname: plant\nworld: {ranks: 8}\nschedule: {mode: piecewise, sizes: [32, 16]}\n"
        "subject: {sentinel_compare: float-ftz}\nfaults:\n";
    struct hl_scenario *scenario;
    struct hl_error error;
    for (int i = 0; i < FAULTS; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "  - {fault: host-delay, rank: %d, call: %d, delay: %dms}\n", i % 8, i, i + 1);
    hl_bench_require(hl_scenario_parse("plant", text, strlen(text), &scenario, &error) == HL_STATUS_OK,
                     "parse the plants' scenario");
    return scenario;
}

static bool is_minimal(const struct plant *plant, const struct hl_minimize_result *result)
{
    bool there[FAULTS] = { false };
    for (int i = 0; i < result->config.n_faults; i++)
        there[result->config.faults[i].delay_ns / 1000000 - 1] = true;
    return result->end == HL_MINIMIZE_MINIMAL && memcmp(there, plant->necessary, sizeof there) == 0 &&
           result->likeness.cause == HL_CAUSE_LATE_CLEAR &&
           result->config.schedule.replays == plant->replays && result->config.world.ranks == 2;
}

/* Real ones: faults on the simulator, one of which hangs; the others only delay. */
static double minimize_simulated(const char *fault, enum hl_fault_kind kind, bool *ret_minimal)
{
    char text[4096] = "hanglab: 1\nname: simulated\nworld: {ranks: 4}\nsubject: {workspaces: 2}\n"
                      "schedule: {mode: full, layers: 2, sizes: [8, 4], replays: 8}\nfaults:\n";
    struct hl_scenario *scenario;
    for (int i = 0; i < FAULTS - 1; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "  - {fault: host-delay, rank: %d, call: %d, delay: %dus}\n", i % 4, i, 10 + i);
    snprintf(text + strlen(text), sizeof text - strlen(text), "  - %s\n", fault);
    hl_bench_require(hl_scenario_parse("simulated", text, strlen(text), &scenario, NULL) == HL_STATUS_OK,
                     "parse a simulated scenario");
    struct hl_trial_lab lab = { .run = { .engine = &hl_engine_sim, .seed = 1 }, .jobs = 2 };
    struct hl_minimize_result result;
    const struct hl_minimize_options options = {
        .scenario = scenario, .c = &scenario->cases[0], .trial = hl_trial_run, .trial_user = &lab, .cause = -1
    };
    hl_bench_require(hl_minimize(&options, &result, NULL) == HL_STATUS_OK, "minimize a simulated scenario");
    *ret_minimal = result.end == HL_MINIMIZE_MINIMAL && result.config.n_faults == 1 &&
                   result.config.world.ranks == 2 && result.config.faults[0].kind == kind;
    const double seconds = result.wall_s;
    hl_minimize_result_finish(&result);
    hl_scenario_destroy(scenario);
    return seconds;
}

static void bench_simulated(void)
{
    static const struct {
        const char *fault;
        enum hl_fault_kind kind;
    } cases[] = {
        { "{fault: skip-call, rank: 2, call: 9}", HL_FAULT_SKIP_CALL },
        { "{fault: skip-call, rank: 1, call: 20, probability: 0.3}", HL_FAULT_SKIP_CALL },
        { "{fault: extra-call, rank: 3, call: 11}", HL_FAULT_EXTRA_CALL },
        { "{fault: other-strategy, rank: 0, call: 7}", HL_FAULT_OTHER_STRATEGY },
        { "{fault: other-size, rank: 2, call: 5, tokens: 2, probability: 0.3}", HL_FAULT_OTHER_SIZE },
    };
    const int n = sizeof cases / sizeof *cases;
    int minimal = 0;
    double slowest_s = 0;
    for (int i = 0; i < n; i++) {
        bool good;
        const double seconds = minimize_simulated(cases[i].fault, cases[i].kind, &good);
        minimal += good;
        slowest_s = seconds > slowest_s ? seconds : slowest_s;
    }
    hl_bench_row("minimize, 5 hangs of the simulator: minimal", minimal, "of 5", HL_BENCH_AT_LEAST, 5);
    hl_bench_row("  slowest of them", slowest_s, "s", HL_BENCH_AT_MOST, 60);
}

int main(void)
{
    struct hl_scenario *scenario = make_scenario();
    int minimal = 0;
    double slowest_s = 0;
    long runs[3] = { 0 };
    for (int i = 0; i < PLANTS; i++) {
        struct plant plant = make_plant(i);
        struct hl_minimize_result result;
        const struct hl_minimize_options options = {
            .scenario = scenario, .c = &scenario->cases[0], .trial = trial, .trial_user = &plant, .cause = -1
        };
        hl_bench_require(hl_minimize(&options, &result, NULL) == HL_STATUS_OK, "minimize");
        minimal += is_minimal(&plant, &result);
        slowest_s = result.wall_s > slowest_s ? result.wall_s : slowest_s;
        runs[i % 3] += result.runs;
        hl_minimize_result_finish(&result);
    }
    hl_bench_row("minimize, 20 planted hangs: minimal results", minimal, "of 20", HL_BENCH_AT_LEAST, 19);
    hl_bench_row("  slowest of them, planted runs take no time", slowest_s, "s", HL_BENCH_AT_MOST, 60);
    printf("  runs on average: %ld at rate 1, %ld at 0.3, %ld at 0.05\n", runs[0] / 7, runs[1] / 7,
           runs[2] / 6);
    hl_scenario_destroy(scenario);
    bench_simulated();
    return hl_bench_finish();
}
