/* Rounds and repeats; see plan.h. */
#include "plan.h"
#include <stdlib.h>

bool hl_plan_init(struct hl_plan *plan, int n_cases)
{
    *plan = (struct hl_plan){ .n_cases = n_cases };
    plan->suspects = calloc((size_t)n_cases + 1, sizeof *plan->suspects);
    plan->is_suspect = calloc((size_t)n_cases + 1, sizeof *plan->is_suspect);
    if (plan->suspects && plan->is_suspect)
        return true;
    hl_plan_finish(plan);
    return false;
}

void hl_plan_finish(struct hl_plan *plan)
{
    free(plan->suspects);
    free(plan->is_suspect);
    plan->suspects = NULL;
    plan->is_suspect = NULL;
}

void hl_plan_suspect(struct hl_plan *plan, int case_number)
{
    if (plan->is_suspect[case_number])
        return;
    plan->is_suspect[case_number] = true;
    plan->suspects[plan->n_suspects++] = (struct hl_suspect){ .case_number = case_number };
}

/* Steps through the round, then to the next one. */
static struct hl_plan_item step(struct hl_plan *plan)
{
    const int weight = plan->weights[plan->at];
    const struct hl_plan_item item = { plan->at, plan->round * weight + plan->within };
    if (++plan->within < weight)
        return item;
    plan->within = 0;
    plan->at++;
    return item;
}

static bool next_regular(struct hl_plan *plan, struct hl_plan_item *ret_item)
{
    do {
        while (plan->at < plan->n_cases) {
            const struct hl_plan_item item = step(plan);
            if (item.run >= HL_FIRST_REPEAT || (plan->runs_of && item.run >= plan->runs_of[item.case_number]))
                continue;
            plan->goes_on = true;
            if (plan->skips && plan->skips(plan->user, item))
                continue;
            *ret_item = item;
            return true;
        }
        if (!plan->goes_on)
            return false;
        plan->goes_on = false;
        plan->at = 0;
        plan->round++;
    } while (true);
}

static struct hl_plan_item next_repeat(struct hl_plan *plan)
{
    struct hl_suspect *suspect = &plan->suspects[plan->next_suspect++ % plan->n_suspects];
    plan->next_suspect %= plan->n_suspects;
    struct hl_plan_item item;
    do
        item = (struct hl_plan_item){ suspect->case_number, HL_FIRST_REPEAT + suspect->repeats++ };
    while (plan->skips && plan->skips(plan->user, item));
    return item;
}

bool hl_plan_next(struct hl_plan *plan, struct hl_plan_item *ret_item)
{
    const bool repeat = plan->n_suspects > 0 && plan->given % HL_REPEAT_EVERY == HL_REPEAT_EVERY - 1;
    if (repeat)
        *ret_item = next_repeat(plan);
    else if (!next_regular(plan, ret_item))
        return false;
    plan->given++;
    return true;
}
