"""The plot of scripts/bench.sh, from its results: plot.py RESULTS >SVG

For each class a bar by server: its requests/s by nginx's in the same round, the
median, with a whisker from the least to the greatest. Where the rate is given it
is nginx's p99 latency by its own, so that longer is better everywhere. Readable
on light and dark ground.
"""

import sys

from results import OURS, PACED, SERVERS, is_refused, label, middle, ratios, read

BASE = "nginx"
BAR, GAP, HEADING = 16, 4, 26    # heights, pixels
LEFT, WIDTH, RIGHT = 90, 560, 110
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .head { font-weight: 600 }
  .axis, .whisker { stroke: #24292f; stroke-width: 1.2 }
  .axis { stroke-dasharray: 3 3; opacity: 0.7 }
  .other { fill: #8c959f }
  .ours { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #d0d7de }
    .axis, .whisker { stroke: #d0d7de }
    .other { fill: #6e7681 }
    .ours { fill: #4493f8 }
  }
"""


def bars_of(one, servers):
    """(server, ratios to nginx), None for a refusal; nginx itself is the line at 1."""
    for server in SERVERS:
        if server == BASE or server not in servers:
            continue
        if is_refused(servers[server]):
            yield server, None
        elif one == PACED:
            yield server, ratios(servers, BASE, server, "p99")
        else:
            yield server, ratios(servers, server, BASE, "rate")


def groups(runs):
    for (one, mtu), servers in runs.items():
        bars = [(server, values) for server, values in bars_of(one, servers) if values is None or values]
        if bars:
            yield label(one, mtu) + (": p99 latency" if one == PACED else ""), bars


def draw(runs):
    parts = list(groups(runs))
    longest = max((max(values) for _, bars in parts for _, values in bars if values), default=1)
    scale = WIDTH / max(longest, 1.2)
    y, shapes = 34, []
    for title, bars in parts:
        shapes.append(f'<text class="head" x="8" y="{y + 14}">{title}</text>')
        y += HEADING
        top = y
        for server, values in bars:
            shapes += bar(server, values, y, scale)
            y += BAR + GAP
        one = LEFT + scale
        shapes.append(f'<line class="axis" x1="{one:.1f}" x2="{one:.1f}" y1="{top - 3}" y2="{y}"/>')
        y += 8
    width = LEFT + WIDTH + RIGHT
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 8}" width="{width}" height="{y + 8}">')
    print(f"<style>{STYLE}</style>")
    print('<text class="head" x="8" y="18">Times as good as nginx (dashed line); median and range of the rounds</text>')
    print("\n".join(shapes))
    print("</svg>")


def bar(server, values, y, scale):
    base = y + BAR - 4
    yield f'<text x="{LEFT - 8}" y="{base}" text-anchor="end">{server}</text>'
    if values is None:
        yield f'<text x="{LEFT + 4}" y="{base}">refused</text>'
        return
    mid, low, high = middle(values)
    kind = "ours" if server == OURS else "other"
    left, right, centre = LEFT + low * scale, LEFT + high * scale, y + BAR / 2
    yield f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{mid * scale:.1f}" height="{BAR}"/>'
    yield f'<path class="whisker" fill="none" d="M{left:.1f} {centre - 4}v8m0-4H{right:.1f}m0-4v8"/>'
    yield f'<text x="{right + 6:.1f}" y="{base}">{mid:.2f}</text>'


draw(read(sys.argv[1]))
