/* Keeps the tree readable: lengths, formatting, who may include whom, and that no suite is forgotten. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include "tidy.h"

static const char *source_root(void)
{
    const char *root = getenv("HANGLAB_SOURCE");
    cr_assert_not_null(root, "HANGLAB_SOURCE must name the source tree; meson test sets it");
    return root;
}

/* NULL when it cannot be read as text. */
static char *read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;
    if (file == NULL)
        return NULL;
    if (getdelim(&text, &size, '\0', file) < 0) {
        free(text);
        text = feof(file) ? calloc(1, 1) : NULL;
    }
    fclose(file);
    return text;
}

/* What git ignores, recordings that come from a GPU as they are, and other people's texts. */
static bool is_left_out(const char *path)
{
    static const char *const names[] = { ".git",    ".cache",           "bundle",     "hanglab-out",
                                         "LICENSE", "tests/recordings", "docs/images" };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(path, names[i]) == 0)
            return true;
    return hl_has_prefix(path, "build");
}

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Holds a rule against every file below `folder`, in order; returns the number of files. */
static int walk(const char *folder, hl_rule rule, FILE *out)
{
    char path[PATH_MAX];
    struct dirent **entries;
    int files = 0;
    snprintf(path, sizeof(path), "%s/%s", source_root(), folder);
    int n = scandir(path, &entries, NULL, compare_entries);
    cr_assert_geq(n, 0, "cannot list %s", path);
    for (int i = 0; i < n; free(entries[i++])) {
        char name[PATH_MAX];
        struct stat status;
        if (strcmp(entries[i]->d_name, ".") == 0 || strcmp(entries[i]->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof(name), "%s%s%s", folder, *folder ? "/" : "", entries[i]->d_name);
        if (is_left_out(name) || snprintf(path, sizeof(path), "%s/%s", source_root(), name) >= PATH_MAX)
            continue;
        if (lstat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
            files += walk(name, rule, out);
        } else if (S_ISREG(status.st_mode)) {
            char *text = read_text(path);
            cr_assert_not_null(text, "cannot read %s", name);
            rule(name, text, out);
            free(text);
            files++;
        }
    }
    free(entries);
    return files;
}

static void hold_against_tree(hl_rule rule)
{
    struct hl_complaints complaints;
    hl_complaints_init(&complaints);
    int files = walk("", rule, complaints.out);
    char *text = hl_complaints_finish(&complaints);
    cr_assert_gt(files, 40, "only %d files found: is HANGLAB_SOURCE right?", files);
    cr_assert_str_empty(text, "\n%s", text);
    free(text);
}

Test(tree, files_have_at_most_500_lines) { hold_against_tree(hl_rule_file_length); }
Test(tree, lines_are_clean_and_at_most_110_columns) { hold_against_tree(hl_rule_lines); }
Test(tree, functions_have_at_most_70_lines) { hold_against_tree(hl_rule_function_length); }
Test(tree, files_open_with_a_paragraph) { hold_against_tree(hl_rule_opening_paragraph); }
Test(tree, only_the_command_prints) { hold_against_tree(hl_rule_silent_library); }
Test(tree, includes_point_along_the_road) { hold_against_tree(hl_rule_include_direction); }
Test(tree, names_no_path_of_one_machine) { hold_against_tree(hl_rule_no_machine_paths); }

/* Every tests/test_X.c has an entry 'X': in tests/meson.build, every tests/bench/bench_X.c one in its own. */
static void hold_registration(const char *folder, const char *prefix)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s/meson.build", source_root(), folder);
    char *registry = read_text(path);
    cr_assert_not_null(registry, "cannot read %s", path);
    snprintf(path, sizeof(path), "%s/%s", source_root(), folder);
    DIR *dir = opendir(path);
    cr_assert_not_null(dir, "cannot list %s", path);
    int found = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char key[NAME_MAX + 3];
        if (!hl_has_prefix(entry->d_name, prefix) || !hl_has_suffix(entry->d_name, ".c"))
            continue;
        size_t length = strlen(entry->d_name) - strlen(prefix) - strlen(".c");
        snprintf(key, sizeof(key), "'%.*s':", (int)length, entry->d_name + strlen(prefix));
        cr_expect_not_null(strstr(registry, key), "%s/%s is not registered in %s/meson.build: no line %s",
                           folder, entry->d_name, folder, key);
        found++;
    }
    cr_assert_gt(found, 0);
    closedir(dir);
    free(registry);
}

Test(tree, every_suite_is_registered) { hold_registration("tests", "test_"); }
Test(tree, every_benchmark_is_registered) { hold_registration("tests/bench", "bench_"); }

/* The rules themselves: what must be found, and what must not. */

static void expect_complaint(hl_rule rule, const char *path, const char *text, const char *complaint)
{
    struct hl_complaints complaints;
    hl_complaints_init(&complaints);
    rule(path, text, complaints.out);
    char *found = hl_complaints_finish(&complaints);
    if (complaint == NULL)
        cr_expect_str_empty(found, "for %s: %s", path, found);
    else
        cr_expect(strstr(found, complaint) != NULL, "for %s: no \"%s\" in \"%s\"", path, complaint, found);
    free(found);
}

static void expect_length(hl_rule rule, const char *head, const char *tail, int lines, const char *complaint)
{
    struct hl_complaints text;
    hl_complaints_init(&text);
    fputs(head, text.out);
    for (int i = 0; i < lines; i++)
        fputs("    work();\n", text.out);
    fputs(tail, text.out);
    char *file = hl_complaints_finish(&text);
    expect_complaint(rule, "framework/engine/a.c", file, complaint);
    free(file);
}

Test(rules, see_long_files_and_functions)
{
    expect_length(hl_rule_file_length, "", "", HL_FILE_LINES_MAX, NULL);
    expect_length(hl_rule_file_length, "", "", HL_FILE_LINES_MAX + 1, "a.c:501: ");
    expect_length(hl_rule_function_length, "int f(void)\n{\n", "}\n", HL_FUNCTION_LINES_MAX, NULL);
    expect_length(hl_rule_function_length, "int f(void)\n{\n", "}\n", HL_FUNCTION_LINES_MAX + 1, "a.c:2: ");
    expect_length(hl_rule_function_length, "struct table t = {\n", "};\n", HL_FUNCTION_LINES_MAX + 1, NULL);
}

Test(rules, see_unclean_lines)
{
    char wide[HL_COLUMNS_MAX + 3];
    memset(wide, 'x', sizeof(wide));
    memcpy(wide + HL_COLUMNS_MAX, "\n", 2);
    expect_complaint(hl_rule_lines, "a.c", wide, NULL);
    memcpy(wide + HL_COLUMNS_MAX, "x\n", 3);
    expect_complaint(hl_rule_lines, "a.c", wide, "a.c:1: 111 columns");
    expect_complaint(hl_rule_lines, "a.md", wide, NULL);
    expect_complaint(hl_rule_lines, "a.h", "int a;\n\tint b;\n", "a.h:2: a tab");
    expect_complaint(hl_rule_lines, "a.yaml", "a: 1 \n", "a.yaml:1: blanks");
    expect_complaint(hl_rule_lines, "a.c", "int a;", "no newline");
    expect_complaint(hl_rule_opening_paragraph, "a.c", "#include <stdio.h>\n", "a.c:1: ");
}

Test(rules, see_prints_and_machine_paths)
{
    expect_complaint(hl_rule_silent_library, "framework/engine/a.c", "\tprintf(\"x\");\n", "a.c:1: printf()");
    expect_complaint(hl_rule_silent_library, "framework/engine/a.c", "snprintf(a, 1, b); fprintf(out, b);\n",
                     NULL);
    expect_complaint(hl_rule_silent_library, "framework/cli/a.c", "printf(\"x\");\n", NULL);
    expect_complaint(hl_rule_no_machine_paths, "a.md",
                     "see /wor"
                     "k/main\n",
                     "a.md:1: ");
    expect_complaint(hl_rule_no_machine_paths, "a.md",
                     "see https://host/wor"
                     "k/main\n",
                     NULL);
}

Test(rules, see_includes_against_the_road)
{
    const struct {
        const char *from, *text, *complaint;
    } includes[] = {
        { "framework/engine/sim/a.c", "#include \"../../verdict/oracle.h\"\n",
          "includes framework/verdict/oracle.h" },
        { "framework/engine/sim/a.c", "#include \"../../program/program.h\"\n#include \"own.h\"\n", NULL },
        { "framework/engine/sim/a.c", "#include \"kernels/sim/steps.h\"\n", NULL },
        { "framework/scenario/a.h", "#include \"../../watchdog/feed.h\"\n", "includes watchdog/feed.h" },
        { "framework/verdict/a.h", "#include \"../../watchdog/evidence.h\"\n", NULL },
        { "framework/campaign/a.c", "#include \"../cli/cli.h\"\n", "includes framework/cli/cli.h" },
        { "watchdog/a.c", "#include \"../kernels/layout.h\"\n#include \"feed.h\"\n", NULL },
        { "watchdog/a.c", "#include \"hanglab/error.h\"\n", "includes framework/include/hanglab/error.h" },
        { "kernels/sim/a.c", "#include \"../step.h\"\n#include <stdio.h>\n", NULL },
        { "kernels/a.h", "#include \"../framework/engine/engine.h\"\n",
          "includes framework/engine/engine.h" },
    };
    for (size_t i = 0; i < sizeof(includes) / sizeof(*includes); i++)
        expect_complaint(hl_rule_include_direction, includes[i].from, includes[i].text,
                         includes[i].complaint);
}
