/* From folders to cases and bundles. A bundle is found by its place in the folder, not by the path that was
 * written down: the folder may have moved. */
#include "collection.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_bundle(const char *folder)
{
    char path[PATH_MAX];
    return snprintf(path, sizeof path, "%s/verdict.json", folder) < (int)sizeof path &&
           access(path, R_OK) == 0;
}

/* Index of a bundle, which is added unless it is there. -1: out of memory. */
static json_int_t bundle_index(struct hl_collection *c, const char *path, bool *ret_is_new)
{
    *ret_is_new = false;
    for (size_t i = 0; i < c->n_bundles; i++)
        if (strcmp(c->bundles[i], path) == 0)
            return (json_int_t)i;
    char **more = realloc(c->bundles, (c->n_bundles + 1) * sizeof *more);
    if (!more)
        return -1;
    c->bundles = more;
    c->bundles[c->n_bundles] = strdup(path);
    if (!c->bundles[c->n_bundles])
        return -1;
    *ret_is_new = true;
    return (json_int_t)c->n_bundles++;
}

/* The last two parts of a bundle's path are the case's folder and the run. */
static const char *last_two_parts(const char *path)
{
    const char *at = path + strlen(path);
    for (int slashes = 0; at > path; at--)
        if (at[-1] == '/' && ++slashes == 2)
            return at;
    return at;
}

static json_t *load_verdict(const char *bundle)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/verdict.json", bundle) >= (int)sizeof path)
        return NULL;
    return json_load_file(path, 0, NULL);
}

/* Links a case with its bundle, and says what was found. */
static void set_bundle(json_t *line, json_int_t index, const json_t *verdict)
{
    json_object_set_new(line, "bundle", json_integer(index));
    json_object_set_new(line, "finding", json_string(hl_json_text(verdict, "summary")));
}

static void take_case(struct hl_collection *c, const char *folder, json_t *line)
{
    const char *evidence = hl_json_text(line, "evidence");
    char path[PATH_MAX];
    bool is_new;
    if (evidence[0] &&
        snprintf(path, sizeof path, "%s/evidence/%s", folder, last_two_parts(evidence)) < (int)sizeof path &&
        is_bundle(path)) {
        const json_int_t index = bundle_index(c, path, &is_new);
        json_t *verdict = load_verdict(path);
        if (index >= 0)
            set_bundle(line, index, verdict);
        json_decref(verdict);
    }
    json_array_append(c->cases, line);
}

static enum hl_status load_results(struct hl_collection *c, const char *folder, struct hl_error *error)
{
    char path[PATH_MAX], *text = NULL;
    size_t size = 0;
    ssize_t length;
    json_error_t why;
    snprintf(path, sizeof path, "%s/" HL_RESULTS_NAME, folder);
    FILE *file = fopen(path, "re");
    if (!file && errno == ENOENT)
        return HL_STATUS_OK;
    if (!file)
        return hl_fail(error, HL_STATUS_IO, "%s: cannot read it: %s", path, strerror(errno));
    enum hl_status status = HL_STATUS_OK;
    for (int number = 1; status == HL_STATUS_OK && (length = getline(&text, &size, file)) > 0; number++) {
        json_t *line = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &why);
        if (!line)
            status = hl_fail(error, HL_STATUS_USAGE, "%s:%d:%d: not a line of results: %s", path, number,
                             why.column, why.text);
        else if (strcmp(hl_json_text(line, "type"), "case") == 0)
            take_case(c, folder, line);
        else if (strcmp(hl_json_text(line, "type"), "explore") == 0)
            json_array_append(c->explored, line);
        else if (strcmp(hl_json_text(line, "type"), "summary") == 0) {
            json_decref(c->summary);
            c->summary = json_incref(line);
        }
        json_decref(line);
    }
    free(text);
    fclose(file);
    return status;
}

/* A case of which only the bundle is known. */
static json_t *case_of_bundle(const json_t *verdict)
{
    static const char *const keys[] = { "engine", "seed", "verdict", "cause", "certainty", "culprit" };
    json_t *params = json_object_get(json_object_get(verdict, "configuration"), "params");
    json_t *line = json_pack("{s:s, s:s, s:O?, s:b}", "type", "case", "id", hl_json_text(verdict, "case"),
                             "params", params, "only_bundle", 1);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (json_object_get(verdict, keys[i]))
            json_object_set(line, keys[i], json_object_get(verdict, keys[i]));
    return line;
}

static void take_bundle(struct hl_collection *c, const char *path)
{
    bool is_new;
    const json_int_t index = is_bundle(path) ? bundle_index(c, path, &is_new) : -1;
    if (index < 0 || !is_new)
        return;
    json_t *verdict = load_verdict(path), *line = case_of_bundle(verdict);
    set_bundle(line, index, verdict);
    json_decref(verdict);
    json_array_append_new(c->cases, line);
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_shown(const struct dirent *entry) { return entry->d_name[0] != '.'; }

/* Takes what no result has named: `depth` levels of folders lie above the bundles. */
static void find_bundles(struct hl_collection *c, const char *folder, int depth)
{
    struct dirent **entries;
    const int n = scandir(folder, &entries, is_shown, compare_names);
    for (int i = 0; i < n; free(entries[i++])) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name) >= (int)sizeof path)
            continue;
        if (depth > 1)
            find_bundles(c, path, depth - 1);
        else
            take_bundle(c, path);
    }
    if (n >= 0)
        free(entries);
}

static enum hl_status load_folder(struct hl_collection *c, const char *folder, struct hl_error *error)
{
    char evidence[PATH_MAX];
    struct stat st;
    if (stat(folder, &st) < 0)
        return hl_fail(error, HL_STATUS_USAGE, "%s: %s", folder, strerror(errno));
    const size_t before = json_array_size(c->cases) + json_array_size(c->explored);
    if (is_bundle(folder)) {
        take_bundle(c, folder);
    } else if (snprintf(evidence, sizeof evidence, "%s/evidence", folder) < (int)sizeof evidence) {
        const enum hl_status status = load_results(c, folder, error);
        if (status != HL_STATUS_OK)
            return status;
        find_bundles(c, evidence, 2);
    }
    if (json_array_size(c->cases) + json_array_size(c->explored) > before)
        return HL_STATUS_OK;
    return hl_fail(error, HL_STATUS_USAGE,
                   "%s: neither results nor evidence are here; it must be the --out folder of `hanglab run` "
                   "or `hanglab explore`, or a bundle in it",
                   folder);
}

enum hl_status hl_collection_load(char *const *folders, size_t n_folders,
                                  struct hl_collection *ret_collection, struct hl_error *error)
{
    struct hl_collection c = { .cases = json_array(), .explored = json_array() };
    for (size_t i = 0; i < n_folders; i++) {
        char folder[PATH_MAX];
        snprintf(folder, sizeof folder, "%s", folders[i]);
        for (size_t n = strlen(folder); n > 1 && folder[n - 1] == '/'; n--)
            folder[n - 1] = '\0';
        const enum hl_status status = load_folder(&c, folder, error);
        if (status != HL_STATUS_OK) {
            hl_collection_finish(&c);
            return status;
        }
    }
    *ret_collection = c;
    return HL_STATUS_OK;
}

void hl_collection_finish(struct hl_collection *c)
{
    for (size_t i = 0; i < c->n_bundles; i++)
        free(c->bundles[i]);
    free(c->bundles);
    json_decref(c->cases);
    json_decref(c->explored);
    json_decref(c->summary);
}
