/* The documentation says what the program does: pages from tables are up to date, links lead somewhere, and
 * the manual knows every command. */
#include <ctype.h>
#include <glob.h>
#include <limits.h>
#include "command.h"

static struct command c;
static void setup(void) { command_init(&c); }
static void teardown(void) { command_finish(&c); }
TestSuite(docs, .init = setup, .fini = teardown, .timeout = 60);

static char *read_file(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "cannot read %s", path);
    cr_assert_gt(getdelim(&text, &size, '\0', file), 0, "%s is empty", path);
    fclose(file);
    return text;
}

/* A path in the source tree. */
static const char *in_source(const char *name, char path[PATH_MAX])
{
    const char *root = getenv("HANGLAB_SOURCE");
    cr_assert_not_null(root, "HANGLAB_SOURCE must name the source tree; meson test sets it");
    snprintf(path, PATH_MAX, "%s/%s", root, name);
    return path;
}

static void expect_up_to_date(const char *name, const char *line)
{
    char path[PATH_MAX];
    char *page = read_file(in_source(name, path));
    command_expect(&c, line, 0);
    cr_assert(strcmp(page, c.out) == 0, "%s is older than the tables; write it anew:\n  ./dev run %s >%s",
              name, line + strlen("hanglab "), name);
    free(page);
}

Test(docs, the_page_of_scenario_files_is_up_to_date)
{
    expect_up_to_date("docs/scenario-file.md", "hanglab list keys --format markdown");
}

Test(docs, the_page_of_causes_is_up_to_date)
{
    expect_up_to_date("docs/causes.md", "hanglab list causes --format markdown");
}

Test(docs, markdown_of_anything_else_is_refused)
{
    command_expect(&c, "hanglab list faults --format markdown", 64);
    command_said(&c, "hanglab list keys");
    command_expect(&c, "hanglab list keys --format html", 64);
}

/* The output that the README shows, each line but those left out. */
Test(docs, the_readme_shows_what_the_seed_scenario_prints)
{
    char path[PATH_MAX];
    char *text = read_file(in_source("README.md", path)), *rest = NULL;
    char *block = strstr(text, "    sglang-23402: ");
    cr_assert_not_null(block, "the README shows no output");
    *strstr(block, "\nThat is `./dev run --filter") = '\0';
    command_expect(&c,
                   "hanglab run --filter 'schedule.sizes=[32,16,8,4]' "
                   "\"$HANGLAB_SOURCE\"/scenarios/seed/sglang-23402.yaml",
                   0);
    int lines = 0;
    for (char *line = strtok_r(block, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), lines++)
        cr_expect(strcmp(line, "    ...") == 0 || strstr(c.out, line + 4),
                  "the README shows this, which is not printed any more:\n%s", line);
    cr_expect_gt(lines, 15);
    free(text);
}

/* In the folder where the seed scenario ran, the page's command finds one bundle. */
Test(docs, the_first_hang_can_be_explained)
{
    char path[PATH_MAX], line[512];
    char *page = read_file(in_source("docs/first-hang.md", path));
    const char *command = strstr(page, "./dev run explain ");
    cr_assert_not_null(command);
    command += strlen("./dev run ");
    command_expect(&c, "hanglab run --runs 5 \"$HANGLAB_SOURCE\"/scenarios/seed/sglang-23402.yaml", 0);
    snprintf(line, sizeof line, "hanglab %.*s", (int)strcspn(command, "\n"), command);
    command_expect(&c, line, 0);
    command_said(&c, "sentinel-collision");
    free(page);
}

/* Every relative link [text](path) of a page leads to a file, seen from the page's folder. */
static int check_links(const char *page)
{
    char *text = read_file(page), folder[PATH_MAX];
    int links = 0;
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(page, '/') - page), page);
    for (char *at = text; (at = strstr(at, "](")) != NULL;) {
        char target[2 * PATH_MAX];
        at += 2;
        const int length = (int)strcspn(at, ")#");
        if (length == 0 || strncmp(at, "http", 4) == 0)
            continue;
        snprintf(target, sizeof target, "%s/%.*s", folder, length, at);
        cr_expect_eq(access(target, R_OK), 0, "%s links to %.*s, which is not there", page, length, at);
        links++;
    }
    free(text);
    return links;
}

Test(docs, links_lead_somewhere)
{
    static const char *const patterns[] = { "README.md", "docs/*.md", "examples/*/README.md" };
    int links = 0;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        char path[PATH_MAX];
        glob_t found;
        cr_assert_eq(glob(in_source(patterns[i], path), 0, NULL, &found), 0, "there is no %s", patterns[i]);
        for (size_t k = 0; k < found.gl_pathc; k++)
            links += check_links(found.gl_pathv[k]);
        globfree(&found);
    }
    cr_assert_gt(links, 5, "only %d links found", links);
}

Test(docs, the_manual_page_has_every_command_and_is_clean)
{
    command_expect(&c, "hanglab --help", 0);
    char *help = strdup(c.out), *rest = NULL;
    command_expect(&c, "bash \"$HANGLAB_SOURCE\"/docs/man.sh hanglab", 0);
    int commands = 0;
    for (char *line = strtok_r(help, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char section[64];
        if (strncmp(line, "  ", 2) != 0 || !islower((unsigned char)line[2]))
            continue;
        snprintf(section, sizeof section, ".SS hanglab %.*s\n", (int)strcspn(line + 2, " "), line + 2);
        cr_expect_not_null(strstr(c.out, section), "no section '%s'", section);
        commands++;
    }
    cr_assert_geq(commands, 5);
    cr_assert_not_null(strstr(c.out, "\\-\\-time\\-budget"));
    free(help);
}
