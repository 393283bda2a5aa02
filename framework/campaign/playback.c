/* Playing recordings back; see playback.h. */
#include "playback.h"
#include <string.h>
#include "../scenario/words.h"

enum hl_status hl_play_back(const struct hl_recording *recording, const char *name, const char *out_dir,
                            int number, struct hl_run_result *ret_result, struct hl_error *error)
{
    struct hl_scenario *scenario;
    enum hl_status status = hl_scenario_parse(name, (const char *)recording->scenario.data,
                                              recording->scenario.size, &scenario, error);
    if (status)
        return status;
    const struct hl_word *geometry = hl_words_find(&hl_words_geometries, recording->header.geometry);
    if (scenario->n_cases != 1 || !geometry) {
        status = hl_fail(error, HL_STATUS_USAGE, "%s: a recording holds one case and its geometry", name);
    } else {
        scenario->cases[0].config.geometry = (enum hl_geometry)geometry->value;
        const struct hl_run_options options = { .engine = hl_replay(recording),
                                                .seed = recording->header.seed,
                                                .seed_is_of_run = true,
                                                .out_dir = out_dir };
        status = hl_run_once(scenario, &scenario->cases[0], &options, number, HL_VERDICT_SKIPPED, ret_result,
                             error);
    }
    hl_scenario_destroy(scenario);
    return status;
}

bool hl_played_back_the_same(const struct hl_recording *recording, const struct hl_run_result *result)
{
    return strcmp(recording->header.verdict, hl_words_name(&hl_words_verdicts, result->finding.verdict)) ==
               0 &&
           strcmp(recording->header.cause, hl_cause_name(result->finding.cause)) == 0;
}
