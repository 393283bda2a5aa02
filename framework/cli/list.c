/* `hanglab list`: what can be run, and which words there are. */
#include <argp.h>
#include <stdlib.h>
#include <string.h>
#include "../../reports/phrase.h"
#include "../campaign/inputs.h"
#include "../fault/weave.h"
#include "../program/resolve.h"
#include "../scenario/value.h"
#include "command.h"
#include "markdown.h"
#include "subjects.h"

#define COLUMNS 100

static const char doc[] =
    "Lists the cases of scenario files, with what each resolves to and what is expected of it; or "
    "a table of words, such as `hanglab list faults`; or the keys of scenario files, `hanglab list keys`; "
    "or subjects from shared objects, `hanglab list subjects [FILE...]`; or, without arguments, the tables.";

enum { OPTION_FORMAT = 256 };

struct arguments {
    char **names;
    size_t n_names;
    char **filters;
    size_t n_filters;
    bool markdown;
};

static const struct argp_option options[] = {
    { "filter", 'f', "PATH=VALUE", 0, "only cases with this matrix parameter, or with this text in their id",
      0 },
    { "format", OPTION_FORMAT, "text|markdown", 0, "markdown: keys and causes, as the pages of docs/", 0 },
    { 0 }
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'f': a->filters[a->n_filters++] = text; return 0;
    case OPTION_FORMAT:
        a->markdown = strcmp(text, "markdown") == 0;
        if (!a->markdown && strcmp(text, "text") != 0)
            argp_error(state, "--format takes text or markdown, not '%s'", text);
        return 0;
    case ARGP_KEY_ARG: a->names[a->n_names++] = text; return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static void write_entry(const char *name, int width, const char *text)
{
    printf("  %-*s  ", width, name);
    hl_write_wrapped(stdout, text, width + 4, width + 4, COLUMNS);
}

static void list_words(const struct hl_words *words)
{
    int width = 0;
    for (int i = 0; i < words->count; i++)
        if ((int)strlen(words->words[i].name) > width)
            width = (int)strlen(words->words[i].name);
    for (int i = 0; i < words->count; i++)
        write_entry(words->words[i].name, width, words->words[i].doc);
}

static void write_part(const char *name, const char *text)
{
    if (!text[0])
        return;
    printf("    %-9s ", name);
    hl_write_wrapped(stdout, text, 14, 14, COLUMNS);
}

/* Causes have more to say than one sentence. */
static void list_causes(void)
{
    for (int cause = HL_CAUSE_NONE + 1; cause < HL_CAUSE_COUNT; cause++) {
        printf("  %s\n", hl_cause_name((enum hl_cause)cause));
        write_part("meaning", hl_cause_meaning((enum hl_cause)cause));
        write_part("evidence", hl_cause_evidence((enum hl_cause)cause));
        write_part("to do", hl_cause_hint((enum hl_cause)cause));
        write_part("incidents", hl_cause_incidents((enum hl_cause)cause));
    }
}

/* Faults have parameters, and need something in the program to strike. */
static void list_faults(void)
{
    for (int kind = 0; kind < HL_FAULT_COUNT; kind++) {
        printf("  %s\n", hl_words_name(&hl_words_faults, kind));
        write_part("what", hl_words_faults.words[kind].doc);
        write_part("takes", hl_fault_parameters((enum hl_fault_kind)kind));
        write_part("needs", hl_fault_needs((enum hl_fault_kind)kind));
    }
}

static void list_keys_of(const struct hl_field_table *table, const char *prefix)
{
    for (int i = 0; i < table->count; i++) {
        const struct hl_field *field = &table->rows[i];
        char takes[1024] = "";
        if (field->kind != HL_KIND_SECTION && field->kind != HL_KIND_OTHER)
            hl_field_expectation(field, takes, sizeof takes);
        printf("  %s%s\n", prefix, field->path);
        write_part("meaning", field->doc);
        write_part("takes", takes);
        write_part("default", field->initial    ? field->initial
                              : field->required ? "none: it is required"
                                                : "");
    }
}

static void list_keys(void)
{
    list_keys_of(&hl_scenario_fields, "");
    list_keys_of(&hl_fault_fields, "faults.");
    list_keys_of(&hl_expect_fields, "expect.");
}

static int list_markdown(const struct arguments *a)
{
    if (a->n_names == 1 && strcmp(a->names[0], "keys") == 0) {
        hl_write_keys_page(stdout);
        return 0;
    }
    if (a->n_names == 1 && strcmp(a->names[0], "causes") == 0) {
        hl_write_causes_page(stdout);
        return 0;
    }
    struct hl_error error;
    hl_fail(&error, HL_STATUS_USAGE,
            "--format markdown is for `hanglab list keys` and `hanglab list causes`");
    return hl_complain(&error);
}

static void list_tables(void)
{
    puts("Tables of words (`hanglab list NAME`):");
    for (int i = 0; i < hl_n_word_tables; i++)
        printf("  %s\n", hl_word_tables[i]->plural);
    puts("  keys (of scenario files)");
    puts("  subjects (installed ones, or files: `hanglab list subjects ./mine.so`)");
    puts("or the cases of scenario files: `hanglab list FILE...`");
}

static void write_notes(const struct hl_case *c)
{
    struct hl_config resolved;
    struct hl_notes notes = { 0 };
    if (hl_resolve(&c->config, &resolved, &notes, NULL) != HL_STATUS_OK)
        return;
    for (int i = 0; i < notes.n; i++)
        write_part(notes.note[i].severity == HL_SEVERITY_WARNING ? "warning" : "note", notes.note[i].text);
}

static int list_cases(const struct arguments *a)
{
    struct hl_inputs inputs;
    struct hl_error error;
    if (hl_inputs_load(a->names, a->n_names, a->filters, a->n_filters, &inputs, &error) != HL_STATUS_OK)
        return hl_complain(&error);
    for (size_t i = 0; i < inputs.n_items; i++) {
        const struct hl_case *c = inputs.items[i].c;
        printf("%s\n    expected  %s", c->id, hl_words_name(&hl_words_verdicts, c->expected.verdict));
        if (c->expected.cause >= 0)
            printf(" (%s)", hl_cause_name((enum hl_cause)c->expected.cause));
        printf(", %d run%s\n", c->config.runs, c->config.runs == 1 ? "" : "s");
        write_notes(c);
    }
    hl_inputs_finish(&inputs);
    return 0;
}

int hl_command_list(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options, .parser = parse, .args_doc = "[TABLE | FILE...]", .doc = doc
    };
    struct arguments a = { .names = calloc((size_t)argc, sizeof(char *)),
                           .filters = calloc((size_t)argc, sizeof(char *)) };
    if (!a.names || !a.filters)
        return hl_status_exit_code(HL_STATUS_MEMORY);
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    const struct hl_words *words = a.n_names == 1 ? hl_words_find_table(a.names[0]) : NULL;
    int code = 0;
    if (a.markdown)
        code = list_markdown(&a);
    else if (a.n_names == 0)
        list_tables();
    else if (a.n_names == 1 && strcmp(a.names[0], "keys") == 0)
        list_keys();
    else if (strcmp(a.names[0], "subjects") == 0)
        code = hl_list_subjects(a.names + 1, a.n_names - 1);
    else if (words == &hl_words_causes)
        list_causes();
    else if (words == &hl_words_faults)
        list_faults();
    else if (words)
        list_words(words);
    else
        code = list_cases(&a);
    free(a.names);
    free(a.filters);
    return hl_finish_output(code);
}
