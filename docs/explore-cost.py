#!/usr/bin/env python3
"""Draws how many states a proof takes, by ranks and by sizes, for docs/explore.md.

Usage: docs/explore-cost.py HANGLAB >docs/images/explore-cost.svg

It counts states and not seconds, so the same build draws the same picture. A search that its time budget ends
leaves no point.
"""
import json
import math
import subprocess
import sys
import tempfile

SIZES = [4, 8, 16, 32, 64]
COLOURS = ["#1b6ca8", "#c8553d", "#3c8d5a", "#8a5aa8", "#555555"]


def states(hanglab, strategy, ranks, sizes, options):
    """States of a proof, or None where there is none."""
    text = f"""hanglab: 1
name: cost
world: {{ranks: 4, placement: process}}
subject: {strategy}
schedule: {{mode: full, layers: 1, sizes: {sorted(sizes, reverse=True)}, replays: 4}}
"""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        command = [hanglab, "explore", file.name, "--ranks", str(ranks), "--tokens", str(len(sizes)),
                   "--format", "json", *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    answer = json.loads(done.stdout.splitlines()[0])
    return answer["states"] if answer["answer"] == "proven-free" else None


def panel(left, title, axis, lines):
    """One chart with a logarithmic axis of states."""
    width, height, top = 330, 300, 40
    xs = sorted({x for _, points in lines for x, _ in points})

    def at(x, y):
        return (left + width * (x - xs[0]) / (xs[-1] - xs[0]),
                top + height * (1 - math.log10(y) / 6))

    print(f'<text x="{left}" y="22" font-weight="bold">{title}</text>')
    for power in range(7):
        y = at(xs[0], 10 ** power)[1]
        print(f'<path d="M{left} {y:.0f}h{width}" stroke="#ddd"/>'
              f'<text x="{left - 8}" y="{y + 4:.0f}" text-anchor="end">{10 ** power:,}</text>')
    for x in xs:
        print(f'<text x="{at(x, 1)[0]:.0f}" y="{top + height + 18}" text-anchor="middle">{x}</text>')
    print(f'<text x="{left + width / 2}" y="{top + height + 38}" text-anchor="middle">{axis}</text>')
    for i, (name, points) in enumerate(lines):
        places = [at(x, y) for x, y in points]
        print(f'<polyline fill="none" stroke="{COLOURS[i]}" stroke-width="2" points="'
              + " ".join(f"{x:.0f},{y:.0f}" for x, y in places) + '"/>')
        for x, y in places:
            print(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{COLOURS[i]}"/>')
        y = top + height + 62 + 18 * i
        print(f'<path d="M{left} {y - 4}h20" stroke="{COLOURS[i]}" stroke-width="2"/>'
              f'<text x="{left + 28}" y="{y}">{name}</text>')


def main():
    hanglab = sys.argv[1]
    oneshot, twoshot = "{backend: mnnvl, strategy: oneshot}", "{backend: mnnvl, strategy: twoshot}"
    trtllm = "{backend: trtllm, strategy: twoshot}"
    calls, full = ["--calls"], ["--calls", "--no-reduction"]

    def line(name, xs, count):
        points = [(x, count(x)) for x in xs]
        return name, [(x, y) for x, y in points if y]

    by_ranks = [
        line("mnnvl one-shot, programs, two sizes", [2, 3, 4, 6, 8, 12, 16],
             lambda r: states(hanglab, oneshot, r, SIZES[:2], [])),
        line("mnnvl two-shot, programs, two sizes", [2, 3, 4, 6, 8, 12, 16],
             lambda r: states(hanglab, twoshot, r, SIZES[:2], [])),
        line("trtllm two-shot, programs, two sizes (not decided above 3 ranks)", [2, 3],
             lambda r: states(hanglab, trtllm, r, SIZES[:2], [])),
        line("mnnvl one-shot, calls alone, one size", [2, 3, 4, 6, 8, 12, 16],
             lambda r: states(hanglab, oneshot, r, SIZES[:1], calls)),
        line("the same, every order of every step", [2, 3],
             lambda r: states(hanglab, oneshot, r, SIZES[:1], full)),
    ]
    by_sizes = [
        line("mnnvl one-shot, programs", [1, 2, 3, 4, 5], lambda k: states(hanglab, oneshot, 3, SIZES[:k], [])),
        line("mnnvl two-shot, programs", [1, 2, 3, 4, 5], lambda k: states(hanglab, twoshot, 3, SIZES[:k], [])),
        line("trtllm two-shot, programs", [1, 2, 3], lambda k: states(hanglab, trtllm, 3, SIZES[:k], [])),
        line("mnnvl one-shot, calls alone", [1, 2, 3, 4, 5], lambda k: states(hanglab, oneshot, 3, SIZES[:k], calls)),
    ]
    print('<svg xmlns="http://www.w3.org/2000/svg" width="880" height="490" font-family="sans-serif" font-size="12">'
          '<rect width="880" height="490" fill="white"/>')
    panel(70, "States of a proof, by ranks", "ranks", by_ranks)
    panel(520, "At 3 ranks, by sizes", "sizes; the largest has as many CTAs a rank", by_sizes)
    print("</svg>")


main()
