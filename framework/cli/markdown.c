/* Markdown for `hanglab list keys` and `hanglab list causes`. */
#include "markdown.h"
#include <string.h>
#include "../fault/weave.h"
#include "../scenario/scenario.h"
#include "../scenario/value.h"
#include "../verdict/classifier.h"

static const char keys_head[] =
    "# Scenario files\n\n"
    "A scenario file says what to run, with which values, and what is expected. It is YAML, version 1.2, "
    "read\n"
    "by libfyaml; anchors and aliases work. A mistake is shown with its line, a caret, what was expected "
    "and\n"
    "the nearest valid word; unknown keys are mistakes; nothing runs before all is right.\n"
    "`hanglab list FILE` shows a file's cases and what each resolves to, `hanglab schema` prints this page "
    "as\n"
    "JSON Schema for editors.\n\n"
    "    hanglab: 1\n"
    "    name: skipped-call\n"
    "    title: one rank leaves out one call\n"
    "    world:    {ranks: 4}\n"
    "    subject:  {backend: mnnvl, dtype: bf16, hidden: 4096}\n"
    "    schedule: {mode: eager, layers: 2, sizes: [16], replays: 10}\n"
    "    faults:\n"
    "      - {fault: skip-call, rank: 2, call: 7}\n"
    "    runs: 5\n"
    "    matrix:\n"
    "      subject.backend: [mnnvl, trtllm]\n"
    "    expect:\n"
    "      - {verdict: hang, cause: peer-missing-call}\n";

static const char matrix_text[] =
    "An axis is a dotted path of a key below and the list of its values, or a name of its own and named\n"
    "choices that each set several paths:\n\n"
    "    matrix:\n"
    "      schedule.mode: [eager, full]\n"
    "      configuration:\n"
    "        shipped: {subject.backend: mnnvl, flags.guard: shipped, schedule.preset: sglang}\n"
    "        plain:   {subject.backend: nccl}\n"
    "    exclude:\n"
    "      - {configuration: plain, schedule.mode: full}\n\n"
    "A case is one combination. Its id is the scenario's name and its values: "
    "`name/schedule.mode=eager,configuration=plain`.\n"
    "A parameter of a fault is reached by its place in the list: `faults.0.rank`.\n";

/* A table's cell must not end early. */
static void write_cell(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static bool has_value(const struct hl_field *field)
{
    return field->kind != HL_KIND_SECTION && field->kind != HL_KIND_OTHER;
}

static void write_row(FILE *out, const struct hl_field *field)
{
    char takes[1024];
    hl_field_expectation(field, takes, sizeof takes);
    fprintf(out, "| `%s` | ", field->path);
    write_cell(out, takes);
    fprintf(out, " | %s | ", field->initial ? field->initial : field->required ? "required" : "-");
    write_cell(out, field->doc);
    fputs(" |\n", out);
}

static void write_rows(FILE *out, const struct hl_field_table *table, const char *section)
{
    const size_t length = strlen(section);
    fputs("| key | takes | default | meaning |\n|---|---|---|---|\n", out);
    for (int i = 0; i < table->count; i++) {
        const char *path = table->rows[i].path;
        const bool inside =
            length ? strncmp(path, section, length) == 0 && path[length] == '.' : !strchr(path, '.');
        if (inside && has_value(&table->rows[i]))
            write_row(out, &table->rows[i]);
    }
    fputc('\n', out);
}

/* The meanings of the words that the keys of a table take, each list once. */
static void write_words(FILE *out, const struct hl_field_table *table)
{
    for (int i = 0; i < table->count; i++) {
        const struct hl_words *words = table->rows[i].kind == HL_KIND_WORD ? table->rows[i].words : NULL;
        if (!words || words == &hl_words_causes || words == &hl_words_faults)
            continue;
        fprintf(out, "### `%s`\n\n%s\n\n| word | meaning |\n|---|---|\n", table->rows[i].path,
                table->rows[i].doc);
        for (int w = 0; w < words->count; w++) {
            fprintf(out, "| `%s` | ", words->words[w].name);
            write_cell(out, words->words[w].doc);
            fputs(" |\n", out);
        }
        fputc('\n', out);
    }
}

static void write_faults(FILE *out)
{
    fprintf(out,
            "## Faults\n\nUnder `faults:`, a list of at most %d. A fault that never fires makes a run "
            "inconclusive, never a pass.\n\n",
            HL_FAULTS_MAX);
    write_rows(out, &hl_fault_fields, "");
    fputs("| fault | what it does | takes | needs |\n|---|---|---|---|\n", out);
    for (int kind = 0; kind < HL_FAULT_COUNT; kind++) {
        fprintf(out, "| `%s` | ", hl_words_name(&hl_words_faults, kind));
        write_cell(out, hl_words_faults.words[kind].doc);
        fprintf(out, " | %s | ", hl_fault_parameters((enum hl_fault_kind)kind));
        write_cell(out, hl_fault_needs((enum hl_fault_kind)kind));
        fputs(" |\n", out);
    }
    fputc('\n', out);
}

static void write_expect(FILE *out)
{
    const struct hl_field *when = hl_field_find(&hl_expect_fields, "when");
    fprintf(out,
            "## Expectations\n\nUnder `expect:`, a list; the first item that matches decides, and the "
            "default is pass.\n\n"
            "`when`: %s\n\n",
            when->doc);
    write_rows(out, &hl_expect_fields, "");
    write_rows(out, &hl_expect_fields, "rate");
}

void hl_write_keys_page(FILE *out)
{
    fputs(keys_head, out);
    fputs("\n## Top level\n\n", out);
    const struct hl_field_table *table = &hl_scenario_fields;
    write_rows(out, table, "");
    for (int i = 0; i < table->count; i++)
        if (table->rows[i].kind == HL_KIND_OTHER)
            fprintf(out, "- `%s`: %s\n", table->rows[i].path, table->rows[i].doc);
    fprintf(out,
            "\nLimits of a file: %d bytes, %d values with aliases followed, %d levels, %d values an axis, %d "
            "combinations.\n\n## The matrix\n\n%s\n",
            HL_YAML_BYTES_MAX, HL_YAML_NODES_MAX, HL_YAML_DEPTH_MAX, HL_CHOICES_MAX, HL_CASES_MAX,
            matrix_text);
    for (int i = 0; i < table->count; i++) {
        const struct hl_field *field = &table->rows[i];
        if (field->kind != HL_KIND_SECTION || strchr(field->path, '.'))
            continue;
        fprintf(out, "## `%s`\n\n%s\n\n", field->path, field->doc);
        write_rows(out, table, field->path);
    }
    write_faults(out);
    write_expect(out);
    fputs("## Words\n\n", out);
    write_words(out, table);
    write_words(out, &hl_expect_fields);
    fputs("---\nWritten by `hanglab list keys --format markdown`.\n", out);
}

static void write_part(FILE *out, const char *name, const char *text)
{
    if (text[0])
        fprintf(out, "- **%s**: %s\n", name, text);
}

void hl_write_causes_page(FILE *out)
{
    fputs("# Causes\n\n"
          "The classifier reads evidence only, never the scenario's faults, and names one of these. A hang "
          "that\n"
          "fits none is `unknown`. The incidents are public threads (repository#number) whose reports show "
          "the\n"
          "cause, or are explained by it; their diagnosis is theirs, the name is ours.\n\n",
          out);
    for (int cause = HL_CAUSE_NONE + 1; cause < HL_CAUSE_COUNT; cause++) {
        const enum hl_cause c = (enum hl_cause)cause;
        fprintf(out, "## %s\n\n%s.\n\n", hl_cause_name(c), hl_cause_meaning(c));
        write_part(out, "evidence", hl_cause_evidence(c));
        write_part(out, "to do", hl_cause_hint(c));
        write_part(out, "incidents", hl_cause_incidents(c));
        fputc('\n', out);
    }
    fputs("---\nWritten by `hanglab list causes --format markdown`.\n", out);
}
