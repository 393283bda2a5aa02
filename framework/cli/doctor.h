/* What `hanglab doctor` looks at: one function a check, which fills one row of the report. */
#pragma once
#include <stddef.h>
#include "hanglab/error.h"

/* X(ID, name, doc) */
#define HL_HEALTHS(X) \
    X(HL_HEALTH_OK, "ok", "as it should be") \
    X(HL_HEALTH_NOTE, "note", "works, but mind what is said") \
    X(HL_HEALTH_MISSING, "missing", "not here: what needs it cannot run")

enum hl_health {
#define X(id, name, doc) id,
    HL_HEALTHS(X)
#undef X
        HL_HEALTH_COUNT
};

struct hl_check_row {
    enum hl_health health;
    char found[256];
    char means[256]; /* for a run */
};

/* Fails only when the check itself could not be made. */
typedef enum hl_status (*hl_check)(const char *out_dir, struct hl_check_row *row, struct hl_error *error);

/* Fills a row; the two formats are complete sentences without a full stop. */
void hl_check_row_set(struct hl_check_row *row, enum hl_health health, const char *means, const char *found,
                      ...) __attribute__((format(printf, 4, 5)));

/* Runs `question` in a child, on a zeroed answer of at most PIPE_BUF bytes. 1: answered; 0: the child did not
 * answer in time, or died; -1: no child could be made. */
int hl_ask_in_child(void (*question)(void *answer), void *ret_answer, size_t size);

enum hl_status hl_check_gpu(const char *out_dir, struct hl_check_row *row, struct hl_error *error);
enum hl_status hl_check_driver(const char *out_dir, struct hl_check_row *row, struct hl_error *error);
enum hl_status hl_check_cupti(const char *out_dir, struct hl_check_row *row, struct hl_error *error);
enum hl_status hl_check_profiling(const char *out_dir, struct hl_check_row *row, struct hl_error *error);
enum hl_status hl_check_gpu_core(const char *out_dir, struct hl_check_row *row, struct hl_error *error);
enum hl_status hl_check_mps(const char *out_dir, struct hl_check_row *row, struct hl_error *error);
enum hl_status hl_check_peers(const char *out_dir, struct hl_check_row *row, struct hl_error *error);
enum hl_status hl_check_nccl(const char *out_dir, struct hl_check_row *row, struct hl_error *error);
enum hl_status hl_check_module_loading(const char *out_dir, struct hl_check_row *row, struct hl_error *error);
enum hl_status hl_check_connections(const char *out_dir, struct hl_check_row *row, struct hl_error *error);
