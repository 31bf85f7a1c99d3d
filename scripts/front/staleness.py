#!/usr/bin/env python3
"""How long the server goes on with what is no more: files changed, made and deleted at
random moments while a client asks for them every 2 ms over one connection.

usage: staleness.py ADDRESS ROOT ORDERS SAMPLES

ORDERS is the pipe to the program of the mount at ROOT/jfs. Prints a Markdown table of
seconds from the change to the first answer that knows of it, medians (min–max).
"""

import http.client
import os
import random
import statistics
import sys
import time

ASK_EVERY_S = 0.002
PATIENCE_S = 60


def ask(connection, path):
    """Status and body; anything may be in the body but b""."""
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()


def seconds_until(connection, path, is_new):
    """Asks until the answer is new."""
    began = time.monotonic()
    while not is_new(*ask(connection, path)):
        if time.monotonic() - began > PATIENCE_S:
            sys.exit(f"staleness.py: nothing new at {path} after {PATIENCE_S} s")
        time.sleep(ASK_EVERY_S)
    return time.monotonic() - began


class Local:
    """Files of a local file system."""

    name, prefix = "local", "/stale"

    def __init__(self, root):
        self.path = os.path.join(root, "stale")

    def put(self, number):
        with open(self.path + ".new", "wb") as file:
            file.write(b"%d" % number * (100 + number))
        os.rename(self.path + ".new", self.path)
        return lambda status, body: status == 200 and len(body) == len(b"%d" % number) * (100 + number)

    def remove(self):
        os.remove(self.path)


class Remote:
    """Files of the mount."""

    name, prefix = "FUSE", "/jfs/stale"

    def __init__(self, orders):
        self.orders = open(orders, "w", buffering=1)

    def put(self, number):
        self.orders.write(f"put stale {number} {1000 + number}\n")
        return lambda status, body: status == 200 and len(body) == 1000 + number

    def remove(self):
        self.orders.write("remove stale\n")


def samples(connection, files, count):
    """Seconds for a changed, a deleted and a new file."""
    is_gone = lambda status, _: status == 404
    seconds = {"changed": [], "deleted": [], "new": []}
    seconds_until(connection, files.prefix, files.put(0))
    for number in range(1, count + 1):
        for what in seconds:
            # At a moment that the server knows nothing of, in steady demand until then.
            until = time.monotonic() + random.uniform(0.1, 1.1)
            while time.monotonic() < until:
                ask(connection, files.prefix)
                time.sleep(ASK_EVERY_S)
            if what == "deleted":
                files.remove()
                is_new = is_gone
            else:
                is_new = files.put(2 * number + (what == "new"))
            seconds[what].append(seconds_until(connection, files.prefix, is_new))
    return seconds


def main():
    address, root, orders, count = sys.argv[1:]
    random.seed(1)
    connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
    print("| a file | changed, s | deleted, s | new, s |\n| --- | ---: | ---: | ---: |")
    for files in (Local(root), Remote(orders)):
        cells = [
            f"**{statistics.median(values):.3f}** ({min(values):.3f}–{max(values):.3f})"
            for values in samples(connection, files, int(count)).values()
        ]
        print(f"| {files.name} | {' | '.join(cells)} |")


main()
