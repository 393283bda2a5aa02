/* Questions: a candidate is written, read back, run as often as a sequential test asks for, and remembered
 * by its text. */
#include "minimizer.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "../../campaign/sequential.h"
#include "../../scenario/clock.h"

enum { BLOCK_MAX = 64, RUNS_PER_QUESTION_MAX = 100000 };

double hl_minimizer_wall_s(const struct hl_minimizer *m) { return hl_now_s() - m->begun_s; }

bool hl_minimizer_time_is_up(const struct hl_minimizer *m)
{
    const double budget_s = m->options->time_budget_s;
    return budget_s > 0 && hl_minimizer_wall_s(m) >= budget_s;
}

static int stop(struct hl_minimizer *m, enum hl_status status)
{
    m->status = status;
    return -1;
}

/* The candidate as a file would say it; NULL when out of memory. */
static char *write_candidate(const struct hl_minimizer *m, const struct hl_config *config)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    const struct hl_case c = { .id = (char *)config->name,
                               .config = *config,
                               .expected = { .verdict = HL_VERDICT_HANG, .cause = -1, .rate_max = 1 } };
    const enum hl_status status = hl_case_write_yaml(m->options->scenario, &c, out);
    if (fclose(out) == 0 && status == HL_STATUS_OK)
        return text;
    free(text);
    return NULL;
}

static int run_text(struct hl_minimizer *m, const char *text, int first, int n,
                    struct hl_likeness *likenesses, bool *ret_refused)
{
    struct hl_scenario *scenario;
    *ret_refused = hl_scenario_parse("candidate", text, strlen(text), &scenario, NULL) != HL_STATUS_OK;
    if (*ret_refused)
        return 0;
    struct hl_error error;
    const enum hl_status status = m->options->trial(m->options->trial_user, scenario, &scenario->cases[0],
                                                    first, n, likenesses, &error);
    hl_scenario_destroy(scenario);
    m->result->runs += n;
    *ret_refused = status == HL_STATUS_USAGE;
    if (*ret_refused)
        return 0;
    if (status != HL_STATUS_OK) {
        if (m->error)
            *m->error = error;
        return stop(m, status);
    }
    int hits = 0;
    for (int i = 0; i < n; i++)
        hits += hl_likeness_is_same(&likenesses[i], &m->target);
    return hits;
}

int hl_minimizer_run(struct hl_minimizer *m, const struct hl_config *config, int first, int n,
                     struct hl_likeness *likenesses, bool *ret_refused)
{
    char *text = write_candidate(m, config);
    if (!text)
        return stop(m, hl_fail(m->error, HL_STATUS_MEMORY, "out of memory"));
    const int hits = run_text(m, text, first, n, likenesses, ret_refused);
    free(text);
    return hits;
}

static uint64_t hash_of(const char *text)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

static struct hl_reply *find(struct hl_minimizer *m, const char *text)
{
    const uint64_t hash = hash_of(text);
    for (int i = 0; i < m->n_answers; i++)
        if (m->answers[i].hash == hash && strcmp(m->answers[i].text, text) == 0)
            return &m->answers[i];
    return NULL;
}

/* Takes over the answer's text. */
static int keep(struct hl_minimizer *m, struct hl_reply answer)
{
    if (m->n_answers == m->answers_max) {
        const int more = m->answers_max ? 2 * m->answers_max : 64;
        struct hl_reply *grown = realloc(m->answers, (size_t)more * sizeof *grown);
        if (!grown) {
            free(answer.text);
            return stop(m, hl_fail(m->error, HL_STATUS_MEMORY, "out of memory"));
        }
        m->answers = grown;
        m->answers_max = more;
    }
    answer.hash = hash_of(answer.text);
    m->answers[m->n_answers++] = answer;
    return answer.yes;
}

/* Runs until the test decides. The blocks grow with the runs so far, and do not depend on how many can run
 * at once: the answer must not either. Below 0: stop. */
static int decide(struct hl_minimizer *m, const char *text, struct hl_reply *answer)
{
    const double error = m->options->error > 0 ? m->options->error : 0.001;
    struct hl_sequential test = hl_sequential_init(0.3 * m->rate, 0.6 * m->rate, error);
    enum hl_sequential_answer decision = HL_SEQUENTIAL_OPEN;
    struct hl_likeness likenesses[BLOCK_MAX];
    for (int first = 0; decision == HL_SEQUENTIAL_OPEN && first < RUNS_PER_QUESTION_MAX;) {
        const int n = first < 4 ? 2 : first / 2 < BLOCK_MAX ? first / 2 : BLOCK_MAX;
        if (hl_minimizer_time_is_up(m))
            return -1;
        if (run_text(m, text, first, n, likenesses, &answer->refused) < 0)
            return -1;
        if (answer->refused)
            break;
        for (int i = 0; i < n && decision == HL_SEQUENTIAL_OPEN; i++)
            decision = hl_sequential_add(&test, hl_likeness_is_same(&likenesses[i], &m->target));
        first += n;
    }
    answer->yes = decision == HL_SEQUENTIAL_HIGH;
    answer->hits = test.hits;
    answer->runs = test.runs;
    return 0;
}

int hl_minimizer_ask(struct hl_minimizer *m, const struct hl_config *config, const char *what)
{
    assert(m->rate > 0 && m->rate <= 1);
    struct hl_reply answer = { .text = write_candidate(m, config) };
    if (!answer.text)
        return stop(m, hl_fail(m->error, HL_STATUS_MEMORY, "out of memory"));
    const struct hl_reply *known = find(m, answer.text);
    if (known) {
        free(answer.text);
        m->result->cached++;
        return known->yes;
    }
    if (decide(m, answer.text, &answer) < 0) {
        free(answer.text);
        return -1;
    }
    m->result->questions++;
    if (m->options->on_question)
        m->options->on_question(m->options->user, what, answer.yes, answer.hits, answer.runs);
    return keep(m, answer);
}

const struct hl_reply *hl_minimizer_recall(struct hl_minimizer *m, const struct hl_config *config)
{
    char *text = write_candidate(m, config);
    const struct hl_reply *answer = text ? find(m, text) : NULL;
    free(text);
    return answer;
}

void hl_minimizer_finish(struct hl_minimizer *m)
{
    for (int i = 0; i < m->n_answers; i++)
        free(m->answers[i].text);
    free(m->answers);
}
