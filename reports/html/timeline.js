/* The timeline: a track for each rank's host and one for each of its streams, drawn as SVG of what is in
 * view. */

const TRACK_HEIGHT = 20, RANK_GAP = 8, LABEL_WIDTH = 118, AXIS_HEIGHT = 20;

/* Spans of a bundle by track: {rank, name, spans: [{begin, end, kind, title, label}]}, in order of time. */
function timelineTracks(timeline, end) {
    const tracks = [];
    timeline.ranks.forEach((rank, number) => {
        tracks.push({
            rank: number,
            name: "host",
            spans: rank.host.map(([begin, stop, what]) => ({
                                     begin,
                                     end: stop < 0 ? end : stop,
                                     kind: stop < 0 ? "blocked" : "host",
                                     label: timeline.texts[what],
                                     title: "host: " + timeline.texts[what]
                                 }))
        });
        const streams = new Map();
        for (const call of rank.calls) {
            const track = streams.get(call[7]) ||
                {rank: number, name: "stream " + call[7], spans: [], queued: [], graphs: []};
            streams.set(call[7], track);
            takeCall(track, call, timeline.texts, end);
        }
        for (const track of [...streams.values()].sort((a, b) => collator.compare(a.name, b.name))) {
            track.spans.sort((a, b) => a.begin - b.begin);
            tracks.push(track);
        }
    });
    return tracks;
}

function takeCall(track, call, texts, end) {
    const [enqueued, begin, stop, protocol, number, workspace, site, , tokens, written, graph, node, replay] =
        call;
    if (begin < 0) {
        track.queued.push(enqueued);
        return;
    }
    const from = graph < 0 ? "eager" : "graph " + graph + " node " + node + " replay " + replay;
    track.spans.push({
        begin,
        end: stop < 0 ? end : stop,
        kind: stop < 0 ? "stalled" : "call",
        label: "call " + number + (stop < 0 ? " waits" : ""),
        title: "call " + number + ", workspace " + workspace + ", site " + site + ", " + texts[protocol] +
            ", " + plural(tokens, "token") + ", " + plural(written, "row") + " written, " + from +
            (enqueued < 0 ? "" : ", enqueued " + timeText(enqueued))
    });
    if (graph < 0)
        return;
    const last = track.graphs[track.graphs.length - 1], name = graph + "/" + replay;
    if (last && last.name === name)
        last.end = stop < 0 ? end : stop;
    else
        track.graphs.push({name, begin, end: stop < 0 ? end : stop});
}

/* Round numbers for an axis with about `count` of them. */
function axisTicks(from, to, count) {
    const rough = (to - from) / count, size = 10 ** Math.floor(Math.log10(rough));
    const step = size * [1, 2, 5, 10].find(factor => size * factor >= rough);
    const ticks = [];
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) ticks.push(t);
    return ticks;
}

function drawSpans(track, y, at, view, chosen) {
    const shapes = [];
    let drawnTo = -1;
    for (const graph of track.graphs || []) {
        const x0 = Math.max(at(graph.begin), LABEL_WIDTH), x1 = at(graph.end);
        if (graph.end >= view.from && graph.begin <= view.to && x1 - x0 > 2)
            shapes.push(
                svg("path", {class: "graph", d: `M${x0} ${y + 3}v-3H${x1}v3`},
                    svg("title", {}, "graph " + graph.name.replace("/", ", replay "))));
    }
    for (const span of track.spans) {
        if (span.end < view.from || span.begin > view.to)
            continue;
        const x0 = Math.max(at(span.begin), LABEL_WIDTH), x1 = Math.max(at(span.end), x0 + 1);
        if (x1 <= drawnTo && span !== chosen && span.kind !== "stalled")
            continue; /* less than a pixel, beside another one */
        drawnTo = x1;
        shapes.push(span.shape = svg("rect", {
                        class: span.kind + (span === chosen ? " chosen" : ""),
                        x: x0,
                        y: y + 3,
                        width: x1 - x0,
                        height: TRACK_HEIGHT - 6
                    }));
        span.shape.span = span;
        if (x1 - x0 > 7 * span.label.length + 8)
            shapes.push(
                svg("text", {
                    x: x0 + 4,
                    y: y + 14,
                    class: span.kind === "stalled" ? "on-span" : "",
                    "pointer-events": "none"
                },
                    span.label));
    }
    for (const time of track.queued || [])
        if (time >= view.from && time <= view.to)
            shapes.push(
                svg("path", {class: "queued", d: `M${at(time)} ${y + TRACK_HEIGHT - 2}v-5`},
                    svg("title", {}, "enqueued, never begun")));
    return shapes;
}

function timelineElement(timeline, verdict) {
    const end = Math.max(verdict.time_ns || 0, ...timeline.marks.map(mark => mark[0]));
    const tracks = timelineTracks(timeline, end);
    const spans = tracks.flatMap(track => track.spans);
    if (!spans.length)
        return null;
    const first = spans.reduce((least, span) => Math.min(least, span.begin), Infinity);
    const stalls = spans.filter(span => span.kind === "stalled").map(span => span.begin);
    const stalled = stalls.length ? Math.min(...stalls) : end;
    const whole = {from: first, to: end};
    const atStall = {from: Math.max(first, stalled - Math.max(end - stalled, (end - first) / 50)), to: end};
    let view = stalls.length ? {...atStall} : {...whole}, chosen = null, width = 1000;
    const picture = svg("svg", {
        role: "img",
        tabindex: 0,
        "aria-label": "Timeline of all ranks; plus and minus zoom, arrows move"
    });
    const said = h("p", {class: "said mono", "aria-live": "polite"});

    function draw() {
        const scale = (width - LABEL_WIDTH - 4) / (view.to - view.from);
        const at = time => LABEL_WIDTH + (time - view.from) * scale;
        const shapes = [], bands = [];
        let y = AXIS_HEIGHT, rank = 0;
        for (const track of tracks) {
            y += track.rank !== rank ? RANK_GAP : 0;
            rank = track.rank;
            bands.push(
                svg("rect", {
                    class: "band",
                    x: LABEL_WIDTH,
                    y: y + 1,
                    width: width - LABEL_WIDTH,
                    height: TRACK_HEIGHT - 2
                }),
                svg("text", {x: 4, y: y + 14},
                    (track.name === "host" ? "rank " + track.rank + " " : "       ") + track.name));
            bands[bands.length - 1].style.whiteSpace = "pre";
            shapes.push(...drawSpans(track, y, at, view, chosen));
            y += TRACK_HEIGHT;
        }
        for (const time of axisTicks(view.from, view.to, width / 130))
            bands.push(
                svg("path", {class: "grid", d: `M${at(time)} ${AXIS_HEIGHT - 4}V${y}`}),
                svg("text", {class: "soft", x: at(time) + 3, y: 12}, timeText(Math.round(time))));
        for (const [time, ofRank, text] of timeline.marks)
            if (time >= view.from && time <= view.to && timeline.texts[text] !== "rank-exit")
                shapes.push(
                    svg("path", {class: "mark", d: `M${at(time)} ${AXIS_HEIGHT - 4}V${y}`},
                        svg("title", {}, timeline.texts[text] + (ofRank < 0 ? "" : " of rank " + ofRank))));
        picture.setAttribute("viewBox", `0 0 ${width} ${y + 4}`);
        picture.replaceChildren(...bands, ...shapes);
    }

    function look(from, to) {
        const span = Math.min(Math.max(to - from, 50), whole.to - whole.from || 50);
        from = Math.min(Math.max(from, whole.from), whole.to - span);
        view = {from, to: from + span};
        draw();
    }
    function zoom(factor, around = (view.from + view.to) / 2) {
        look(around - (around - view.from) * factor, around + (view.to - around) * factor);
    }
    const move = part =>
        look(view.from + part * (view.to - view.from), view.to + part * (view.to - view.from));
    function say(span) {
        said.textContent = span.title + " — " + timeText(span.begin) + " to " +
            (span.kind === "stalled" || span.kind === "blocked" ? "never (stands for " :
                                                                  timeText(span.end) + " (") +
            timeText(span.end - span.begin) + ")";
    }
    function choose(track, index) {
        const span = track && track.spans[index];
        if (!span)
            return;
        chosen = span;
        if (span.begin > view.to || span.end < view.from)
            look(span.begin - (view.to - view.from) / 2, span.begin + (view.to - view.from) / 2);
        draw();
        say(span);
    }
    function step(tracksOn, spansOn) {
        const at = Math.max(0, tracks.findIndex(track => track.spans.includes(chosen)));
        if (!chosen || tracksOn) {
            const track = tracks[Math.min(Math.max(at + tracksOn, 0), tracks.length - 1)];
            const time = chosen ? chosen.begin : view.to;
            choose(track, Math.max(0, track.spans.findLastIndex(span => span.begin <= time)));
        } else {
            choose(tracks[at], tracks[at].spans.indexOf(chosen) + spansOn);
        }
    }
    const keys = {
        "+": () => zoom(.5),
        "=": () => zoom(.5),
        "-": () => zoom(2),
        ArrowLeft: () => move(-.2),
        ArrowRight: () => move(.2),
        Home: () => look(whole.from, whole.to),
        End: () => look(atStall.from, atStall.to),
        ArrowUp: () => step(-1, 0),
        ArrowDown: () => step(1, 0),
        "[": () => step(0, -1),
        "]": () => step(0, 1)
    };
    picture.addEventListener("keydown", event => {
        if (keys[event.key] && !event.ctrlKey && !event.metaKey) {
            keys[event.key]();
            event.preventDefault();
        }
    });
    listenToPointer(picture, () => view, () => width, look, zoom, say);
    const button = (text, key) => h("button", {type: "button", click: keys[key]}, text);
    const sample = (kind, text) => h("span", {class: "key"}, h("i", {class: kind}), text);
    const element =
        h("div", {class: "timeline"},
          h("div", {class: "tools"}, button("all", "Home"), button("the stall", "End"), button("−", "-"),
            button("+", "+"), sample("call", "call"), sample("stalled", "waits for ever"),
            sample("host", "host op"), sample("blocked", "host blocked"),
            timeline.left_out ?
                h("span", {class: "soft"}, plural(timeline.left_out, "earlier event") + " were not kept") :
                null),
          picture, said);
    new ResizeObserver(() => {
        const now = picture.clientWidth;
        if (now && Math.abs(now - width) > 1) {
            width = now;
            draw();
        }
    }).observe(picture);
    draw();
    return element;
}

/* Dragging moves, the wheel with Ctrl or Shift zooms, pointing tells. */
function listenToPointer(picture, getView, getWidth, look, zoom, say) {
    let grabbed = null;
    const timeAt = event => {
        const view = getView(), x = event.clientX - picture.getBoundingClientRect().left;
        return view.from + (x - LABEL_WIDTH) / (getWidth() - LABEL_WIDTH) * (view.to - view.from);
    };
    picture.addEventListener("wheel", event => {
        if (!event.ctrlKey && !event.shiftKey)
            return;
        event.preventDefault();
        zoom((event.deltaY || event.deltaX) > 0 ? 1.25 : .8, timeAt(event));
    }, {passive: false});
    picture.addEventListener("pointerdown", event => {
        grabbed = {x: event.clientX, view: getView()};
        picture.setPointerCapture(event.pointerId);
    });
    picture.addEventListener("pointerup", () => {
        grabbed = null;
    });
    picture.addEventListener("pointermove", event => {
        if (grabbed) {
            const scale = (grabbed.view.to - grabbed.view.from) / (getWidth() - LABEL_WIDTH);
            const by = (grabbed.x - event.clientX) * scale;
            look(grabbed.view.from + by, grabbed.view.to + by);
        } else if (event.target.span) {
            say(event.target.span);
        }
    });
}
