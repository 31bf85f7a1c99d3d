"""The results of scripts/bench.sh: lines of words parted by tabs.

    CLASS MTU ROUND SERVER refused
    CLASS MTU ROUND SERVER RATE MB/S P50 P99 USER SYSTEM SOFTIRQ CLIENT-IDLE STOLEN
    CLASS MTU ROUND raw    FRAMES/S MB/S

Latencies are in µs; user, system and softirq are µs of the server's core by
request; the client core's idle time and what the hypervisor stole of a core are
shares.
"""

from collections import defaultdict
from statistics import median

TITLES = {
    "a": "1 KiB, 64 keep-alive connections",
    "b": "1 KiB, 1,000 keep-alive connections",
    "c": "1 KiB, a connection for each request",
    "d": "100 KiB, 16 keep-alive connections",
    "e": "10 MiB, 8 keep-alive connections",
    "f": "1 KiB at a fixed 20,000 requests/s",
    "g": "1 KiB, 64 connections beside 10,000 idle ones",
}
MANY_MTUS = "de"                 # classes whose limit is in MB/s of bare frames
PACED = "f"                      # the class whose rate is given and whose latency counts
SERVERS = ["nginx", "h2o", "lighttpd", "xdphttpd"]
OURS = "xdphttpd"
FIELDS = ["rate", "mb", "p50", "p99", "user", "system", "softirq", "idle", "stolen"]


def read(path):
    """(class, MTU) to server to round to figures by name; None for a refusal."""
    runs = defaultdict(lambda: defaultdict(dict))
    for line in open(path, encoding="utf-8"):
        one, mtu, number, server, *words = line.split()
        figures = None
        if words != ["refused"]:
            figures = dict(zip(FIELDS, map(float, words)))
            if "user" in figures:
                figures["cpu"] = figures["user"] + figures["system"] + figures["softirq"]
        runs[one, int(mtu)][server][int(number)] = figures
    return runs


def is_refused(rounds):
    return any(figures is None for figures in rounds.values())


def column(rounds, name):
    return [figures[name] for figures in rounds.values()]


def ratios(servers, over, under, name):
    """Of each round in which both were measured: over's figure by under's."""
    a, b = servers.get(over, {}), servers.get(under, {})
    return [a[n][name] / b[n][name] for n in a if a[n] and b.get(n) and b[n].get(name)]


def middle(values):
    """Median, least and greatest."""
    return median(values), min(values), max(values)


def label(one, mtu):
    return f"({one}) {TITLES[one]}" + (f", MTU {mtu}" if one in MANY_MTUS else "")
