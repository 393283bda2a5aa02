/* A recording down the road again: watchdog, oracle and classifier on what was recorded. */
#pragma once
#include "../engine/recording/recording.h"
#include "run.h"

/* Fails only when the recording cannot be used. The result's finding stands against recording->header. With
 * an `out_dir`, what hung or went wrong leaves a bundle there, as its run `number`. */
enum hl_status hl_play_back(const struct hl_recording *recording, const char *name, const char *out_dir,
                            int number, struct hl_run_result *ret_result, struct hl_error *error);

/* Is it the verdict and the cause that the recorded run had? */
bool hl_played_back_the_same(const struct hl_recording *recording, const struct hl_run_result *result);
