/* The words of the kernels: data types, protocols, stages, sentinel comparisons and mutants.
 *
 * Each list is one X-macro, X(ID, name, doc), so that the enum, its names and its documentation cannot
 * drift apart.
 * C11 and CUDA C++; includes nothing of the rest of hanglab. */
#pragma once

/* X(ID, name, doc) */
#define HL_DTYPES(X) \
    X(HL_BF16, "bf16", "bfloat16, summed in fp32") \
    X(HL_FP16, "fp16", "IEEE half precision, summed in fp32") \
    X(HL_FP32, "fp32", "IEEE single precision")

/* X(ID, name, doc). A protocol is what one call runs on the device. */
#define HL_PROTOCOLS(X) \
    X(HL_MNNVL_ONESHOT, "mnnvl-oneshot", "one kernel: every rank pushes its rows to all, waits for all, norms") \
    X(HL_MNNVL_TWOSHOT, "mnnvl-twoshot", "scatter, reduce and broadcast in one kernel, the norm and the rotation in a second") \
    X(HL_TRTLLM_ONESHOT, "trtllm-oneshot", "Lamport push with a shared arrival counter that is tested for equality") \
    X(HL_TRTLLM_TWOSHOT, "trtllm-twoshot", "pull, reduce, push between 3-valued barrier flags (release/acquire)") \
    X(HL_NCCL, "nccl", "plain allreduce with an epoch beside each word, then residual + RMSNorm in a second kernel") \
    X(HL_NORM_ONLY, "norm-only", "residual + RMSNorm without any allreduce: what a broken fallback leaves")

/* X(ID, name, doc). Where in a protocol a wait stands. */
#define HL_STAGES(X) \
    X(HL_STAGE_ONESHOT, "oneshot", "all ranks' rows, pushed by their owners") \
    X(HL_STAGE_SCATTER, "scatter", "the rows that this rank reduces") \
    X(HL_STAGE_BROADCAST, "broadcast", "the reduced rows") \
    X(HL_STAGE_BARRIER, "barrier", "3-valued flags of the trtllm two-shot") \
    X(HL_STAGE_ARRIVALS, "arrivals", "the arrival counter that the leading CTA waits for")

/* X(ID, name, doc) */
#define HL_COMPARES(X) \
    X(HL_COMPARE_BITS, "bits", "the word's bits equal 0x80000000: FlashInfer from 0.6.12 on (#3304)") \
    X(HL_COMPARE_FLOAT_FTZ, "float-ftz", "float == -0.0 under -ftz=true: also true for negative subnormal words (FlashInfer before 0.6.12)")

/* X(ID, name, doc). A mutant is a wrong build of a subject, the negative control. */
#define HL_MUTANTS(X) \
    X(HL_MUTANT_NONE, "none", "the right protocol") \
    X(HL_MUTANT_NO_SANITISE, "no-sanitise", "a payload of -0.0 is sent as it is, so that it reads as the sentinel") \
    X(HL_MUTANT_SHORT_CLEAR, "short-clear", "clears what this call uses, not what the dirty buffer holds (TensorRT-LLM#6237)") \
    X(HL_MUTANT_LATE_CLEAR, "late-clear", "clears what a call has used one call too late, when peers may write there again") \
    X(HL_MUTANT_WRONG_CLEAR_OFFSET, "wrong-clear-offset", "clears one row too far on") \
    X(HL_MUTANT_DEPTH_2, "depth-2", "rotates through 2 buffers instead of 3, so that a call clears what the next one fills") \
    X(HL_MUTANT_DROP_STORE, "drop-store", "one-shots: rank 1 does not store its last row to rank 0 in its 5th call (subject.strike says otherwise)") \
    X(HL_MUTANT_MISDIRECT_STORE, "misdirect-store", "one-shots: rank 1 stores its last row to rank 0 one row too far on in its 5th call (subject.strike)") \
    X(HL_MUTANT_STRAY_STORE, "stray-store", "one-shots: rank 1 stores a row behind the end of rank 0's workspace in its 5th call (subject.strike)") \
    X(HL_MUTANT_TORN_STORE, "torn-store", "16 bytes are stored in two halves, and a wait looks at their first word only (FlashInfer before 0.6.12)") \
    X(HL_MUTANT_MISSED_ARRIVAL, "missed-arrival", "the last CTA of rank 1 does not count in in its 5th call (subject.strike; TensorRT-LLM#4594)") \
    X(HL_MUTANT_OVERSHOOT, "overshoot", "the last CTA of rank 1 counts in twice in its 5th call (subject.strike)") \
    X(HL_MUTANT_SHARED_COUNTER, "shared-counter", "the two-shot counts on the one-shot's counter and leaves it as it is (tokenspeed#351)") \
    X(HL_MUTANT_RELAXED_ARRIVAL, "relaxed-arrival", "a CTA counts in before it has read the flags: an arrival without release (TensorRT-LLM#8612)") \
    X(HL_MUTANT_NO_RELEASE, "no-release", "trtllm two-shot: flags are stored without release; needs `world.memory: relaxed`") \
    X(HL_MUTANT_EARLY_TRIGGER, "early-trigger", "every kernel lets the next one go at once, and none waits (needs schedule.pdl)") \
    X(HL_MUTANT_BAKED_EPOCH, "baked-epoch", "the host passes the call's number, and a capture freezes it (the legacy trtllm flag value)") \
    X(HL_MUTANT_INT_OFFSET, "int-offset", "byte offsets in a workspace are computed with 32 bits, signed: wrong from 2 GiB on (workspace.size_mib)") \
    X(HL_MUTANT_NO_ALIGN, "no-align", "buffers begin where the allocation happens to, at a multiple of 16 bytes at best (flashinfer#4473; workspace.size_mib, workspace.offset_bytes)")

/* Mutants that strike at a place of subject.strike: their builds count the calls. */
#define HL_MUTANT_COUNTS_CALLS(mutant) \
    ((mutant) == HL_MUTANT_DROP_STORE || (mutant) == HL_MUTANT_MISDIRECT_STORE || \
     (mutant) == HL_MUTANT_STRAY_STORE || (mutant) == HL_MUTANT_MISSED_ARRIVAL || \
     (mutant) == HL_MUTANT_OVERSHOOT)

/* Where such a mutant strikes; `call` counts from 0 on each workspace. */
struct hl_strike {
    int rank;
    int call, calls; /* the first call that it hits, -1 every one, and how many in a row */
    int token, cta;  /* as executed; -1 the last one */
};
#define HL_STRIKE_DEFAULT \
    { \
        1, 4, 1, -1, -1 \
    }

#define HL_ENUMERATOR(id, name, doc) id,
enum hl_dtype { HL_DTYPES(HL_ENUMERATOR) HL_DTYPE_COUNT };
enum hl_protocol { HL_PROTOCOLS(HL_ENUMERATOR) HL_PROTOCOL_COUNT };
enum hl_stage { HL_STAGES(HL_ENUMERATOR) HL_STAGE_COUNT };
enum hl_compare { HL_COMPARES(HL_ENUMERATOR) HL_COMPARE_COUNT };
enum hl_mutant { HL_MUTANTS(HL_ENUMERATOR) HL_MUTANT_COUNT };

/* Largest world that a step source is built for; world sizes are 2, 4, 8 and 16. */
#define HL_RANKS_MAX 16
