/* `explore` proves what is free of hangs, finds what is not, and its shortcuts change no answer. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../framework/search/cover.h"
#include "../framework/search/promela.h"
#include "../framework/search/story.h"
#include "../framework/search/walk.h"

/* Every rank issues the same calls on one stream, without end. */
static struct hl_space_spec same_calls(int ranks, enum hl_protocol first, uint32_t first_tokens,
                                       enum hl_protocol second, uint32_t second_tokens)
{
    struct hl_space_spec spec = {
        .ranks = ranks, .streams = 1, .workspaces = 1, .dtype = HL_BF16, .sms = 132
    };
    for (int rank = 0; rank < ranks; rank++) {
        struct hl_space_stream_program *p = &spec.program[rank][0];
        p->calls[0] = (struct hl_space_call){ .protocol = first, .tokens = first_tokens };
        p->calls[1] = (struct hl_space_call){ .protocol = second, .tokens = second_tokens };
        p->n = second_tokens ? 2 : 1;
    }
    return spec;
}

static struct hl_space_spec calls(int ranks, enum hl_protocol protocol, uint32_t tokens)
{
    return same_calls(ranks, protocol, tokens, protocol, 0);
}

static struct hl_space *create(const struct hl_space_spec *spec)
{
    struct hl_space *space;
    struct hl_error error;
    cr_assert_eq(hl_space_create(spec, &space, &error), HL_STATUS_OK, "%s", error.message);
    return space;
}

static struct hl_explored explore(const struct hl_space_spec *spec, struct hl_explore_options options)
{
    struct hl_space *space = create(spec);
    struct hl_explored explored;
    struct hl_error error;
    cr_assert_eq(hl_explore(space, &options, &explored, &error), HL_STATUS_OK, "%s", error.message);
    hl_space_destroy(space);
    return explored;
}

static enum hl_answer answer(struct hl_space_spec spec)
{
    return explore(&spec, (struct hl_explore_options){ .reduce = true, .states_max = 2000000 }).answer;
}

/* Reduced and full search of one spec meet the same set of states that hang. */
static void expect_same_hangs(struct hl_space_spec spec, const char *what)
{
    const struct hl_explored full = explore(&spec, (struct hl_explore_options){ .all_hangs = true });
    const struct hl_explored reduced =
        explore(&spec, (struct hl_explore_options){ .reduce = true, .all_hangs = true });
    cr_expect(reduced.reduced && !full.reduced);
    cr_expect_eq(full.answer, reduced.answer, "%s", what);
    cr_expect_eq(full.hangs, reduced.hangs, "%s: %lu hanging states, reduced %lu", what,
                 (unsigned long)full.hangs, (unsigned long)reduced.hangs);
    cr_expect(full.hang_set.low == reduced.hang_set.low && full.hang_set.high == reduced.hang_set.high, "%s",
              what);
    cr_expect_lt(reduced.states, full.states, "%s", what);
}

Test(explore, reduction_keeps_every_hang)
{
    static const enum hl_protocol protocols[] = { HL_MNNVL_ONESHOT, HL_MNNVL_TWOSHOT, HL_TRTLLM_ONESHOT,
                                                  HL_TRTLLM_TWOSHOT };
    static const enum hl_mutant mutants[] = { HL_MUTANT_NONE,        HL_MUTANT_LATE_CLEAR,
                                              HL_MUTANT_SHORT_CLEAR, HL_MUTANT_WRONG_CLEAR_OFFSET,
                                              HL_MUTANT_DEPTH_2,     HL_MUTANT_DROP_STORE,
                                              HL_MUTANT_STRAY_STORE };
    for (size_t p = 0; p < 4; p++)
        for (size_t m = 0; m < sizeof mutants / sizeof *mutants; m++)
            for (int ranks = 2; ranks <= 3; ranks++)
                for (int pdl = 0; pdl < 2; pdl++) {
                    char what[96];
                    struct hl_space_spec spec = calls(ranks, protocols[p], 1);
                    spec.mutant = mutants[m];
                    spec.pdl = pdl;
                    if (ranks == 3 && (pdl || m > 1))
                        continue; /* large without reduction; covered at two ranks */
                    snprintf(what, sizeof what, "protocol %d, mutant %d, %d ranks, pdl %d", protocols[p],
                             mutants[m], ranks, pdl);
                    expect_same_hangs(spec, what);
                }
}

Test(explore, reduction_keeps_every_hang_of_several_ctas_and_sizes)
{
    struct hl_space_spec spec;
    for (int mutant = HL_MUTANT_NONE; mutant <= HL_MUTANT_LATE_CLEAR; mutant++) {
        spec = calls(2, HL_MNNVL_TWOSHOT, 2);
        spec.mutant = mutant;
        expect_same_hangs(spec, "two-shot, two CTAs");
        spec = same_calls(2, HL_MNNVL_ONESHOT, 1, HL_MNNVL_TWOSHOT, 1);
        spec.mutant = mutant;
        spec.pdl = true;
        expect_same_hangs(spec, "one-shot and two-shot in turn, PDL");
        spec = same_calls(2, HL_TRTLLM_ONESHOT, 1, HL_TRTLLM_ONESHOT, 2);
        spec.mutant = mutant;
        expect_same_hangs(spec, "two sizes");
    }
}

Test(explore, reduction_keeps_every_hang_for_want_of_room)
{
    static const enum hl_protocol protocols[] = { HL_MNNVL_ONESHOT, HL_TRTLLM_ONESHOT, HL_MNNVL_TWOSHOT };
    unsigned hanging = 0, free_of_hangs = 0;
    for (size_t p = 0; p < 3; p++)
        for (int promise = HL_PROMISE_LOBE; promise <= HL_PROMISE_OBE; promise++)
            for (uint32_t room = 1; room <= 3; room++) {
                char what[96];
                struct hl_space_spec spec = calls(2, protocols[p], 2);
                spec.one_gpu = room > 1;
                spec.room = room;
                spec.promise = promise;
                snprintf(what, sizeof what, "protocol %d, promise %d, room %u", protocols[p], promise, room);
                expect_same_hangs(spec, what);
                if (answer(spec) == HL_ANSWER_HANG)
                    hanging++;
                else
                    free_of_hangs++;
            }
    cr_expect_gt(hanging, 0);
    cr_expect_gt(free_of_hangs, 0);
}

/* One CTA a rank on a GPU of its own needs no promise; ranks that share one need room for all. */
Test(explore, ranks_of_one_gpu_hang_without_room_for_all_and_end_with_it)
{
    for (int promise = HL_PROMISE_LOBE; promise <= HL_PROMISE_OBE; promise++) {
        struct hl_space_spec spec = calls(3, HL_MNNVL_ONESHOT, 1);
        spec.promise = promise;
        spec.room = 1;
        cr_expect_eq(answer(spec), HL_ANSWER_PROVEN_FREE);
        spec.one_gpu = true;
        spec.room = 2;
        cr_expect_eq(answer(spec), HL_ANSWER_HANG);
        spec.room = 3;
        cr_expect_eq(answer(spec), HL_ANSWER_PROVEN_FREE);
        spec.promise = HL_PROMISE_FAIR;
        spec.room = 1;
        cr_expect_eq(answer(spec), HL_ANSWER_PROVEN_FREE);
    }
}

Test(explore, the_protocols_are_free_of_hangs)
{
    static const enum hl_protocol protocols[] = { HL_MNNVL_ONESHOT, HL_MNNVL_TWOSHOT, HL_TRTLLM_ONESHOT };
    for (size_t p = 0; p < 3; p++)
        for (int ranks = 2; ranks <= 8; ranks++)
            for (uint32_t tokens = 1; tokens <= 2; tokens++) {
                struct hl_space_spec spec = calls(ranks, protocols[p], tokens);
                spec.pdl = tokens == 2;
                cr_expect_eq(answer(spec), HL_ANSWER_PROVEN_FREE, "protocol %d, %d ranks, %u tokens",
                             protocols[p], ranks, tokens);
            }
    for (int ranks = 2; ranks <= 3; ranks++)
        cr_expect_eq(answer(calls(ranks, HL_TRTLLM_TWOSHOT, 1)), HL_ANSWER_PROVEN_FREE);
}

/* The must-hang controls, each beside a twin that differs in one thing and is free of hangs. */
static void expect_hang_and_twin(struct hl_space_spec wrong, struct hl_space_spec twin, const char *what)
{
    const struct hl_explored hang =
        explore(&wrong, (struct hl_explore_options){ .reduce = true, .states_max = 2000000 });
    cr_expect_eq(hang.answer, HL_ANSWER_HANG, "%s must hang", what);
    cr_expect_lt(hang.seconds, 1.0, "%s: found after %.3f s", what, hang.seconds);
    cr_expect_eq(answer(twin), HL_ANSWER_PROVEN_FREE, "the twin of %s is free", what);
}

Test(explore, mutants_whose_window_is_a_schedule_hang)
{
    static const enum hl_protocol protocols[] = { HL_MNNVL_ONESHOT, HL_MNNVL_TWOSHOT, HL_TRTLLM_ONESHOT };
    for (size_t p = 0; p < 3; p++) {
        /* One token of three ranks leaves two-shot ranks without a row to reduce; three tokens do not. */
        const struct hl_space_spec twin = calls(3, protocols[p], protocols[p] == HL_MNNVL_TWOSHOT ? 3 : 1);
        struct hl_space_spec wrong = twin;
        wrong.mutant = HL_MUTANT_LATE_CLEAR;
        expect_hang_and_twin(wrong, twin, "a late clear");
    }
    struct hl_space_spec twin = calls(3, HL_MNNVL_ONESHOT, 1), wrong = twin;
    wrong.mutant = HL_MUTANT_DEPTH_2;
    expect_hang_and_twin(wrong, twin, "two buffers instead of three");
    wrong.mutant = HL_MUTANT_DROP_STORE;
    expect_hang_and_twin(wrong, twin, "a lost store");
    twin = wrong = calls(2, HL_TRTLLM_ONESHOT, 1); /* mnnvl goes on with wrong sums instead */
    wrong.mutant = HL_MUTANT_WRONG_CLEAR_OFFSET;
    expect_hang_and_twin(wrong, twin, "a wrong clear offset");
    twin = same_calls(2, HL_MNNVL_ONESHOT, 1, HL_MNNVL_TWOSHOT, 1);
    wrong = twin;
    wrong.mutant = HL_MUTANT_SHORT_CLEAR;
    expect_hang_and_twin(wrong, twin, "a short clear between strategies");
}

Test(explore, a_fill_that_races_with_the_first_call_hangs)
{
    struct hl_space_spec twin = calls(3, HL_MNNVL_ONESHOT, 1), wrong = twin;
    struct hl_space_stream_program *p = &wrong.program[1][0];
    p->calls[1] = p->calls[0];
    p->calls[0] = (struct hl_space_call){ .fills = true };
    p->n = 2;
    p->loop_to = 1;
    expect_hang_and_twin(wrong, twin, "an init race");
}

Test(explore, calls_at_once_on_one_workspace_hang_and_on_two_do_not)
{
    struct hl_space_spec wrong = calls(3, HL_MNNVL_ONESHOT, 1), twin;
    wrong.streams = 2;
    for (int rank = 0; rank < 3; rank++) {
        wrong.program[rank][0].n = 1;
        wrong.program[rank][0].loop_to = UINT32_MAX;
        wrong.program[rank][1] = wrong.program[rank][0];
    }
    twin = wrong;
    twin.workspaces = 2;
    for (int rank = 0; rank < 3; rank++)
        twin.program[rank][1].calls[0].workspace = 1;
    struct hl_space *space = create(&wrong);
    struct hl_walked walked = { 0 };
    struct hl_story story;
    const struct hl_walk_options options = { .seed = 1, .schedules = 1000, .steps_max = 1000 };
    cr_assert_not(hl_space_is_reducible(space));
    cr_assert_eq(hl_walk(space, &options, &walked, NULL), HL_STATUS_OK);
    cr_assert(walked.hangs);
    cr_assert_eq(hl_story_tell(space, &walked.path, NULL, &story, NULL), HL_STATUS_OK);
    cr_expect(story.hangs);
    cr_expect_not_null(strstr(story.sentence, "waits for arrivals"), "%s", story.sentence);
    hl_path_finish(&walked.path);
    hl_space_destroy(space);
    cr_expect_eq(answer(twin), HL_ANSWER_PROVEN_FREE);
}

Test(explore, workspaces_in_opposite_order_hang)
{
    struct hl_space_spec twin = same_calls(3, HL_TRTLLM_ONESHOT, 1, HL_TRTLLM_ONESHOT, 1);
    twin.workspaces = 2;
    for (int rank = 0; rank < 3; rank++)
        twin.program[rank][0].calls[1].workspace = 1;
    struct hl_space_spec wrong = twin;
    wrong.program[2][0].calls[0].workspace = 1;
    wrong.program[2][0].calls[1].workspace = 0;
    expect_hang_and_twin(wrong, twin, "an order inversion");
}

Test(explore, a_refused_payload_hangs_under_ftz_only)
{
    struct hl_space_spec twin = calls(3, HL_MNNVL_ONESHOT, 1), wrong;
    twin.payload = 0x80010000u;
    wrong = twin;
    wrong.compare = HL_COMPARE_FLOAT_FTZ;
    expect_hang_and_twin(wrong, twin, "a negative subnormal");
}

/* The same search written as plainly as can be: states compared whole, no hash, no levels. */
static void search_plainly(struct hl_space *space, size_t *ret_states, size_t *ret_hangs)
{
    enum { STATES_MAX = 4096 };
    const size_t bytes = space->state_bytes;
    unsigned char *states = malloc(STATES_MAX * bytes);
    struct hl_hash hash;
    size_t n = 1, hangs = 0;
    hl_space_start(space, states, &hash);
    for (size_t i = 0; i < n; i++) {
        bool any = false;
        for (uint32_t agent = 0; agent < space->agents; agent++) {
            hl_space_load(space, states + i * bytes);
            if (!hl_space_step(space, agent))
                continue;
            any = true;
            cr_assert_lt(n, STATES_MAX);
            hl_space_save(space, states + n * bytes);
            bool known = false;
            for (size_t k = 0; k < n && !known; k++)
                known = memcmp(states + k * bytes, states + n * bytes, bytes) == 0;
            n += !known;
        }
        hl_space_load(space, states + i * bytes);
        hangs += !any && !hl_space_ended(space);
    }
    free(states);
    *ret_states = n;
    *ret_hangs = hangs;
}

Test(explore, meets_exactly_the_states_of_a_plain_search)
{
    for (int mutant = HL_MUTANT_NONE; mutant <= HL_MUTANT_LATE_CLEAR; mutant += HL_MUTANT_LATE_CLEAR) {
        size_t states, hangs;
        struct hl_space_spec spec = calls(2, HL_MNNVL_ONESHOT, 1);
        spec.mutant = mutant;
        struct hl_space *space = create(&spec);
        search_plainly(space, &states, &hangs);
        hl_space_destroy(space);
        const struct hl_explored explored = explore(&spec, (struct hl_explore_options){ .all_hangs = true });
        cr_expect_eq(explored.states, states);
        cr_expect_eq(explored.hangs, hangs);
        cr_expect_eq(hangs != 0, mutant == HL_MUTANT_LATE_CLEAR);
    }
}

Test(explore, a_budget_that_ends_is_no_proof)
{
    const struct hl_space_spec spec = calls(3, HL_MNNVL_ONESHOT, 1);
    cr_expect_eq(explore(&spec, (struct hl_explore_options){ .states_max = 100 }).answer,
                 HL_ANSWER_BOUND_REACHED);
}

Test(explore, states_take_at_most_32_bytes_each)
{
    const struct hl_space_spec spec = calls(3, HL_MNNVL_ONESHOT, 1);
    const struct hl_explored explored = explore(&spec, (struct hl_explore_options){ 0 });
    cr_expect_eq(explored.answer, HL_ANSWER_PROVEN_FREE);
    cr_expect_leq(explored.bytes_per_state, 32);
    cr_expect_eq(explored.overwrites + explored.broken_polls, 0);
}

static struct hl_space_spec late_clear(void)
{
    struct hl_space_spec spec = calls(3, HL_MNNVL_ONESHOT, 1);
    spec.mutant = HL_MUTANT_LATE_CLEAR;
    return spec;
}

Test(explore, random_schedules_find_a_late_clear_and_bound_what_they_do_not_find)
{
    struct hl_space_spec spec = calls(8, HL_MNNVL_ONESHOT, 1);
    const struct hl_walk_options options = { .seed = 7, .schedules = 2000, .steps_max = 10000 };
    for (int mutant = HL_MUTANT_NONE; mutant <= HL_MUTANT_LATE_CLEAR; mutant += HL_MUTANT_LATE_CLEAR) {
        struct hl_walked walked = { 0 };
        spec.mutant = mutant;
        for (int rank = 0; rank < 8; rank++) {
            spec.program[rank][0].n = 4;
            spec.program[rank][0].loop_to = UINT32_MAX;
            for (int i = 1; i < 4; i++)
                spec.program[rank][0].calls[i] = spec.program[rank][0].calls[0];
        }
        struct hl_space *space = create(&spec);
        cr_assert_eq(hl_walk(space, &options, &walked, NULL), HL_STATUS_OK);
        cr_expect_eq(walked.hangs, mutant == HL_MUTANT_LATE_CLEAR);
        if (!walked.hangs) { /* n = 8, and k as it was: 1 - (1 - 1/(8 k))^1000 */
            cr_expect_gt(walked.pct_confidence, 0.1);
            cr_expect_lt(walked.pct_confidence, 0.5);
        }
        hl_path_finish(&walked.path);
        hl_space_destroy(space);
    }
}

Test(explore, the_shortest_hang_replays_and_the_calmest_has_no_more_turns)
{
    const struct hl_space_spec spec = late_clear();
    struct hl_explored explored = explore(&spec, (struct hl_explore_options){ .keep_path = true });
    struct hl_space *space = create(&spec);
    struct hl_story shortest, calm_story;
    struct hl_path calm;
    cr_assert_eq(explored.answer, HL_ANSWER_HANG);
    cr_assert_eq(hl_story_tell(space, &explored.path, NULL, &shortest, NULL), HL_STATUS_OK);
    cr_expect(shortest.hangs);
    cr_assert_eq(hl_explore_calmest(space, 1000000, &calm, NULL), HL_STATUS_OK);
    cr_assert_eq(hl_story_tell(space, &calm, NULL, &calm_story, NULL), HL_STATUS_OK);
    cr_expect(calm_story.hangs);
    cr_expect_leq(calm_story.blocks, shortest.blocks);
    cr_expect_geq(calm_story.steps, shortest.steps);
    cr_expect_not_null(strstr(calm_story.sentence, "itself cleared it"), "%s", calm_story.sentence);
    calm.n--;
    cr_assert_eq(hl_story_tell(space, &calm, NULL, &calm_story, NULL), HL_STATUS_OK);
    cr_expect_not(calm_story.hangs);
    hl_path_finish(&calm);
    hl_path_finish(&explored.path);
    hl_space_destroy(space);
}

Test(explore, a_schedule_file_brings_the_hang_back)
{
    char file[] = "/tmp/hanglab-schedule-XXXXXX";
    const int fd = mkstemp(file);
    const struct hl_space_spec spec = late_clear(), other = calls(2, HL_MNNVL_ONESHOT, 1);
    struct hl_explored explored = explore(&spec, (struct hl_explore_options){ .keep_path = true });
    struct hl_space *space = create(&spec), *foreign = create(&other);
    struct hl_path path = { 0 };
    struct hl_story story;
    struct hl_error error;
    cr_assert_geq(fd, 0);
    cr_assert_eq(
        hl_path_write(space, &explored.path, "test", &(struct hl_schedule_of){ 3, 1, 0, 0 }, file, &error),
        HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_path_read(space, file, &path, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(path.n, explored.path.n);
    cr_expect_arr_eq(path.agents, explored.path.agents, path.n * sizeof *path.agents);
    cr_assert_eq(hl_story_tell(space, &path, NULL, &story, &error), HL_STATUS_OK);
    cr_expect(story.hangs);
    struct hl_path unused;
    cr_expect_eq(hl_path_read(foreign, file, &unused, &error), HL_STATUS_USAGE);
    cr_expect_eq(truncate(file, 5), 0);
    cr_expect_eq(hl_path_read(space, file, &unused, &error), HL_STATUS_USAGE);
    cr_expect_not_null(strstr(error.message, ":1:"), "%s", error.message);
    unlink(file);
    close(fd);
    hl_path_finish(&path);
    hl_path_finish(&explored.path);
    hl_space_destroy(space);
    hl_space_destroy(foreign);
}

/* Spin's verdict of the exported model: does it meet an invalid end state? */
static bool spin_finds_a_hang(const struct hl_space_spec *spec)
{
    char folder[] = "/tmp/hanglab-spin-XXXXXX", path[64], command[256];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/model.pml", folder);
    FILE *model = fopen(path, "w");
    struct hl_space *space = create(spec);
    struct hl_error error;
    cr_assert_not_null(model);
    cr_assert_eq(hl_promela_write(space, "test", model, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(fclose(model), 0);
    hl_space_destroy(space);
    snprintf(
        command, sizeof command,
        "cd %s && spin -a model.pml >/dev/null && cc -O0 -DSAFETY -o pan pan.c && ./pan -m1000000 >log 2>&1",
        folder);
    cr_assert_eq(system(command), 0, "%s", command);
    snprintf(command, sizeof command, "grep -q 'errors: 0' %s/log && ! grep -q 'max search depth' %s/log",
             folder, folder);
    const bool none = system(command) == 0;
    snprintf(command, sizeof command, "grep -q '^pan:1: invalid end state' %s/log", folder);
    const bool hangs = system(command) == 0;
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
    cr_assert_neq(none, hangs, "Spin came to no verdict");
    return hangs;
}

Test(explore, spin_says_the_same_of_the_exported_models)
{
    static const enum hl_protocol protocols[] = { HL_MNNVL_ONESHOT, HL_MNNVL_TWOSHOT, HL_TRTLLM_ONESHOT,
                                                  HL_TRTLLM_TWOSHOT };
    if (system("command -v spin >/dev/null && command -v cc >/dev/null") != 0)
        cr_skip_test("Spin is not installed: its verdicts were NOT compared (apt-get install spin)");
    static const enum hl_mutant mutants[] = { HL_MUTANT_NONE, HL_MUTANT_LATE_CLEAR, HL_MUTANT_DEPTH_2,
                                              HL_MUTANT_WRONG_CLEAR_OFFSET };
    int hangs = 0, free = 0;
    for (size_t p = 0; p < 4; p++)
        for (size_t m = 0; m < sizeof mutants / sizeof *mutants; m++) {
            struct hl_space_spec spec = calls(2, protocols[p], 1);
            spec.mutant = mutants[m];
            const bool hang = answer(spec) == HL_ANSWER_HANG;
            cr_expect_eq(spin_finds_a_hang(&spec), hang, "protocol %d, mutant %d", protocols[p], mutants[m]);
            hangs += hang;
            free += !hang;
        }
    cr_expect(hangs >= 5 && free >= 5, "%d hang, %d do not", hangs, free);
}

Test(explore, spin_says_the_same_of_strategies_that_take_turns)
{
    if (system("command -v spin >/dev/null && command -v cc >/dev/null") != 0)
        cr_skip_test("Spin is not installed: its verdicts were NOT compared (apt-get install spin)");
    static const enum hl_protocol first[] = { HL_MNNVL_ONESHOT, HL_TRTLLM_ONESHOT },
                                  second[] = { HL_MNNVL_TWOSHOT, HL_TRTLLM_TWOSHOT };
    for (size_t p = 0; p < 2; p++)
        for (int mutant = HL_MUTANT_NONE; mutant <= HL_MUTANT_SHORT_CLEAR; mutant += HL_MUTANT_SHORT_CLEAR) {
            struct hl_space_spec spec = same_calls(2, first[p], 1, second[p], 1);
            spec.mutant = mutant;
            cr_expect_eq(spin_finds_a_hang(&spec), answer(spec) == HL_ANSWER_HANG, "%zu, mutant %d", p,
                         mutant);
        }
}
