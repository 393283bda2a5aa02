/* `explore` on relaxed memory: what the memory may do it does, every hang is kept, and only what needs
 * relaxed memory to fail fails there alone. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../framework/search/decide.h"
#include "../framework/search/lanes.h"
#include "../framework/search/story.h"
#include "../framework/search/visited.h"
#include "../framework/search/walk.h"

/* Every rank issues `n` calls, or one without end. */
static struct hl_space_spec calls(int ranks, enum hl_protocol protocol, uint32_t tokens, uint32_t n)
{
    struct hl_space_spec spec = {
        .ranks = ranks, .streams = 1, .workspaces = 1, .dtype = HL_BF16, .sms = 132, .relaxed = true
    };
    for (int rank = 0; rank < ranks; rank++) {
        struct hl_space_stream_program *p = &spec.program[rank][0];
        p->n = n ? n : 1;
        p->loop_to = n ? UINT32_MAX : 0;
        for (uint32_t i = 0; i < p->n; i++)
            p->calls[i] = (struct hl_space_call){
                .protocol = protocol, .tokens = (uint8_t)tokens, .has_rows = true, .written = (uint8_t)tokens
            };
    }
    return spec;
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
    options.states_max = 3000000;
    cr_assert_eq(hl_explore(space, &options, &explored, &error), HL_STATUS_OK, "%s", error.message);
    hl_space_destroy(space);
    return explored;
}

static enum hl_answer answer(struct hl_space_spec spec)
{
    return explore(&spec, (struct hl_explore_options){ .reduce = true }).answer;
}

/*
 * What the memory does
 */

static uint32_t delivery(const struct hl_space *s, uint32_t cta, uint32_t flight, uint32_t half)
{
    return s->ctas + (cta * s->flights + flight) * 2 + half;
}

/* Rank 0 of two steps until it has sent so many stores. */
static void send(struct hl_space *s, uint32_t n)
{
    struct hl_hash hash;
    hl_space_start(s, s->scratch, &hash);
    s->base = NULL;
    while (s->agent[0].its_cta->sent < n)
        cr_assert(hl_space_step(s, 0));
}

Test(relaxed, rows_are_seen_in_halves_and_a_cta_ends_when_all_are)
{
    const struct hl_space_spec spec = calls(2, HL_MNNVL_ONESHOT, 1, 1);
    struct hl_space *s = create(&spec);
    send(s, 1);
    const uint32_t slot = hl_mnnvl_oneshot_slot(&s->layout[0], 0, 0, 0), *row = &s->words[0][1][slot];
    const uint32_t sentinel = hl_sentinel_word(&s->layout[0]);
    for (int i = 0; i < 4; i++)
        cr_expect_eq(row[i], sentinel);
    cr_expect(hl_space_step(s, delivery(s, 0, 0, 1)));
    cr_expect_not(hl_space_step(s, delivery(s, 0, 0, 1)));
    for (int i = 0; i < 4; i++)
        cr_expect_eq(row[i] == sentinel, i < 2);
    while (hl_space_step(s, 1)) {
    } /* waits for the other half, its own row still on its way */
    cr_expect(hl_space_step(s, delivery(s, 1, 0, 0)) && hl_space_step(s, delivery(s, 1, 0, 1)));
    while (hl_space_step(s, 0)) {
    }
    cr_expect_not(s->agent[0].its_cta->ended);
    cr_expect(hl_space_step(s, delivery(s, 0, 0, 0)));
    while (hl_space_step(s, 0)) {
    }
    cr_expect(!hl_space_is_running(&s->agent[0]));
    hl_space_destroy(s);
}

Test(relaxed, a_release_is_not_seen_before_what_was_sent_before_it)
{
    for (int mutant = HL_MUTANT_NONE; mutant <= HL_MUTANT_NO_RELEASE; mutant += HL_MUTANT_NO_RELEASE) {
        struct hl_space_spec spec = calls(2, HL_TRTLLM_TWOSHOT, 1, 1);
        spec.mutant = mutant;
        struct hl_space *s = create(&spec);
        send(s, 1); /* the first barrier's flag */
        cr_expect(hl_space_step(s, delivery(s, 0, 0, 0)));
        while (hl_space_step(s, 1)) {
        }
        cr_expect(hl_space_step(s, delivery(s, 1, 0, 0)));
        while (hl_space_step(s, 0)) {
        }
        cr_assert_eq(s->agent[0].its_cta->sent, 3); /* its row, and the second barrier's flag */
        cr_expect_eq(hl_space_step(s, delivery(s, 0, 2, 0)), mutant == HL_MUTANT_NO_RELEASE);
        cr_expect(hl_space_step(s, delivery(s, 0, 1, 0)));
        cr_expect_eq(hl_space_step(s, delivery(s, 0, 2, 0)), false);
        cr_expect(hl_space_step(s, delivery(s, 0, 1, 1)));
        cr_expect_eq(hl_space_step(s, delivery(s, 0, 2, 0)), mutant == HL_MUTANT_NONE);
        hl_space_destroy(s);
    }
}

Test(relaxed, stores_to_the_same_words_are_seen_in_their_order)
{
    struct hl_space_spec spec = calls(2, HL_MNNVL_ONESHOT, 2, 1);
    spec.program[0][0].calls[0].ctas[0] = 1; /* one CTA sends both rows */
    struct hl_space *s = create(&spec);
    send(s, 2);
    s->agent[delivery(s, 0, 1, 0)].flight->at = s->agent[delivery(s, 0, 0, 0)].flight->at;
    cr_expect_not(hl_space_step(s, delivery(s, 0, 1, 0)));
    cr_expect(hl_space_step(s, delivery(s, 0, 0, 0)));
    cr_expect(hl_space_step(s, delivery(s, 0, 1, 0)));
    cr_expect_not(hl_space_step(s, delivery(s, 0, 1, 1)));
    hl_space_destroy(s);
}

/*
 * What is proven
 */

static const enum hl_protocol protocols[] = { HL_MNNVL_ONESHOT, HL_MNNVL_TWOSHOT, HL_TRTLLM_ONESHOT,
                                              HL_TRTLLM_TWOSHOT };

Test(relaxed, the_protocols_are_free_of_hangs)
{
    for (size_t p = 0; p < 4; p++)
        for (int ranks = 2; ranks <= 8; ranks += ranks < 4 ? 1 : 4)
            for (uint32_t tokens = 1; tokens <= 2; tokens++) {
                struct hl_space_spec spec = calls(ranks, protocols[p], tokens, 0);
                spec.pdl = tokens == 2;
                cr_expect_eq(answer(spec), HL_ANSWER_PROVEN_FREE, "protocol %d, %d ranks, %u tokens",
                             protocols[p], ranks, tokens);
            }
    cr_expect_eq(answer(calls(2, HL_NCCL, 1, 3)), HL_ANSWER_PROVEN_FREE);
}

Test(relaxed, a_flag_without_release_overtakes_its_rows_on_relaxed_memory_alone)
{
    for (int ranks = 2; ranks <= 3; ranks++)
        for (int relaxed = 0; relaxed < 2; relaxed++)
            for (int mutant = HL_MUTANT_NONE; mutant <= HL_MUTANT_NO_RELEASE;
                 mutant += HL_MUTANT_NO_RELEASE) {
                struct hl_space_spec spec = calls(ranks, HL_TRTLLM_TWOSHOT, 1, 0);
                spec.relaxed = relaxed;
                spec.mutant = mutant;
                cr_expect_eq(answer(spec), relaxed && mutant ? HL_ANSWER_CORRUPT : HL_ANSWER_PROVEN_FREE,
                             "%d ranks, relaxed %d, mutant %d", ranks, relaxed, mutant);
            }
}

/* These fail in program order already; relaxed memory takes nothing of that away. */
Test(relaxed, mutants_of_the_program_order_fail_on_both_memories)
{
    static const struct {
        enum hl_mutant mutant;
        enum hl_protocol protocol;
        uint32_t tokens;
        bool pdl;
        enum hl_answer answer;
    } rows[] = {
        { HL_MUTANT_TORN_STORE, HL_MNNVL_ONESHOT, 1, false, HL_ANSWER_CORRUPT },
        { HL_MUTANT_TORN_STORE, HL_TRTLLM_ONESHOT, 1, false, HL_ANSWER_CORRUPT },
        { HL_MUTANT_RELAXED_ARRIVAL, HL_TRTLLM_ONESHOT, 2, false, HL_ANSWER_HANG },
        { HL_MUTANT_RELAXED_ARRIVAL, HL_MNNVL_ONESHOT, 2, false, HL_ANSWER_HANG },
        { HL_MUTANT_LATE_CLEAR, HL_MNNVL_ONESHOT, 1, false, HL_ANSWER_HANG },
        { HL_MUTANT_DEPTH_2, HL_TRTLLM_ONESHOT, 1, true, HL_ANSWER_HANG },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int relaxed = 0; relaxed < 2; relaxed++) {
            struct hl_space_spec spec = calls(2, rows[i].protocol, rows[i].tokens, 0);
            spec.relaxed = relaxed;
            spec.pdl = rows[i].pdl;
            cr_expect_eq(answer(spec), HL_ANSWER_PROVEN_FREE, "row %zu, the twin", i);
            spec.mutant = rows[i].mutant;
            const enum hl_answer found = answer(spec);
            cr_expect_eq(found, rows[i].answer, "row %zu, relaxed %d: %d", i, relaxed, found);
        }
}

/* Its kernels overtake each other, so that there are too many states for a search of all. */
Test(relaxed, random_schedules_of_an_early_trigger_hang)
{
    for (int mutant = HL_MUTANT_NONE; mutant <= HL_MUTANT_EARLY_TRIGGER; mutant += HL_MUTANT_EARLY_TRIGGER)
        for (size_t p = 0; p < 4; p += 2) {
            struct hl_space_spec spec = calls(3, protocols[p], 1, 4);
            struct hl_walked walked = { 0 };
            struct hl_error error;
            const struct hl_walk_options options = { .seed = 1, .schedules = 500, .steps_max = 10000 };
            spec.mutant = mutant;
            spec.pdl = true;
            struct hl_space *s = create(&spec);
            cr_assert_eq(hl_walk(s, &options, &walked, &error), HL_STATUS_OK, "%s", error.message);
            cr_expect_eq(walked.hangs, mutant == HL_MUTANT_EARLY_TRIGGER, "protocol %zu, mutant %d", p,
                         mutant);
            hl_path_finish(&walked.path);
            hl_space_destroy(s);
        }
}

/*
 * That nothing is left out
 */

Test(relaxed, reduction_keeps_every_hang)
{
    static const enum hl_mutant mutants[] = { HL_MUTANT_NONE,       HL_MUTANT_SHORT_CLEAR,
                                              HL_MUTANT_LATE_CLEAR, HL_MUTANT_DEPTH_2,
                                              HL_MUTANT_DROP_STORE, HL_MUTANT_MISDIRECT_STORE,
                                              HL_MUTANT_NO_RELEASE, HL_MUTANT_STRAY_STORE };
    unsigned hanging = 0;
    for (size_t p = 0; p < 4; p++)
        for (size_t m = 0; m < sizeof mutants / sizeof *mutants; m++)
            for (int pdl = 0; pdl < 2; pdl++) {
                struct hl_space_spec spec = calls(2, protocols[p], 1, 0);
                spec.mutant = mutants[m];
                spec.pdl = pdl;
                const struct hl_explored full =
                    explore(&spec, (struct hl_explore_options){ .all_hangs = true });
                const struct hl_explored reduced =
                    explore(&spec, (struct hl_explore_options){ .reduce = true, .all_hangs = true });
                cr_expect(reduced.reduced && reduced.states < full.states);
                cr_expect_eq(full.answer, reduced.answer, "protocol %d, mutant %d", protocols[p], mutants[m]);
                cr_expect_eq(full.hangs, reduced.hangs, "protocol %d, mutant %d", protocols[p], mutants[m]);
                cr_expect(full.hang_set.low == reduced.hang_set.low &&
                          full.hang_set.high == reduced.hang_set.high);
                hanging += full.hangs != 0;
            }
    cr_expect_geq(hanging, 12);
}

static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return (uint32_t)(*random * 0x2545f4914f6cdd1du >> 32) % below;
}

/* Two to four calls, in which the strategies take turns, and in which a rank may differ from the others or
 * lack the last one. */
static struct hl_space_spec random_program(uint64_t *random)
{
    static const enum hl_mutant mutants[] = { HL_MUTANT_NONE,    HL_MUTANT_NONE,       HL_MUTANT_SHORT_CLEAR,
                                              HL_MUTANT_DEPTH_2, HL_MUTANT_LATE_CLEAR, HL_MUTANT_NO_RELEASE };
    struct hl_space_spec spec = calls(2, HL_TRTLLM_ONESHOT, 1, 2 + draw(random, 3));
    const uint32_t first = draw(random, 4) ? HL_TRTLLM_ONESHOT : HL_MNNVL_ONESHOT;
    spec.relaxed = draw(random, 2);
    spec.pdl = draw(random, 2);
    spec.mutant = mutants[draw(random, sizeof mutants / sizeof *mutants)];
    const bool loops = draw(random, 3) == 0;
    for (int rank = 0; rank < 2; rank++) {
        struct hl_space_stream_program *p = &spec.program[rank][0];
        for (uint32_t i = 0; i < p->n; i++) {
            const bool differs = draw(random, 8) == 0;
            p->calls[i].protocol =
                (uint8_t)(first + (rank && !differs ? spec.program[0][0].calls[i].protocol - first
                                                    : draw(random, 2)));
        }
        p->n -= draw(random, 10) == 0;
        p->loop_to = loops ? 0 : UINT32_MAX;
    }
    return spec;
}

Test(relaxed, reduction_keeps_every_hang_of_random_programs)
{
    uint64_t random = 1;
    unsigned compared = 0, hanging = 0;
    for (int i = 0; i < 200; i++) {
        const struct hl_space_spec spec = random_program(&random);
        struct hl_space *s = create(&spec);
        struct hl_explored full, reduced;
        const struct hl_explore_options all = { .all_hangs = true, .states_max = 20000 },
                                        some = { .all_hangs = true, .states_max = 20000, .reduce = true };
        cr_assert_eq(hl_explore(s, &all, &full, NULL), HL_STATUS_OK);
        cr_assert_eq(hl_explore(s, &some, &reduced, NULL), HL_STATUS_OK);
        hl_space_destroy(s);
        if (full.states >= 20000)
            continue;
        cr_expect(full.answer == reduced.answer && full.hangs == reduced.hangs, "program %d", i);
        cr_expect(full.hang_set.low == reduced.hang_set.low && full.hang_set.high == reduced.hang_set.high,
                  "program %d", i);
        compared++;
        hanging += full.hangs != 0;
    }
    cr_expect(compared >= 100 && hanging >= 30, "%u compared, %u of them hang", compared, hanging);
}

/* The hanging states of a full search, as a set. */
static void collect_hangs(struct hl_space *s, struct hl_visited *hangs)
{
    struct hl_visited met;
    struct hl_error error;
    size_t n = 1, capacity = 1 << 16;
    unsigned char *states = malloc(capacity * s->state_bytes);
    struct hl_hash *hashes = malloc(capacity * sizeof *hashes);
    bool is_new;
    cr_assert(states && hashes && hl_visited_init(&met, &error) == HL_STATUS_OK);
    hl_space_start(s, states, &hashes[0]);
    for (size_t i = 0; i < n; i++) {
        bool any = false;
        for (uint32_t agent = 0; agent < s->agents; agent++) {
            hl_space_load(s, states + i * s->state_bytes);
            if (!hl_space_step(s, agent))
                continue;
            any = true;
            const struct hl_hash hash = hl_space_hash_after(s, hashes[i]);
            cr_assert_eq(hl_visited_add(&met, hash, &is_new, &error), HL_STATUS_OK);
            if (!is_new)
                continue;
            cr_assert_lt(n, capacity);
            hl_space_save(s, states + n * s->state_bytes);
            hashes[n++] = hash;
        }
        hl_space_load(s, states + i * s->state_bytes);
        if (!any && !hl_space_ended(s))
            cr_assert_eq(hl_visited_add(hangs, hashes[i], &is_new, &error), HL_STATUS_OK);
    }
    hl_visited_finish(&met);
    free(states);
    free(hashes);
}

static struct hl_hash end_of(struct hl_space *s, const struct hl_path *path)
{
    unsigned char *state = malloc(s->state_bytes);
    struct hl_hash hash;
    hl_space_start(s, state, &hash);
    for (uint32_t i = 0; i < path->n; i++) {
        hl_space_load(s, state);
        cr_assert(hl_space_step(s, path->agents[i]));
        hash = hl_space_hash_after(s, hash);
        hl_space_save(s, state);
    }
    free(state);
    return hash;
}

Test(relaxed, every_hang_that_a_walk_meets_is_among_those_of_the_search)
{
    static const enum hl_mutant mutants[] = { HL_MUTANT_LATE_CLEAR, HL_MUTANT_DEPTH_2, HL_MUTANT_DROP_STORE };
    unsigned met = 0;
    for (size_t m = 0; m < sizeof mutants / sizeof *mutants; m++) {
        struct hl_space_spec spec = calls(2, HL_MNNVL_ONESHOT, 1, 5);
        struct hl_visited hangs;
        struct hl_error error;
        spec.mutant = mutants[m];
        struct hl_space *s = create(&spec);
        cr_assert_eq(hl_visited_init(&hangs, &error), HL_STATUS_OK);
        collect_hangs(s, &hangs);
        const struct hl_explored reduced =
            explore(&spec, (struct hl_explore_options){ .reduce = true, .all_hangs = true });
        cr_expect_eq(reduced.hangs, hangs.count);
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct hl_walked walked = { 0 };
            const struct hl_walk_options options = { .seed = seed, .schedules = 200, .steps_max = 10000 };
            cr_assert_eq(hl_walk(s, &options, &walked, &error), HL_STATUS_OK, "%s", error.message);
            met += walked.hangs;
            if (walked.hangs)
                cr_expect(hl_visited_has(&hangs, end_of(s, &walked.path)));
            hl_path_finish(&walked.path);
        }
        hl_visited_finish(&hangs);
        hl_space_destroy(s);
    }
    cr_expect_geq(met, 40, "%u walks hang", met);
}

/* With PDL kernels move up, and the deliveries of their CTAs with them. */
Test(relaxed, a_schedule_keeps_its_meaning_as_lanes_and_in_a_file)
{
    char file[] = "/tmp/hanglab-schedule-XXXXXX";
    struct hl_space_spec spec = calls(3, HL_TRTLLM_ONESHOT, 1, 0);
    spec.mutant = HL_MUTANT_LATE_CLEAR;
    spec.pdl = true;
    struct hl_explored explored =
        explore(&spec, (struct hl_explore_options){ .reduce = true, .keep_path = true });
    struct hl_space *s = create(&spec);
    struct hl_path lanes = { 0 }, agents = { 0 }, read = { 0 };
    struct hl_decided decided;
    struct hl_story story;
    struct hl_error error;
    cr_assert_eq(explored.answer, HL_ANSWER_HANG);
    cr_assert_eq(hl_lanes_of_agents(s, &explored.path, &lanes, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_lanes_to_agents(s, &lanes, &agents, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(agents.n, explored.path.n);
    cr_expect_arr_eq(agents.agents, explored.path.agents, agents.n * sizeof *agents.agents);
    close(mkstemp(file));
    const struct hl_schedule_of of = { .ranks = 3, .tokens_max = 1 };
    cr_assert_eq(hl_path_write(s, &explored.path, "test", &of, file, &error), HL_STATUS_OK);
    cr_assert_eq(hl_path_read(s, file, &read, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_story_tell(s, &read, NULL, &story, &error), HL_STATUS_OK, "%s", error.message);
    cr_expect(story.hangs);
    cr_expect_not_null(strstr(story.sentence, "itself cleared it"), "%s", story.sentence);
    cr_assert_eq(hl_decide(s, &explored.path, &decided, &error), HL_STATUS_OK, "%s", error.message);
    cr_expect(decided.is_decided);
    hl_decided_finish(&decided);
    unlink(file);
    hl_path_finish(&lanes);
    hl_path_finish(&agents);
    hl_path_finish(&read);
    hl_path_finish(&explored.path);
    hl_space_destroy(s);
}
