/* The cause table's texts, and the causes that need no run to show. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/verdict/classifier.h"

Test(causes, a_crash_is_told_by_what_the_device_reported)
{
    struct hl_evidence *e = malloc(sizeof *e);
    hl_evidence_init(e);
    e->crashed = true;
    strcpy(e->crash_reason, "an illegal memory access was encountered");
    struct hl_finding f = hl_classify(e);
    cr_assert_eq(f.verdict, HL_VERDICT_CRASH);
    cr_assert_eq(f.cause, HL_CAUSE_OUT_OF_BOUNDS, "%s", f.summary);
    cr_assert(strstr(f.summary, e->crash_reason));
    strcpy(e->crash_reason, "out of launch resources");
    f = hl_classify(e);
    cr_assert_eq(f.cause, HL_CAUSE_UNKNOWN);
    hl_evidence_finish(e);
    free(e);
}

Test(causes, every_row_says_what_it_means_and_what_to_do)
{
    for (int c = HL_CAUSE_NONE + 1; c < HL_CAUSE_COUNT; c++) {
        cr_assert_gt(strlen(hl_cause_meaning((enum hl_cause)c)), 10, "%s", hl_cause_name((enum hl_cause)c));
        cr_assert_gt(strlen(hl_cause_evidence((enum hl_cause)c)), 10, "%s", hl_cause_name((enum hl_cause)c));
        cr_assert_gt(strlen(hl_cause_hint((enum hl_cause)c)), 10, "%s", hl_cause_name((enum hl_cause)c));
        cr_assert(c == HL_CAUSE_UNKNOWN || strchr(hl_cause_incidents((enum hl_cause)c), '#'), "%s",
                  hl_cause_name((enum hl_cause)c));
    }
}
