/* What tools saw of the device: launches and driver calls that do not end, samples of its program counters,
 * and where each lane of a core stood. */

function unfinishedElement(launch) {
    if (!launch)
        return null;
    const place = launch.node >= 0 && launch.graph_kernels
                      ? ", node " + launch.node + " of a graph with " + plural(launch.graph_kernels, "kernel")
                  : launch.graph_kernels ? ", in a graph with " + plural(launch.graph_kernels, "kernel")
                  : launch.grid          ? ", grid " + launch.grid.join(" x ")
                                         : "";
    return h("li", {}, "does not end: ",
             h("code", {}, launch.kernel || "a kernel that this level of detail does not name"),
             place + "; launches behind it on its stream: " + launch.behind +
                 (launch.device ? "; " + launch.device : ""));
}

function devicesElement(devices) {
    if (!(devices || []).length)
        return null;
    return devices.map(
        (device, i) =>
            h("div", {},
              h("p", {},
                "Process " + i + ": " + device.pid + (device.command ? ", " + device.command : "") +
                    ", detail " + device.detail +
                    (device.stall === "none" ? ", goes on"
                                             : ", no progress for " + timeText(device.stalled_ns))),
              h("ul", {}, device.lacks ? h("li", {}, "missing: " + device.lacks) : null,
                unfinishedElement(device.unfinished),
                device.calls.map(call => h("li", {}, "thread " + call.tid + " is in ",
                                           h("code", {}, call.call), " for " + timeText(call.for_ns))))));
}

/* Lines with at least a hundredth of the samples. */
function samplesElement(pc) {
    const processes = ((pc || {}).processes || []).filter(process => process.lines.length);
    if (!processes.length)
        return null;
    return processes.map(
        process =>
            h("div", {class: "scroll"},
              h("p", {}, "Process " + process.process + ", " + plural(process.samples, "PC sample")),
              h("table", {},
                h("thead", {},
                  h("tr", {}, ["share", "line", "kernel"].map(name => h("th", {scope: "col"}, name)))),
                h("tbody", {},
                  process.lines.filter(line => line.share >= 0.01)
                      .map(line => h("tr", {},
                                     h("td", {class: "number"}, (line.share * 100).toFixed(1) + " %"),
                                     h("td", {}, line.file ? line.file + ":" + line.line : "?"),
                                     h("td", {}, h("code", {}, line.kernel || "?"), " + " + line.pc)))))));
}

const SIDES = {"in": "in the wait", "past": "past it", "before": "before it"};

function kernelElement(kernel) {
    const wait = kernel.wait;
    return [
        h("p", {}, h("code", {}, kernel.kernel || "?"),
          ", grid " + kernel.grid.join(" x ") + ": " + plural(kernel.blocks_on_device, "block") +
              " on the GPU, " + plural(kernel.lanes, "lane") + ", " + kernel.lanes_exited + " exited" +
              (wait ? "; " + wait.lanes_in + " poll in the wait, " + wait.lanes_past + " are past it, " +
                          wait.lanes_before + " have not come to it"
                    : "") +
              "."),
        h("table", {},
          h("thead", {},
            h("tr", {},
              ["", "lanes", "warps", "blocks", "at"].map(name => h("th", {scope: "col"}, name)))),
          h("tbody", {},
            kernel.places.map(
                place => h("tr", {}, h("th", {scope: "row"}, SIDES[place.wait] || ""),
                           ["lanes", "warps", "blocks"].map(
                               key => h("td", {class: "number"}, String(place[key]))),
                           h("td", {},
                             place.file ? place.file + ":" + place.line
                                        : (place.function || "?") + " + 0x" + place.offset.toString(16))))))
    ];
}

function gpuCoreElement(summary) {
    if (!summary)
        return null;
    return summary.cores.map(
        core => core.why_not ? h("p", {}, "No GPU core of rank " + core.rank + ": " + core.why_not)
                             : h("div", {class: "scroll"}, core.kernels.map(kernelElement)));
}
