/* Signatures: which failures are the same one. Made of what the evidence says, never of a message's text:
 * verdict, cause, who waits on whom, stage, and the kind and place of the op concerned.
 *
 * What only tells where chance struck (which rank, layer, token, word) is left out, or one bug would have a
 * hundred signatures: sets of ranks are classes of sizes, one rank that waits on one other keeps their
 * distance, and a site is its place in the layer. So a signature also means the same for every number of
 * ranks. */
#pragma once
#include "../program/program.h"
#include "../verdict/classifier.h"

#define HL_SIGNATURE_MAX 200
struct hl_signature {
    char text[HL_SIGNATURE_MAX]; /* of the words of the tables, in a fixed order; "" for a pass */
};

struct hl_signature hl_signature_of(const struct hl_finding *finding, const struct hl_evidence *evidence,
                                    const struct hl_program *program);
/* A process that died, and so left no evidence. */
struct hl_signature hl_signature_of_death(int signal, int exit_code, bool timed_out);
