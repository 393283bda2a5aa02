/* What `hanglab explore` has found: an answer for each case, and of a hang its schedule, a lane for each rank. */

const ANSWER_CLASS = {"proven-free": "good", "hang": "bad"};

function stepText(step, explored) {
    return "rank " + step.rank + (explored.ctas > 1 ? " CTA " + step.cta : "") +
        (step.stream ? " stream " + step.stream : "") + ", call " + step.call + ": " + step.text;
}

/* A row for each turn, in the order in which they come; the rank that has it is marked in its column. */
function lanesElement(explored) {
    const ranks = [...Array(explored.ranks).keys()];
    return h(
        "div", {class: "scroll"},
        h("table", {class: "lanes"},
          h("thead", {},
            h("tr", {}, h("th", {scope: "col"}, "turn"),
              ranks.map(rank => h("th", {scope: "col", class: "lane"}, "rank " + rank)),
              h("th", {scope: "col"}, "what it does"))),
          h("tbody", {},
            explored.schedule.map(
                (turn, i) => h(
                    "tr", {}, h("th", {scope: "row"}, i + 1),
                    ranks.map(
                        rank =>
                            h("td", {class: "lane" + (rank === turn.rank ? " has-it" : "")},
                              rank === turn.rank ?
                                  "call " + turn.call + (explored.ctas > 1 ? " CTA " + turn.cta : "") :
                                  "")),
                    h("td", {}, turn.text))))));
}

function decidesElement(explored) {
    const decides = explored.decides;
    if (!decides)
        return h("p", {class: "soft"}, "No two neighbouring steps were found whose order decides.");
    return h(
        "div", {class: "callout"},
        h("p", {}, "The order of two steps decides, behind " + plural(decides.behind, "other") + ":"),
        h("ol", {}, h("li", {}, stepText(decides.first, explored)),
          h("li", {}, stepText(decides.second, explored))),
        h("p", {},
          "In this order it hangs. If the second comes before the first, and all else is the same, it passes: it " +
              decides.else + "."));
}

function exploredElement(explored) {
    const details = h(
        "details", {class: "bundle explored"},
        h("summary", {}, h("span", {class: ANSWER_CLASS[explored.answer] || "doubt"}, explored.answer),
          h("p", {class: "id"}, explored.id), explored.summary ? h("p", {}, explored.summary) : ""),
        h("div", {},
          part("Searched",
               h("p", {},
                 plural(explored.ranks, "rank") + ", calls " + (explored.rounds ? "in rounds: " : "without end: ") +
                     explored.calls + "; memory " + explored.memory + ", progress " + explored.progress + "; " +
                     explored.payload + "; " + plural(explored.states, "state"))),
          explored.schedule ?
              [
                  part("What decides", decidesElement(explored)),
                  part("A schedule that hangs: " + plural(explored.turns, "turn"), lanesElement(explored)),
                  part("What waits for ever",
                       h("ul", {}, explored.waits.map(wait => h("li", {}, wait))))
              ] :
              null));
    return details;
}
