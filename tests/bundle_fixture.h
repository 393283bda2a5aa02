/* A bundle's ingredients with known contents: a run of 4 ranks in which rank 1 refuses a word of rank 0. */
#pragma once
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../framework/campaign/bundle.h"
#include "../framework/campaign/folder.h"

struct bundle_fixture {
    char out_dir[64];
    struct hl_scenario *scenario;
    struct hl_program *program;
    struct hl_evidence evidence;
    struct hl_timeline *timeline;
    struct hl_run_result result;
    struct hl_probe probe;
    struct hl_bundle bundle;
};

static const struct hl_layout *fixture_layout(void *user, int workspace)
{
    struct bundle_fixture *f = user;
    return &f->evidence.layout[workspace];
}

/* Word i of rank r holds r << 24 | i. */
static int fixture_read_words(void *user, int rank, int workspace, uint32_t first, uint32_t count,
                              uint32_t *words)
{
    (void)user;
    (void)workspace;
    for (uint32_t i = 0; i < count; i++)
        words[i] = (uint32_t)rank << 24 | (first + i);
    return 0;
}

static void fixture_fill_ranks(struct hl_evidence *e)
{
    for (int rank = 0; rank < 4; rank++) {
        struct hl_rank_evidence *r = &e->rank[rank];
        r->host = HL_HOST_BLOCKED;
        snprintf(r->stack, sizeof r->stack, "sync stream 0\nreplay 3, piece 2\n");
        r->progress_ns = 1203000;
        r->workspace[0] = (struct hl_workspace_evidence){ .known = true,
                                                          .flags = { 1, 0 },
                                                          .enqueued = 38,
                                                          .begun = 38,
                                                          .ended = 37,
                                                          .initialised_ns = 10,
                                                          .first_begun_ns = 2000 };
        r->residency = (struct hl_residency){ .ctas = 8, .started = 8, .room = UINT32_MAX };
        if (rank != 1)
            continue;
        r->n_pending = 1;
        r->pending[0].record = (struct hl_call_record){ .call = 37,
                                                        .site = 3,
                                                        .graph = UINT16_MAX,
                                                        .protocol = HL_MNNVL_ONESHOT,
                                                        .tokens = 4,
                                                        .exec_tokens = 4 };
        r->pending[0].enqueued_ns = 1200000;
        r->pending[0].begun_ns = 1203000;
    }
}

static void fixture_fill_evidence(struct hl_evidence *e)
{
    hl_evidence_init(e);
    e->ranks = 4;
    e->workspaces = 1;
    e->layout[0] = hl_layout_make(HL_FAMILY_MNNVL, 4, 8, 64, HL_BF16);
    e->compare = HL_COMPARE_FLOAT_FTZ;
    e->time_ns = 2203000;
    e->stalled_ns = 1000000;
    e->hung = e->quiescent = true;
    e->calls_checked = 147;
    fixture_fill_ranks(e);
    e->slots = calloc(4, sizeof *e->slots);
    e->n_slots = 4;
    for (int source = 0; source < 4; source++)
        e->slots[source] = (struct hl_slot_evidence){ .rank = 1,
                                                      .source = source,
                                                      .stage = HL_STAGE_ONESHOT,
                                                      .buffer = 1,
                                                      .token = 3,
                                                      .state = HL_SLOT_ARRIVED,
                                                      .start = 683 + 32u * (uint32_t)source,
                                                      .words = 32,
                                                      .source_rows_written = source == 0 ? 3 : UINT32_MAX };
    e->slots[0].state = HL_SLOT_REFUSED;
    e->slots[0].words_missing = 5;
    e->slots[0].first_missing = 17;
    e->slots[0].at = 700;
    e->slots[0].value = 0x80010000;
    e->slots[0].history = (struct hl_word_history){ .known = true,
                                                    .stored_by = 0,
                                                    .stored_call = 37,
                                                    .stored_ns = 1201000,
                                                    .cleared_by = 1,
                                                    .cleared_call = 35,
                                                    .cleared_ns = 900000 };
    e->slots[2].state = HL_SLOT_SENTINEL;
    e->slots[2].words_missing = e->slots[2].words_sentinel = 32;
    e->slots[2].value = 0x80000000;
    e->slots[2].history = (struct hl_word_history){ .known = true, .stored_by = -1, .cleared_by = -1 };
}

static void fixture_fill_result(struct bundle_fixture *f)
{
    f->result = (struct hl_run_result){
        .seed = 4711, .calls = 147, .virtual_ns = 2203000, .real = { 4096, 512 }, .executed = { 64, 8 }
    };
    f->result.finding = (struct hl_finding){ .verdict = HL_VERDICT_HANG,
                                             .certainty = HL_CERTAINTY_PROVEN,
                                             .cause = HL_CAUSE_SENTINEL_COLLISION,
                                             .other_cause = HL_CAUSE_NONE,
                                             .summary = "rank 1 refuses a word of rank 0",
                                             .culprit = { .rank = 1,
                                                          .call = 37,
                                                          .op = -1,
                                                          .graph = -1,
                                                          .node = -1,
                                                          .replay = -1,
                                                          .stage = HL_STAGE_ONESHOT,
                                                          .buffer = 1,
                                                          .slot_token = 3,
                                                          .slot_rank = 0,
                                                          .word = 17,
                                                          .value = 0x80010000 } };
}

static void fixture_fill_timeline(struct hl_timeline *timeline)
{
    const struct hl_call_record call = {
        .call = 37, .site = 3, .graph = 2, .node = 5, .replay = 1, .tokens = 4
    };
    const struct hl_event events[] = {
        { .kind = HL_EVENT_HOST_BEGIN, .time_ns = 1, .rank = 0, .op = 0 },
        { .kind = HL_EVENT_CALL_BEGIN, .time_ns = 2, .rank = 1, .call = &call },
        { .kind = HL_EVENT_QUIESCENT, .time_ns = 3, .rank = -1 }
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        hl_timeline_event(timeline, &events[i]);
}

static struct bundle_fixture *fixture_create(void)
{
    static const char text[] = "hanglab: 1\n"
                               "name: fixture\n"
                               "title: A word refused\n"
                               "world: {ranks: 4}\n"
                               "subject: {backend: mnnvl, dtype: bf16, hidden: 4096}\n"
                               "schedule: {mode: eager, layers: 1, sizes: [4], replays: 1}\n"
                               "matrix:\n"
                               "  subject.sentinel_compare: [float-ftz, bits]\n";
    struct bundle_fixture *f = calloc(1, sizeof *f);
    struct hl_error error;
    strcpy(f->out_dir, "/tmp/hanglab-test-XXXXXX");
    cr_assert_not_null(mkdtemp(f->out_dir));
    cr_assert_eq(hl_scenario_parse("fixture.yaml", text, strlen(text), &f->scenario, &error), HL_STATUS_OK,
                 "%s", error.message);
    cr_assert_eq(hl_program_create(&f->scenario->cases[0].config, 1, &f->program, &error), HL_STATUS_OK, "%s",
                 error.message);
    fixture_fill_evidence(&f->evidence);
    f->timeline = calloc(1, sizeof *f->timeline);
    fixture_fill_timeline(f->timeline);
    fixture_fill_result(f);
    f->probe = (struct hl_probe){
        .user = f, .ranks = 4, .layout = fixture_layout, .read_words = fixture_read_words
    };
    f->bundle = (struct hl_bundle){ .scenario = f->scenario,
                                    .c = &f->scenario->cases[0],
                                    .result = &f->result,
                                    .evidence = &f->evidence,
                                    .timeline = f->timeline,
                                    .program = f->program,
                                    .probe = &f->probe,
                                    .engine = "sim",
                                    .run = 3 };
    return f;
}

static void fixture_destroy(struct bundle_fixture *f)
{
    hl_folder_remove(f->out_dir);
    hl_evidence_finish(&f->evidence);
    free(f->timeline);
    hl_program_destroy(f->program);
    hl_scenario_destroy(f->scenario);
    free(f);
}
