/* Each fault, run: what it ends with and why, and that its healthy twin passes. */
#include "expected.h"

/* A scenario with the fault on rank 1 and its healthy twin; `fields` are the fault's further fields, `more`
 * holds further sections and axes, `expect` what the fault ends with. */
static void expect_fault(const char *fault, const char *fields, const char *world, const char *more,
                         const char *expect)
{
    char yaml[2048];
    snprintf(yaml, sizeof yaml,
             "hanglab: 1\n"
             "name: fault\n"
             "world: {ranks: 4%s}\n"
             "faults: [{fault: none, rank: 1%s}]\n"
             "runs: 6\n"
             "matrix:\n"
             "  faults.0.fault: [%s, none]\n"
             "%s"
             "expect:\n"
             "  - {when: {faults.0.fault: none}, verdict: pass}\n"
             "%s",
             world, fields, fault, more, expect);
    expect_cases(yaml);
}

#define MODES \
    "  schedule.mode: [eager, full]\n" \
    "schedule: {layers: 2, sizes: [16, 8], replays: 6}\n"

Test(faults_run, a_killed_rank_is_dead)
{
    expect_fault("kill-rank", ", call: 9", "", MODES, "  - {verdict: hang, cause: peer-dead}\n");
}

Test(faults_run, a_stopped_rank_is_a_blocked_host)
{
    expect_fault("stop-rank", ", call: 9", "", MODES, "  - {verdict: hang, cause: peer-host-blocked}\n");
}

Test(faults_run, a_host_that_waits_for_the_device_stops_before_its_peers_kernels_end)
{
    expect_fault("host-block", ", call: every", "", MODES, "  - {verdict: hang, cause: peer-host-blocked}\n");
}

Test(faults_run, a_barrier_that_peers_do_not_have)
{
    expect_fault("lone-barrier", ", call: 9", "", MODES, "  - {verdict: hang, cause: peer-missing-call}\n");
}

Test(faults_run, a_barrier_of_the_wrong_group)
{
    expect_fault("wrong-group", "", "", MODES, "  - {verdict: hang, cause: wrong-group}\n");
}

Test(faults_run, the_graph_of_another_size)
{
    expect_fault("other-bucket", ", call: 17", "",
                 "  schedule.mode: [full]\nschedule: {layers: 2, sizes: [16, 8], replays: 6}\n",
                 "  - {verdict: hang, cause: shape-mismatch}\n");
}

Test(faults_run, eager_instead_of_a_graph_is_the_same_protocol)
{
    expect_fault("eager-instead-of-graph", ", call: 17", "",
                 "  schedule.mode: [full]\nschedule: {layers: 2, sizes: [16, 8], replays: 6}\n",
                 "  - {verdict: pass}\n");
}

Test(faults_run, half_a_grid_stops_a_barrier_and_nothing_else)
{
    expect_fault("grid-mismatch", ", call: every", "",
                 "  subject.backend: [mnnvl, trtllm]\n"
                 "  subject.strategy: [oneshot, twoshot]\n"
                 "schedule: {layers: 2, sizes: [16], replays: 6, padding: false}\n",
                 "  - {when: {subject.backend: trtllm, subject.strategy: twoshot}, verdict: hang, cause: "
                 "grid-mismatch}\n"
                 "  - {verdict: pass}\n");
}

Test(faults_run, early_init_loses_rows_to_the_peers_filling)
{
    expect_fault("early-init", ", delay: 1ms", "",
                 "  subject.backend: [mnnvl, trtllm]\nschedule: {layers: 2, sizes: [16, 8], replays: 6}\n",
                 "  - {verdict: hang, cause: init-race}\n");
}

Test(faults_run, a_foreign_kernel_holds_the_gpu)
{
    expect_fault("foreign-spin", ", call: 9", ", progress: lobe, placement: process", MODES,
                 "  - {verdict: hang, cause: foreign-kernel}\n");
}

Test(faults_run, a_tool_that_serialises)
{
    expect_fault("serialise-launches", ", call: 9", "", MODES, "  - {verdict: hang, cause: tool-induced}\n");
}

Test(faults_run, a_stream_that_stalls_while_its_gpu_answers)
{
    expect_fault("stall-stream", ", call: 9", "", MODES, "  - {verdict: hang, cause: peer-stream-stalled}\n");
}

Test(faults_run, a_gpu_that_answers_nothing_is_the_drivers)
{
    expect_fault("driver-stall", ", call: 9", ", placement: process", MODES,
                 "  - {verdict: hang, cause: driver-stall}\n");
}

Test(faults_run, a_thread_of_two_ranks_stops_where_a_launch_queue_is_full)
{
    expect_fault("one-thread", ", call: 9", ", launch_queue: 4", MODES,
                 "  - {verdict: hang, cause: peer-host-blocked}\n");
    expect_fault("one-thread", ", call: 9", ", launch_queue: 1024", MODES, "  - {verdict: pass}\n");
}

Test(faults_run, another_group_on_the_same_workspace)
{
    expect_fault("shared-workspace", ", call: 9", "", MODES,
                 "  - {verdict: hang, cause: shared-workspace}\n");
}

#define GRAPHS \
    "  schedule.mode: [full, piecewise]\n" \
    "schedule: {layers: 2, sizes: [16, 8], replays: 12, padding: false}\n"

Test(faults_run, a_workspace_that_moves_between_captures_does_no_harm)
{
    expect_fault("move-workspace", ", call: every", "", GRAPHS, "  - {verdict: pass}\n");
}

Test(faults_run, a_graph_of_before_meets_nobody_and_old_memory_holds_foreign_rows)
{
    expect_fault("stale-graph", ", call: 20", "", GRAPHS, "  - {verdict: hang, cause: stale-address}\n");
    expect_fault("realloc-after-capture", ", call: every", "", GRAPHS,
                 "  - {verdict: hang, cause: stale-address}\n");
}

Test(faults_run, a_delay_that_is_not_given_is_drawn_and_does_no_harm)
{
    expect_fault("host-delay", ", call: 9", "", MODES, "  - {verdict: pass}\n");
}

/* A one-shot grid may be larger than the room, because CTAs start in order (I7); a two-shot barrier may not.
 */
Test(faults_run, a_grid_without_room_lives_on_the_order_in_which_its_ctas_start)
{
    expect_cases("hanglab: 1\n"
                 "name: dispatch\n"
                 "world: {ranks: 4, placement: process, resident_ctas: 3}\n"
                 "schedule: {layers: 2, sizes: [8], replays: 6, padding: false, pdl: false}\n"
                 "runs: 6\n"
                 "matrix:\n"
                 "  world.progress: [lobe, obe]\n"
                 "expect:\n"
                 "  - {when: {world.progress: obe}, verdict: hang, cause: not-resident}\n");
}
