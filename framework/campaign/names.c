/* A switch a word list, so that the compiler tells when one is missing. */
#include "names.h"

const char *hl_event_name(enum hl_event_kind kind)
{
#define NAME(id, name, doc) name,
    static const char *const names[] = { HL_EVENTS(NAME) };
    return (unsigned)kind < HL_EVENT_COUNT ? names[kind] : "?";
}

const char *hl_family_name(enum hl_family family)
{
    switch (family) {
    case HL_FAMILY_MNNVL: return "mnnvl";
    case HL_FAMILY_TRTLLM: return "trtllm";
    case HL_FAMILY_NCCL: return "nccl";
    }
    return "?";
}

const char *hl_host_state_name(enum hl_host_state state)
{
    switch (state) {
    case HL_HOST_RUNNING: return "running";
    case HL_HOST_BLOCKED: return "blocked";
    case HL_HOST_EXITED: return "exited";
    case HL_HOST_DEAD: return "dead";
    }
    return "?";
}

const char *hl_slot_state_name(enum hl_slot_state state)
{
    switch (state) {
    case HL_SLOT_ARRIVED: return "arrived";
    case HL_SLOT_SENTINEL: return "sentinel";
    case HL_SLOT_REFUSED: return "refused";
    }
    return "?";
}

const char *hl_wrong_kind_name(enum hl_wrong_kind kind)
{
    switch (kind) {
    case HL_WRONG_NONE: return "none";
    case HL_WRONG_SUM: return "sum";
    case HL_WRONG_OWN_ONLY: return "own-only";
    case HL_WRONG_TORN: return "torn";
    case HL_WRONG_STALE: return "stale";
    case HL_WRONG_EARLY: return "early";
    case HL_WRONG_MISPAIRED: return "mispaired";
    case HL_WRONG_UNTOUCHED: return "untouched";
    }
    return "?";
}
