/* Writing a page: what a callback or a record says becomes an entry. Any thread may call these at any time;
 * none of them allocates, locks or waits. */
#pragma once
#include <stddef.h>
#include "page.h"

void hl_page_init(struct hl_page *page, uint32_t pid, enum hl_page_detail detail, uint64_t now_ns);

/* The thread's slot, or HL_PAGE_NONE. Slots of threads that are over are given back. */
uint32_t hl_page_thread(struct hl_page *page, uint32_t tid);
void hl_page_thread_over(struct hl_page *page, uint32_t thread);

/* A thread enters a driver call, and leaves it. */
void hl_page_enter(struct hl_page *page, uint32_t thread, enum hl_api api, uint64_t stream, uint32_t kernel,
                   uint64_t now_ns);
void hl_page_exit(struct hl_page *page, uint32_t thread);

/* The launch that the thread is in has these arguments. */
void hl_page_with(struct hl_page *page, uint32_t thread, uint64_t params);

/* The index of a kernel, a stream or a graph, made at first sight; HL_PAGE_NONE: no room. */
uint32_t hl_page_kernel(struct hl_page *page, uint64_t function, const char *name);
uint32_t hl_page_stream(struct hl_page *page, uint64_t context, uint64_t handle, uint64_t now_ns);
uint32_t hl_page_exec(struct hl_page *page, uint64_t handle);
/* Nothing more will be heard of a context's streams. */
void hl_page_context_over(struct hl_page *page, uint64_t context);

/* Arguments of a known kernel, as the driver describes them: how many, bytes of the first. */
void hl_page_known(struct hl_page *page, uint32_t kernel, uint32_t n_params, uint32_t first_bytes);
/* Keeps the arguments of a launch of a known kernel; returns their name in launches and nodes. */
uint64_t hl_page_params(struct hl_page *page, uint64_t context, uint32_t kernel, const uint32_t grid[3],
                        const uint8_t bytes[HL_KNOWN_BYTES_MAX]);
/* NULL: they had to make room. */
const struct hl_page_params *hl_page_params_find(const struct hl_page *page, uint64_t hash);

/* Work is put on a stream; returns how many launches that makes. */
uint64_t hl_page_launch(struct hl_page *page, uint32_t stream, const struct hl_page_launch *launch);
/* Something that tells of their end stands behind so many launches of a stream. */
void hl_page_mark(struct hl_page *page, uint32_t stream, uint64_t launches);
/* All of a stream's launches up to a number have ended. */
void hl_page_complete(struct hl_page *page, uint32_t stream, uint64_t launches, uint64_t now_ns);

/* A node is made in a graph: while thread `thread` launches, if it is recorded from a launch. */
void hl_page_node(struct hl_page *page, uint32_t graph, uint64_t id, uint32_t type, uint32_t thread);
/* A node is a copy of another; that it was made has been told before, as a node of its own. */
void hl_page_node_clone(struct hl_page *page, uint32_t graph, uint64_t id, uint64_t original, uint32_t type);
void hl_page_exec_made(struct hl_page *page, uint64_t handle, uint32_t graph);
void hl_page_exec_over(struct hl_page *page, uint64_t handle);

void hl_page_finish(struct hl_page *page, const struct hl_page_finished *finished);

/* Samples of one collection. */
void hl_page_samples_clear(struct hl_page *page);
void hl_page_sample(struct hl_page *page, uint32_t kernel, uint64_t crc, uint64_t pc, uint64_t samples);
