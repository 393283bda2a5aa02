/* A rig for tests of watchdog, oracle and classifier: real step sources in a plain round-robin loop, one call
 * after another on every rank, reported through the feed as an engine does. What a test wants to go wrong, it
 * does to the memory, the payload or the calls themselves. */
#pragma once
#include "../framework/verdict/classifier.h"
#include "../framework/verdict/oracle.h"
#include "../kernels/sim/steps.h"
#include "../watchdog/watch.h"

#define HL_RIG_HIDDEN 64
#define HL_RIG_TOKENS 8
#define HL_RIG_ROW_WORDS_MAX HL_RIG_HIDDEN
#define HL_RIG_WORKSPACE_WORDS 65536

struct hl_rig_journal {
    int stored_by, cleared_by;
    uint32_t stored_call, cleared_call;
    uint64_t stored_ns, cleared_ns;
};

/* One call on one rank, in the course of its kernels. */
struct hl_rig_call {
    bool running;
    bool begun;
    struct hl_call_record record;
    int kernel;
    struct hl_step step[HL_RIG_TOKENS];
    bool done[HL_RIG_TOKENS];
    uint32_t regs[HL_RIG_TOKENS][HL_RIG_ROW_WORDS_MAX];
    uint32_t input[HL_RIG_TOKENS * HL_RIG_ROW_WORDS_MAX];
    uint32_t residual[HL_RIG_TOKENS * HL_RIG_ROW_WORDS_MAX];
    uint32_t residual_out[HL_RIG_TOKENS * HL_RIG_ROW_WORDS_MAX];
    uint32_t norm_out[HL_RIG_TOKENS * HL_RIG_ROW_WORDS_MAX];
};

struct hl_rig {
    int ranks, workspaces;
    enum hl_mutant mutant;
    enum hl_compare compare;
    bool has_journal;
    bool is_opaque; /* nobody can read the workspaces */
    uint64_t now_ns;
    uint32_t random;
    uint32_t ctas_max; /* 0: a CTA a token */
    struct hl_layout layout;
    uint32_t memory[HL_WORKSPACES_MAX][HL_RANKS_MAX][HL_RIG_WORKSPACE_WORDS];
    struct hl_rig_journal journal[HL_WORKSPACES_MAX][HL_RANKS_MAX][HL_RIG_WORKSPACE_WORDS];
    struct hl_rig_call call[HL_RANKS_MAX]; /* the one in flight */
    uint32_t issued[HL_RANKS_MAX][HL_WORKSPACES_MAX];
    uint32_t gamma[HL_RIG_ROW_WORDS_MAX];
    enum hl_host_state host[HL_RANKS_MAX];
    struct hl_residency residency[HL_RANKS_MAX];
    struct hl_watch *watch;
    struct hl_oracle *oracle;
    void (*before_end)(struct hl_rig *rig, int rank); /* may spoil the outputs */
};

struct hl_rig *hl_rig_create(enum hl_family family, enum hl_dtype dtype, int ranks);
void hl_rig_destroy(struct hl_rig *rig);

/* Puts a call on a rank, with a random payload; tests may change rig->call[rank] before the next step. */
void hl_rig_issue(struct hl_rig *rig, int rank, int workspace, enum hl_protocol protocol, uint32_t tokens,
                  uint16_t site);
void hl_rig_issue_all(struct hl_rig *rig, enum hl_protocol protocol, uint32_t tokens, uint16_t site);

/* Steps all ranks' calls until none can go on; true when all have ended. */
bool hl_rig_run(struct hl_rig *rig);
/* Fills a rank's workspace as its initialisation does. */
void hl_rig_init_workspace(struct hl_rig *rig, int rank, int workspace);
void hl_rig_exit(struct hl_rig *rig, int rank);
void hl_rig_host_op(struct hl_rig *rig, int rank, uint32_t op, bool begin);

/* Evidence and finding of the state as it stands; quiescent when `proven`. */
struct hl_evidence *hl_rig_collect(struct hl_rig *rig, bool proven);
void hl_rig_evidence_destroy(struct hl_evidence *evidence);

/* One element of a row, as a float; and back. */
float hl_rig_get(const struct hl_rig *rig, const uint32_t *row, uint32_t i);
void hl_rig_set(const struct hl_rig *rig, uint32_t *row, uint32_t i, float value);
