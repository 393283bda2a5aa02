/* Every shipped scenario ends as its file expects: the seed scenarios, one file for each fault and mutant
 * with its healthy twin, and the reported incidents. */
#include <limits.h>
#include "../framework/scenario/scenario.h"
#include "../framework/verdict/classifier.h"
#include "command.h"

static struct command c;

static void start(void) { command_init(&c); }
static void stop(void) { command_finish(&c); }
TestSuite(catalogue, .init = start, .fini = stop);

static void expect_folder(const char *folder, int runs)
{
    char line[512], repeat[32] = "";
    if (runs)
        snprintf(repeat, sizeof repeat, "--runs %d", runs);
    snprintf(line, sizeof line, "hanglab run %s --out evidence \"$HANGLAB_SOURCE\"/scenarios/%s", repeat,
             folder);
    command_expect(&c, line, 0);
}

Test(catalogue, every_seed_scenario_ends_as_expected)
{
    expect_folder("seed/sglang-23402.yaml", 4);
    expect_folder("seed/sglang-flags.yaml", 1);
}

/* Races need the runs that their files ask for. */
Test(catalogue, every_fault_ends_as_expected_and_its_twin_is_healthy) { expect_folder("catalogue", 0); }

Test(catalogue, every_incident_ends_as_reported) { expect_folder("incidents", 0); }

#define NAME(id, name, doc) name,
static const char *const names[] = { HL_FAULTS(NAME) HL_MUTANTS(NAME) };

Test(catalogue, every_fault_and_mutant_has_a_file)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char line[256];
        snprintf(line, sizeof line, "test -f \"$HANGLAB_SOURCE\"/scenarios/catalogue/%s.yaml", names[i]);
        if (strcmp(names[i], "none") != 0)
            command_expect(&c, line, 0);
    }
}

static bool expects(const struct hl_scenario *scenario, enum hl_verdict verdict, int cause)
{
    for (size_t i = 0; i < scenario->n_cases; i++) {
        const struct hl_expectation *e = &scenario->cases[i].expected;
        if (cause < 0 ? e->verdict == verdict : e->cause == cause)
            return true;
    }
    return false;
}

/* The scenario that the page's table names for a cause. */
static void find_scenario(const char *page, const char *cause, char *ret_path, size_t size)
{
    char row[128];
    snprintf(row, sizeof row, "\n| %s |", cause);
    const char *at = strstr(page, row);
    cr_assert_not_null(at, "docs/classifier.md has no row for %s", cause);
    const char *name = strchr(at, '`');
    cr_assert(name && name < strchr(at + 1, '\n'), "the row of %s names no scenario", cause);
    snprintf(ret_path, size, "%s/scenarios/catalogue/%.*s.yaml", getenv("HANGLAB_SOURCE"),
             (int)strcspn(name + 1, "`"), name + 1);
}

Test(catalogue, every_cause_has_a_scenario_that_shows_it_and_a_healthy_twin)
{
    char path[PATH_MAX], *page = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/docs/classifier.md", getenv("HANGLAB_SOURCE"));
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    cr_assert_gt(getdelim(&page, &size, '\0', file), 0);
    fclose(file);
    for (int cause = HL_CAUSE_NONE + 1; cause < HL_CAUSE_UNKNOWN; cause++) {
        struct hl_scenario *scenario;
        struct hl_error error;
        find_scenario(page, hl_cause_name((enum hl_cause)cause), path, sizeof path);
        cr_assert_eq(hl_scenario_load(path, &scenario, &error), HL_STATUS_OK, "%s", error.message);
        cr_expect(expects(scenario, HL_VERDICT_COUNT, cause), "no case of %s is expected to be %s", path,
                  hl_cause_name((enum hl_cause)cause));
        cr_expect(expects(scenario, HL_VERDICT_PASS, -1), "%s has no healthy twin", path);
        hl_scenario_destroy(scenario);
    }
    free(page);
}
