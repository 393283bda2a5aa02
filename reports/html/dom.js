"use strict";
/* Elements are made here and nowhere else. Text goes in as text: nothing from a bundle ever becomes markup.
 */

function add(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
        if (typeof value === "function")
            element.addEventListener(name, value);
        else if (value !== undefined && value !== null && value !== false)
            element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(Infinity).filter(
        child => child !== null && child !== undefined && child !== false));
    return element;
}

function h(name, attributes, ...children) {
    return add(document.createElement(name), attributes, children);
}

function svg(name, attributes, ...children) {
    return add(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function data(id) {
    const script = document.getElementById(id);
    return script ? JSON.parse(script.textContent) : null;
}

function timeText(ns) {
    if (ns === undefined || ns === null || ns < 0)
        return "?";
    for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]])
        if (ns >= size)
            return (ns / size).toFixed(3) + " " + unit;
    return ns + " ns";
}

function plural(count, what) { return count + " " + what + (count === 1 ? "" : "s"); }

const VERDICT_CLASS = {
    pass: "good",
    hang: "bad",
    corrupt: "bad",
    crash: "bad",
    slow: "doubt",
    inconclusive: "doubt",
    skipped: "soft"
};

function verdictElement(verdict) {
    return h("span", {class: VERDICT_CLASS[verdict] || "doubt"}, verdict || "?");
}

function copyable(text) {
    const button =
        h("button", {
            type: "button",
            click: async () => {
                let copied = true;
                try {
                    await navigator.clipboard.writeText(text);
                } catch {
                    /* No clipboard on a page opened from a file, in some browsers. */
                    getSelection().selectAllChildren(shown);
                    copied = document.execCommand("copy");
                }
                button.textContent = copied ? "copied" : "press Ctrl+C";
                setTimeout(() => {
                    button.textContent = "copy";
                }, 1500);
            }
        },
          "copy");
    const shown = h("pre", {}, text);
    return h("div", {class: "command"}, shown, button);
}

/* The heading goes away with what it heads. */
function part(title, ...children) {
    const shown = children.flat(Infinity).filter(Boolean);
    return shown.length ? h("section", {}, h("h3", {}, title), shown) : null;
}
