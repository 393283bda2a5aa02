/* Lines are collected in memory and go to the disk together, before their transaction is committed. */
#include "store_lines.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../scenario/words.h"
#include "../verdict/classifier.h"

bool hl_lines_open(struct hl_lines *lines, const char *path, off_t committed, bool *ret_complete)
{
    struct stat st;
    lines->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (lines->fd < 0 || fstat(lines->fd, &st) < 0)
        return false;
    *ret_complete = st.st_size >= committed;
    lines->size = *ret_complete ? committed : 0;
    return ftruncate(lines->fd, lines->size) == 0;
}

static json_t *line_json(const struct hl_stored_run *run, const struct hl_stored_case *c,
                         const struct hl_stored_signature *signature)
{
    char id[HL_HASH_TEXT];
    hl_hash_write(run->id, id);
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:b, s:I, s:s}", "type", "run", "hash", id, "scenario",
                  c->scenario, "case", c->id, "run", run->run, "repeat", (int)run->repeat, "seed",
                  (json_int_t)run->seed, "verdict", hl_words_name(&hl_words_verdicts, run->verdict));
    if (json && run->cause != HL_CAUSE_NONE)
        json_object_set_new(json, "cause", json_string(hl_cause_name(run->cause)));
    if (json && signature)
        json_object_set_new(json, "signature", json_string(signature->text));
    if (json && run->evidence)
        json_object_set_new(json, "evidence", json_string(run->evidence));
    if (json)
        json_object_set_new(json, "process", json_integer((json_int_t)run->process));
    if (json)
        json_object_set_new(json, "wall_us", json_integer((json_int_t)run->wall_us));
    return json;
}

static bool reserve(struct hl_lines *lines, size_t size)
{
    if (lines->capacity - lines->buffered >= size)
        return true;
    const size_t capacity = 2 * (lines->capacity + size);
    char *larger = realloc(lines->buffer, capacity);
    if (!larger)
        return false;
    lines->buffer = larger;
    lines->capacity = capacity;
    return true;
}

bool hl_lines_add(struct hl_lines *lines, const struct hl_stored_run *run, const struct hl_stored_case *c,
                  const struct hl_stored_signature *signature)
{
    json_t *json = line_json(run, c, signature);
    const size_t size = json ? json_dumpb(json, NULL, 0, JSON_COMPACT) : 0;
    const bool good = size > 0 && reserve(lines, size + 1);
    if (good) {
        json_dumpb(json, lines->buffer + lines->buffered, size, JSON_COMPACT);
        lines->buffer[lines->buffered + size] = '\n';
        lines->buffered += size + 1;
    }
    json_decref(json);
    return good;
}

bool hl_lines_flush(struct hl_lines *lines)
{
    for (size_t done = 0; done < lines->buffered;) {
        const ssize_t n = write(lines->fd, lines->buffer + done, lines->buffered - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            const int why = errno;
            (void)!ftruncate(lines->fd, lines->size); /* or the next start does it */
            errno = why;
            return false;
        }
        done += (size_t)n;
    }
    if (fdatasync(lines->fd) < 0 && errno != EINVAL) /* some file systems cannot */
        return false;
    lines->size += (off_t)lines->buffered;
    lines->buffered = 0;
    return true;
}

void hl_lines_close(struct hl_lines *lines)
{
    if (lines->fd >= 0)
        close(lines->fd);
    free(lines->buffer);
}
