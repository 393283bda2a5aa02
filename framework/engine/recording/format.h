/* The bytes of a recording: numbers of 7 bits a byte, low ones first, the top bit says that more follow.
 *
 * event:  kind, flags (1 record, 2 rows, 4 epoch, 8 outside, 16 group, 32 stream), time since the event
 * before, rank + 1, then by kind: host-begin, host-end, rank-exit: op; fault: fault; workspace-init:
 * workspace; enqueue: record; call-begin, call-end: record, or workspace and call of one enqueued before;
 * then the epoch, the call's group, outside (what the host waits for, the ranks of its barrier, the workspace
 * that is replaced), the stream of a wait, or of a launch where it is not that of the call, and with rows
 * hidden and [input, residual, gamma] or [residual out, norm out]
 *
 * record: the fields of struct hl_call_record in their order, but for the epoch and the group
 *
 * words:  their number, then runs of equal words: length, word as 4 bytes
 *
 * answer: kind (enum hl_answer_kind), its arguments, what the probe said */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../../../watchdog/cupti/device.h"
#include "../../../watchdog/feed.h"

#define HL_RECORDED_WORKSPACES_MAX 3

/* Bytes that grow as they are written, or that are read from `at` on. */
struct hl_bytes {
    unsigned char *data;
    size_t size, room, at;
    bool failed; /* out of memory, or read beyond the end */
};
void hl_bytes_finish(struct hl_bytes *bytes);
void hl_put(struct hl_bytes *bytes, const void *data, size_t size);
void hl_put_number(struct hl_bytes *bytes, uint64_t number);
void hl_put_words(struct hl_bytes *bytes, const uint32_t *words, uint32_t count);
uint64_t hl_get_number(struct hl_bytes *bytes);
/* The next words: from malloc(), NULL when out of memory, out of bytes or there are none. */
uint32_t *hl_get_words(struct hl_bytes *bytes, uint32_t *ret_count);
/* The next `size` bytes, or NULL. */
const void *hl_get(struct hl_bytes *bytes, size_t size);

/* What CUPTI told of a process. False: it makes no sense. */
void hl_put_device(struct hl_bytes *bytes, const struct hl_device_evidence *device);
bool hl_get_device(struct hl_bytes *bytes, struct hl_device_evidence *ret_device);

void hl_put_record(struct hl_bytes *bytes, const struct hl_call_record *record);
struct hl_call_record hl_get_record(struct hl_bytes *bytes);

/* What a probe was asked. X(ID, arguments: what it said) */
#define HL_ANSWERS(X) \
    X(HL_ANSWER_WORDS, "rank, workspace, first, count: 1 and words, or 0") \
    X(HL_ANSWER_HOST, "rank: state") \
    X(HL_ANSWER_STACK, "rank: length, text") \
    X(HL_ANSWER_RESIDENCY, "rank: ctas, started, ended, room") \
    X(HL_ANSWER_HISTORY, \
      "rank, workspace, word: known, stored by + 1, call, time, cleared by + 1, call, time") \
    X(HL_ANSWER_OUTSIDE, "rank: foreign CTAs, does its GPU answer, is it serialised") \
    X(HL_ANSWER_STRAY, "rank, workspace: buffer + 1, is it before, distance, value, by + 1, call") \
    X(HL_ANSWER_THREADS, "rank: native stacks, driver call, who called that; each as length and text") \
    X(HL_ANSWER_DEVICE, "process: what CUPTI told (device.c)")
#define X(id, doc) id,
enum hl_answer_kind { HL_ANSWERS(X) HL_ANSWER_KIND_COUNT };
#undef X
