/* One bundle, told in the order in which a person asks. */

const PROJECTS = {
    "sglang": "sgl-project/sglang",
    "vllm": "vllm-project/vllm",
    "NCCL": "NVIDIA/nccl",
    "flashinfer": "flashinfer-ai/flashinfer",
    "TRT-LLM": "NVIDIA/TensorRT-LLM",
    "pytorch": "pytorch/pytorch",
    "rccl": "ROCm/rccl",
    "aiter": "ROCm/aiter",
    "tvm": "apache/tvm",
    "vllm-ascend": "vllm-project/vllm-ascend"
};

function incidentsElement(text) {
    return text.split(", ").flatMap((name, i) => {
        const [project, number] = name.split("#");
        const link = PROJECTS[project] && /^\d+$/.test(number) ?
            h("a", {href: "https://github.com/" + PROJECTS[project] + "/issues/" + number}, name) :
            name;
        return i ? [", ", link] : [link];
    });
}

function callText(call) {
    return "call " + call.call + " (site " + call.site + ", " + call.protocol + ", " +
        plural(call.tokens, "token") + ", stream " + call.stream +
        (call.graph === undefined ?
             ", eager" :
             ", graph " + call.graph + " node " + call.node + " replay " + call.replay) +
        ")";
}

/* What the rows of a source's input hold that the program never wrote; "" where that is not known or not
 * so. */
function unwrittenText(slot) {
    if (slot.source_rows_written === undefined || slot.token < slot.source_rows_written)
        return "";
    return "Row " + slot.token + " of rank " + slot.source +
        "'s input to this call was never written since its " +
        "block was taken from the pool (rows written: " +
        (slot.source_rows_written ? "0 to " + (slot.source_rows_written - 1) : "none") +
        "): it holds what another tensor left there.";
}

function whyText(slot, bundle) {
    if (slot.state === "refused" && bundle.slots.compare === "float-ftz")
        return "The wait compares words as floats with subnormals flushed to zero, so every word from " +
            "0x80000000 to 0x807fffff equals -0.0, the sentinel. Polling again can never change that.";
    if (slot.state === "refused")
        return "The wait (comparison: " + bundle.slots.compare +
            ") takes this data for the sentinel. Polling " +
            "again can never change that.";
    return holdsData(slot.stage) ?
        "That is the sentinel itself, “not arrived”: whoever should write it has not, or " +
            "it was cleared again." :
        "";
}

function historyText(slot) {
    const history = slot.history, parts = [];
    if (!history)
        return "";
    parts.push(
        history.stored ? "Last stored by rank " + history.stored.by + " in its call " +
                history.stored.call + " at " + timeText(history.stored.ns) + "." :
                         "Nobody has ever stored to it.");
    if (history.cleared)
        parts.push(
            "Last cleared by rank " + history.cleared.by +
            (history.cleared.call === undefined ? " when it initialised its workspace" :
                                                  " in its call " + history.cleared.call) +
            " at " + timeText(history.cleared.ns) + ".");
    return parts.join(" ");
}

function waitElement(bundle) {
    const slot = namedSlot(bundle);
    if (!slot || bundle.verdict.verdict !== "hang")
        return null;
    const layout = bundle.slots.layouts[slot.workspace || 0] || {};
    return h(
        "div", {class: "callout" + (slot.state === "refused" ? "" : " doubtful")},
        h("p", {},
          holdsData(slot.stage) ?
              [
                  "Rank " + slot.rank + " waits for ",
                  h("b", {},
                    "word " + slot.first_missing + " of row " + slot.token + " from rank " + slot.source),
                  " (stage " + slot.stage + ", buffer " + slot.buffer + "; " + slot.missing + " of " +
                      plural(slot.words, "word") + " missing). It holds ",
                  h("code", {}, slot.value), ":"
              ] :
              "Rank " + slot.rank + " waits in stage " + slot.stage + " for rank " + slot.source +
                  ": word " + slot.at + " of the workspace holds " + slot.value + "."),
        holdsData(slot.stage) ? bitsElement(layout.dtype, Number(slot.value)) : null,
        [whyText(slot, bundle), unwrittenText(slot), historyText(slot)].filter(Boolean).map(
            text => h("p", {}, text)));
}

function ranksElement(verdict) {
    return h(
        "table", {},
        h("thead", {},
          h("tr", {},
            ["", "oldest call", "began", "behind it", "host", "in", "last progress"].map(
                name => h("th", {scope: "col"}, name)))),
        h("tbody", {}, verdict.ranks.map(rank => {
            const call = rank.pending[0], room = rank.residency || {};
            const starting = call && room.started >= 0 && room.started < room.ctas ?
                "; " + room.started + " of its " + room.ctas + " CTAs have started" :
                "";
            return h(
                "tr", {}, h("th", {scope: "row"}, "rank " + rank.rank),
                h("td", {}, call ? callText(call) + starting : h("span", {class: "soft"}, "none pending")),
                h("td", {class: "number"},
                  !call                           ? "" :
                      call.begun_ns === undefined ? "not begun" :
                                                    timeText(call.begun_ns)),
                h("td", {class: "number"}, call ? String(rank.pending.length - 1) : ""),
                h("td", {}, rank.host), h("td", {}, rank.what || ""),
                h("td", {class: "number"}, timeText(rank.progress_ns)));
        })));
}

function divergenceElement(divergence) {
    if (!divergence)
        return null;
    return [
        h("p", {},
          "Call " + divergence.call + " on workspace " + divergence.workspace +
              " is the first that is not the same on all ranks."),
        h("dl", {},
          divergence.ranks.map(
              rank =>
                  [h("dt", {}, "rank " + rank.rank),
                   h("dd", {}, rank.record ? callText(rank.record) : "has not issued it")]))
    ];
}

function wrongElement(wrong) {
    if (!wrong)
        return null;
    return [
        h("p", {},
          "Rank " + wrong.rank + ", " + callText(wrong.record) + ": element " + wrong.element + " of row " +
              wrong.token + " in the " + wrong.output + " output is ",
          h("code", {}, wrong.got), " and should be ", h("code", {}, wrong.want),
          "; " + plural(wrong.count, "element") + " of this call are wrong (" + wrong.kind + ")."),
        wrong.source === undefined ?
            null :
            h("p", {},
              "It fits what rank " + wrong.source + " had sent for call " + wrong.source_call + ".")
    ];
}

/* Edges of the wait-for graph in words, and whether they can end. */
function proofElement(waits) {
    if (!waits || !waits.edges.length)
        return null;
    return h("details", {open: waits.stuck.length > 0},
             h("summary", {},
               waits.stuck.length ? plural(waits.stuck.length, "rank") + " can never go on" :
                                    "whether these waits can end is not decided"),
             h("dl", {},
               waits.edges.map(edge => [h("dt", {}, "rank " + edge.rank + " on rank " + edge.source),
                                        h("dd", {}, "call " + edge.call + ", " + edge.stage + ": " + edge.why)])));
}

/* Flags of all ranks side by side; lines that differ are marked. */
function flagsElement(flags) {
    const all = flags ? flags.workspaces : [];
    return [...new Set(all.map(w => w.workspace))].map(number => {
        const ranks = all.filter(w => w.workspace === number);
        const names = [...new Set(ranks.flatMap(w => Object.keys(w.flags || {})))];
        const line = (name, value) => {
            const values = ranks.map(value);
            return h(
                "tr", {class: new Set(values).size > 1 ? "differs" : ""}, h("th", {scope: "row"}, name),
                values.map(v => h("td", {class: "number"}, v === undefined ? "?" : String(v))));
        };
        return h(
            "div", {class: "scroll"},
            h("table", {},
              h("thead", {},
                h("tr", {}, h("th", {}, "workspace " + number),
                  ranks.map(w => h("th", {class: "number", scope: "col"}, "rank " + w.rank)))),
              h("tbody", {},
                ["enqueued", "begun", "ended"].map(name => line("calls " + name, w => w[name])),
                names.map(name => line(name, w => (w.flags || {})[name])))));
    });
}

function factsElement(verdict) {
    const c = verdict.configuration || {}, real = c.real || {}, executed = c.executed || {};
    const facts = [
        ["configuration", c.ranks + " ranks, " + c.backend + " (strategy " + c.strategy + "), " + c.dtype],
        ["schedule", c.mode + (c.mode === "piecewise" ? ", fusion " + c.fusion : "") + ", rows " + c.rows],
        [
            "sizes",
            "hidden " + real.hidden + ", up to " + plural(real.tokens_max, "token") + " a call" +
                (real.hidden === executed.hidden && real.tokens_max === executed.tokens_max ?
                     "" :
                     "; executed as hidden " + executed.hidden + ", up to " + executed.tokens_max)
        ],
        ["engine", verdict.engine + ", run " + verdict.run + ", seed " + verdict.seed],
        ["results checked", verdict.calls_checked],
        ["evidence taken", timeText(verdict.time_ns) + " into the run"]
    ];
    for (const fault of c.faults || [])
        facts.push([
            "injected",
            fault.fault + " on rank " + fault.rank + ", call " + fault.call +
                (fault.fired ? ", fired" : ", has not fired")
        ]);
    for (const note of verdict.notes || []) facts.push([note.severity, note.text]);
    return h("dl", {}, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))]));
}

function certaintyElement(verdict, causes) {
    const cause = causes[verdict.cause];
    if (!cause)
        return null;
    const facts = [
        [
            verdict.certainty,
            verdict.verdict !== "hang" ?
                "the result was recomputed in float64 from what every rank had put in" :
                verdict.quiescent ? "the simulator saw that no step of any agent is enabled" :
                                    "no rank had made progress for " + timeText(verdict.stalled_ns) +
                    " when the evidence was taken"
        ],
        [verdict.cause, cause.meaning], ["decided by", cause.evidence]
    ];
    if (verdict.other_cause)
        facts.push(["not excluded", verdict.other_cause]);
    facts.push(["what to do", cause.hint]);
    if (cause.incidents)
        facts.push(["seen before", incidentsElement(cause.incidents)]);
    return h("dl", {}, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/* Frames without names in a row say no more than one line does. */
function foldedStack(text) {
    const lines = [];
    let frames = 0, object = "";
    const unfold = () => {
        if (frames)
            lines.push("    ... " + plural(frames, "frame") + " without names in " + object);
        frames = 0;
    };
    for (const line of text.split("\n")) {
        const nameless = /^ *#\d+ 0x[0-9a-f]+ of (.*) \(/.exec(line);
        if (nameless) {
            frames++;
            object = nameless[1];
            continue;
        }
        unfold();
        lines.push(line);
    }
    unfold();
    return lines.join("\n");
}

/* Where the program of a rank stands, then the stacks of its threads, where there are any. */
function stackElement(text, rank) {
    const [program, ...threads] = text.split("\n\n"), facts = rank || {};
    return h(
        "div", {}, "rank " + facts.rank, h("pre", {}, program),
        facts.driver_call ?
            h("p", {}, "Inside ", h("code", {}, facts.driver_call),
              facts.called_by ? ", called by " + facts.called_by : "") :
            null,
        threads.length ?
            h("details", {}, h("summary", {}, "threads of its process"),
              h("pre", {}, foldedStack(threads.join("\n\n")))) :
            null);
}

function stacksElement(bundle) {
    if (!(bundle.stacks || []).some(Boolean))
        return null;
    return h("div", {class: "stacks"},
             bundle.stacks.map((text, i) => stackElement(text, bundle.verdict.ranks[i])));
}

/* The shell's 'quoting'. */
const quoted = text => "'" + text.replaceAll("'", "'\\''") + "'";

function againElement(bundle) {
    const verdict = bundle.verdict,
          other = (bundle.files || [])
                      .filter(
                          name => !["flags.json", "gpucore", "pc.json", "repro.sh", "stacks", "scenario.yaml",
                                    "slots.json", "timeline.jsonl", "verdict.json"]
                                       .includes(name) &&
                              !/^workspace-/.test(name));
    return [
        copyable("sh " + quoted(bundle.path + "/repro.sh")),
        copyable("hanglab explain " + quoted(bundle.path)),
        copyable("hanglab report --trace trace.json " + quoted(bundle.path)),
        bundle.scenario ? h("details", {}, h("summary", {}, "the scenario, this case only"),
                            h("p", {}, "With it: ",
                              h("code", {},
                                "hanglab run --engine " + verdict.engine + " --run-seed " + verdict.seed +
                                    " scenario.yaml")),
                            copyable(bundle.scenario)) :
                          null,
        other.length ? h("p", {class: "soft"}, "Also in the bundle: " + other.join(", ")) : null
    ];
}

/* A command that hanglab watched: processes, and no ranks of hanglab's own. */
function watchedElement(bundle, causes) {
    const verdict = bundle.verdict;
    return h("div", {}, part("What was watched", copyable(verdict.title)),
             part("Why, and how certain", certaintyElement(verdict, causes)),
             part("What device and driver were doing", devicesElement(verdict.devices)),
             part("What the device executes", samplesElement(bundle.pc)),
             part("Host stacks", bundle.stacks.map((text, i) => h("div", {}, "process " + i, h("pre", {}, foldedStack(text))))),
             part("Read it again", copyable("hanglab explain " + quoted(bundle.path))));
}

function bundleElement(bundle, causes) {
    const verdict = bundle.verdict;
    if (!verdict)
        return h("p", {}, "This bundle cannot be read: " + bundle.path);
    if (verdict.engine === "watch")
        return watchedElement(bundle, causes);
    if (!bundle.flags)
        return h(
            "div", {}, factsElement(verdict),
            part("Why, and how certain", certaintyElement(verdict, causes)),
            part("Run it again", againElement(bundle)),
            h("p", {class: "soft"},
              "There was no room for its timeline, " +
                  "slots and flags in this page. They are in a page of its own: ",
              h("code", {}, "hanglab report " + quoted(bundle.path))));
    return h(
        "div", {},
        h("div", {class: "columns"}, h("div", {}, part("What was run", factsElement(verdict))),
          h("div", {}, part("Why, and how certain", certaintyElement(verdict, causes)))),
        verdict.crash ? part("Why it crashed", h("p", {}, verdict.crash)) : null,
        part("What is wrong", wrongElement(verdict.wrong)), part("What is waited for", waitElement(bundle)),
        part("Timeline", bundle.timeline && timelineElement(bundle.timeline, verdict)),
        part("Slots of the waiting calls", slotsElement(bundle)),
        h("div", {class: "columns"}, h("div", {}, part("Who waits for whom", [waitGraphElement(bundle), proofElement(verdict.waits)])),
          h("div", {}, part("Flags, rank by rank", flagsElement(bundle.flags)))),
        part("Ranks", h("div", {class: "scroll"}, ranksElement(verdict))),
        part("Where the ranks part", divergenceElement(verdict.divergence)),
        part("What device and driver were doing", devicesElement(verdict.devices)),
        part("What the device executes", samplesElement(bundle.pc)),
        part("Where the lanes of the GPU stood", gpuCoreElement(bundle.gpucore)),
        part("Host stacks", stacksElement(bundle)), part("Run it again", againElement(bundle)));
}
