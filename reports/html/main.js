/* Puts the page together. A bundle's data is parsed when it is opened, so that the page shows at once. */

function summaryElement(report) {
    const counts =
        VERDICTS.map(verdict => [verdict, report.cases.filter(c => c.verdict === verdict).length])
            .filter(([, n]) => n);
    const unexpected = report.cases.filter(c => c.ok === false).length;
    const told = report.cases.some(c => c.ok !== undefined);
    if (!report.cases.length)
        return [plural(report.explored.length, "configuration") + " explored."];
    return [
        plural(report.cases.length, "configuration") + ": ",
        counts.flatMap(([verdict, n], i) => [i ? ", " : "", n + " ", verdictElement(verdict)]),
        told ?
            [
                ", ",
                unexpected ?
                    h("span", {class: "unexpected"}, unexpected + " UNEXPECTED") :
                    h("span", {class: "good"},
                      report.cases.some(c => c.verdict === "skipped") ? "all that ran as expected" :
                                                                        "all as expected")
            ] :
            "",
        report.summary && report.summary.interrupted ? h("span", {class: "doubt"}, "; interrupted") : "",
        "."
    ];
}

function bundleSection(c, report) {
    const details = h("details", {class: "bundle", id: "evidence-" + c.bundle});
    let filled = false;
    details.fill = () => {
        if (filled)
            return;
        filled = true;
        try {
            details.append(bundleElement(data("bundle-" + c.bundle), report.causes));
        } catch (error) { /* files that are foreign or damaged: the rest of the page stands */
            details.append(h("p", {class: "bad"}, "This bundle cannot be shown: " + error.message));
        }
    };
    details.addEventListener("toggle", () => {
        if (details.open)
            details.fill();
    });
    details.append(
        h("summary", {}, verdictElement(c.verdict),
          c.cause ? [h("b", {}, " " + c.cause), ", " + c.certainty] : "", h("p", {class: "id"}, c.id),
          c.finding ? h("p", {}, c.finding) : ""));
    return details;
}

/* Light or dark, as the system has it until the reader chooses. */
function followTheme() {
    const root = document.documentElement, button = document.getElementById("theme");
    const system = matchMedia("(prefers-color-scheme: dark)");
    let chosen = null;
    const apply = () => {
        const dark = chosen === null ? system.matches : chosen;
        root.dataset.theme = dark ? "dark" : "light";
        button.textContent = dark ? "light" : "dark";
    };
    const toggle = () => {
        chosen = root.dataset.theme !== "dark";
        apply();
    };
    system.addEventListener("change", apply);
    button.addEventListener("click", toggle);
    apply();
    return toggle;
}

function listenToKeys(sections, toggleTheme) {
    const step = by => {
        const shown = sections.filter(section => !section.hidden);
        const at = shown.indexOf(document.activeElement.closest(".bundle"));
        const next = shown[Math.min(Math.max(at + by, 0), shown.length - 1)];
        if (next) {
            next.firstElementChild.focus();
            next.scrollIntoView({block: "start"});
        }
    };
    document.addEventListener("keydown", event => {
        if (event.ctrlKey || event.metaKey || event.altKey)
            return;
        const search = document.getElementById("search");
        if (event.target === search) {
            if (event.key === "Escape")
                search.blur();
            return;
        }
        const keys = {"/": () => search.focus(), j: () => step(1), k: () => step(-1), d: toggleTheme};
        if (keys[event.key]) {
            keys[event.key]();
            event.preventDefault();
        }
    });
}

function main() {
    const report = data("data"), toggleTheme = followTheme();
    const title = new Set(report.cases.concat(report.explored).map(scenarioOf));
    document.getElementById("title").textContent =
        [...title].slice(0, 3).join(", ") + (title.size > 3 ? ", …" : "");
    document.title = "hanglab: " + document.getElementById("title").textContent;
    document.getElementById("summary").append(...summaryElement(report).flat(3));
    const withBundle = report.cases.filter(c => c.bundle !== undefined);
    const sections = withBundle.sort((a, b) => a.bundle - b.bundle).map(c => bundleSection(c, report));
    document.getElementById("bundles").append(...sections);
    document.getElementById("explored").append(...report.explored.map(exploredElement));
    for (const id of ["filter", "cases", "nothing"])
        document.getElementById(id).classList.toggle("none", !report.cases.length);
    showCases(report.cases, shown => sections.forEach((section, i) => {
        section.hidden = !shown.has(withBundle[i]);
    }));
    const openNamed = () => {
        const named = location.hash && document.getElementById(location.hash.slice(1));
        if (named && named.matches(".bundle")) {
            named.open = true;
            named.fill();
            named.scrollIntoView();
        }
    };
    addEventListener("hashchange", openNamed);
    document.addEventListener("click", event => {
        if (event.target.closest("a[href^='#evidence-']"))
            setTimeout(openNamed); /* also when it is named already */
    });
    listenToKeys(sections, toggleTheme);
    openNamed();
    if (sections.length === 1 && !location.hash)
        sections[0].open = true;
}

main();
