"""The tables of scripts/wan.sh, from its records: lines of words parted by tabs.

    target ROW seconds|ratio|in-vain|shares VALUE
    run ROW ours|kernel REP SECONDS FAILED
    link ROW BYTES BITS_PER_S
    repairs CONGESTION REP SENT_AGAIN IN_VAIN
    flow CONGESTION REP FLOW BYTES FAILED

A repetition with a failed download has taken for ever.
"""

import sys
from collections import defaultdict
from math import inf, isfinite
from statistics import median

TARGETS = {
    "seconds": "ours ≤ {} s",
    "ratio": "ratio ≥ {}",
    "in-vain": "≤ {}",
    "shares": "{}",
}

targets = {}                                      # (row, kind) to value, in the order given
runs = defaultdict(lambda: defaultdict(dict))     # row, server, repetition: seconds
failed = defaultdict(lambda: defaultdict(int))    # row, server: downloads
links = {}
repairs = defaultdict(list)
flows = defaultdict(lambda: defaultdict(dict))    # congestion, repetition, flow: bytes


def read(path):
    for line in open(path, encoding="utf-8"):
        kind, row, *rest = line.rstrip("\n").split("\t")
        if kind == "target":
            targets[row, rest[0]] = rest[1]
        elif kind == "run":
            server, rep, seconds, failures = rest
            failed[row][server] += int(failures)
            runs[row][server][int(rep)] = inf if int(failures) else float(seconds)
        elif kind == "link":
            links[row] = float(rest[0]) * 8 / float(rest[1])
        elif kind == "repairs":
            repairs[row].append((int(rest[1]), int(rest[2])))
        elif kind == "flow":
            rep, flow, count, failures = rest
            failed[row][flow] += int(failures)
            flows[row][int(rep)][flow] = int(count)
        else:
            sys.exit(f"report.py: unknown record {kind!r}")


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join(["---"] + ["---:"] * (len(head) - 1)) + " |")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def figure(value, form="{:.3f}"):
    return form.format(value) if isfinite(value) else "failed"


def spread(values, form="{:.3f}", middle=None):
    if not values:
        return "–"
    middle = median(values) if middle is None else middle
    return f"**{figure(middle, form)}** ({figure(min(values), form)}–{figure(max(values), form)})"


def quotient(over, under):
    """Of two times; that of a failure is no number, or nothing at all."""
    if not isfinite(under):
        return 0.0
    return over / under


def verdict(reached):
    return "yes" if reached else "**no**"


def downloads():
    rows = []
    for row, servers in runs.items():
        kernel, ours = servers["kernel"], servers["ours"]
        ratio, ratios = None, []
        if kernel and ours:
            ratio = quotient(median(kernel.values()), median(ours.values()))
            ratios = [quotient(kernel[rep], ours[rep]) for rep in ours if rep in kernel]
        cells = [row, spread(list(kernel.values())), spread(list(ours.values()))]
        cells.append(spread(ratios, "{:.2f}", ratio))
        if links:
            cells.append(share_of_link(row, kernel, ours))
        cells.append(f"{failed[row]['kernel']} / {failed[row]['ours']}")
        kind = next(kind for name, kind in targets if name == row)
        value = float(targets[row, kind])
        reached = median(ours.values()) <= value if kind == "seconds" else ratio is not None and value <= ratio < inf
        cells += [TARGETS[kind].format(targets[row, kind]), verdict(reached and not failed[row]["ours"])]
        rows.append(cells)
    head = ["download", "kernel, s", "ours, s", "goodput ours / kernel"]
    if links:
        head.append("share of the link, kernel / ours")
    table(head + ["failed kernel / ours", "target", "reached"], rows)


def share_of_link(row, kernel, ours):
    if row not in links:
        return "–"
    return " / ".join(f"{links[row] / median(times.values()):.0%}" for times in (kernel, ours))


def repaired():
    rows = []
    for congestion, counts in repairs.items():
        again, vain = (sum(column) for column in zip(*counts))
        shares = [in_vain / sent if sent else 0.0 for sent, in_vain in counts]
        share = vain / again if again else 0.0
        limit = targets[congestion, "in-vain"]
        rows.append([congestion, str(again), str(vain), spread(shares, "{:.1%}", share),
                     TARGETS["in-vain"].format(f"{float(limit):.0%}"), verdict(share <= float(limit))])
    table(["ours", "segments sent again", "of these in vain", "share, of all (by repetition)", "target", "reached"],
          rows)


def shared():
    rows = []
    for congestion, repetitions in flows.items():
        names = sorted(next(iter(repetitions.values())), key=lambda name: (name.startswith("kernel"), name))
        shares = defaultdict(list)
        ours, sums = [], []
        for flow_bytes in repetitions.values():
            total = sum(flow_bytes.values())
            sums.append(total)
            ours.append(sum(count for name, count in flow_bytes.items() if name.startswith("ours")) / max(total, 1))
            for name, count in flow_bytes.items():
                shares[name].append(count * len(flow_bytes) / max(total, 1))
        low, high = (float(bound) for bound in targets[congestion, "shares"].split("–"))
        every = [share for of_one in shares.values() for share in of_one]
        failures = sum(failed[congestion].values())
        rows.append([congestion, *(spread(shares[name], "{:.2f}") for name in names),
                     spread(ours, "{:.0%}"), spread([total / 1e6 for total in sums], "{:.1f}"), str(failures),
                     f"each {low:g}–{high:g}", verdict(low <= min(every) and max(every) <= high and not failures)])
    table(["congestion control", *(name.replace("-", " ") for name in names), "both of ours, of all",
           "sum, MB", "failed", "target", "reached"], rows)
    print("A flow's share is its bytes by a quarter of the sum; the target is for each flow of each repetition.")


read(sys.argv[1])
if runs:
    downloads()
if repairs:
    repaired()
if flows:
    shared()
