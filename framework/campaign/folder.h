/* Folders that are whole or absent, whatever fails while they are written: full disk, kill -9. */
#pragma once
#include <stdio.h>
#include "hanglab/error.h"

/* Writes one file. Returns 0, or -1 when out of memory or the stream failed. */
typedef int (*hl_folder_file_fn)(const void *user, FILE *out);
/* Writes all files into `folder`, which is there and empty. Returns 0, or -1 (errno; 0: out of memory). */
typedef int (*hl_folder_fill_fn)(const void *user, const char *folder);

/* Adds a file, fsynced, or a folder. For a fill function: 0, or -1. */
int hl_folder_add(const char *folder, const char *name, hl_folder_file_fn write_file, const void *user);
int hl_folder_add_folder(const char *folder, const char *name);

/* Makes PARENT/NAME, and PARENT, filled by `fill`. A former folder of that name is replaced in one step. */
enum hl_status hl_folder_write(const char *parent, const char *name, hl_folder_fill_fn fill, const void *user,
                               char **ret_path, struct hl_error *error);
/* Makes a folder, and those that it lies in, unless they are there. Returns 0, or -1 (errno). */
int hl_folder_make(const char *path);
/* Removes a folder with all that is in it. */
void hl_folder_remove(const char *path);
