/* What the oracle keeps: the inputs of the last calls of every workspace. Shared by the file that follows the
 * feed and the one that explains a wrong result. */
#pragma once
#include "oracle.h"
#include "rows.h"

/* Three calls share a buffer index in turn, so that stale data is three or six calls old. */
#define HL_KEPT_CALLS 8

/* What one rank fed into a call. */
struct hl_kept_input {
    bool begun;
    struct hl_call_record record;
    uint32_t *words; /* input rows, residual rows, gamma; NULL: begun without numbers */
    size_t capacity;
    const uint32_t *input, *residual, *gamma;
};

struct hl_kept_call {
    bool used;
    uint32_t call;
    uint32_t hidden;
    struct hl_kept_input rank[HL_RANKS_MAX];
    bool summed;
    uint32_t rows; /* that all ranks have */
    double *sum;   /* [rows][hidden], then the magnitudes */
    size_t capacity;
};

struct hl_oracle {
    int ranks, workspaces, roundings;
    struct hl_wrong_result wrong;
    uint64_t checked;
    bool failed;
    struct hl_row_scratch scratch;
    float residual[HL_HIDDEN_MAX], gamma[HL_HIDDEN_MAX], row[HL_HIDDEN_MAX];
    double sum[HL_HIDDEN_MAX], magnitude[HL_HIDDEN_MAX]; /* of a wrong computation that is tried */
    struct hl_kept_call kept[HL_WORKSPACES_MAX][HL_KEPT_CALLS];
};

/* Adds a row of `words` words to float64 sums, and what is finite in it to the magnitudes. */
void hl_oracle_add_row(const uint32_t *words, enum hl_dtype dtype, uint32_t hidden, float *row, double *sum,
                       double *magnitude);

/* Tells what a wrong row equals: fills kind, stale_source and stale_call of oracle->wrong. `early_peer` is a
 * rank whose row is not there at all, or -1. */
void hl_oracle_explain(struct hl_oracle *oracle, const struct hl_kept_call *kept, int rank, uint32_t token,
                       const struct hl_call_data *data, int early_peer);
