"""The table of scripts/front.sh, from lines of words parted by tabs:

    WINDOW CONDITION LOADER RATE MB/S P50 P99 USER SYSTEM SOFTIRQ CLIENT-IDLE STOLEN

Latencies are in µs, CPU in µs of the server's core by request. Windows are numbered
as they followed one another.
"""

import sys
from collections import defaultdict
from statistics import mean, median, quantiles

TITLES = {
    "alone": "alone",
    "download": "beside a download at 1 MB/s",
    "hang": "beside a mount that hangs",
}
WHOLE = "whole"
ALONE = "alone"
LATENCY_LIMIT_MS = 5
RATE_LIMIT = 0.05
FIELDS = ["rate", "mb", "p50", "p99", "user", "system", "softirq", "idle", "stolen"]


def read(path):
    """(condition, loader) to window to figures by name."""
    runs = defaultdict(dict)
    for line in open(path, encoding="utf-8"):
        number, condition, loader, *words = line.split()
        figures = dict(zip(FIELDS, map(float, words)))
        figures["cpu"] = figures["user"] + figures["system"] + figures["softirq"]
        runs[condition, loader][int(number)] = figures
    return runs


def column(windows, name, unit=1.0):
    return [figures[name] / unit for figures in windows.values()]


def spread(values, form):
    return f"**{median(values):{form}}** ({min(values):{form}}–{max(values):{form}})"


def spread_of_many(values, form):
    """With the middle half, where there are more than a few."""
    low, _, high = quantiles(values, method="inclusive") if len(values) > 1 else values * 3
    return f"**{median(values):{form}}** (half within {low:{form}}–{high:{form}}, all {min(values):{form}}–{max(values):{form}})"


def table(head, rows):
    print(f"| {' | '.join(head)} |")
    print(f"| --- {'| ---: ' * (len(head) - 1)}|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def ratios(runs, condition, loader, name):
    """Of each window: the figure by the mean of those alone just before and after."""
    alone = runs[ALONE, loader]
    return [figures[name] / mean(alone[beside][name] for beside in (number - 1, number + 1))
            for number, figures in runs[condition, loader].items()]


def loads(runs):
    rows = []
    for condition, title in TITLES.items():
        busy, paced = runs[condition, "wrk"], runs[condition, "paced"]
        rows.append([
            title,
            spread(column(busy, "rate"), ",.0f"),
            spread(column(busy, "p99", 1e3), ".2f"),
            spread(column(busy, "cpu"), ".2f"),
            spread(column(paced, "p50", 1e3), ".2f"),
            spread(column(paced, "p99", 1e3), ".2f"),
            spread(column(paced, "cpu"), ".2f"),
        ])
    table(["small files", "requests/s", "p99, ms", "CPU, µs/request",
           "fixed rate: p50, ms", "p99, ms", "CPU, µs/request"], rows)


def comparison(runs):
    print("By the mean of what was measured alone just before and after, median of the ratios:\n")
    rows = []
    for condition, title in TITLES.items():
        if condition != ALONE:
            rows.append([title, spread_of_many(ratios(runs, condition, "wrk", "rate"), ".3f"),
                         spread_of_many(ratios(runs, condition, "wrk", "cpu"), ".3f"),
                         spread_of_many(ratios(runs, condition, "paced", "cpu"), ".3f")])
    table(["", "requests/s", "CPU a request", "at the fixed rate"], rows)


def verdict(runs):
    """What is claimed, and whether this run bears it out."""
    for condition, title in TITLES.items():
        worst = median(column(runs[condition, "paced"], "p99", 1e3))
        word = "under" if worst < LATENCY_LIMIT_MS else "NOT under"
        line = f"- {title}: p99 {word} {LATENCY_LIMIT_MS} ms"
        if condition != ALONE:
            change = median(ratios(runs, condition, "wrk", "rate")) - 1
            word = "not more" if change >= -RATE_LIMIT else "MORE"
            line += f", rate {word} than {RATE_LIMIT:.0%} lower ({change:+.1%})"
        print(line)
    whole = column(runs[WHOLE, "paced"], "p99", 1e3)
    print(f"- beside the whole download, {len(whole)} windows of the fixed rate: p99 {spread(whole, '.2f')} ms")
    stolen = [share for windows in runs.values() for share in column(windows, "stolen")]
    print(f"\nThe hypervisor stole of a core {median(stolen):.1%} of a run's time, {max(stolen):.1%} at worst.")


results = read(sys.argv[1])
loads(results)
comparison(results)
verdict(results)
