/* Rows and lines of a transaction. */
#include <string.h>
#include "../scenario/words.h"
#include "../verdict/classifier.h"
#include "store_state.h"

static bool step_once(struct hl_store *store, sqlite3_stmt *statement)
{
    const bool good =
        sqlite3_step(statement) == SQLITE_DONE || hl_store_fail_db(store, "cannot write a result");
    sqlite3_reset(statement);
    return good;
}

static void bind_hash(sqlite3_stmt *statement, int at, struct hl_hash hash)
{
    unsigned char bytes[16];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(hash.high >> (56 - 8 * i));
        bytes[8 + i] = (unsigned char)(hash.low >> (56 - 8 * i));
    }
    sqlite3_bind_blob(statement, at, bytes, sizeof bytes, SQLITE_TRANSIENT);
}

static void bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC); /* NULL binds NULL */
}

static void bind_verdict(sqlite3_stmt *statement, int at, enum hl_verdict verdict)
{
    bind_text(statement, at, hl_words_name(&hl_words_verdicts, verdict));
}

static void bind_cause(sqlite3_stmt *statement, int at, int cause)
{
    bind_text(statement, at,
              cause < 0 || cause == HL_CAUSE_NONE ? NULL : hl_cause_name((enum hl_cause)cause));
}

void hl_store_add_case(struct hl_store *store, int number, const struct hl_stored_case *c)
{
    if (!hl_store_may_write(store))
        return;
    sqlite3_stmt *s = store->statements[HL_STATEMENT_ADD_CASE];
    sqlite3_bind_int(s, 1, number);
    bind_hash(s, 2, c->hash);
    bind_text(s, 3, c->scenario);
    bind_text(s, 4, c->id);
    sqlite3_bind_int(s, 5, c->runs);
    bind_verdict(s, 6, c->expected.verdict);
    bind_cause(s, 7, c->expected.cause);
    sqlite3_bind_double(s, 8, c->expected.rate_min);
    sqlite3_bind_double(s, 9, c->expected.rate_max);
    step_once(store, s);
}

void hl_store_add_signature(struct hl_store *store, int number, const struct hl_stored_signature *signature)
{
    if (!hl_store_may_write(store))
        return;
    sqlite3_stmt *s = store->statements[HL_STATEMENT_ADD_SIGNATURE];
    sqlite3_bind_int(s, 1, number);
    bind_text(s, 2, signature->scenario);
    bind_text(s, 3, signature->text);
    bind_verdict(s, 4, signature->verdict);
    bind_cause(s, 5, (int)signature->cause);
    step_once(store, s);
}

bool hl_store_add_run(struct hl_store *store, const struct hl_stored_run *run, const struct hl_stored_case *c,
                      const struct hl_stored_signature *signature)
{
    if (!hl_store_may_write(store))
        return false;
    sqlite3_stmt *s = store->statements[HL_STATEMENT_ADD_RUN];
    bind_hash(s, 1, run->id);
    sqlite3_bind_int(s, 2, run->case_number);
    sqlite3_bind_int(s, 3, run->run);
    sqlite3_bind_int(s, 4, run->repeat);
    sqlite3_bind_int64(s, 5, (sqlite3_int64)run->seed);
    bind_verdict(s, 6, run->verdict);
    bind_cause(s, 7, (int)run->cause);
    if (run->signature >= 0)
        sqlite3_bind_int(s, 8, run->signature);
    else
        sqlite3_bind_null(s, 8);
    sqlite3_bind_int64(s, 9, (sqlite3_int64)run->process);
    sqlite3_bind_int64(s, 10, (sqlite3_int64)run->wall_us);
    bind_text(s, 11, run->evidence);
    if (!step_once(store, s) || sqlite3_changes(store->db) == 0)
        return false;
    return hl_lines_add(&store->lines, run, c, signature) ||
           hl_store_fail_io(store, "results.jsonl", "out of memory");
}

void hl_store_drop_evidence(struct hl_store *store, const char *evidence)
{
    if (!hl_store_may_write(store))
        return;
    bind_text(store->statements[HL_STATEMENT_DROP], 1, evidence);
    step_once(store, store->statements[HL_STATEMENT_DROP]);
}

void hl_store_set_note(struct hl_store *store, const char *key, const char *value)
{
    if (!hl_store_may_write(store))
        return;
    bind_text(store->statements[HL_STATEMENT_SET_NOTE], 1, key);
    bind_text(store->statements[HL_STATEMENT_SET_NOTE], 2, value);
    step_once(store, store->statements[HL_STATEMENT_SET_NOTE]);
}

char *hl_store_note(struct hl_store *store, const char *key)
{
    sqlite3_stmt *s = store->statements[HL_STATEMENT_NOTE];
    bind_text(s, 1, key);
    char *value = sqlite3_step(s) == SQLITE_ROW ? strdup((const char *)sqlite3_column_text(s, 0)) : NULL;
    sqlite3_reset(s);
    return value;
}
