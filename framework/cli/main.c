/* `hanglab`: finds the command and hands over. */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "../scenario/words.h"
#include "command.h"

static const struct command {
    const char *name;
    int (*function)(int argc, char **argv);
    const char *doc;
} commands[] = {
    { "run", hl_command_run, "run scenario files: which configurations hang, and why" },
    { "list", hl_command_list, "the cases of scenario files, or a table of words (faults, causes, ...)" },
    { "explain", hl_command_explain, "tell the story of a hang from its evidence bundle" },
    { "report", hl_command_report, "one HTML page, or a trace, of what runs have left behind" },
    { "sweep", hl_command_sweep, "run many cases for a time, e.g. a night; results survive a crash" },
    { "merge", hl_command_merge, "join the results of sweeps, such as the shards of one" },
    { "compare", hl_command_compare, "what changed between nights: new, gone, more or less often" },
    { "minimize", hl_command_minimize, "the smallest scenario that still hangs like a case" },
    { "bisect", hl_command_bisect, "from which value or revision on a case hangs" },
    { "schema", hl_command_schema, "the format of scenario files as JSON Schema" },
    { "record", hl_command_record, "keep what was seen of a run, to replay it without its engine" },
    { "replay", hl_command_replay, "what watchdog, oracle and classifier make of recorded runs" },
    { "watch", hl_command_watch, "run any CUDA program; when it stands still, say in which kernel" },
    { "doctor", hl_command_doctor, "what of this machine hanglab can use" },
    { "explore", hl_command_explore, "prove that no schedule hangs, or show one that does" },
};
static const int n_commands = sizeof commands / sizeof commands[0];

const char *argp_program_version = "hanglab " HL_VERSION;

static void write_help(FILE *out)
{
    fputs("Usage: hanglab COMMAND [OPTION...] [ARG...]\n"
          "Finds out which configurations of a fused allreduce hang, proves it, and says why.\n\n",
          out);
    for (int i = 0; i < n_commands; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].doc);
    fputs("\n`hanglab COMMAND --help` tells a command's options; `hanglab --version` the version.\n"
          "Start with: hanglab run scenarios/seed/sglang-23402.yaml\n",
          out);
}

int hl_complain(const struct hl_error *error)
{
    /* What is wrong in a file opens with its place, as editors expect it. */
    const bool has_place = strstr(error->message, ": error: ") != NULL;
    fprintf(stderr, "%s%s\n", has_place ? "" : "hanglab: ", error->message);
    return hl_status_exit_code(error->status);
}

int hl_finish_output(int code)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    /* An earlier flush may have failed, and its reason is lost. */
    fprintf(stderr, "hanglab: cannot write the output%s%s\n", errno ? ": " : "",
            errno ? strerror(errno) : "");
    return hl_status_exit_code(HL_STATUS_IO);
}

static int unknown(const char *name)
{
    struct hl_nearest nearest = hl_nearest_init(name);
    for (int i = 0; i < n_commands; i++)
        hl_nearest_offer(&nearest, commands[i].name);
    fprintf(stderr, "hanglab: there is no command '%s'", name);
    if (nearest.best)
        fprintf(stderr, "; did you mean '%s'?\n", nearest.best);
    else
        fputs("; `hanglab --help` lists them\n", stderr);
    return hl_status_exit_code(HL_STATUS_USAGE);
}

int main(int argc, char **argv)
{
    /* A reader that went away, a file that may not grow: errors of ours to report, and no deaths. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    argp_err_exit_status = hl_status_exit_code(HL_STATUS_USAGE);
    if (argc < 2) {
        write_help(stderr);
        return hl_status_exit_code(HL_STATUS_USAGE);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        write_help(stdout);
        return hl_finish_output(0);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts(argp_program_version);
        return hl_finish_output(0);
    }
    for (int i = 0; i < n_commands; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        char name[64];
        snprintf(name, sizeof name, "hanglab %s", commands[i].name);
        argv[1] = name;
        return commands[i].function(argc - 1, argv + 1);
    }
    return unknown(argv[1]);
}
