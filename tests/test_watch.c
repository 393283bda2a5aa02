/* The watchdog core on hand-made feeds: what is a stall and what is not, and what it remembers. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include "../watchdog/watch.h"

static void rank_event(struct hl_watch *watch, enum hl_event_kind kind, int rank, uint64_t time_ns)
{
    hl_watch_event(watch, &(struct hl_event){ .kind = kind, .rank = rank, .time_ns = time_ns });
}

static void call_event(struct hl_watch *watch, enum hl_event_kind kind, int rank,
                       struct hl_call_record record, uint64_t time_ns)
{
    hl_watch_event(watch,
                   &(struct hl_event){ .kind = kind, .rank = rank, .call = &record, .time_ns = time_ns });
}

static struct hl_call_record site(uint32_t call, uint16_t number)
{
    return (struct hl_call_record){
        .call = call, .site = number, .tokens = 4, .exec_tokens = 4, .ctas = 4, .graph = UINT16_MAX
    };
}

static void whole_call(struct hl_watch *watch, int rank, uint32_t call, uint64_t begin_ns, uint64_t end_ns)
{
    call_event(watch, HL_EVENT_ENQUEUE, rank, site(call, 0), begin_ns);
    call_event(watch, HL_EVENT_CALL_BEGIN, rank, site(call, 0), begin_ns);
    call_event(watch, HL_EVENT_CALL_END, rank, site(call, 0), end_ns);
}

static struct hl_evidence *collect(struct hl_watch *watch, uint64_t now_ns)
{
    struct hl_evidence *evidence = malloc(sizeof *evidence);
    cr_assert_eq(hl_watch_collect(watch, NULL, now_ns, evidence), 0);
    return evidence;
}

static void drop(struct hl_evidence *evidence)
{
    hl_evidence_finish(evidence);
    free(evidence);
}

Test(watch, calls_a_pending_call_stalled_after_the_threshold_and_not_before)
{
    struct hl_watch *watch = hl_watch_create(2, 1, 1000);
    call_event(watch, HL_EVENT_ENQUEUE, 0, site(0, 0), 10);
    cr_assert_not(hl_watch_stalled(watch, 1010));
    cr_assert(hl_watch_stalled(watch, 1011));
    call_event(watch, HL_EVENT_CALL_BEGIN, 0, site(0, 0), 1500); /* progress resets it */
    cr_assert_not(hl_watch_stalled(watch, 2000));
    cr_assert(hl_watch_stalled(watch, 2501));
    call_event(watch, HL_EVENT_CALL_END, 0, site(0, 0), 2600);
    cr_assert_not(hl_watch_stalled(watch, UINT64_MAX));
    hl_watch_destroy(watch);
}

Test(watch, does_not_take_a_fault_for_progress)
{
    struct hl_watch *watch = hl_watch_create(2, 1, 1000);
    call_event(watch, HL_EVENT_ENQUEUE, 0, site(0, 0), 0);
    hl_watch_event(watch,
                   &(struct hl_event){ .kind = HL_EVENT_FAULT, .rank = 1, .fault = 3, .time_ns = 900 });
    cr_assert(hl_watch_stalled(watch, 1001));
    struct hl_evidence *e = collect(watch, 1001);
    cr_assert_eq(e->faults_fired, 8);
    drop(e);
    hl_watch_destroy(watch);
}

Test(watch, takes_quiescence_with_pending_work_for_a_proven_stall_at_once)
{
    struct hl_watch *watch = hl_watch_create(2, 1, 0);
    call_event(watch, HL_EVENT_ENQUEUE, 0, site(0, 0), 5);
    hl_watch_event(watch, &(struct hl_event){ .kind = HL_EVENT_QUIESCENT, .rank = -1, .time_ns = 6 });
    cr_assert(hl_watch_stalled(watch, 6));
    struct hl_evidence *e = collect(watch, 6);
    cr_assert(e->hung && e->quiescent);
    drop(e);
    hl_watch_destroy(watch);
}

Test(watch, takes_the_end_of_all_programs_for_a_normal_end)
{
    struct hl_watch *watch = hl_watch_create(2, 1, 0);
    for (int r = 0; r < 2; r++) {
        whole_call(watch, r, 0, 10, 20);
        rank_event(watch, HL_EVENT_RANK_EXIT, r, 30);
    }
    hl_watch_event(watch, &(struct hl_event){ .kind = HL_EVENT_QUIESCENT, .rank = -1, .time_ns = 31 });
    cr_assert_not(hl_watch_stalled(watch, UINT64_MAX));
    hl_watch_destroy(watch);
}

Test(watch, takes_a_host_in_a_barrier_whose_peer_has_ended_for_a_stall)
{
    struct hl_watch *watch = hl_watch_create(2, 1, 1000);
    rank_event(watch, HL_EVENT_HOST_BEGIN, 0, 10);
    rank_event(watch, HL_EVENT_RANK_EXIT, 1, 10);
    cr_assert(hl_watch_stalled(watch, 2000));
    rank_event(watch, HL_EVENT_HOST_END, 0, 2100);
    cr_assert_not(hl_watch_stalled(watch, 9000), "a host that computes is no pending work");
    hl_watch_destroy(watch);
}

Test(watch, learns_its_threshold_from_the_slowest_thousandth_with_a_floor)
{
    struct hl_watch *watch = hl_watch_create(1, 1, 0);
    cr_assert_eq(hl_watch_threshold_ns(watch), HL_WATCH_UNLEARNED_NS);
    for (uint32_t i = 0; i < 2000; i++)
        whole_call(watch, 0, i, 0, 100);
    cr_assert_eq(hl_watch_threshold_ns(watch), HL_WATCH_FLOOR_NS);
    for (uint32_t i = 2000; i < 2010; i++) /* ten of 2010: above the p99.9 */
        whole_call(watch, 0, i, 0, 5000000);
    const uint64_t learned_ns = hl_watch_threshold_ns(watch);
    cr_assert_geq(learned_ns, 5000000ull * HL_WATCH_FACTOR);
    cr_assert_leq(learned_ns, 5000000ull * HL_WATCH_FACTOR / 8 * 9 + HL_WATCH_FACTOR);
    hl_watch_destroy(watch);
}

Test(watch, forgets_one_outlier_in_a_thousand)
{
    struct hl_watch *watch = hl_watch_create(1, 1, 0);
    for (uint32_t i = 0; i < 2000; i++)
        whole_call(watch, 0, i, 0, i == 7 ? 1ull << 60 : 100);
    cr_assert_eq(hl_watch_threshold_ns(watch), HL_WATCH_FLOOR_NS);
    hl_watch_destroy(watch);
}

Test(watch, finds_the_first_call_in_which_the_ranks_part)
{
    struct hl_watch *watch = hl_watch_create(3, 1, 0);
    const uint16_t sites[3][4] = { { 0, 1, 2, 3 }, { 0, 1, 2, 3 }, { 0, 2, 3, 4 } };
    for (int r = 2; r >= 0; r--) /* the fast rank far ahead */
        for (uint32_t c = 0; c < 4; c++)
            call_event(watch, HL_EVENT_ENQUEUE, r, site(c, sites[r][c]), 1);
    struct hl_evidence *e = collect(watch, 2);
    cr_assert(e->divergence.found);
    cr_assert_eq(e->divergence.call, 1);
    for (int r = 0; r < 3; r++) {
        cr_assert(e->divergence.have[r]);
        cr_assert_eq(e->divergence.record[r].site, sites[r][1]);
        cr_assert_eq(e->divergence.before[r].site, 0);
    }
    cr_assert(e->divergence.have_before);
    drop(e);
    hl_watch_destroy(watch);
}

Test(watch, finds_no_divergence_between_equal_sequences)
{
    struct hl_watch *watch = hl_watch_create(3, 1, 0);
    for (uint32_t c = 0; c < 5000; c++)
        for (int r = 0; r < 3; r++)
            whole_call(watch, r, c, c, c + 1);
    struct hl_evidence *e = collect(watch, 2);
    cr_assert_not(e->divergence.found);
    cr_assert_eq(e->records_dropped, 0);
    cr_assert_eq(e->rank[2].workspace[0].ended, 5000);
    drop(e);
    hl_watch_destroy(watch);
}

Test(watch, sees_two_calls_at_once_only_on_two_streams)
{
    for (uint8_t stream = 0; stream < 2; stream++) {
        struct hl_watch *watch = hl_watch_create(1, 1, 0);
        struct hl_call_record second = site(1, 1);
        second.stream = stream;
        call_event(watch, HL_EVENT_CALL_BEGIN, 0, site(0, 0), 1);
        call_event(watch, HL_EVENT_CALL_BEGIN, 0, second, 2);
        struct hl_evidence *e = collect(watch, 2);
        cr_assert_eq(e->rank[0].overlap.seen, stream == 1);
        drop(e);
        hl_watch_destroy(watch);
    }
}

Test(watch, keeps_the_oldest_calls_of_a_deep_queue_and_counts_what_it_drops)
{
    struct hl_watch *watch = hl_watch_create(1, 1, 0);
    for (uint32_t c = 0; c < 1500; c++)
        call_event(watch, HL_EVENT_ENQUEUE, 0, site(c, 0), c);
    call_event(watch, HL_EVENT_CALL_BEGIN, 0, site(0, 0), 2000);
    struct hl_evidence *e = collect(watch, 3000);
    cr_assert_eq(e->rank[0].n_pending, HL_PENDING_MAX);
    for (int i = 0; i < HL_PENDING_MAX; i++)
        cr_assert_eq(e->rank[0].pending[i].record.call, (uint32_t)i);
    cr_assert_eq(e->records_dropped, 1500 - 1024);
    drop(e);
    hl_watch_destroy(watch);
}
