/* The cause table: one row a cause, X(ID, name, meaning, evidence that decides it, hint, incidents).
 *
 * Read by the classifier, `hanglab explain`, `hanglab list causes` and the reports. */
#pragma once

#define HL_CAUSES(X) \
    X(HL_CAUSE_NONE, "none", "", "", "", "") \
    X(HL_CAUSE_PEER_MISSING_CALL, "peer-missing-call", "", "", "", "") \
    X(HL_CAUSE_PEER_HOST_BLOCKED, "peer-host-blocked", "", "", "", "") \
    X(HL_CAUSE_PEER_DEAD, "peer-dead", "", "", "", "") \
    X(HL_CAUSE_PEER_STREAM_STALLED, "peer-stream-stalled", "", "", "", "") \
    X(HL_CAUSE_EPOCH_SKEW, "epoch-skew", "", "", "", "") \
    X(HL_CAUSE_STRATEGY_MISMATCH, "strategy-mismatch", "", "", "", "") \
    X(HL_CAUSE_SHAPE_MISMATCH, "shape-mismatch", "", "", "", "") \
    X(HL_CAUSE_GRID_MISMATCH, "grid-mismatch", "", "", "", "") \
    X(HL_CAUSE_SENTINEL_COLLISION, "sentinel-collision", "", "", "", "") \
    X(HL_CAUSE_LOST_WRITE, "lost-write", "", "", "", "") \
    X(HL_CAUSE_STALE_ADDRESS, "stale-address", "", "", "", "") \
    X(HL_CAUSE_INIT_RACE, "init-race", "", "", "", "") \
    X(HL_CAUSE_LATE_CLEAR, "late-clear", "", "", "", "") \
    X(HL_CAUSE_SHORT_CLEAR, "short-clear", "", "", "", "") \
    X(HL_CAUSE_ARRIVAL_STUCK, "arrival-stuck", "", "", "", "") \
    X(HL_CAUSE_CONCURRENT_CALLS, "concurrent-calls", "", "", "", "") \
    X(HL_CAUSE_SHARED_WORKSPACE, "shared-workspace", "", "", "", "") \
    X(HL_CAUSE_ORDER_INVERSION, "order-inversion", "", "", "", "") \
    X(HL_CAUSE_NOT_RESIDENT, "not-resident", "", "", "", "") \
    X(HL_CAUSE_BAKED_EPOCH, "baked-epoch", "", "", "", "") \
    X(HL_CAUSE_WEAK_ORDERING, "weak-ordering", "", "", "", "") \
    X(HL_CAUSE_TORN_READ, "torn-read", "", "", "", "") \
    X(HL_CAUSE_EARLY_TRIGGER, "early-trigger", "", "", "", "") \
    X(HL_CAUSE_OUT_OF_BOUNDS, "out-of-bounds", "", "", "", "") \
    X(HL_CAUSE_MISSING_ALLREDUCE, "missing-allreduce", "", "", "", "") \
    X(HL_CAUSE_WRONG_GROUP, "wrong-group", "", "", "", "") \
    X(HL_CAUSE_FOREIGN_KERNEL, "foreign-kernel", "", "", "", "") \
    X(HL_CAUSE_DRIVER_STALL, "driver-stall", "", "", "", "") \
    X(HL_CAUSE_TOOL_INDUCED, "tool-induced", "", "", "", "") \
    X(HL_CAUSE_UNKNOWN, "unknown", "", "", "", "")
