"""The tables of scripts/bench.sh, from its results: report.py RESULTS"""

import sys
from statistics import median

from results import MANY_MTUS, OURS, PACED, SERVERS, column, is_refused, label, middle, ratios, read

HEAD = ["", "requests/s", "MB/s", "p50 µs", "p99 µs", "CPU µs/request", "user / system / softirq", "client idle"]


def spread(values, form):
    if not values:
        return "–"
    return "**{}** ({}–{})".format(*(form.format(value) for value in middle(values)))


def only_median(values, form):
    return form.format(median(values))


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join(["---"] + ["---:"] * (len(head) - 1)) + " |")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def row_of(one, server, rounds):
    if is_refused(rounds):
        return [server, "refused", *["–"] * (len(HEAD) - 2)]
    split = " / ".join(only_median(column(rounds, name), "{:.2f}") for name in ("user", "system", "softirq"))
    # The client of the fixed rate never sleeps.
    idle = "–" if one == PACED else only_median(column(rounds, "idle"), "{:.0%}")
    rate = "{:,.0f}" if one not in MANY_MTUS else "{:,.1f}"
    return [server, spread(column(rounds, "rate"), rate), spread(column(rounds, "mb"), "{:,.0f}"),
            spread(column(rounds, "p50"), "{:,.0f}"), spread(column(rounds, "p99"), "{:,.0f}"),
            spread(column(rounds, "cpu"), "{:,.2f}"), split, idle]


def limit(one, servers):
    """What bare frames did, and how much of it each server reaches."""
    raw = servers.get("raw")
    if not raw:
        return
    if is_refused(raw):
        print("Bare frames of this size: refused.\n")
        return
    # A request is a frame each way; of larger bodies it is the bytes that count.
    name, what = ("mb", "MB/s of payload in full frames, one way")
    if one not in MANY_MTUS:
        name, what = ("rate", "frames/s in and as many out")
    shares = [f"{server} {only_median(values, '{:.0%}')}" for server in SERVERS
              if (values := ratios(servers, server, "raw", name))]
    print(f"Bare frames: {spread(column(raw, name), '{:,.0f}')} {what}. Of that: {', '.join(shares)}.")
    if one in MANY_MTUS:
        print("The kernel's segments of up to 64 KiB pass a veth whole, so its servers may be above 100 %.")
    print()


def summary(runs):
    """Ours by each of the others: requests, CPU by request, p99."""
    rows = []
    for (one, mtu), servers in runs.items():
        for other in SERVERS:
            if other == OURS or OURS not in servers or other not in servers:
                continue
            cells = ["refused"] * 3
            if not is_refused(servers[OURS]):
                cells = [spread(ratios(servers, OURS, other, name), "{:.2f}") for name in ("rate", "cpu", "p99")]
            rows.append([label(one, mtu), other, *cells])
    if rows:
        print(f"## {OURS} by the others, median of the rounds' ratios (min–max)\n")
        table(["", "by", "requests/s", "CPU a request", "p99"], rows)


def beside_idle(runs):
    """What is left of the busy connections' requests beside the idle ones."""
    alone, beside = runs.get(("a", 1500), {}), runs.get(("g", 1500), {})
    shares = [f"{server} {median(column(beside[server], 'rate')) / median(column(alone[server], 'rate')):.1%}"
              for server in SERVERS if server in alone and server in beside]
    if shares:
        print(f"Requests/s of (g) by those of (a): {', '.join(shares)}.\n")


def stolen(runs):
    """How much the machine was disturbed by its neighbours."""
    shares = [figures["stolen"] for servers in runs.values() for server, rounds in servers.items() if server != "raw"
              for figures in rounds.values() if figures]
    if shares:
        print(f"The hypervisor stole of a core {median(shares):.1%} of a run's time, {max(shares):.1%} at worst.\n")


results = read(sys.argv[1])
summary(results)
beside_idle(results)
stolen(results)
for (letter, bytes_), by_server in results.items():
    print(f"## {label(letter, bytes_)}\n")
    table(HEAD, [row_of(letter, server, by_server[server]) for server in SERVERS if server in by_server])
    limit(letter, by_server)
