/* The commands of `hanglab`: one file each, registered in main.c. */
#pragma once
#include "../engine/engine.h"
#include "hanglab/error.h"

/* Each gets argv with argv[0] = "hanglab <command>" and returns the exit code. */
int hl_command_run(int argc, char **argv);
int hl_command_list(int argc, char **argv);
int hl_command_schema(int argc, char **argv);
int hl_command_explain(int argc, char **argv);
int hl_command_doctor(int argc, char **argv);

/* Prints "hanglab: <message>" on stderr; returns the exit code that goes with it. */
int hl_complain(const struct hl_error *error);
/* Flushes stdout. Returns `code`, or 99 when something of the output was lost. */
int hl_finish_output(int code);

/* The engine of that name; `auto` is cuda where there is a GPU. HL_STATUS_NO_GPU: cuda was asked for in vain.
 */
enum hl_status hl_find_engine(const char *name, const struct hl_engine **ret_engine, struct hl_error *error);
/* Does it run on a GPU? There, cases take turns and sizes are as written, unless the user says otherwise. */
bool hl_is_cuda(const struct hl_engine *engine);
