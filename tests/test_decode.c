/* The slot decoder against real protocol steps: what it shows missing is what the kernel waits for. */
#include <criterion/criterion.h>
#include "rig.h"

static uint32_t count_missing(const struct hl_evidence *e, int rank, int source)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < e->n_slots; i++)
        count += e->slots[i].state != HL_SLOT_ARRIVED && (rank < 0 || e->slots[i].rank == rank) &&
                 (source < 0 || e->slots[i].source == source);
    return count;
}

struct subject {
    enum hl_family family;
    enum hl_protocol protocol;
    int ranks;
};

static const struct subject subjects[] = {
    { HL_FAMILY_MNNVL, HL_MNNVL_ONESHOT, 2 },   { HL_FAMILY_MNNVL, HL_MNNVL_ONESHOT, 16 },
    { HL_FAMILY_MNNVL, HL_MNNVL_TWOSHOT, 4 },   { HL_FAMILY_TRTLLM, HL_TRTLLM_ONESHOT, 4 },
    { HL_FAMILY_TRTLLM, HL_TRTLLM_TWOSHOT, 4 }, { HL_FAMILY_NCCL, HL_NCCL, 4 },
};
#define SUBJECTS (sizeof subjects / sizeof subjects[0])

/* `healthy` calls of changing sizes, then one that the last rank does not make. */
static struct hl_rig *stalled_rig(const struct subject *subject, int healthy)
{
    struct hl_rig *rig = hl_rig_create(subject->family, HL_BF16, subject->ranks);
    for (int i = 0; i < healthy; i++) {
        hl_rig_issue_all(rig, subject->protocol, 3 + (uint32_t)i % 6, (uint16_t)i);
        cr_assert(hl_rig_run(rig));
    }
    for (int r = 0; r < subject->ranks - 1; r++)
        hl_rig_issue(rig, r, 0, subject->protocol, 5, (uint16_t)healthy);
    cr_assert_not(hl_rig_run(rig));
    return rig;
}

Test(decode, shows_only_the_absent_rank_missing_in_every_protocol_and_phase)
{
    for (size_t s = 0; s < SUBJECTS; s++)
        for (int healthy = 0; healthy < 7; healthy++) {
            struct hl_rig *rig = stalled_rig(&subjects[s], healthy);
            struct hl_evidence *e = hl_rig_collect(rig, false);
            const int absent = subjects[s].ranks - 1;
            cr_assert(e->hung);
            cr_assert_gt(count_missing(e, -1, absent), 0, "%d after %d calls", (int)s, healthy);
            for (uint32_t i = 0; i < e->n_slots; i++) {
                const struct hl_slot_evidence *slot = &e->slots[i];
                cr_assert_neq(slot->rank, absent, "a call that was never made waits for nothing");
                if (slot->state == HL_SLOT_ARRIVED || slot->source == absent)
                    continue;
                /* A row that the absent rank's row must be added to first. */
                cr_assert_eq(slot->stage, HL_STAGE_BROADCAST, "%d after %d calls: source %d", (int)s, healthy,
                             slot->source);
            }
            hl_rig_evidence_destroy(e);
            hl_rig_destroy(rig);
        }
}

/* As of NCCL itself. */
Test(decode, tells_who_has_not_begun_where_words_cannot_be_read)
{
    for (size_t s = 0; s < SUBJECTS; s++) {
        struct hl_rig *rig = stalled_rig(&subjects[s], 4);
        rig->is_opaque = true;
        struct hl_evidence *e = hl_rig_collect(rig, false);
        const uint32_t waiting = (uint32_t)subjects[s].ranks - 1, is_nccl = subjects[s].protocol == HL_NCCL;
        cr_expect_eq(count_missing(e, -1, -1), is_nccl * waiting,
                     "the others' words stand for themselves only");
        cr_expect_eq(count_missing(e, -1, subjects[s].ranks - 1), is_nccl * waiting);
        hl_rig_evidence_destroy(e);
        hl_rig_destroy(rig);
    }
}

Test(decode, shows_nothing_missing_once_calls_have_ended)
{
    for (size_t s = 0; s < SUBJECTS; s++) {
        struct hl_rig *rig = hl_rig_create(subjects[s].family, HL_BF16, subjects[s].ranks);
        hl_rig_issue_all(rig, subjects[s].protocol, 8, 0);
        cr_assert(hl_rig_run(rig));
        struct hl_evidence *e = hl_rig_collect(rig, false);
        cr_assert_not(e->hung);
        cr_assert_eq(e->n_slots, 0);
        hl_rig_evidence_destroy(e);
        hl_rig_destroy(rig);
    }
}

/* The leader may have rotated the flags while another CTA of the call still polls. */
Test(decode, finds_the_buffer_of_a_call_whose_flags_are_already_rotated)
{
    struct hl_rig *rig = hl_rig_create(HL_FAMILY_MNNVL, HL_BF16, 2);
    rig->compare = HL_COMPARE_FLOAT_FTZ;
    for (int i = 0; i < 4; i++) {
        hl_rig_issue_all(rig, HL_MNNVL_ONESHOT, 4, 0);
        cr_assert(hl_rig_run(rig));
    }
    hl_rig_issue_all(rig, HL_MNNVL_ONESHOT, 4, 0);
    rig->call[0].input[3 * rig->layout.row_words + 17] = 0x80010000;
    cr_assert_not(hl_rig_run(rig));
    struct hl_evidence *e = hl_rig_collect(rig, false);
    cr_assert_eq(e->rank[1].workspace[0].flags[HL_MNNVL_CURRENT], 2, "rotated while row 3 is awaited");
    cr_assert_eq(count_missing(e, -1, -1), 1);
    const struct hl_slot_evidence *slot = &e->slots[0];
    cr_assert_eq(slot->rank, 1);
    cr_assert_eq(slot->source, 0);
    cr_assert_eq(slot->token, 3);
    cr_assert_eq(slot->buffer, 1);
    cr_assert_eq(slot->state, HL_SLOT_REFUSED);
    cr_assert_eq(slot->first_missing, 17);
    cr_assert_eq(slot->value, 0x80010000);
    hl_rig_evidence_destroy(e);
    hl_rig_destroy(rig);
}

Test(decode, polls_the_own_row_only_beyond_eight_ranks)
{
    const struct subject two = { HL_FAMILY_MNNVL, HL_MNNVL_ONESHOT, 2 },
                         many = { HL_FAMILY_MNNVL, HL_MNNVL_ONESHOT, 16 };
    const struct subject *both[] = { &two, &many };
    for (int i = 0; i < 2; i++) {
        struct hl_rig *rig = stalled_rig(both[i], 1);
        struct hl_evidence *e = hl_rig_collect(rig, false);
        bool own = false;
        for (uint32_t s = 0; s < e->n_slots; s++)
            own |= e->slots[s].rank == e->slots[s].source;
        cr_assert_eq(own, i == 1);
        hl_rig_evidence_destroy(e);
        hl_rig_destroy(rig);
    }
}

Test(decode, shows_a_counter_that_overshot)
{
    struct hl_rig *rig = hl_rig_create(HL_FAMILY_TRTLLM, HL_BF16, 2);
    rig->memory[0][1][HL_TRTLLM_ARRIVED] = 1; /* left behind by an aborted kernel: invariant I12 */
    hl_rig_issue_all(rig, HL_TRTLLM_ONESHOT, 4, 0);
    cr_assert_not(hl_rig_run(rig));
    struct hl_evidence *e = hl_rig_collect(rig, false);
    cr_assert_eq(count_missing(e, -1, -1), 1);
    cr_assert_eq(e->slots[0].stage, HL_STAGE_ARRIVALS);
    cr_assert_eq(e->slots[0].rank, 1);
    cr_assert_eq(e->slots[0].value, 5);
    hl_rig_evidence_destroy(e);
    hl_rig_destroy(rig);
}
