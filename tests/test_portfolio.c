/* Searches that are cut off, killed and shared among threads come to what one search in peace comes to. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../framework/scenario/scenario.h"
#include "../framework/search/decide.h"
#include "../framework/search/portfolio.h"

static struct hl_scenario *parse(const char *text)
{
    struct hl_scenario *scenario;
    struct hl_error error;
    cr_assert_eq(hl_scenario_parse("test", text, strlen(text), &scenario, &error), HL_STATUS_OK, "%s",
                 error.message);
    return scenario;
}

#define HEALTHY \
    "hanglab: 1\nname: healthy\nworld: {ranks: 4}\nschedule: {mode: eager, sizes: [4], pdl: false}\n"
#define LATE \
    "hanglab: 1\nname: late\nworld: {ranks: 8}\nsubject: {mutant: late-clear}\n" \
    "schedule: {mode: eager, sizes: [4], pdl: false}\n"

static struct hl_space *create(const struct hl_config *config, int ranks, uint32_t rounds)
{
    struct hl_cover cover;
    struct hl_space *space;
    struct hl_error error;
    const struct hl_cover_options options = { .ranks = ranks, .rounds = rounds };
    cr_assert_eq(hl_cover_make(config, &options, &cover, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_space_create(&cover.spec, &space, &error), HL_STATUS_OK, "%s", error.message);
    return space;
}

static struct hl_walked walk(struct hl_space *space, struct hl_walk_options options)
{
    struct hl_walked walked = { 0 };
    struct hl_error error;
    options.steps_max = 100000;
    cr_assert_eq(hl_walk(space, &options, &walked, &error), HL_STATUS_OK, "%s", error.message);
    return walked;
}

Test(walks, the_hang_is_the_same_for_any_number_of_threads)
{
    struct hl_scenario *scenario = parse(LATE);
    struct hl_space *space = create(&scenario->cases[0].config, 0, 4);
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct hl_walked one = walk(space, (struct hl_walk_options){ .seed = seed, .schedules = 100000 });
        cr_assert(one.hangs);
        for (int jobs = 2; jobs <= 4; jobs++) {
            struct hl_walked many =
                walk(space, (struct hl_walk_options){ .seed = seed, .schedules = 100000, .jobs = jobs });
            cr_assert(many.hangs);
            cr_expect_eq(many.number, one.number);
            cr_expect_eq(many.schedules, one.schedules);
            cr_assert_eq(many.path.n, one.path.n);
            cr_expect_arr_eq(many.path.agents, one.path.agents, one.path.n * sizeof *one.path.agents);
            hl_path_finish(&many.path);
        }
        hl_path_finish(&one.path);
    }
    hl_space_destroy(space);
    hl_scenario_destroy(scenario);
}

Test(walks, ranks_take_exactly_the_steps_that_the_weights_foresee)
{
    static const char *const texts[] = {
        HEALTHY,
        "hanglab: 1\nname: pdl\nworld: {ranks: 4}\nschedule: {mode: eager, sizes: [64, 4], pdl: true}\n",
        "hanglab: 1\nname: two\nsubject: {strategy: twoshot}\nschedule: {mode: eager, sizes: [8, 4]}\n",
        "hanglab: 1\nname: trt\nsubject: {backend: trtllm}\nschedule: {mode: eager, sizes: [512, 4]}\n"
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct hl_scenario *scenario = parse(texts[i]);
        struct hl_space *space = create(&scenario->cases[0].config, 0, 4);
        const struct hl_walked walked = walk(space, (struct hl_walk_options){ .seed = 1, .schedules = 400 });
        cr_expect_not(walked.hangs);
        cr_expect_eq(walked.miscounted, 0, "%s", texts[i]);
        cr_expect_eq(walked.longest, walked.events, "%s", texts[i]);
        cr_expect_gt(walked.pct_confidence, 0);
        hl_space_destroy(space);
        hl_scenario_destroy(scenario);
    }
}

/* 2 calls that clash in a step of each of two streams: PCT must meet the hang at least as often as it says.
 */
Test(walks, pct_meets_a_hang_of_depth_two_as_often_as_it_promises)
{
    struct hl_scenario *scenario = parse(LATE);
    struct hl_space *space = create(&scenario->cases[0].config, 3, 4);
    uint64_t tried = 0, met = 0;
    double promised = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct hl_walked walked = walk(space, (struct hl_walk_options){ .seed = seed, .schedules = 1 });
        tried++;
        met += walked.hangs;
        promised = 1.0 / ((double)walked.threads * walked.events);
        hl_path_finish(&walked.path);
    }
    cr_expect_gt(promised, 0);
    cr_expect_geq((double)met / (double)tried, promised, "%lu of %lu", (unsigned long)met,
                  (unsigned long)tried);
    hl_space_destroy(space);
    hl_scenario_destroy(scenario);
}

Test(walks, enough_schedules_for_95_percent_are_taken_and_no_more)
{
    struct hl_scenario *scenario = parse(HEALTHY);
    struct hl_space *space = create(&scenario->cases[0].config, 2, 2);
    const struct hl_walked walked = walk(space, (struct hl_walk_options){ .seed = 3 });
    cr_expect_not(walked.hangs);
    cr_expect_geq(walked.pct_confidence, 0.95);
    cr_expect_lt(walked.pct_confidence, 0.951);
    hl_space_destroy(space);
    hl_scenario_destroy(scenario);
}

static char folder[] = "/tmp/hanglab-portfolio-XXXXXX", file[64];

static void make_folder(void)
{
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/checkpoint", folder);
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

/* A search of every order at 3 ranks, bounded to so many states, from the checkpoint on if there is one. */
static struct hl_portfolio search(const struct hl_config *config, uint64_t states_max, double every_s,
                                  bool *resumed)
{
    struct hl_portfolio_options options = { .cover.ranks = 3,
                                            .explore = { .states_max = states_max, .seconds_max = 1000 },
                                            .walk = { .seed = 1, .schedules = 100 } };
    struct hl_checkpoint checkpoint = { .file = file, .every_s = every_s };
    struct hl_portfolio portfolio;
    struct hl_error error;
    char *identity;
    cr_assert_eq(hl_portfolio_identity(config, &options, "this build", &identity, &error), HL_STATUS_OK);
    checkpoint.identity = identity;
    options.checkpoint = &checkpoint;
    cr_assert_eq(hl_checkpoint_load(&checkpoint, resumed, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_portfolio_run(config, &options, &portfolio, &error), HL_STATUS_OK, "%s", error.message);
    hl_checkpoint_finish(&checkpoint);
    free(identity);
    return portfolio;
}

/* The search alone, in steps of so many states: the checkpoint is all that goes from one to the next. */
static struct hl_explored explore_in_steps(struct hl_space *space, uint64_t step, const char *identity)
{
    struct hl_explored explored = { .answer = HL_ANSWER_BOUND_REACHED };
    struct hl_error error;
    for (uint64_t most = step; explored.answer == HL_ANSWER_BOUND_REACHED; most += step) {
        struct hl_checkpoint checkpoint = { .file = file, .identity = identity, .every_s = 1000 };
        const struct hl_explore_options options = { .keep_path = true,
                                                    .states_max = most,
                                                    .checkpoint = &checkpoint };
        bool found;
        cr_assert_eq(hl_checkpoint_load(&checkpoint, &found, &error), HL_STATUS_OK, "%s", error.message);
        cr_assert_eq(found, most > step);
        cr_assert_eq(hl_explore(space, &options, &explored, &error), HL_STATUS_OK, "%s", error.message);
        if (explored.answer == HL_ANSWER_BOUND_REACHED)
            hl_path_finish(&explored.path);
    }
    return explored;
}

Test(checkpoints, a_search_in_pieces_ends_as_one_in_peace)
{
    static const char *const texts[] = { HEALTHY, LATE };
    make_folder();
    for (int i = 0; i < 2; i++) {
        struct hl_scenario *scenario = parse(texts[i]);
        struct hl_space *space = create(&scenario->cases[0].config, 3, 0);
        struct hl_explored peace, pieces;
        struct hl_error error;
        cr_assert_eq(hl_explore(space, &(struct hl_explore_options){ .keep_path = true }, &peace, &error),
                     HL_STATUS_OK);
        pieces = explore_in_steps(space, 700, "the same\n");
        cr_expect_eq(pieces.answer, peace.answer);
        cr_expect_eq(pieces.states, peace.states);
        cr_expect_eq(pieces.steps, peace.steps);
        cr_expect_eq(pieces.depth, peace.depth);
        cr_assert_eq(pieces.path.n, peace.path.n);
        if (peace.path.n)
            cr_expect_arr_eq(pieces.path.agents, peace.path.agents, peace.path.n * sizeof *peace.path.agents);
        hl_path_finish(&pieces.path);
        hl_path_finish(&peace.path);
        hl_space_destroy(space);
        hl_scenario_destroy(scenario);
        cr_assert_eq(unlink(file), 0);
    }
    remove_folder();
}

/* Every order of 8 ranks, whose states are of more than 500 bytes each. */
Test(checkpoints, are_small_and_come_to_the_same_states)
{
    struct hl_scenario *scenario = parse(HEALTHY);
    struct hl_space *space = create(&scenario->cases[0].config, 8, 0);
    struct hl_explored peace, pieces;
    struct hl_error error;
    struct stat written;
    struct hl_checkpoint checkpoint = { .file = file, .identity = "the same\n", .every_s = 1000 };
    struct hl_explore_options options = { .states_max = 60000, .checkpoint = &checkpoint };
    bool found;
    make_folder();
    cr_expect_gt(space->state_bytes, 500);
    cr_assert_eq(hl_explore(space, &options, &pieces, &error), HL_STATUS_OK);
    cr_assert_eq(stat(file, &written), 0);
    cr_expect_lt(written.st_size, 3 * 60000, "%lld bytes", (long long)written.st_size);
    cr_assert_eq(hl_checkpoint_load(&checkpoint, &found, &error), HL_STATUS_OK);
    options.states_max = 120000;
    cr_assert_eq(hl_explore(space, &options, &pieces, &error), HL_STATUS_OK, "%s", error.message);
    options.checkpoint = NULL;
    cr_assert_eq(hl_explore(space, &options, &peace, &error), HL_STATUS_OK);
    cr_expect_eq(pieces.states, peace.states);
    cr_expect_eq(pieces.steps, peace.steps);
    cr_expect_eq(pieces.depth, peace.depth);
    remove_folder();
    hl_space_destroy(space);
    hl_scenario_destroy(scenario);
}

Test(checkpoints, a_search_that_is_killed_again_and_again_goes_on_and_ends_right)
{
    struct hl_scenario *scenario = parse(HEALTHY);
    const struct hl_config *config = &scenario->cases[0].config;
    bool resumed = false, ended = false;
    int kills = 0;
    make_folder();
    srand(1);
    while (!ended) {
        const pid_t parent = getpid(), child = fork();
        cr_assert_geq(child, 0);
        if (child == 0) {
            /* An aborted test takes its child along, even if it is gone before the child asks for that. */
            if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
                _exit(1);
            struct hl_portfolio portfolio = search(config, 0, 1e-9, &resumed);
            _exit(portfolio.answer == HL_ANSWER_PROVEN_FREE && portfolio.states == 25753 ? 0 : 1);
        }
        int status;
        usleep((useconds_t)(500 + 200 * kills + rand() % 1000)); /* longer and longer: it must end */
        kills += kill(child, SIGKILL) == 0 && kills < 1000000;
        cr_assert_eq(waitpid(child, &status, 0), child);
        ended = WIFEXITED(status);
        if (ended)
            cr_expect_eq(WEXITSTATUS(status), 0);
        cr_assert_lt(kills, 3000, "it does not get on");
    }
    cr_expect_gt(kills, 1);
    remove_folder();
    hl_scenario_destroy(scenario);
}

Test(checkpoints, one_of_another_search_is_refused_with_the_line_that_differs)
{
    struct hl_scenario *scenario = parse(HEALTHY);
    struct hl_space *space = create(&scenario->cases[0].config, 3, 0);
    const struct hl_explore_options options = { .states_max = 500 };
    struct hl_checkpoint checkpoint = { .file = file, .identity = "build: a\nranks: 3\n", .every_s = 1000 };
    struct hl_explore_options with = options;
    struct hl_explored explored;
    struct hl_error error;
    bool found;
    make_folder();
    with.checkpoint = &checkpoint;
    cr_assert_eq(hl_explore(space, &with, &explored, &error), HL_STATUS_OK);
    cr_assert_eq(explored.answer, HL_ANSWER_BOUND_REACHED);
    checkpoint.identity = "build: a\nranks: 4\n";
    cr_expect_eq(hl_checkpoint_load(&checkpoint, &found, &error), HL_STATUS_USAGE);
    cr_expect_not_null(strstr(error.message, "'ranks: 3'"), "%s", error.message);
    cr_expect_not_null(strstr(error.message, "'ranks: 4'"), "%s", error.message);
    checkpoint.identity = "build: b\nranks: 3\n";
    cr_expect_eq(hl_checkpoint_load(&checkpoint, &found, &error), HL_STATUS_USAGE);
    cr_expect_not_null(strstr(error.message, "'build: a'"), "%s", error.message);

    /* Damage, of a byte in the middle and at the end. */
    checkpoint.identity = "build: a\nranks: 3\n";
    FILE *bytes = fopen(file, "r+b");
    cr_assert_eq(fseek(bytes, -500, SEEK_END), 0);
    const int byte = fgetc(bytes);
    cr_assert_eq(fseek(bytes, -500, SEEK_END), 0);
    fputc(byte ^ 1, bytes);
    cr_assert_eq(fclose(bytes), 0);
    cr_assert_eq(hl_checkpoint_load(&checkpoint, &found, &error), HL_STATUS_OK);
    cr_expect_eq(hl_explore(space, &with, &explored, &error), HL_STATUS_USAGE);
    cr_expect_not_null(strstr(error.message, "damaged"), "%s", error.message);
    cr_assert_eq(truncate(file, 100), 0);
    cr_expect_eq(hl_checkpoint_load(&checkpoint, &found, &error), HL_STATUS_USAGE, "%s", error.message);
    remove_folder();
    hl_space_destroy(space);
    hl_scenario_destroy(scenario);
}

Test(portfolio, a_bound_makes_it_try_random_schedules_and_they_find_the_hang)
{
    struct hl_scenario *scenario = parse(LATE);
    const struct hl_portfolio_options options = { .cover.ranks = 8,
                                                  .explore = { .states_max = 200, .seconds_max = 60 },
                                                  .walk = { .seed = 1, .jobs = 2 } };
    struct hl_portfolio portfolio;
    struct hl_error error;
    cr_assert_eq(hl_portfolio_run(&scenario->cases[0].config, &options, &portfolio, &error), HL_STATUS_OK,
                 "%s", error.message);
    cr_expect_eq(portfolio.answer, HL_ANSWER_HANG);
    cr_expect(portfolio.walked.hangs);
    cr_expect_eq(portfolio.cover.rounds, HL_PORTFOLIO_ROUNDS);
    cr_expect_geq(portfolio.states, 200);
    hl_portfolio_finish(&portfolio);
    hl_scenario_destroy(scenario);
}

/* A random schedule that hangs, of so many ranks and rounds. */
static struct hl_path hang_of(struct hl_space *space, uint64_t seed)
{
    const struct hl_walked walked =
        walk(space, (struct hl_walk_options){ .seed = seed, .schedules = 100000 });
    cr_assert(walked.hangs);
    return walked.path;
}

Test(counterexamples, joining_turns_keeps_the_hang_and_leaves_fewer)
{
    struct hl_scenario *scenario = parse(LATE);
    struct hl_space *space = create(&scenario->cases[0].config, 0, 4);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct hl_path path = hang_of(space, seed);
        struct hl_story before, after;
        struct hl_error error;
        cr_assert_eq(hl_story_tell(space, &path, NULL, &before, &error), HL_STATUS_OK);
        cr_assert_eq(hl_path_join_turns(space, &path, &error), HL_STATUS_OK);
        cr_assert_eq(hl_story_tell(space, &path, NULL, &after, &error), HL_STATUS_OK);
        cr_expect(after.hangs);
        cr_expect_lt(after.blocks, before.blocks, "%u of %u turns", after.blocks, before.blocks);
        cr_expect_leq(after.blocks, 8 * 2 * 4, "%u turns", after.blocks); /* a call of a rank is two turns */
        hl_path_finish(&path);
    }
    hl_space_destroy(space);
    hl_scenario_destroy(scenario);
}

/* Replays a path to where it ends, and on by turns. */
static enum hl_turns_end end_of(struct hl_space *space, const struct hl_path *path)
{
    struct hl_path lanes = { 0 }, taken = { 0 };
    struct hl_error error;
    enum hl_turns_end end;
    bool possible;
    cr_assert_eq(hl_lanes_of_agents(space, path, &lanes, &error), HL_STATUS_OK, "%s", error.message);
    const struct hl_lanes_plan plan = { &lanes, lanes.n, &(const struct hl_path){ 0 } };
    cr_assert_eq(hl_lanes_follow(space, &plan, &taken, &possible, &end, &error), HL_STATUS_OK);
    cr_assert(possible);
    hl_path_finish(&lanes);
    hl_path_finish(&taken);
    return end;
}

static void expect_decided(const struct hl_config *config, int ranks, uint32_t rounds, const char *first,
                           const char *second)
{
    struct hl_space *space = create(config, ranks, rounds);
    struct hl_path hang = hang_of(space, 1);
    struct hl_decided decided;
    struct hl_story_turn pair[2];
    struct hl_error error;
    cr_assert_eq(hl_decide(space, &hang, &decided, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert(decided.is_decided);
    const uint32_t at = decided.common;
    cr_expect_arr_eq(decided.path.agents, decided.passes.agents, at * sizeof *decided.path.agents);
    cr_expect_eq(decided.path.agents[at], decided.passes.agents[at + 1]);
    cr_expect_eq(decided.path.agents[at + 1], decided.passes.agents[at]);
    cr_expect_eq(end_of(space, &decided.path), HL_TURNS_HANGS);
    cr_expect_neq(end_of(space, &decided.passes), HL_TURNS_HANGS);
    cr_assert_eq(hl_decided_describe(space, &decided, pair, &error), HL_STATUS_OK);
    cr_expect_not_null(strstr(pair[0].text, first), "%s", pair[0].text);
    cr_expect_not_null(strstr(pair[1].text, second), "%s", pair[1].text);
    cr_expect_neq(pair[0].rank, pair[1].rank);
    hl_decided_finish(&decided);
    hl_path_finish(&hang);
    hl_space_destroy(space);
}

Test(counterexamples, a_late_clear_comes_down_to_the_store_before_the_clear)
{
    struct hl_scenario *scenario = parse(LATE);
    expect_decided(&scenario->cases[0].config, 8, 4, "stores to", "clears buffer");
    expect_decided(&scenario->cases[0].config, 3, 4, "stores to", "clears buffer");
    hl_scenario_destroy(scenario);
}

Test(counterexamples, so_does_one_whose_kernels_overlap_and_move_up)
{
    struct hl_scenario *scenario = parse("hanglab: 1\nname: depth\nsubject: {mutant: depth-2}\n"
                                         "schedule: {mode: eager, sizes: [16, 8], pdl: true}\n");
    expect_decided(&scenario->cases[0].config, 4, 4, "stores to", "clears buffer");
    hl_scenario_destroy(scenario);
}

Test(counterexamples, a_fill_that_comes_too_late_is_named)
{
    struct hl_scenario *scenario = parse("hanglab: 1\nname: init\nfaults: [{fault: late-memset, rank: 1}]\n"
                                         "schedule: {mode: eager, sizes: [4], pdl: false}\n");
    expect_decided(&scenario->cases[0].config, 4, 3, "stores to 1", "fills its workspace");
    hl_scenario_destroy(scenario);
}

Test(counterexamples, where_no_schedule_passes_nothing_is_said_to_decide)
{
    struct hl_scenario *scenario = parse("hanglab: 1\nname: drop\nsubject: {mutant: drop-store}\n"
                                         "schedule: {mode: eager, sizes: [4], pdl: false}\n");
    struct hl_space *space = create(&scenario->cases[0].config, 3, 8);
    struct hl_path hang = hang_of(space, 1);
    struct hl_decided decided;
    struct hl_error error;
    cr_assert_eq(hl_decide(space, &hang, &decided, &error), HL_STATUS_OK);
    cr_expect_not(decided.is_decided);
    cr_expect_gt(decided.tried, 100);
    hl_decided_finish(&decided);
    hl_path_finish(&hang);
    hl_space_destroy(space);
    hl_scenario_destroy(scenario);
}

Test(counterexamples, lanes_are_agents_by_another_name)
{
    struct hl_scenario *scenario =
        parse("hanglab: 1\nname: pdl\nschedule: {mode: eager, sizes: [64, 4], pdl: true}\n");
    struct hl_space *space = create(&scenario->cases[0].config, 3, 4);
    struct hl_path lanes = { 0 }, agents = { 0 }, again = { 0 };
    struct hl_error error;
    enum hl_turns_end end;
    bool passes;
    for (uint32_t n = 0; n < 20; n++) {
        cr_assert_eq(hl_decide_attempt(space, n, 100000, &lanes, &passes, &end, &error), HL_STATUS_OK);
        cr_expect(passes);
        cr_assert_eq(hl_lanes_to_agents(space, &lanes, &agents, &error), HL_STATUS_OK, "%s", error.message);
        cr_assert_eq(hl_lanes_of_agents(space, &agents, &again, &error), HL_STATUS_OK, "%s", error.message);
        cr_assert_eq(again.n, lanes.n);
        cr_expect_arr_eq(again.agents, lanes.agents, lanes.n * sizeof *lanes.agents);
    }
    hl_path_finish(&lanes);
    hl_path_finish(&agents);
    hl_path_finish(&again);
    hl_space_destroy(space);
    hl_scenario_destroy(scenario);
}
