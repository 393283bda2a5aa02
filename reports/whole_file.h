/* Files that are whole or absent, whatever happens while they are written. */
#pragma once
#include <stdio.h>
#include "hanglab/error.h"

/* Returns 0, or -1 when something failed, with errno set or 0 for out of memory. */
typedef int (*hl_write_fn)(void *user, FILE *out);

/* Written beside its place, fsynced, renamed. Missing folders are made. */
enum hl_status hl_whole_file_write(const char *path, hl_write_fn write, void *user, struct hl_error *error);
