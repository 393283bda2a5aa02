/* Runs inside a copy of the page, behind its own script. It tells the console lines "ok ..." and "not ok
 * ...", and numbers that check.sh compares with their targets. */
(function() {
"use strict";
const lines = [], errors = [];
const check = (good, what) => lines.push((good ? "ok " : "not ok ") + what);
addEventListener("error", event => errors.push(event.message));
const layout = () => document.body.offsetHeight;
const rowsShown = () => {
    dispatchEvent(new Event("beforeprint")); /* all rows, not only those near the screen */
    return document.querySelectorAll("#cases tbody tr").length;
};
const press = (target, key) => target.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
const filterFor = text => {
    const search = document.getElementById("search"), begun = performance.now();
    search.value = text;
    search.dispatchEvent(new Event("input"));
    layout();
    return performance.now() - begun;
};

function checkTable(cases) {
    /* The slowest of four keys, and of five such rounds the one in the middle: other work disturbs some. */
    const rounds = [1, 2, 3, 4, 5].map(() => Math.max(...["hang", "", "no such case", ""].map(filterFor)));
    lines.push("filter_ms " + rounds.sort((x, y) => x - y)[2].toFixed(1));
    check(rowsShown() === cases.length, "a row for each of " + cases.length + " cases");
    filterFor("no such case");
    check(rowsShown() === 0 && !document.getElementById("nothing").hidden, "an empty result says so");
    filterFor("");
    const heading = document.querySelector("#cases thead button");
    heading.click();
    heading.click();
    check(heading.parentElement.getAttribute("aria-sort") === "descending", "a heading sorts");
    check(rowsShown() === cases.length, "sorting loses nothing");
    const chip = document.querySelector("#filter button");
    chip.click();
    check(rowsShown() > 0 && chip.getAttribute("aria-pressed") === "true", "a verdict filters");
    chip.click();
}

function checkBundle() {
    const section = document.querySelector(".bundle");
    section.open = true;
    section.fill();
    check(section.querySelector(".timeline rect.stalled"), "the stalled wait is in the timeline");
    check(section.querySelector(".map i.refused"), "the refused slot is in the map");
    check(section.querySelector(".words .refused"), "its refused word is shown");
    check(section.querySelector(".bits .sign"), "with its bits");
    check(section.querySelector(".waits .edge.red"), "the wait-for graph has its arrow");
    check(section.querySelector(".stacks pre").textContent.length > 0, "host stacks are there");
    check(/was never written/.test(section.textContent), "the row that nobody wrote is named");
    check(/repro\.sh/.test(section.textContent), "it can be run again");
    check(!/cannot be shown/.test(section.textContent), "nothing of it stopped the page");
    check(!/object HTML|undefined|NaN ms/.test(section.textContent), "no value is missing");
    const picture = section.querySelector(".timeline svg"), before = picture.innerHTML;
    press(picture, "+");
    check(picture.innerHTML !== before, "the timeline zooms by key");
    press(picture, "ArrowUp");
    check(section.querySelector(".timeline .chosen"), "and a span is chosen by key");
}

/* Only where there is a command that was watched. */
function checkWatched() {
    const section = [...document.querySelectorAll(".bundle")].find(one => /server/.test(one.textContent));
    if (!section)
        return;
    section.open = true;
    section.fill();
    const said = section.textContent;
    check(/wait_for_peer.*node 3 of a graph with 5 kernels/.test(said), "the node that does not end is named");
    check(/100.0 %wait\.cu:30/.test(said), "samples are told by line");
    check(/process 7 "server"/.test(said), "stacks of processes are there");
    check(!/cannot be shown|undefined/.test(said), "a watched command has a page");
}

function checkPage() {
    const theme = document.documentElement.dataset.theme;
    press(document.body, "d");
    check(document.documentElement.dataset.theme !== theme, "d changes light and dark");
    press(document.body, "/");
    check(document.activeElement.id === "search", "/ goes to the filter");
    check(
        !document.querySelector("img, iframe, script[src], link"), "nothing is loaded, no markup slips in");
    check(errors.length === 0, "no error of a script " + errors.join("; "));
}

const report = JSON.parse(document.getElementById("data").textContent);
setTimeout(() => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    lines.push("paint_ms " + (paint ? paint.startTime.toFixed(0) : "unknown"));
    checkTable(report.cases);
    checkBundle();
    checkWatched();
    checkPage();
    for (const line of lines.concat("done")) console.log("check: " + line);
}, 1000); /* painted by then */
})();
