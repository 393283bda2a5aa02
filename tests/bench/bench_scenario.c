/* Loading a scenario: a matrix of 10,000 cases has to expand while a person still waits. */
#include <string.h>
#include "../../framework/scenario/scenario.h"
#include "bench.h"

#define CASES 10000

/* 100 token counts x 100 run counts. */
static char *matrix_text(void)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    hl_bench_require(out != NULL, "out of memory");
    fputs("hanglab: 1\nname: bench\nsubject: {backend: mnnvl}\nschedule: {mode: eager}\nmatrix:\n", out);
    fputs("  schedule.replays: [1", out);
    for (int i = 2; i <= 100; i++)
        fprintf(out, ", %d", i);
    fputs("]\n  schedule.layers: [1", out);
    for (int i = 2; i <= 100; i++)
        fprintf(out, ", %d", i);
    fputs("]\n", out);
    fclose(out);
    return text;
}

static void expand(void *context)
{
    const char *text = context;
    struct hl_scenario *scenario = NULL;
    struct hl_error error;
    enum hl_status status = hl_scenario_parse("bench", text, strlen(text), &scenario, &error);
    hl_bench_require(status == HL_STATUS_OK, error.message);
    hl_bench_require(scenario->n_cases == CASES, "the matrix has another number of cases");
    hl_scenario_destroy(scenario);
}

int main(void)
{
    char *text = matrix_text();
    hl_bench_row("scenario: a matrix of 10,000 cases expands", hl_bench_median_s(expand, text, 5), "s",
                 HL_BENCH_AT_MOST, 1);
    free(text);
    return hl_bench_finish();
}
