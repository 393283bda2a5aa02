/* Private folders; see scratch.h. */
#include "scratch.h"
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool hl_scratch_make(char folder[HL_SCRATCH_MAX], const char *where, const char *what)
{
    const int n = snprintf(folder, HL_SCRATCH_MAX, "%s/hanglab-%s-XXXXXX", where, what);
    if (n < HL_SCRATCH_MAX && mkdtemp(folder))
        return true;
    folder[0] = '\0';
    return false;
}

void hl_scratch_remove(const char *folder)
{
    char path[PATH_MAX];
    DIR *entries = folder[0] ? opendir(folder) : NULL;
    if (!entries)
        return;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    closedir(entries);
    rmdir(folder);
}
