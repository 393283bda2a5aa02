/* The cause table: one row a cause, X(ID, name, meaning, evidence that decides it, hint, incidents).
 *
 * Read by the classifier, `hanglab explain`, `hanglab list causes` and the reports. The incidents are public
 * threads (repository#number) whose reports show this cause, or are explained by it. */
#pragma once

#define HL_CAUSES(X) \
    X(HL_CAUSE_NONE, "none", \
      "nothing is wrong", \
      "no stall, no wrong result, no crash", \
      "", \
      "") \
    X(HL_CAUSE_PEER_MISSING_CALL, "peer-missing-call", \
      "a rank left out a call that its peers made, so they wait for rows that nobody sends", \
      "the rank's calls skip a site that its peers have, or it ended or sits in a barrier without the " \
      "call", \
      "on that rank, log every condition in front of this site (fallback, early return, exception, " \
      "batch) and compare with a rank that waits; then decide it once for the group, by a vote before " \
      "the call", \
      "sglang#11275, sglang#27221, sglang#20384, vllm#39791, aiter#2638, vllm#54618") \
    X(HL_CAUSE_PEER_HOST_BLOCKED, "peer-host-blocked", \
      "a rank's host thread is held up before it can issue the call that its peers already run", \
      "the rank has not enqueued the call, and its host is inside an op that blocks, or a call of the " \
      "driver that does not return", \
      "read that rank's host stack (py-spy dump, gdb): look for module loading, allocation, cudaFree, " \
      "GC or a sync beside a spinning kernel, or a full launch queue of another rank on the same thread; " \
      "load and allocate before the first call", \
      "torchcomms#2334, sglang#33642, Mooncake#1755, sglang#29548, sglang#18908") \
    X(HL_CAUSE_PEER_DEAD, "peer-dead", \
      "a rank's process is gone; its peers wait for it", \
      "the host state of the rank is dead and a peer waits for its rows", \
      "look for the first error of the dead rank (its log, dmesg: out of memory, Xid); the waiting " \
      "ranks are only victims; let the launcher end the group when one rank dies", \
      "sglang#23721, sglang#24172") \
    X(HL_CAUSE_PEER_STREAM_STALLED, "peer-stream-stalled", \
      "a peer's call is on its stream but never starts, although nothing of this tool's knowledge is " \
      "before it", \
      "the call is enqueued and not begun, no other call of that rank runs, and its GPU still does a " \
      "copy on a stream of its own (or was not asked: then driver-stall is the other candidate)", \
      "the wait is a victim: list what was put on that stream before the call (copies, event waits, " \
      "host functions, another graph) and find the one whose counterpart never happened", \
      "sglang#38300, pytorch#196133, sglang#30010") \
    X(HL_CAUSE_EPOCH_SKEW, "epoch-skew", \
      "a rank made a call once more than its peers, so that its calls pair with the wrong ones from " \
      "there on", \
      "at one call number the rank repeats a site or a graph that its peers have left behind", \
      "make retries, warm-ups and autotuning the same on all ranks; log a call counter with the site on " \
      "each rank and diff the logs: buffers carry no call number that would tell", \
      "flashinfer#3186, sglang#23317, sglang#35343, vllm#57423") \
    X(HL_CAUSE_STRATEGY_MISMATCH, "strategy-mismatch", \
      "ranks run one call with different protocols, for example one-shot against two-shot", \
      "the records of one call number agree in site and tokens and differ in the protocol", \
      "decide one-shot or two-shot from numbers that are equal on all ranks, or once for the whole " \
      "group; log tokens, hidden size and choice of each rank at this call", \
      "vllm#47589, vllm#47284") \
    X(HL_CAUSE_SHAPE_MISMATCH, "shape-mismatch", \
      "ranks run one call with different token counts or data types", \
      "the records of one call number agree in the site and differ in tokens or data type", \
      "log the token count of each rank at this call and go back to where it was decided (batch, " \
      "sampling, padding, graph bucket); pad or broadcast it before the call", \
      "sglang#30209, vllm#25906, vllm-ascend#5979, vllm#42271") \
    X(HL_CAUSE_GRID_MISMATCH, "grid-mismatch", \
      "ranks run one barrier-based call with different numbers of CTAs", \
      "the records of one call number differ only in the grid, and CTAs of equal number meet in a " \
      "barrier", \
      "derive the grid from what all ranks share: the smallest number of SMs, not this device's; log " \
      "gridDim of each rank, and look for green contexts, MIG or a priority that hides SMs", \
      "vllm#43616, flashinfer#3408, TRT-LLM#3064") \
    X(HL_CAUSE_SENTINEL_COLLISION, "sentinel-collision", \
      "data that has arrived reads as `not arrived`, so the wait can never end", \
      "a waited-for slot holds data words that the kernel's own comparison takes for the sentinel", \
      "compare bits instead of floats (FlashInfer 0.6.12 or later), sanitise -0.0; see which rows nobody " \
      "wrote", \
      "flashinfer#3053, flashinfer#3304, flashinfer#2923, sglang#23402, vllm#35772") \
    X(HL_CAUSE_LOST_WRITE, "lost-write", \
      "a rank is past its stores of a call, and one of them is nowhere", \
      "the slot is still the sentinel, its source has begun the call, and no store of that call hit the " \
      "slot", \
      "check the store's condition and address for this token and peer: the last row, the last rank, a " \
      "tail that is not a multiple of the vector, a peer pointer that is not this workspace's", \
      "NCCL#2389, TRT-LLM#4594") \
    X(HL_CAUSE_STALE_ADDRESS, "stale-address", \
      "a captured graph still uses a workspace that has been replaced", \
      "a rank runs a call on a workspace that was made anew since: alone there, or with a result that " \
      "foreign data explains", \
      "log the workspace's address when it is made and when a graph is captured; never make one anew " \
      "after a capture without capturing again, and keep the old one until no graph uses it", \
      "flashinfer#4398, flashinfer#4399, flashinfer#4553, flashinfer#4827, vllm#37361") \
    X(HL_CAUSE_INIT_RACE, "init-race", \
      "a rank filled its workspace with sentinels after a peer had stored into it", \
      "the slot was stored in this call and then erased by the workspace's initialisation", \
      "synchronise the fill with the device, then pass a barrier of all ranks, and only then make the " \
      "first call; the fill is asynchronous even where the call that starts it is not", \
      "flashinfer#4358, flashinfer#1111, flashinfer#1138, tvm#16797") \
    X(HL_CAUSE_LATE_CLEAR, "late-clear", \
      "a rank's clearing of its own buffer erased rows that a peer had stored for a later call", \
      "the slot was stored in this call and then erased by a clear of the rank that waits for it", \
      "clears of call k must be over before a peer can begin call k + 2: check the number of buffers, " \
      "which call clears which, kernel order and PDL triggers", \
      "vllm#8410, vllm#2760, tokenspeed#351") \
    X(HL_CAUSE_SHORT_CLEAR, "short-clear", \
      "old rows were left in a buffer and counted as arrived in a later call", \
      "the wrong row is the sum with rows of an earlier call, or the call ended before a peer had begun " \
      "it", \
      "clear what the buffer holds, as noted by the call that filled it, not what the current call " \
      "needs; try a large call, then small ones, then a large one", \
      "TRT-LLM#6237, flashinfer#3903") \
    X(HL_CAUSE_ARRIVAL_STUCK, "arrival-stuck", \
      "all rows are there, but the counter of the rank's own CTAs never gets the value it must have", \
      "every slot of the call has arrived and the arrival counter differs from the number of CTAs", \
      "the counter must be 0 at entry: re-initialise the workspace after an aborted call, and let no " \
      "two protocols share it; look for a CTA that returns early", \
      "TRT-LLM#4594, TRT-LLM#8612, tokenspeed#351") \
    X(HL_CAUSE_CONCURRENT_CALLS, "concurrent-calls", \
      "two calls ran at once on one workspace, whose buffers and counters serve one", \
      "on one rank a call began on another stream before the call in front of it had ended", \
      "order the two streams by events, or give each of them a workspace of its own; look for side " \
      "streams, micro-batches and a draft model beside the target", \
      "sglang#31117, sglang#31135, pytorch#189228, TRT-LLM#10633") \
    X(HL_CAUSE_SHARED_WORKSPACE, "shared-workspace", \
      "two groups of ranks, or two pipeline stages, use one workspace", \
      "calls of different groups appear on one workspace (the record of a call names its group)", \
      "print group, stage and address where a workspace is made or found again: it must be keyed by " \
      "group, stage and thread, not by device alone", \
      "TRT-LLM#3988, TRT-LLM#10633, pytorch#192581") \
    X(HL_CAUSE_ORDER_INVERSION, "order-inversion", \
      "ranks issue the calls of two workspaces in different orders and wait for each other in a ring", \
      "each rank of a ring runs a call of one workspace that the next one has only behind its own", \
      "issue the calls of all workspaces in one order on all ranks; compare the order of launches of " \
      "two ranks of the ring, and look for threads or priorities that reorder them", \
      "NCCL#1901, vllm#2770, rccl#2179, rccl#2191, pytorch#191482") \
    X(HL_CAUSE_NOT_RESIDENT, "not-resident", \
      "CTAs that would send the awaited rows cannot start, because the waiting ones hold the GPU", \
      "a kernel has CTAs that never started and the GPU has no room for them", \
      "cap the grids so that all CTAs that wait for each other fit at once (SMs times occupancy), and " \
      "keep other kernels and other ranks off that GPU while they wait", \
      "TRT-LLM#18834, sglang#31117, NCCL#1901") \
    X(HL_CAUSE_BAKED_EPOCH, "baked-epoch", \
      "a call number was passed by the host and frozen into a graph, so every replay uses the same one", \
      "the number that the host passed to a call is not the call's own but the one of its capture", \
      "keep epochs in device memory that the kernel itself advances; until then, do not capture this " \
      "call", \
      "flashinfer#3950, flashinfer#3745") \
    X(HL_CAUSE_WEAK_ORDERING, "weak-ordering", \
      "a store became visible before one that it should have followed", \
      "a flag has its new value while the row that it announces is old, or CTAs of one call took " \
      "different buffers", \
      "release the flag and acquire it at system scope (.release.sys, .acquire.sys, or a fence " \
      "between), or let the data be the flag; read an index before, not after, the CTA counts in", \
      "TRT-LLM#8612, tokenspeed#351, vllm#8558, vllm#57059") \
    X(HL_CAUSE_TORN_READ, "torn-read", \
      "a poll took a slot for complete after looking at only some of its words", \
      "a row is right in one 8-byte half of every 16 bytes and wrong in the other", \
      "test every 32-bit word that was read: only 8 bytes are sure to arrive at once", \
      "flashinfer#3550, vllm#57059") \
    X(HL_CAUSE_EARLY_TRIGGER, "early-trigger", \
      "the next kernel was let go before this one's results were written", \
      "a call began before the one in front of it on its stream had ended, so it did not wait for it", \
      "trigger completion at the end, or let the consumer wait for the grid first; every kernel " \
      "launched with PDL between the two has to wait, too", \
      "vllm#45448, sglang#29274, vllm#34412, flashinfer#5081") \
    X(HL_CAUSE_OUT_OF_BOUNDS, "out-of-bounds", \
      "a kernel accessed memory that is not its own", \
      "the device reported an illegal or misaligned address, or the guard around a workspace was " \
      "written", \
      "compare tokens and hidden size with what the workspace was made for; look for offsets in 32 bits " \
      "and for buffers that nobody aligned; run compute-sanitizer on one rank", \
      "flashinfer#3869, flashinfer#4473, TRT-LLM#5698, flashinfer#1986") \
    X(HL_CAUSE_MISSING_ALLREDUCE, "missing-allreduce", \
      "a rank normed its own rows without any allreduce", \
      "the result equals the rank's own row plus the residual", \
      "a fused call that returns nothing has not reduced: its caller must reduce first, then norm; log " \
      "which of the two paths each call takes", \
      "sglang#20384, sglang#30700, sglang#32963") \
    X(HL_CAUSE_WRONG_GROUP, "wrong-group", \
      "ranks meet in different groups, or wait for ranks that are not in theirs", \
      "a rank's barrier waits for a rank outside of the group that was given to it", \
      "pass the group to every rendezvous; the default is the whole world; log the ranks of the group " \
      "that each barrier is given", \
      "flashinfer#3247, vllm#45917, sglang#24452") \
    X(HL_CAUSE_FOREIGN_KERNEL, "foreign-kernel", \
      "another kernel occupies the GPU or the stream and does not end", \
      "CTAs cannot start because a kernel that is no call of any rank holds the room of the GPU", \
      "find that kernel's name (nsys, cuda-gdb `info cuda kernels`) and debug it: the allreduce is only " \
      "where the ranks meet", \
      "flashinfer#3971, sglang#30919, flashinfer#3279, flashinfer#3329") \
    X(HL_CAUSE_DRIVER_STALL, "driver-stall", \
      "launches succeeded and nothing runs: the driver or the device stands still", \
      "a call is enqueued and does not start, and its GPU does not even do a copy on a stream of its " \
      "own; or nothing is in flight, and a call of the driver that allocates, frees or loads does not " \
      "return", \
      "save dmesg and nvidia-bug-report.sh before anything is killed, try another driver version, and " \
      "take copies on side streams away one by one; no change of the kernel helps", \
      "pytorch#196133, sglang#38300") \
    X(HL_CAUSE_TOOL_INDUCED, "tool-induced", \
      "a tool serialises what must run together", \
      "a tool serialises, one rank's call runs and waits, and another rank's is not let start", \
      "use a lighter level of detail (no kernel replay, no CUDA_LAUNCH_BLOCKING, no serialising " \
      "profiler); never serialise kernels of different ranks", \
      "vllm#48486, rccl#2191") \
    X(HL_CAUSE_UNKNOWN, "unknown", \
      "the evidence fits no cause of this table", \
      "no row of the decision table applies", \
      "read the bundle's slots and timeline from the first wait on; a report of it would help to extend " \
      "the table", \
      "")
