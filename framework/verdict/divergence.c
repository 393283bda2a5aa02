/* Diverging call sequences: which rank left the common road, and whether it left something out, did something
 * twice, or asked for something else (invariants I1, I2 of the protocols). */
#include "findings.h"
#include "waits.h"
#include <stddef.h>

/* Of the records of one call number: what most ranks say, and the rank that says otherwise. */
struct parting {
    const struct hl_divergence *divergence;
    const struct hl_call_record *common, *other;
    int common_rank, other_rank;
    bool is_even; /* as many ranks on either side: the numbers do not tell which side is right */
};

static bool same_request(const struct hl_call_record *a, const struct hl_call_record *b)
{
    return a->site == b->site && a->tokens == b->tokens && a->exec_tokens == b->exec_tokens &&
           a->protocol == b->protocol && a->dtype == b->dtype && a->ctas == b->ctas;
}

/* Rounds count where the ranks were together until here. */
static bool has_rounds(const struct hl_divergence *d, int a, int b)
{
    return d->call == 0 || (d->have_before && d->round_before[a] == d->round_before[b]);
}

static bool are_together(const struct hl_divergence *d, int a, int b)
{
    return same_request(&d->record[a], &d->record[b]) && (!has_rounds(d, a, b) || d->round[a] == d->round[b]);
}

static int count_agreeing(const struct hl_evidence *evidence, const struct hl_divergence *d, int rank)
{
    int count = 0;
    for (int r = 0; r < evidence->ranks; r++)
        count += d->have[r] && are_together(d, r, rank);
    return count;
}

/* Hosts run ahead of the device: a divergence that no rank has reached explains nothing. */
static bool find_parting_in(const struct hl_evidence *evidence, const struct hl_divergence *d,
                            struct parting *ret_parting)
{
    bool reached = false;
    int common = -1, other = -1;
    if (!d->found)
        return false;
    for (int r = 0; r < evidence->ranks; r++) {
        reached |= d->have[r] && hl_has_begun(evidence, r, d->workspace, d->call);
        if (d->have[r] &&
            (common < 0 || count_agreeing(evidence, d, r) > count_agreeing(evidence, d, common)))
            common = r;
    }
    for (int r = 0; r < evidence->ranks && common >= 0; r++)
        if (d->have[r] && !are_together(d, r, common) &&
            (other < 0 || count_agreeing(evidence, d, r) < count_agreeing(evidence, d, other)))
            other = r;
    if (!reached || other < 0)
        return false;
    *ret_parting = (struct parting){ .divergence = d,
                                     .common = &d->record[common],
                                     .other = &d->record[other],
                                     .common_rank = common,
                                     .other_rank = other,
                                     .is_even = count_agreeing(evidence, d, common) ==
                                                count_agreeing(evidence, d, other) };
    return true;
}

/* A lag comes first: once a rank is a round ahead, its calls may look like its peers' for long, and the first
 * one that does not is a consequence. */
static bool find_parting(const struct hl_evidence *evidence, struct parting *ret_parting)
{
    const struct hl_divergence *d = &evidence->divergence, *lag = &evidence->lag;
    if (lag->found && (!d->found || lag->workspace != d->workspace || lag->call <= d->call) &&
        find_parting_in(evidence, lag, ret_parting))
        return true;
    return find_parting_in(evidence, d, ret_parting);
}

/* How far a site lies behind the one of the call before, in the round of sites: 0 repeats it. */
static uint32_t sites_ahead(const struct parting *p, int rank)
{
    const uint32_t site = p->divergence->record[rank].site;
    if (!p->divergence->have_before)
        return site + 1;
    const uint32_t before = p->divergence->before[rank].site;
    return site >= before ? site - before : site + 0x10000 - before;
}

/* Has the host left a blocking op between the call before and this one? */
static bool begins_round(const struct parting *p, int rank)
{
    const struct hl_divergence *d = p->divergence;
    return d->have_before && d->round[rank] != d->round_before[rank];
}

/* Which of the two is further on in its program: above 0 the other one, below 0 the common one, 0 neither.
 * First by rounds, then by sites, which begin anew with a round. */
static int further(const struct parting *p)
{
    const struct hl_divergence *d = p->divergence;
    const int a = p->other_rank, b = p->common_rank;
    const bool rounds = has_rounds(d, a, b);
    if (rounds && d->round[a] != d->round[b])
        return d->round[a] > d->round[b] ? 1 : -1;
    const int by_site = (p->other->site > p->common->site) - (p->other->site < p->common->site);
    if (rounds && begins_round(p, a))
        return by_site;
    if (d->call == 0 && !p->is_even && (by_site != 0 || d->shift[a] != 0))
        return 1; /* a first call repeats nothing */
    if (d->call == 0 && by_site != 0)
        return by_site;
    if (d->shift[a] != 0)
        return d->shift[a] > 0 ? 1 : -1;
    return (sites_ahead(p, a) > sites_ahead(p, b)) - (sites_ahead(p, a) < sites_ahead(p, b));
}

/* Did the rank make a call, or launch a graph, once more, while its peer went on to something else? */
static bool repeats(const struct parting *p, int rank, int peer)
{
    const struct hl_call_record *record = &p->divergence->record[rank],
                                *before = &p->divergence->before[rank];
    if (!p->divergence->have_before)
        return false;
    if (record->site == before->site && !begins_round(p, rank))
        return true;
    return record->graph != UINT16_MAX && record->graph == before->graph &&
           record->replay != before->replay && p->divergence->record[peer].graph != record->graph;
}

/* Of two ranks at different places: the one that did something twice, or -1. A lone rank behind all the
 * others did; of as many on either side, only what is seen to repeat. */
static int repeater(const struct parting *p)
{
    const bool other_is_behind = further(p) < 0;
    if (!p->is_even)
        return other_is_behind ? p->other_rank : -1;
    const int behind = other_is_behind ? p->other_rank : p->common_rank;
    return repeats(p, behind, other_is_behind ? p->common_rank : p->other_rank) ? behind : -1;
}

bool hl_decide_epoch_skew(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    struct parting p;
    if (!find_parting(evidence, &p) || further(&p) == 0)
        return false;
    const int rank = repeater(&p);
    if (rank < 0)
        return false;
    const int peer = rank == p.other_rank ? p.common_rank : p.other_rank;
    hl_blame_call(rank, &p.divergence->record[rank], finding);
    if (p.is_even)
        finding->other_cause = HL_CAUSE_PEER_MISSING_CALL;
    hl_say(finding,
           "rank %d repeats: its call %u on workspace %d is site %u%s, where rank %d is at site %u, so from "
           "there "
           "on its calls pair with the wrong ones",
           rank, p.divergence->call, p.divergence->workspace, p.divergence->record[rank].site,
           p.common->site == p.other->site ? " of an earlier pass" : "", peer,
           p.divergence->record[peer].site);
    return true;
}

bool hl_decide_missing_call(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    struct parting p;
    if (!find_parting(evidence, &p) || further(&p) == 0 || repeater(&p) >= 0)
        return false;
    const bool other_skipped = further(&p) > 0;
    const int rank = other_skipped ? p.other_rank : p.common_rank;
    const int peer = other_skipped ? p.common_rank : p.other_rank;
    hl_blame_call(rank, &p.divergence->record[rank], finding);
    if (p.is_even)
        finding->other_cause = HL_CAUSE_EPOCH_SKEW;
    hl_say(finding,
           "rank %d left out site %u: its call %u on workspace %d is already site %u%s, so its calls pair "
           "with the "
           "wrong ones and its peers wait for one call that never comes",
           rank, p.divergence->record[peer].site, p.divergence->call, p.divergence->workspace,
           p.divergence->record[rank].site, p.common->site == p.other->site ? " of a later pass" : "");
    return true;
}

/* One rank norms without the allreduce that its peers make: for them, it left out the call. */
bool hl_decide_lone_fallback(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    struct parting p;
    if (!find_parting(evidence, &p) || further(&p) != 0 ||
        (p.common->protocol == HL_NORM_ONLY) == (p.other->protocol == HL_NORM_ONLY))
        return false;
    const int rank = p.other->protocol == HL_NORM_ONLY ? p.other_rank : p.common_rank;
    const int peer = rank == p.other_rank ? p.common_rank : p.other_rank;
    hl_blame_call(rank, &p.divergence->record[rank], finding);
    hl_say(finding, "rank %d norms call %u (site %u) without the allreduce that rank %d waits for (%s)", rank,
           p.divergence->call, p.common->site, peer, hl_protocol_word(p.divergence->record[peer].protocol));
    return true;
}

static const struct hl_call_record *running(const struct hl_evidence *evidence, int rank)
{
    const struct hl_rank_evidence *r = &evidence->rank[rank];
    return r->n_pending > 0 && r->pending[0].begun_ns != UINT64_MAX ? &r->pending[0].record : NULL;
}

/* The same site with other tokens on another workspace: the rank's count sends its call down another path,
 * fused against plain, so that no call number is there to compare. Where each has the other's call behind its
 * own, they are two calls in another order. */
bool hl_decide_split_paths(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    for (int a = 0; a < evidence->ranks; a++)
        for (int b = a + 1; b < evidence->ranks; b++) {
            const struct hl_call_record *x = running(evidence, a), *y = running(evidence, b);
            if (!x || !y || x->workspace == y->workspace || x->site != y->site || x->tokens == y->tokens ||
                (hl_has_enqueued(evidence, a, y->workspace, y->call) &&
                 hl_has_enqueued(evidence, b, x->workspace, x->call)))
                continue;
            hl_blame_call(b, y, finding);
            finding->other_cause = HL_CAUSE_PEER_MISSING_CALL;
            hl_say(
                finding,
                "rank %d runs site %u with %u tokens (%s, workspace %u), rank %d with %u (%s, workspace %u): "
                "their counts send them down different paths",
                a, x->site, x->tokens, hl_protocol_word(x->protocol), x->workspace, b, y->tokens,
                hl_protocol_word(y->protocol), y->workspace);
            return true;
        }
    return false;
}

/* Has a rank enqueued nothing behind the call, so that what follows does not tell whether the sequences fit?
 */
static bool nothing_follows(const struct hl_evidence *evidence, const struct parting *p)
{
    const int w = p->divergence->workspace;
    return evidence->rank[p->common_rank].workspace[w].enqueued <= p->divergence->call + 1 ||
           evidence->rank[p->other_rank].workspace[w].enqueued <= p->divergence->call + 1;
}

bool hl_decide_shape_mismatch(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    struct parting p;
    if (!find_parting(evidence, &p) || further(&p) != 0)
        return false;
    const bool types = p.common->dtype != p.other->dtype;
    if (p.common->tokens == p.other->tokens && p.common->exec_tokens == p.other->exec_tokens && !types)
        return false;
    hl_blame_call(p.other_rank, p.other, finding);
    if (p.common->protocol != p.other->protocol)
        finding->other_cause = HL_CAUSE_STRATEGY_MISMATCH;
    else if (p.is_even &&
             nothing_follows(evidence, &p)) /* it may be the call of a pass that the other left out */
        finding->other_cause = HL_CAUSE_PEER_MISSING_CALL;
    hl_say(
        finding,
        "rank %d runs call %u (site %u) with %u tokens%s, rank %d with %u: rows of the longer one never come",
        p.other_rank, p.divergence->call, p.other->site, p.other->tokens,
        types ? " of another data type" : "", p.common_rank, p.common->tokens);
    return true;
}

bool hl_decide_strategy_mismatch(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    struct parting p;
    if (!find_parting(evidence, &p) || further(&p) != 0 || p.common->protocol == p.other->protocol)
        return false;
    hl_blame_call(p.other_rank, p.other, finding);
    hl_say(finding,
           "rank %d runs call %u (site %u, %u tokens) as %s, rank %d as %s: they write where the other does "
           "not look",
           p.other_rank, p.divergence->call, p.other->site, p.other->tokens,
           hl_protocol_word(p.other->protocol), p.common_rank, hl_protocol_word(p.common->protocol));
    return true;
}

bool hl_decide_grid_mismatch(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    struct parting p;
    if (!find_parting(evidence, &p) || further(&p) != 0 || p.common->ctas == p.other->ctas)
        return false;
    hl_blame_call(p.other_rank, p.other, finding);
    hl_say(finding,
           "rank %d runs call %u (site %u) with %u CTAs, rank %d with %u, and CTAs of equal number meet in a "
           "barrier",
           p.other_rank, p.divergence->call, p.other->site, p.other->ctas, p.common_rank, p.common->ctas);
    return true;
}
