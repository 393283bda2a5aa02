/* The slot map: who waits against whose words; a cell opens to its slots, a slot to its words. */

const STATE_MARK = {
    arrived: "",
    sentinel: "·",
    refused: "×"
};
const STATE_MEANING = {
    arrived: "arrived",
    sentinel: "not arrived: holds the sentinel",
    refused: "data is there, and the wait refuses it"
};
const WORDS_A_LINE = 8;

const worstState =
    slots => ["refused", "sentinel", "arrived"].find(s => slots.some(slot => slot.state === s));
const holdsData = stage => stage !== "barrier" && stage !== "arrivals";

function groupSlots(slots) {
    const groups = new Map();
    for (const slot of slots) {
        const key = [slot.workspace || 0, slot.stage, slot.buffer].join("/");
        groups.set(key, (groups.get(key) || []).concat(slot));
    }
    return [...groups.values()];
}

function slotTitle(slot) {
    return "rank " + slot.rank + " waits for " + (slot.stage === "barrier" ? "CTA " : "row ") + slot.token +
        " of rank " + slot.source + ": " + STATE_MEANING[slot.state] +
        (slot.missing ? " (" + slot.missing + " of " + plural(slot.words, "word") + " missing)" : "");
}

/* All words of a slot; the chosen one is shown bit by bit. */
function wordsElement(slot, layout, compare) {
    if (!slot.bits)
        return h(
            "p", {class: "soft"},
            slot.value ? "Word " + slot.first_missing + " holds " + slot.value +
                    "; the other words are not in this page." :
                         "The words of this slot are not in this page.");
    const words = slot.bits.match(/.{8}/g).map(digits => parseInt(digits, 16));
    const pairs = layout.family === "nccl" && slot.stage === "oneshot";
    const detail = h("div", {"aria-live": "polite"}), grid = h("div", {class: "words"});
    const buttons = [];
    function choose(index) {
        buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === index));
        const isEpoch = pairs && index % 2;
        detail.replaceChildren(
            h("p", {},
              isEpoch ? "epoch of word " + (index - 1) / 2 + ": " + words[index] :
                        "word " + (pairs ? index / 2 : index) + ", word " + (slot.start + index) +
                      " of the workspace: " + STATE_MEANING[wordState(words[index], layout, compare)]),
            isEpoch || !holdsData(slot.stage) ? "" : bitsElement(layout.dtype, words[index]));
    }
    words.forEach((word, index) => {
        if (index % WORDS_A_LINE === 0)
            grid.append(h("span", {class: "soft mono"}, String(index)));
        const state = holdsData(slot.stage) && !pairs ? wordState(word, layout, compare) : "";
        const button =
            h("button", {
                type: "button",
                "aria-pressed": "false",
                click: () => choose(index),
                class: state === "arrived" ? "" : state
            },
              word.toString(16).padStart(8, "0"));
        buttons.push(button);
        grid.append(button);
    });
    choose(slot.first_missing === undefined ? 0 : slot.first_missing * (pairs ? 2 : 1));
    return [h("div", {class: "scroll"}, grid), detail];
}

function cellDetail(slots, layout, compare, start) {
    const words = h("div"), buttons = [];
    function choose(slot) {
        buttons.forEach((button, i) => button.setAttribute("aria-pressed", slots[i] === slot));
        words.replaceChildren(
            h("p", {}, slotTitle(slot) + "."), ...[wordsElement(slot, layout, compare)].flat());
    }
    const choice = h("div", {class: "tools"}, slots.map(slot => {
        const button =
            h("button", {type: "button", click: () => choose(slot)},
              (slot.stage === "barrier" ? "CTA " : "row ") + slot.token + " " + STATE_MARK[slot.state]);
        buttons.push(button);
        return button;
    }));
    choose(start);
    return [choice, words];
}

function mapElement(slots, ranks, bundle, named) {
    const {stage, buffer, workspace} = slots[0];
    const layout = bundle.slots.layouts[workspace || 0] || {}, compare = bundle.slots.compare;
    const detail = h("div"), numbers = [...Array(ranks).keys()];
    const cell = (rank, source) => {
        const here = slots.filter(slot => slot.rank === rank && slot.source === source)
                         .sort((a, b) => a.token - b.token);
        if (!here.length)
            return h(
                "td", {class: "soft"},
                h("span", {title: rank === source ? "its own rows stay in registers" : "no slot"}, " –"));
        const worst = worstState(here);
        const open = slot => detail.replaceChildren(...cellDetail(here, layout, compare, slot));
        if (here.includes(named))
            open(named);
        return h(
            "td", {},
            h("button", {
                type: "button",
                "data-worst": worst,
                title: here.map(slotTitle).join("\n"),
                "aria-label": "rank " + rank + " from rank " + source + ": " + worst,
                click: () => open(here.find(slot => slot.state === worst))
            },
              here.slice(0, 64).map(
                  slot =>
                      h("i", {class: slot.state},
                        STATE_MARK[slot.state] || (here.length <= 16 ? String(slot.token) : "")))));
    };
    const table =
        h("table", {class: "map"},
          h("thead", {},
            h("tr", {}, h("th", {}, "waits \\ from"),
              numbers.map(source => h("th", {scope: "col"}, "rank " + source)))),
          h("tbody", {},
            numbers.map(
                rank =>
                    h("tr", {}, h("th", {scope: "row"}, "rank " + rank),
                      numbers.map(source => cell(rank, source))))));
    return h(
        "div", {},
        h("p", {class: "soft"},
          "stage " + stage + ", buffer " + buffer + ", workspace " + (workspace || 0) +
              (bundle.slots.layouts.length ? ", compared as " + compare : "")),
        h("div", {class: "columns beside"}, h("div", {class: "scroll"}, table), detail));
}

/* The slot that the finding names, else the first that is missing. */
function namedSlot(bundle) {
    const culprit = bundle.verdict.culprit || {},
          missing = (bundle.slots ? bundle.slots.slots : []).filter(slot => slot.state !== "arrived");
    return missing.find(
               slot => culprit.slot && slot.stage === culprit.stage && slot.rank === culprit.rank &&
                   slot.source === culprit.slot.rank && slot.token === culprit.slot.token) ||
        missing[0];
}

function slotsElement(bundle) {
    const slots = bundle.slots ? bundle.slots.slots : [], named = namedSlot(bundle);
    if (!slots.length)
        return null;
    return [
        h("p", {class: "states"},
          Object.keys(STATE_MARK)
              .map(
                  state =>
                      h("span", {}, h("i", {class: state}, STATE_MARK[state] || "0"),
                        " " + STATE_MEANING[state]))),
        groupSlots(slots)
            .sort((a, b) => b.includes(named) - a.includes(named))
            .map(group => mapElement(group, bundle.verdict.ranks.length, bundle, named)),
        bundle.slots.left_out ?
            h("p", {class: "soft"}, plural(bundle.slots.left_out, "more slot") + " were left out.") :
            null
    ];
}

/* Who waits for whom: an arrow for each pair with a slot that is missing. */
function waitGraphElement(bundle) {
    const ranks = bundle.verdict.ranks.length, edges = new Map();
    for (const slot of bundle.slots ? bundle.slots.slots : [])
        if (slot.state !== "arrived")
            edges.set(slot.rank + ">" + slot.source, {
                from: slot.rank,
                to: slot.source,
                red: slot.state === "refused" || (edges.get(slot.rank + ">" + slot.source) || {}).red
            });
    if (!edges.size)
        return null;
    const size = Math.max(190, ranks * 34), radius = size / 2 - 26;
    const place = rank => {
        const angle = 2 * Math.PI * rank / ranks - Math.PI / 2;
        return [size / 2 + radius * Math.cos(angle), size / 2 + radius * Math.sin(angle)];
    };
    const arrow = edge => {
        const [x0, y0] = place(edge.from), [x1, y1] = place(edge.to);
        const title = svg("title", {}, "rank " + edge.from + " waits for rank " + edge.to);
        if (edge.from === edge.to)
            return svg(
                "path", {
                    class: "edge" + (edge.red ? " red" : ""),
                    "marker-end": edge.red ? "url(#head-red)" : "url(#head)",
                    d: `M${x0 - 8} ${y0 - 11}c-10 -20 26 -20 16 0`
                },
                title);
        const length = Math.hypot(x1 - x0, y1 - y0), ux = (x1 - x0) / length, uy = (y1 - y0) / length;
        const middle = [(x0 + x1) / 2 - uy * 14, (y0 + y1) / 2 + ux * 14];
        return svg(
            "path", {
                class: "edge" + (edge.red ? " red" : ""),
                "marker-end": edge.red ? "url(#head-red)" : "url(#head)",
                d: `M${x0 + ux * 15} ${y0 + uy * 15}Q${middle} ${x1 - ux * 18} ${y1 - uy * 18}`
            },
            title);
    };
    const head = (id, fill) =>
        svg("marker",
            {id, viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 6, markerHeight: 6, orient: "auto"},
            svg("path", {d: "M0 0L8 4L0 8z", fill}));
    const list = [...edges.values()].map(edge => edge.from + " → " + edge.to).join(", ");
    return [
        svg("svg", {class: "waits", width: size, height: size, role: "img", "aria-label": "waits: " + list},
            svg("defs", {}, head("head", "var(--soft)"), head("head-red", "var(--bad-fill)")),
            [...edges.values()].map(arrow), [...Array(ranks).keys()].map(rank => {
                const [x, y] = place(rank);
                return [
                    svg("circle", {cx: x, cy: y, r: 13}),
                    svg("text", {x, y: y + 4, "text-anchor": "middle"}, String(rank))
                ];
            })),
        h("p", {class: "soft"},
          "An arrow points to the rank whose words are missing" +
              ([...edges.values()].some(edge => edge.red) ? "; red: they are there, and refused." : "."))
    ];
}
