/* The commands of `hanglab`: one file each, registered in main.c. */
#pragma once
#include "../engine/engines.h"
#include "hanglab/error.h"

/* Each gets argv with argv[0] = "hanglab <command>" and returns the exit code. */
int hl_command_run(int argc, char **argv);
int hl_command_list(int argc, char **argv);
int hl_command_schema(int argc, char **argv);
int hl_command_explain(int argc, char **argv);
int hl_command_report(int argc, char **argv);
int hl_command_doctor(int argc, char **argv);
int hl_command_sweep(int argc, char **argv);
int hl_command_merge(int argc, char **argv);
int hl_command_compare(int argc, char **argv);
int hl_command_explore(int argc, char **argv);
int hl_command_minimize(int argc, char **argv);
int hl_command_bisect(int argc, char **argv);
int hl_command_record(int argc, char **argv);
int hl_command_replay(int argc, char **argv);
int hl_command_watch(int argc, char **argv);

/* Prints "hanglab: <message>" on stderr; returns the exit code that goes with it. */
int hl_complain(const struct hl_error *error);
/* Flushes stdout. Returns `code`, or 99 when something of the output was lost. */
int hl_finish_output(int code);
