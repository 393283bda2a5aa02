/* The inside of a store, shared by the files that open, write and read it. */
#pragma once
#include <sqlite3.h>
#include "store.h"
#include "store_lines.h"

/* X(ID, text) */
#define HL_STATEMENTS(X) \
    X(ADD_CASE, "INSERT INTO cases VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)") \
    X(ADD_SIGNATURE, "INSERT INTO signatures VALUES(?, ?, ?, ?, ?)") \
    X(ADD_RUN, "INSERT OR IGNORE INTO runs VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)") \
    X(DROP, "UPDATE runs SET evidence = NULL WHERE evidence = ?") \
    X(SET_NOTE, "INSERT OR REPLACE INTO notes VALUES(?, ?)") \
    X(NOTE, "SELECT value FROM notes WHERE key = ?") \
    X(CASES, "SELECT * FROM cases ORDER BY number") \
    X(SIGNATURES, "SELECT * FROM signatures ORDER BY number") \
    X(RUNS, "SELECT * FROM runs ORDER BY rowid") \
    X(COUNT_RUNS, "SELECT count(*) FROM runs") \
    X(LINES, \
      "SELECT runs.*, cases.scenario, cases.id, signatures.text FROM runs JOIN cases ON cases.number = " \
      "case_number LEFT JOIN signatures ON signatures.number = signature ORDER BY runs.rowid")
enum hl_statement {
#define X(id, text) HL_STATEMENT_##id,
    HL_STATEMENTS(X)
#undef X
        HL_STATEMENT_COUNT
};

struct hl_store {
    char *folder;
    sqlite3 *db;
    sqlite3_stmt *statements[HL_STATEMENT_COUNT];
    struct hl_lines lines;
    int lock_fd;
    bool writable, in_transaction;
    struct hl_error failure; /* the first one; status OK: none yet */
};

/* Each notes a failure, unless there was one already, and returns false. */
bool hl_store_fail_io(struct hl_store *store, const char *what, const char *why);
bool hl_store_fail_db(struct hl_store *store, const char *what);
/* Opens a transaction if there is none; false after a failure. */
bool hl_store_may_write(struct hl_store *store);
/* Writes all lines anew, from the database. */
bool hl_store_rewrite_lines(struct hl_store *store);
