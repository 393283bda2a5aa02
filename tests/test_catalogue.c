/* Every shipped scenario ends as its file expects: the seed scenarios, one file for each fault and mutant
 * with its healthy twin, and the reported incidents. */
#include "hanglab/config.h"
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
