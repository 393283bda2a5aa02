/* Written beside its place, fsynced and renamed; see scenario_file.h. */
#include "scenario_file.h"
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../../campaign/statistics.h"

int hl_runs_to_show(int hits, int runs)
{
    const double low = hl_clopper_pearson(hits, runs, 0.95).low;
    const double needed = low >= 1 ? 1 : low > 0 ? ceil(log(0.001) / log1p(-low)) : 10000;
    return needed < 1 ? 1 : needed > 10000 ? 10000 : (int)needed;
}

enum hl_status hl_scenario_file_write(const char *path, enum hl_status (*write)(void *user, FILE *out),
                                      void *user, struct hl_error *error)
{
    char *temporary = NULL;
    if (asprintf(&temporary, "%s.%ld.tmp", path, (long)getpid()) < 0)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    FILE *out = fopen(temporary, "we");
    bool ok = out && write(user, out) == HL_STATUS_OK;
    ok = ok && fflush(out) == 0 && fsync(fileno(out)) == 0;
    if (out && fclose(out) != 0)
        ok = false;
    ok = ok && rename(temporary, path) == 0;
    const int why = errno;
    if (!ok && out)
        unlink(temporary);
    free(temporary);
    return ok ? HL_STATUS_OK
              : hl_fail(error, HL_STATUS_IO, "%s: cannot write this file: %s", path, strerror(why));
}
