"""The table of scripts/front.sh, from lines of words parted by tabs:

    ROUND CONDITION LOADER RATE MB/S P50 P99 USER SYSTEM SOFTIRQ CLIENT-IDLE STOLEN

Latencies are in µs, CPU in µs of the server's core by request.
"""

import sys
from collections import defaultdict
from statistics import median

TITLES = {
    "alone": "alone",
    "download": "beside a download at 1 MB/s",
    "hang": "beside a mount that hangs",
}
ALONE = "alone"
LATENCY_LIMIT_MS = 5
RATE_LIMIT = 0.05
FIELDS = ["rate", "mb", "p50", "p99", "user", "system", "softirq", "idle", "stolen"]


def read(path):
    """(condition, loader) to round to figures by name."""
    runs = defaultdict(dict)
    for line in open(path, encoding="utf-8"):
        number, condition, loader, *words = line.split()
        figures = dict(zip(FIELDS, map(float, words)))
        figures["cpu"] = figures["user"] + figures["system"] + figures["softirq"]
        runs[condition, loader][int(number)] = figures
    return runs


def column(rounds, name, unit=1.0):
    return [figures[name] / unit for figures in rounds.values()]


def spread(values, form):
    return f"**{median(values):{form}}** ({min(values):{form}}–{max(values):{form}})"


def table(head, rows):
    print(f"| {' | '.join(head)} |")
    print(f"| --- {'| ---: ' * (len(head) - 1)}|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def ratios(runs, condition, loader, name):
    """Of each round: the figure by that of the same round without trouble."""
    alone = runs[ALONE, loader]
    return [figures[name] / alone[number][name] for number, figures in runs[condition, loader].items()]


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
    print("By the same round's figures alone, median of the rounds' ratios (min–max):\n")
    rows = []
    for condition, title in TITLES.items():
        if condition != ALONE:
            rows.append([title, spread(ratios(runs, condition, "wrk", "rate"), ".3f"),
                         spread(ratios(runs, condition, "wrk", "cpu"), ".3f"),
                         spread(ratios(runs, condition, "paced", "cpu"), ".3f")])
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
    stolen = [share for rounds in runs.values() for share in column(rounds, "stolen")]
    print(f"\nThe hypervisor stole of a core {median(stolen):.1%} of a run's time, {max(stolen):.1%} at worst.")


results = read(sys.argv[1])
loads(results)
comparison(results)
verdict(results)
