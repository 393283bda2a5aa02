/* Each mutant fails as it must, on every protocol that it changes, for the cause that it is; and without it
 * the same cases pass. */
#include "expected.h"

/* A scenario with the mutant and its healthy twin; `more` holds further axes and sections, `expect` what the
 * mutant ends with. */
static void expect_mutant(const char *mutant, const char *more, const char *expect)
{
    char yaml[2048];
    snprintf(yaml, sizeof yaml,
             "hanglab: 1\n"
             "name: mutant\n"
             "world: {ranks: 4, memory: sc}\n"
             "runs: 8\n"
             "matrix:\n"
             "  subject.mutant: [%s, none]\n"
             "%s"
             "expect:\n"
             "  - {when: {subject.mutant: none}, verdict: pass}\n"
             "%s",
             mutant, more, expect);
    expect_cases(yaml);
}

#define EAGER_ONESHOT \
    "  subject.strategy: [oneshot]\n" \
    "  subject.backend: [mnnvl, trtllm]\n" \
    "schedule: {layers: 2, sizes: [16, 8, 5, 1], replays: 10}\n"
#define BOTH \
    "  subject.strategy: [oneshot, twoshot]\n" \
    "  subject.backend: [mnnvl, trtllm]\n" \
    "schedule: {layers: 2, sizes: [512, 256, 64, 16], replays: 10}\n"

Test(mutants, missed_arrival_leaves_the_counter_short)
{
    expect_mutant("missed-arrival", BOTH, "  - {verdict: hang, cause: arrival-stuck}\n");
}

Test(mutants, overshoot_is_for_ever_only_where_the_counter_is_tested_for_equality)
{
    expect_mutant("overshoot",
                  "  subject.strategy: [oneshot, twoshot]\n"
                  "  subject.backend: [trtllm]\n"
                  "schedule: {layers: 2, sizes: [512, 256, 64, 16], replays: 10}\n",
                  "  - {verdict: hang, cause: arrival-stuck}\n");
}

Test(mutants, shared_counter_stops_the_one_shot_after_a_two_shot)
{
    expect_mutant("shared-counter",
                  "  subject.backend: [trtllm]\n"
                  "  subject.workspaces: [1]\n"
                  "schedule: {layers: 2, sizes: [16384, 16, 2], replays: 10}\n",
                  "  - {verdict: hang, cause: arrival-stuck}\n");
}

Test(mutants, misdirected_store_is_a_lost_write)
{
    expect_mutant("misdirect-store", EAGER_ONESHOT, "  - {verdict: hang, cause: lost-write}\n");
}

Test(mutants, stray_store_is_found_although_all_sums_are_right)
{
    expect_mutant("stray-store", EAGER_ONESHOT, "  - {verdict: corrupt, cause: out-of-bounds}\n");
}

Test(mutants, two_buffers_are_cleared_while_peers_fill_them)
{
    expect_mutant("depth-2", EAGER_ONESHOT, "  - {verdict: hang, cause: late-clear}\n");
}

Test(mutants, clear_at_the_wrong_offset_leaves_old_rows)
{
    expect_mutant("wrong-clear-offset", EAGER_ONESHOT, "  - {verdict: hang, cause: any}\n");
}

Test(mutants, torn_store_is_half_a_row)
{
    expect_mutant("torn-store", BOTH, "  - {verdict: corrupt, cause: torn-read}\n");
}

Test(mutants, arrival_before_the_flags_are_read_sends_rows_into_another_buffer)
{
    expect_mutant("relaxed-arrival", EAGER_ONESHOT, "  - {verdict: hang, cause: weak-ordering}\n");
}

Test(mutants, early_trigger_starts_a_call_beside_the_one_before)
{
    expect_mutant("early-trigger",
                  EAGER_ONESHOT "payload: {rows: unwritten, residue: {negative_subnormal_rows: 0}}\n",
                  "  - {verdict: hang, cause: early-trigger}\n");
}

Test(mutants, baked_epoch_is_right_eagerly_and_wrong_in_replays)
{
    expect_mutant("baked-epoch",
                  "  subject.backend: [mnnvl, trtllm, nccl]\n"
                  "  schedule.mode: [eager, full]\n"
                  "schedule: {layers: 1, sizes: [16, 8], replays: 10}\n",
                  "  - {when: {schedule.mode: eager}, verdict: pass}\n"
                  "  - {verdict: hang, cause: baked-epoch}\n");
}

Test(mutants, a_late_look_at_the_index_leaves_a_norm_in_another_buffer)
{
    expect_mutant("relaxed-arrival",
                  "  subject.strategy: [twoshot]\n"
                  "schedule: {layers: 2, sizes: [512, 64, 16], replays: 8}\n",
                  "  - {verdict: hang, cause: weak-ordering}\n");
}
