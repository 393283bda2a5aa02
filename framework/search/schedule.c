/* Schedule files: a hang that can be replayed. Written to a temporary name and renamed: whole or absent. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "story.h"

static const char head[] = "hanglab-schedule: 1";

enum hl_status hl_path_write(const struct hl_space *s, const struct hl_path *path, const char *name,
                             const struct hl_schedule_of *of, const char *file, struct hl_error *error)
{
    char temporary[4096];
    if (snprintf(temporary, sizeof temporary, "%s.tmp", file) >= (int)sizeof temporary)
        return hl_fail(error, HL_STATUS_IO, "the path is too long: %s", file);
    FILE *out = fopen(temporary, "w");
    if (!out)
        return hl_fail(error, HL_STATUS_IO, "cannot write %s: %s", temporary, strerror(errno));
    fprintf(out, "%s\n# case %s; a line is: agent, number of its steps in a row\n", head, name);
    fprintf(out, "searched: %d %u %u %u %s\nagents: %u\n", of->ranks, of->tokens_max, of->rounds, of->payload,
            of->programs ? "programs" : "calls", s->agents);
    if (path->again)
        fprintf(out, "again: %u\n", path->again);
    for (uint32_t i = 0, n; i < path->n; i += n) {
        for (n = 1; i + n < path->n && path->agents[i + n] == path->agents[i]; n++) {
        }
        fprintf(out, "%u %u\n", path->agents[i], n);
    }
    const bool failed = fflush(out) || ferror(out) || fsync(fileno(out));
    if (fclose(out) || failed || rename(temporary, file)) {
        unlink(temporary);
        return hl_fail(error, HL_STATUS_IO, "cannot write %s: %s", file, strerror(errno));
    }
    return HL_STATUS_OK;
}

enum hl_status hl_path_append(struct hl_path *path, uint32_t agent, uint32_t n, struct hl_error *error)
{
    if (n > 10000000 || path->n > 10000000)
        return hl_fail(error, HL_STATUS_USAGE, "the schedule is longer than 10 million steps");
    if (path->n + n > path->capacity) {
        const uint32_t capacity = 2 * (path->n + n);
        uint16_t *agents = realloc(path->agents, capacity * sizeof *agents);
        if (!agents)
            return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a schedule");
        path->agents = agents;
        path->capacity = capacity;
    }
    while (n--)
        path->agents[path->n++] = (uint16_t)agent;
    return HL_STATUS_OK;
}

enum hl_status hl_path_read_head(const char *file, struct hl_schedule_of *ret_of, struct hl_error *error)
{
    char line[256], what[16] = "";
    struct hl_schedule_of of;
    bool found = false;
    FILE *in = fopen(file, "r");
    if (!in)
        return hl_fail(error, HL_STATUS_IO, "cannot read %s: %s", file, strerror(errno));
    const bool is_one = fgets(line, sizeof line, in) && strncmp(line, head, sizeof head - 1) == 0;
    while (is_one && !found && fgets(line, sizeof line, in))
        found = sscanf(line, "searched: %d %u %u %u %15s", &of.ranks, &of.tokens_max, &of.rounds, &of.payload,
                       what) == 5;
    fclose(in);
    if (!found)
        return hl_fail(error, HL_STATUS_USAGE,
                       "%s:1: not a schedule file: expected '%s', and what was searched", file, head);
    of.programs = strcmp(what, "programs") == 0;
    *ret_of = of;
    return HL_STATUS_OK;
}

static enum hl_status read_lines(const struct hl_space *s, FILE *in, const char *file, struct hl_path *path,
                                 struct hl_error *error)
{
    char line[256];
    unsigned agent, n, agents = 0;
    if (!fgets(line, sizeof line, in) || strncmp(line, head, sizeof head - 1) != 0)
        return hl_fail(error, HL_STATUS_USAGE, "%s:1: not a schedule file: expected '%s'", file, head);
    for (int number = 2; fgets(line, sizeof line, in); number++) {
        if (line[0] == '#' || strncmp(line, "searched:", 9) == 0 ||
            sscanf(line, "agents: %u", &agents) == 1 || sscanf(line, "again: %u", &path->again) == 1)
            continue;
        if (sscanf(line, "%u %u", &agent, &n) != 2 || agent >= s->agents || n == 0)
            return hl_fail(error, HL_STATUS_USAGE, "%s:%d: expected an agent (0..%u) and a number of steps",
                           file, number, s->agents - 1);
        const enum hl_status status = hl_path_append(path, agent, n, error);
        if (status)
            return status;
    }
    if (path->again > path->n)
        return hl_fail(error, HL_STATUS_USAGE, "%s: has %u steps, of which %u cannot come again", file,
                       path->n, path->again);
    if (agents != s->agents)
        return hl_fail(error, HL_STATUS_USAGE, "%s: made for %u agents, but this case has %u", file, agents,
                       s->agents);
    return HL_STATUS_OK;
}

enum hl_status hl_path_read(const struct hl_space *s, const char *file, struct hl_path *ret_path,
                            struct hl_error *error)
{
    struct hl_path path = { 0 };
    FILE *in = fopen(file, "r");
    if (!in)
        return hl_fail(error, HL_STATUS_IO, "cannot read %s: %s", file, strerror(errno));
    const enum hl_status status = read_lines(s, in, file, &path, error);
    fclose(in);
    if (status)
        hl_path_finish(&path);
    else
        *ret_path = path;
    return status;
}
