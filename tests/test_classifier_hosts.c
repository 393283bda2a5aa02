/* Hosts that the driver holds: what they are told by, and what is not taken for it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rig.h"

static struct hl_rig *rig;

/* Rank 0's call waits for rank 1, which has not issued it. */
static struct hl_evidence *rank_1_is_awaited(void)
{
    rig = hl_rig_create(HL_FAMILY_MNNVL, HL_BF16, 2);
    hl_rig_issue_all(rig, HL_MNNVL_ONESHOT, 4, 0);
    cr_assert(hl_rig_run(rig));
    hl_rig_issue(rig, 0, 0, HL_MNNVL_ONESHOT, 4, 1);
    cr_assert_not(hl_rig_run(rig));
    rig->host[1] = HL_HOST_BLOCKED;
    return hl_rig_collect(rig, false);
}

/* Nothing is in flight, and the hosts do not go on. */
static struct hl_evidence *nothing_is_in_flight(void)
{
    rig = hl_rig_create(HL_FAMILY_MNNVL, HL_BF16, 2);
    hl_rig_issue_all(rig, HL_MNNVL_ONESHOT, 4, 0);
    cr_assert(hl_rig_run(rig));
    rig->host[0] = rig->host[1] = HL_HOST_BLOCKED;
    struct hl_evidence *e = hl_rig_collect(rig, false);
    e->hung = true;
    return e;
}

static void is_inside(struct hl_evidence *e, int rank, const char *call, const char *by)
{
    snprintf(e->rank[rank].driver_call, sizeof e->rank[rank].driver_call, "%s", call);
    snprintf(e->rank[rank].called_by, sizeof e->rank[rank].called_by, "%s", by);
}

static struct hl_finding judge(struct hl_evidence *e)
{
    const struct hl_finding finding = hl_classify(e);
    hl_rig_evidence_destroy(e);
    hl_rig_destroy(rig);
    return finding;
}

static void expect(const struct hl_finding *f, enum hl_cause cause, const char *said)
{
    cr_expect_str_eq(hl_cause_name(f->cause), hl_cause_name(cause), "%s", f->summary);
    cr_expect_eq(f->culprit.rank, 1, "rank %d: %s", f->culprit.rank, f->summary);
    cr_expect(strstr(f->summary, said), "'%s' is not in: %s", said, f->summary);
}

Test(classifier_hosts, a_free_behind_a_kernel_blocks_its_host)
{
    struct hl_evidence *e = rank_1_is_awaited();
    is_inside(e, 1, "cuMemFree_v2", "free_cache at cache.cu:12");
    const struct hl_finding f = judge(e);
    expect(&f, HL_CAUSE_PEER_HOST_BLOCKED, "is inside cuMemFree_v2, called by free_cache at cache.cu:12");
    cr_expect_eq(f.other_cause, HL_CAUSE_NONE, "that decides it");
}

Test(classifier_hosts, a_launch_into_a_full_queue_blocks_its_host)
{
    struct hl_evidence *e = rank_1_is_awaited();
    is_inside(e, 1, "cuLaunchKernel", "");
    const struct hl_finding f = judge(e);
    expect(&f, HL_CAUSE_PEER_HOST_BLOCKED, "is inside cuLaunchKernel, and does not come back");
}

/* The engine polls its streams: that a host is seen in such a call says nothing. */
Test(classifier_hosts, a_call_that_returns_by_itself_holds_nobody)
{
    struct hl_evidence *e = rank_1_is_awaited();
    is_inside(e, 1, "cuStreamQuery", "");
    const struct hl_finding f = judge(e);
    expect(&f, HL_CAUSE_PEER_HOST_BLOCKED, "has not issued that call");
    cr_expect_eq(f.other_cause, HL_CAUSE_PEER_MISSING_CALL, "a missing call is not excluded");
}

/* It waits its turn, at a barrier: the driver call is somebody else's doing. */
Test(classifier_hosts, a_host_at_a_barrier_is_not_held_by_the_driver)
{
    struct hl_evidence *e = rank_1_is_awaited();
    is_inside(e, 1, "cuMemFree_v2", "");
    e->rank[1].waits = true;
    e->rank[1].wait = HL_HOST_WAIT_BARRIER;
    const struct hl_finding f = judge(e);
    cr_expect_null(strstr(f.summary, "cuMemFree"), "%s", f.summary);
}

Test(classifier_hosts, a_module_load_with_nothing_in_flight_is_a_driver_that_stalls)
{
    struct hl_evidence *e = nothing_is_in_flight();
    is_inside(e, 1, "cuModuleLoadData", "");
    const struct hl_finding f = judge(e);
    expect(&f, HL_CAUSE_DRIVER_STALL, "it is inside cuModuleLoadData");
}

/* The same host, with and without work on the device. */
Test(classifier_hosts, a_stalled_host_is_told_from_a_stalled_device)
{
    const struct hl_finding host = judge(nothing_is_in_flight()), device = judge(rank_1_is_awaited());
    cr_expect(strstr(host.summary, "no call is in flight"), "%s", host.summary);
    cr_expect_eq(host.culprit.call, -1, "%s", host.summary);
    cr_expect(strstr(device.summary, "rank 0 waits in call 1"), "%s", device.summary);
    cr_expect_eq(device.culprit.call, 1, "%s", device.summary);
}

/* The twin: a host that merely does not come back. */
Test(classifier_hosts, a_host_that_sleeps_is_no_stall_of_the_driver)
{
    const struct hl_finding f = judge(nothing_is_in_flight());
    cr_expect_neq(f.cause, HL_CAUSE_DRIVER_STALL, "%s", f.summary);
}
