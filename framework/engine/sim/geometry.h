/* The reduced geometry: small rows and few tokens that keep what protocols depend on.
 *
 * Protocols depend on which ranks own which tokens, on tails, on whether counts differ, and on thresholds;
 * not on row lengths. Thresholds are taken from real sizes before this (the program's ops carry their
 * protocol). Every real token count gets one of at most 8 executed counts: in the same order, different
 * where the real ones are (while 8 suffice), and with the same remainder by the number of ranks where it
 * fits. */
#pragma once
#include "../../program/program.h"

enum { HL_GEOMETRY_TOKENS_MAX = 8, HL_GEOMETRY_HIDDEN = 64, HL_GEOMETRY_COUNTS_MAX = 4096 };

struct hl_sim_geometry {
    uint32_t hidden;     /* executed */
    uint32_t tokens_max; /* executed, of any call or block */
    uint32_t real_tokens_max;
    uint32_t *real; /* distinct real counts, ascending */
    uint32_t *executed;
    uint32_t n;
};

/* Fails only when out of memory. */
enum hl_status hl_geometry_init(struct hl_sim_geometry *geometry, const struct hl_config *config,
                                const struct hl_program *program, struct hl_error *error);
void hl_geometry_finish(struct hl_sim_geometry *geometry);

/* Executed count of a real token count that occurs in the program. */
uint32_t hl_geometry_tokens(const struct hl_sim_geometry *geometry, uint32_t real);
/* Executed rows of a write of `rows` rows into a block of `block_rows`: fewer stay fewer. */
uint32_t hl_geometry_rows(const struct hl_sim_geometry *geometry, uint32_t rows, uint32_t block_rows);
