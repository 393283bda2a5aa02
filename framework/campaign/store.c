/* A store's life: opening, which repairs what a crash left, committing, closing. */
#include "store.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "folder.h"
#include "store_state.h"

#define FORMAT 1

static const char schema[] =
    "CREATE TABLE notes(key TEXT PRIMARY KEY, value TEXT NOT NULL);"
    "CREATE TABLE cases(number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, scenario TEXT NOT NULL,"
    " id TEXT NOT NULL, runs INTEGER NOT NULL, verdict TEXT NOT NULL, cause TEXT,"
    " rate_min REAL NOT NULL, rate_max REAL NOT NULL);"
    "CREATE TABLE signatures(number INTEGER PRIMARY KEY, scenario TEXT NOT NULL, text TEXT NOT NULL,"
    " verdict TEXT NOT NULL, cause TEXT, UNIQUE(scenario, text));"
    "CREATE TABLE runs(id BLOB NOT NULL UNIQUE, case_number INTEGER NOT NULL REFERENCES cases,"
    " run INTEGER NOT NULL, is_repeat INTEGER NOT NULL, seed INTEGER NOT NULL, verdict TEXT NOT NULL, cause "
    "TEXT,"
    " signature INTEGER REFERENCES signatures, process INTEGER NOT NULL, wall_us INTEGER NOT NULL,"
    " evidence TEXT);"
    "CREATE INDEX kept ON runs(evidence) WHERE evidence IS NOT NULL;"
    "PRAGMA user_version = 1;";

static const char *const statement_texts[] = {
#define X(id, text) text,
    HL_STATEMENTS(X)
#undef X
};

bool hl_store_fail_io(struct hl_store *store, const char *what, const char *why)
{
    if (store->failure.status == HL_STATUS_OK)
        hl_fail(&store->failure, HL_STATUS_IO, "%s: %s: %s", store->folder, what, why);
    return false;
}

bool hl_store_fail_db(struct hl_store *store, const char *what)
{
    return hl_store_fail_io(store, what, store->db ? sqlite3_errmsg(store->db) : "out of memory");
}

static bool execute(struct hl_store *store, const char *text)
{
    return sqlite3_exec(store->db, text, NULL, NULL, NULL) == SQLITE_OK ||
           hl_store_fail_db(store, "the database failed");
}

/* Opens a transaction if there is none. */
bool hl_store_may_write(struct hl_store *store)
{
    if (store->failure.status != HL_STATUS_OK)
        return false;
    if (!store->in_transaction)
        store->in_transaction = execute(store, "BEGIN IMMEDIATE");
    return store->in_transaction;
}

enum hl_status hl_store_commit(struct hl_store *store, struct hl_error *error)
{
    if (store->failure.status == HL_STATUS_OK && store->in_transaction) {
        char bytes[32];
        if (!hl_lines_flush(&store->lines))
            hl_store_fail_io(store, "results.jsonl", strerror(errno));
        snprintf(bytes, sizeof bytes, "%lld", (long long)store->lines.size);
        hl_store_set_note(store, "jsonl_bytes", bytes);
        if (store->failure.status == HL_STATUS_OK && execute(store, "COMMIT"))
            store->in_transaction = false;
    }
    if (store->failure.status != HL_STATUS_OK && error)
        *error = store->failure;
    return store->failure.status;
}

/* One writer: a lock of the process, so that children that outlive it for a moment do not hold it. */
static bool lock(struct hl_store *store)
{
    char path[PATH_MAX];
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    snprintf(path, sizeof path, "%s/lock", store->folder);
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (store->lock_fd < 0)
        return hl_store_fail_io(store, "cannot write into this folder", strerror(errno));
    if (fcntl(store->lock_fd, F_SETLK, &whole) == 0)
        return true;
    return hl_store_fail_io(store, "another hanglab writes into this folder", strerror(errno));
}

static int user_version(struct hl_store *store)
{
    sqlite3_stmt *s = NULL;
    int version = -1;
    if (sqlite3_prepare_v2(store->db, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW)
        version = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    return version;
}

/* The schema is a transaction of its own: a crash leaves all of it, or an empty database. */
static bool create_schema(struct hl_store *store)
{
    return execute(store, "BEGIN IMMEDIATE") && execute(store, schema) && execute(store, "COMMIT");
}

static bool open_database(struct hl_store *store, const char *path)
{
    /* One thread uses it: no locks. */
    const int flags =
        SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE | (store->writable ? SQLITE_OPEN_CREATE : 0);
    if (sqlite3_open_v2(path, &store->db, flags, NULL) != SQLITE_OK)
        return hl_store_fail_db(store, "cannot open results.sqlite");
    sqlite3_busy_timeout(store->db, 10000);
    if (!execute(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL"))
        return false;
    int version = user_version(store);
    if (version == 0 && store->writable) {
        if (!create_schema(store))
            return false;
        version = FORMAT;
    }
    if (version != FORMAT)
        return hl_store_fail_io(store, "results.sqlite", "it was not written by this version of hanglab");
    for (int i = 0; i < HL_STATEMENT_COUNT; i++)
        if (sqlite3_prepare_v3(store->db, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &store->statements[i], NULL) != SQLITE_OK)
            return hl_store_fail_db(store, "results.sqlite is damaged");
    return true;
}

/* Brings the lines to where the last commit saw them. */
static bool open_lines(struct hl_store *store)
{
    char path[PATH_MAX];
    char *note = hl_store_note(store, "jsonl_bytes");
    const long long committed = note ? atoll(note) : 0;
    free(note);
    snprintf(path, sizeof path, "%s/results.jsonl", store->folder);
    bool complete;
    if (!hl_lines_open(&store->lines, path, committed, &complete) ||
        (!complete && !hl_store_rewrite_lines(store)))
        return hl_store_fail_io(store, "results.jsonl", strerror(errno));
    return true;
}

static bool prepare(struct hl_store *store, enum hl_store_mode mode)
{
    char path[PATH_MAX];
    struct stat st;
    store->writable = mode != HL_STORE_EXISTING;
    if (strlen(store->folder) > PATH_MAX - 64)
        return hl_store_fail_io(store, "cannot use this folder", strerror(ENAMETOOLONG));
    if (store->writable && hl_folder_make(store->folder) < 0)
        return hl_store_fail_io(store, "cannot make this folder", strerror(errno));
    if (store->writable && !lock(store))
        return false;
    snprintf(path, sizeof path, "%s/results.sqlite", store->folder);
    const bool exists = stat(path, &st) == 0;
    if (exists && mode == HL_STORE_NEW)
        return hl_store_fail_io(store, "there are results already",
                                "go on with --resume, or choose another --out");
    if (!exists && mode == HL_STORE_EXISTING)
        return hl_store_fail_io(store, "no results of a sweep", strerror(errno));
    return open_database(store, path) && (!store->writable || open_lines(store));
}

enum hl_status hl_store_open(const char *folder, enum hl_store_mode mode, struct hl_store **ret_store,
                             struct hl_error *error)
{
    struct hl_store *store = calloc(1, sizeof *store);
    if (store)
        store->folder = strdup(folder);
    if (!store || !store->folder) {
        free(store);
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    }
    store->lock_fd = store->lines.fd = -1;
    if (!prepare(store, mode)) {
        if (error)
            *error = store->failure;
        const enum hl_status status = store->failure.status;
        hl_store_close(store);
        return status;
    }
    *ret_store = store;
    return HL_STATUS_OK;
}

void hl_store_close(struct hl_store *store)
{
    for (int i = 0; i < HL_STATEMENT_COUNT; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->db);
    hl_lines_close(&store->lines);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    free(store->folder);
    free(store);
}
