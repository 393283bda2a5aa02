/* The processes of a watched command: started, found by their pages, ended. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include "../../watchdog/cupti/judge.h"
#include "hanglab/error.h"

#define HL_WATCHED_MAX 128

struct hl_watched {
    pid_t pid;
    const struct hl_page *page; /* the process's own, mapped; it changes under its reader */
    size_t bytes;
    const char *unread;  /* why its device memory could not be read; NULL: it could */
    bool deaf;           /* it did not answer a read in time: it is not asked again at this stall */
    uint64_t stopped_ns; /* it was last seen stopped by a signal or a debugger; 0: never */
};

struct hl_job {
    pid_t pid;                                 /* of the command */
    char folder[256];                          /* of pages and cubins: private, removed at the end */
    int lock;                                  /* on the folder, held for as long as it is used */
    struct hl_watched watched[HL_WATCHED_MAX]; /* by rank, then by process number */
    int n;
};

/* Starts a command that will be watched. HL_STATUS_USAGE: it cannot be run. */
enum hl_status hl_job_start(struct hl_job *job, char **argv, enum hl_page_detail detail,
                            struct hl_error *error);
/* Takes in processes that have begun to use CUDA since. */
void hl_job_look(struct hl_job *job);
/* Collects ended children. True when the command itself has ended, with its wait status. */
bool hl_job_reap(struct hl_job *job, int *ret_status);
/* Asks all watchers to collect, and waits for their answers for at most so long. */
void hl_job_ask(const struct hl_job *job, int timeout_ms);
/* Reads at most HL_PAGE_WINDOW bytes of device memory, of a process that answers; see hl_known_memory. */
int hl_job_read(void *job, int process, uint64_t context, uint64_t address, uint32_t bytes, void *ret_data);
/* Is the process there, and not stopped by a signal or a debugger? */
bool hl_process_runs(pid_t pid);
/* Ends the command and all that came from it. */
void hl_job_kill(void);
void hl_job_finish(struct hl_job *job);
