/* From rows back to structs. */
#include "../scenario/words.h"
#include "store_state.h"

static struct hl_hash column_hash(sqlite3_stmt *s, int at)
{
    struct hl_hash hash = { 0, 0 };
    const unsigned char *bytes = sqlite3_column_blob(s, at);
    if (!bytes || sqlite3_column_bytes(s, at) != 16)
        return hash;
    for (int i = 0; i < 8; i++) {
        hash.high = hash.high << 8 | bytes[i];
        hash.low = hash.low << 8 | bytes[8 + i];
    }
    return hash;
}

static const char *column_text(sqlite3_stmt *s, int at) { return (const char *)sqlite3_column_text(s, at); }

/* A word of a later hanglab reads as `otherwise`. */
static int column_word(sqlite3_stmt *s, int at, const struct hl_words *words, int otherwise)
{
    const char *text = column_text(s, at);
    const struct hl_word *word = text ? hl_words_find(words, text) : NULL;
    return word ? word->value : otherwise;
}

static enum hl_verdict column_verdict(sqlite3_stmt *s, int at)
{
    return (enum hl_verdict)column_word(s, at, &hl_words_verdicts, HL_VERDICT_INCONCLUSIVE);
}

/* One row; false ends the reading. */
typedef bool row_fn(const struct hl_store_reader *reader, sqlite3_stmt *s);

static bool read_case(const struct hl_store_reader *reader, sqlite3_stmt *s)
{
    const struct hl_stored_case c = { .hash = column_hash(s, 1),
                                      .scenario = column_text(s, 2),
                                      .id = column_text(s, 3),
                                      .runs = sqlite3_column_int(s, 4),
                                      .expected = {
                                          column_verdict(s, 5), column_word(s, 6, &hl_words_causes, -1),
                                          sqlite3_column_double(s, 7), sqlite3_column_double(s, 8) } };
    return reader->on_case(reader->user, sqlite3_column_int(s, 0), &c);
}

static bool read_signature(const struct hl_store_reader *reader, sqlite3_stmt *s)
{
    const struct hl_stored_signature signature = { column_text(s, 1), column_text(s, 2), column_verdict(s, 3),
                                                   (enum hl_cause)column_word(s, 4, &hl_words_causes,
                                                                              HL_CAUSE_NONE) };
    return reader->on_signature(reader->user, sqlite3_column_int(s, 0), &signature);
}

static struct hl_stored_run column_run(sqlite3_stmt *s)
{
    return (struct hl_stored_run){ .id = column_hash(s, 0),
                                   .case_number = sqlite3_column_int(s, 1),
                                   .run = sqlite3_column_int(s, 2),
                                   .repeat = sqlite3_column_int(s, 3) != 0,
                                   .seed = (uint64_t)sqlite3_column_int64(s, 4),
                                   .verdict = column_verdict(s, 5),
                                   .cause = (enum hl_cause)column_word(s, 6, &hl_words_causes, HL_CAUSE_NONE),
                                   .signature = sqlite3_column_type(s, 7) == SQLITE_NULL
                                                    ? -1
                                                    : sqlite3_column_int(s, 7),
                                   .process = (uint64_t)sqlite3_column_int64(s, 8),
                                   .wall_us = (uint64_t)sqlite3_column_int64(s, 9),
                                   .evidence = column_text(s, 10) };
}

static bool read_run(const struct hl_store_reader *reader, sqlite3_stmt *s)
{
    const struct hl_stored_run run = column_run(s);
    return reader->on_run(reader->user, &run);
}

size_t hl_store_count_runs(struct hl_store *store)
{
    sqlite3_stmt *s = store->statements[HL_STATEMENT_COUNT_RUNS];
    const size_t count = sqlite3_step(s) == SQLITE_ROW ? (size_t)sqlite3_column_int64(s, 0) : 0;
    sqlite3_reset(s);
    return count;
}

enum end { ENDED, STOPPED, FAILED };

static enum end read_rows(struct hl_store *store, enum hl_statement which, row_fn *read,
                          const struct hl_store_reader *reader)
{
    sqlite3_stmt *s = store->statements[which];
    int step;
    bool go_on = true;
    while (go_on && (step = sqlite3_step(s)) == SQLITE_ROW)
        go_on = read(reader, s);
    sqlite3_reset(s);
    if (!go_on)
        return STOPPED;
    if (step == SQLITE_DONE)
        return ENDED;
    hl_store_fail_db(store, "cannot read the results");
    return FAILED;
}

enum hl_status hl_store_read(struct hl_store *store, const struct hl_store_reader *reader, bool *ret_complete,
                             struct hl_error *error)
{
    enum end end = read_rows(store, HL_STATEMENT_CASES, read_case, reader);
    if (end == ENDED)
        end = read_rows(store, HL_STATEMENT_SIGNATURES, read_signature, reader);
    if (end == ENDED)
        end = read_rows(store, HL_STATEMENT_RUNS, read_run, reader);
    *ret_complete = end == ENDED;
    if (end == FAILED && error)
        *error = store->failure;
    return store->failure.status;
}

static bool rewrite_line(struct hl_store *store, sqlite3_stmt *s)
{
    const struct hl_stored_run run = column_run(s);
    const struct hl_stored_case c = { .scenario = column_text(s, 11), .id = column_text(s, 12) };
    const struct hl_stored_signature signature = { .text = column_text(s, 13) };
    return hl_lines_add(&store->lines, &run, &c, signature.text ? &signature : NULL) &&
           (store->lines.buffered < HL_LINES_CHUNK || hl_lines_flush(&store->lines));
}

bool hl_store_rewrite_lines(struct hl_store *store)
{
    sqlite3_stmt *s = store->statements[HL_STATEMENT_LINES];
    bool good = true;
    while (good && sqlite3_step(s) == SQLITE_ROW)
        good = rewrite_line(store, s);
    return sqlite3_reset(s) == SQLITE_OK && good && hl_lines_flush(&store->lines);
}
