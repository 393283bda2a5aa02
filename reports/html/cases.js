/* The table of configurations: filtered by words and verdicts, sorted by any column. */

const VERDICTS = ["hang", "corrupt", "crash", "slow", "inconclusive", "pass", "skipped"];
const collator = new Intl.Collator(undefined, {numeric: true});

/* The axes in which the cases differ, by the shortest name that tells them apart. */
function findAxes(cases) {
    const values = new Map();
    for (const c of cases)
        for (const path of Object.keys(c.params || {}))
            values.set(path, (values.get(path) || new Set()).add(c.params[path]));
    const full = new Map();
    for (const c of cases)
        for (const path of Object.keys(c.params || {})) full.set(path, (full.get(path) || 0) + 1);
    const paths = [...values.keys()].filter(p => values.get(p).size > 1 || full.get(p) < cases.length);
    const last = path => path.split(".").pop();
    return paths.map(
        path => ({path, name: paths.filter(p => last(p) === last(path)).length > 1 ? path : last(path)}));
}

const scenarioOf = c => (c.id || "").split("/")[0];

function culpritText(c) {
    if (!c)
        return "";
    const parts = [];
    for (const key of ["rank", "call", "stage"])
        if (c[key] !== undefined)
            parts.push(key === "stage" ? c[key] : key + " " + c[key]);
    if (c.slot && c.slot.token !== undefined)
        parts.push("row " + c.slot.token + (c.slot.rank !== undefined ? " of rank " + c.slot.rank : ""));
    return parts.join(", ");
}

function rateElement(c) {
    if (c.rate === undefined || !c.rate_ci95)
        return "";
    const [low, high] = c.rate_ci95.map(x => Math.max(0, Math.min(1, x)));
    const percent = x => Math.round(x * 100);
    const bar = svg(
        "svg", {class: "rate", viewBox: "0 0 64 12", "aria-hidden": "true"},
        svg("rect", {x: 0, y: 5, width: 64, height: 2}),
        svg("rect", {class: "range", x: 64 * low, y: 3, width: Math.max(1, 64 * (high - low)), height: 6}),
        svg("rect", {class: "point", x: 62 * c.rate, y: 1, width: 2, height: 10}));
    return [bar, h("span", {class: "interval"}, percent(low) + "–" + percent(high) + " %")];
}

function expectedElement(c) {
    if (c.ok === undefined)
        return "";
    if (c.ok)
        return h("span", {class: "good"}, "ok");
    return h(
        "span", {class: "unexpected"},
        c.expected === c.verdict ? "UNEXPECTED" : "UNEXPECTED, not " + c.expected);
}

function caseColumns(cases) {
    const axes = findAxes(cases), columns = [];
    if (new Set(cases.map(scenarioOf)).size > 1)
        columns.push({name: "scenario", key: scenarioOf, cell: scenarioOf});
    for (const axis of axes) {
        const value = c => (c.params || {})[axis.path] || "";
        columns.push({name: axis.name, title: axis.path, class: "axis", key: value, cell: value});
    }
    if (!axes.length)
        columns.push({name: "case", key: c => c.id, cell: c => c.id});
    const hung = c => c.runs ? h("span", {class: c.hangs ? "" : "soft"}, c.hangs + "/" + c.runs) : "";
    return columns.concat([
        {
            name: "verdict",
            class: "verdict",
            key: c => VERDICTS.indexOf(c.verdict),
            cell: c => c.bundle === undefined ?
                verdictElement(c.verdict) :
                h("a", {href: "#evidence-" + c.bundle, title: "to its evidence"}, verdictElement(c.verdict))
        },
        {name: "hung", class: "number", key: c => c.runs ? c.hangs / c.runs : -1, cell: hung},
        {
            name: "rate, 95 %",
            class: "number",
            key: c => c.rate === undefined ? -1 : c.rate,
            cell: rateElement
        },
        {
            name: "cause",
            class: "cause",
            key: c => c.cause || "~",
            cell: c => c.cause ?
                [c.cause, c.certainty === "proven" ? "" : h("span", {class: "soft"}, " " + c.certainty)] :
                h("span", {class: "soft"}, "–")
        },
        {
            name: "culprit",
            class: "culprit",
            key: c => culpritText(c.culprit),
            cell: c => h(
                "span", {class: "soft"},
                culpritText(c.culprit) || (c.verdict === "pass" ? "" : c.reason || c.evidence_error || ""))
        },
        {name: "expected", key: c => c.ok === undefined ? 2 : Number(c.ok), cell: expectedElement},
    ]);
}

function cellElement(column, c) {
    const content = column.cell(c), long = typeof content === "string" && content.length > 48;
    return h("td", {class: [column.class, long && "long"].filter(Boolean).join(" ")}, content);
}

/* Rows that are made at a time: more of them as the reader comes to the end, all of them for print. A table
 * of thousands of rows takes half a second to lay out at each key that is pressed in the filter. */
const ROWS_AT_A_TIME = 60;

/* Fills `body` with rows of a list that changes; an element is made when its row is first shown. */
function growingBody(body, end, makeRow) {
    let list = [], count = 0;
    const more = (n = ROWS_AT_A_TIME) => {
        body.append(
            ...list.slice(count, count + n).map(row => row.element || (row.element = makeRow(row.c))));
        count = Math.min(count + n, list.length);
    };
    const watch = new IntersectionObserver(entries => {
        if (!entries.some(entry => entry.isIntersecting) || count >= list.length)
            return;
        more();
        watch.unobserve(end); /* it may still be in view: ask again */
        watch.observe(end);
    }, {rootMargin: "800px"});
    watch.observe(end);
    addEventListener("beforeprint", () => more(Infinity));
    return rows => {
        list = rows;
        count = 0;
        body.replaceChildren();
        more();
    };
}

/* Fills the table and the filter. `onFilter` gets the set of cases that are shown. */
function showCases(cases, onFilter) {
    const table = document.getElementById("cases"), form = document.getElementById("filter");
    const columns = caseColumns(cases), body = h("tbody"), nothing = document.getElementById("nothing");
    const put = growingBody(
        body, document.getElementById("end"),
        c => h("tr", {}, columns.map(column => cellElement(column, c))));
    const rows =
        cases.map((c, order) => ({
                      c,
                      order,
                      text: [c.id, c.verdict, c.cause, c.certainty, c.ok === false ? "unexpected" : ""]
                                .join(" ")
                                .toLowerCase()
                  }));
    const on = new Set();
    let sorted = null, direction = 0;

    function filter() {
        const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
        const fitting = rows.filter(
            row => words.every(word => row.text.includes(word)) &&
                (!on.size || on.has(row.c.verdict) || (on.has("unexpected") && row.c.ok === false)));
        count.value = fitting.length === cases.length ?
            plural(cases.length, "configuration") :
            fitting.length + " of " + cases.length + " configurations";
        nothing.hidden = fitting.length > 0;
        put(fitting);
        onFilter(new Set(fitting.map(row => row.c)));
    }

    function sort(column) {
        direction = sorted !== column ? 1 : direction === 1 ? -1 : 0;
        sorted = direction ? column : null;
        for (const other of columns) other.heading.removeAttribute("aria-sort");
        if (direction)
            column.heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
        const compare = (a, b) => typeof a === "number" ? a - b || 0 : collator.compare(a, b);
        rows.sort(
            (a, b) =>
                (sorted && direction * compare(sorted.key(a.c), sorted.key(b.c))) || a.order - b.order);
        filter();
    }

    function toggle(button, word) {
        if (!on.delete(word))
            on.add(word);
        button.setAttribute("aria-pressed", on.has(word));
        filter();
    }

    const search = h("input", {
        type: "search",
        placeholder: "filter: words of a case, verdict, cause",
        "aria-label": "Filter",
        input: filter,
        id: "search"
    });
    const chips = VERDICTS.concat("unexpected").map(word => {
        const n = cases.filter(c => word === "unexpected" ? c.ok === false : c.verdict === word).length;
        const button = n &&
            h("button", {type: "button", "aria-pressed": "false", click: () => toggle(button, word)},
              verdictElement(word), " " + n);
        return button;
    });
    const count = h("output", {"aria-live": "polite"});
    form.addEventListener("submit", event => event.preventDefault());
    form.append(search, ...chips.filter(Boolean), count);
    for (const column of columns)
        column.heading =
            h("th", {class: column.class, scope: "col"},
              h("button", {type: "button", title: column.title || "sort", click: () => sort(column)},
                column.name));
    table.append(h("thead", {}, h("tr", {}, columns.map(column => column.heading))), body);
    filter();
}
