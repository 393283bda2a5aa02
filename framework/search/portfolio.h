/* Searches a case by several means, each for its share: every schedule, as long as half of the time lasts;
 * then random ones, until they bound what they do not find. */
#pragma once
#include "checkpoint.h"
#include "cover.h"
#include "frontier.h"
#include "story.h"
#include "walk.h"

/* Rounds of calls that random schedules take of a case whose calls do not end. */
enum { HL_PORTFOLIO_ROUNDS = 4 };

struct hl_portfolio_options {
    struct hl_cover_options cover;
    struct hl_explore_options explore; /* seconds_max: of a payload, random schedules included */
    struct hl_walk_options walk;
    bool walks_only;                  /* random schedules alone */
    struct hl_checkpoint *checkpoint; /* loaded, if it is to go on; may be NULL */
};

struct hl_portfolio {
    struct hl_cover cover; /* what the answer is about */
    enum hl_answer answer;
    const char *payload;         /* that was searched last */
    uint32_t ctas;               /* of a rank, at most */
    struct hl_explored explored; /* of that payload */
    struct hl_frontier frontier; /* of a proof, or a hang */
    struct hl_walked walked;
    uint64_t states; /* of all payloads */
    double seconds;
    struct hl_space *space; /* of a hang, */
    struct hl_path path;    /* and the way there */
};

enum hl_status hl_portfolio_run(const struct hl_config *config, const struct hl_portfolio_options *options,
                                struct hl_portfolio *ret_portfolio, struct hl_error *error);
void hl_portfolio_finish(struct hl_portfolio *portfolio);

/* What the schedule of a hang belongs to, and such a schedule with its space again. */
struct hl_schedule_of hl_portfolio_schedule_of(const struct hl_portfolio *portfolio,
                                               const struct hl_portfolio_options *options);
enum hl_status hl_schedule_load(const struct hl_config *config, const char *file, struct hl_space **ret_space,
                                struct hl_path *ret_path, struct hl_error *error);

/* What a checkpoint of this search belongs to: the build, the case, what of it is covered. free() it. */
enum hl_status hl_portfolio_identity(const struct hl_config *config,
                                     const struct hl_portfolio_options *options, const char *build,
                                     char **ret_identity, struct hl_error *error);
