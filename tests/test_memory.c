/* Relaxed memory: protocols that are right stay right, the ordering mutants fail for their own cause, and
 * what needs relaxed memory passes without it. */
#include "expected.h"

#define HEAD "hanglab: 1\nname: memory\nruns: 10\n"
#define SMALL "schedule: {layers: 2, sizes: [16, 8], replays: 6}\n"

Test(memory, right_protocols_are_right_in_any_order_of_arrival)
{
    expect_cases(HEAD "world: {memory: relaxed}\n"
                      "schedule: {layers: 2, sizes: [512, 64, 16, 3], replays: 4}\n"
                      "matrix:\n"
                      "  world.ranks: [2, 4, 8]\n"
                      "  subject.backend: [mnnvl, trtllm, nccl]\n"
                      "  subject.strategy: [oneshot, twoshot]\n"
                      "  schedule.mode: [eager, full]\n"
                      "exclude: [{subject.backend: nccl, subject.strategy: twoshot}]\n");
}

Test(memory, a_flag_without_release_overtakes_its_rows)
{
    expect_cases(HEAD
                 "subject: {backend: trtllm, strategy: twoshot}\n"
                 "schedule: {layers: 2, sizes: [512, 64, 16], replays: 6}\n"
                 "matrix:\n"
                 "  subject.mutant: [no-release, none]\n"
                 "  world.memory: [relaxed, sc]\n"
                 "expect:\n"
                 "  - {when: {subject.mutant: no-release, world.memory: relaxed}, verdict: corrupt, cause: "
                 "weak-ordering}\n");
}

Test(memory, half_a_row_is_seen_by_a_wait_that_looks_at_one_word)
{
    expect_cases(HEAD SMALL "world: {memory: relaxed}\n"
                            "matrix:\n"
                            "  subject.mutant: [torn-store, none]\n"
                            "  subject.backend: [mnnvl, trtllm]\n"
                            "expect:\n"
                            "  - {when: {subject.mutant: torn-store}, verdict: corrupt, cause: torn-read}\n");
}

Test(memory, a_lost_row_is_lost_in_relaxed_memory_too)
{
    expect_cases(HEAD SMALL "world: {memory: relaxed}\n"
                            "subject: {mutant: drop-store}\n"
                            "expect: [{verdict: hang, cause: lost-write}]\n");
}
