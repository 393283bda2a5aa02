/* The results of a sweep on disk: OUT/results.sqlite (WAL) and OUT/results.jsonl, written as they happen.
 *
 * Everything since the last commit is one transaction, and a commit survives kill -9 and power loss. The
 * lines go to disk first, and the transaction holds how long the file then is, so that a crash between the
 * two is undone at the next start: the database is the truth, the lines never say more or less. A result is
 * known by its content hash, so adding it again changes nothing; that makes resume and merge simple.
 *
 * Failures stick: after the first one nothing is written any more, and hl_store_commit() tells it. */
#pragma once
#include "../scenario/scenario.h"
#include "hash.h"

struct hl_store;

/* Numbers of cases and signatures are indices, given by whoever adds them. */
struct hl_stored_case {
    struct hl_hash hash; /* of the configuration, the engine and the geometry */
    const char *scenario, *id;
    int runs; /* as the scenario says */
    struct hl_expectation expected;
};

struct hl_stored_signature {
    const char *scenario, *text;
    enum hl_verdict verdict;
    enum hl_cause cause;
};

struct hl_stored_run {
    struct hl_hash id; /* of the case's hash, the seed and the build */
    int case_number;
    int run;
    bool repeat; /* of a suspicious case: counted apart, since its being there depends on results */
    uint64_t seed;
    enum hl_verdict verdict;
    enum hl_cause cause;
    int signature;    /* its number; -1: a pass has none */
    uint64_t process; /* runs of one process may depend on each other */
    uint64_t wall_us;
    const char *evidence; /* bundle, relative to OUT; NULL: none kept */
};

enum hl_store_mode {
    HL_STORE_NEW,     /* fails when there are results already */
    HL_STORE_ADD,     /* goes on with what is there, or starts */
    HL_STORE_EXISTING /* reads; fails when there is nothing */
};

/* One process at a time may write. */
enum hl_status hl_store_open(const char *folder, enum hl_store_mode mode, struct hl_store **ret_store,
                             struct hl_error *error);
/* Without a commit before it, what was added since the last one is dropped. */
void hl_store_close(struct hl_store *store);

void hl_store_add_case(struct hl_store *store, int number, const struct hl_stored_case *c);
void hl_store_add_signature(struct hl_store *store, int number, const struct hl_stored_signature *signature);
/* True if the store did not have this run. `c` and `signature` are those it names; NULL for none. */
bool hl_store_add_run(struct hl_store *store, const struct hl_stored_run *run, const struct hl_stored_case *c,
                      const struct hl_stored_signature *signature);
/* A bundle that gave way to a newer one. */
void hl_store_drop_evidence(struct hl_store *store, const char *evidence);
/* Notes about all of it, such as the seed. NULL: no such note; else to be freed. */
void hl_store_set_note(struct hl_store *store, const char *key, const char *value);
char *hl_store_note(struct hl_store *store, const char *key);
enum hl_status hl_store_commit(struct hl_store *store, struct hl_error *error);

size_t hl_store_count_runs(struct hl_store *store);
/* Everything, in the order it was added; pointers hold for the call only. False ends it: not complete. */
struct hl_store_reader {
    void *user;
    bool (*on_case)(void *user, int number, const struct hl_stored_case *c);
    bool (*on_signature)(void *user, int number, const struct hl_stored_signature *signature);
    bool (*on_run)(void *user, const struct hl_stored_run *run);
};
enum hl_status hl_store_read(struct hl_store *store, const struct hl_store_reader *reader, bool *ret_complete,
                             struct hl_error *error);
