#!/usr/bin/env python3
"""Many downloads at a time, each much slower than the server: they read a little now and
then, through a small window, and look at every byte.

usage: slow.py ADDRESS PATH COUNT SECONDS

The file must be 1 GiB of zeros. Prints how many bytes of it the slowest and the fastest
have got; says so, with status 1, if one was broken off or got anything else.
"""

import socket
import sys
import time

LENGTH = 1 << 30
READ_BYTES = 4096
EVERY_S = 0.2
WINDOW_BYTES = 16 * 1024
ZEROS = bytes(READ_BYTES)


class Download:
    def __init__(self, address, path):
        self.socket = socket.socket()
        # Before the connection is made, or the window is agreed on without it.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
        self.socket.settimeout(10)
        self.socket.connect((address, 80))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        self.head = b""
        self.body_bytes = 0

    def read(self):
        got = self.socket.recv(READ_BYTES)
        if not got:
            sys.exit(f"slow.py: a download ended after {self.body_bytes} bytes")
        if self.body_bytes == 0:
            got = self.after_head(got)
        if got != ZEROS[: len(got)]:
            sys.exit(f"slow.py: not zeros after {self.body_bytes} bytes")
        self.body_bytes += len(got)

    def after_head(self, got):
        self.head += got
        head, end, body = self.head.partition(b"\r\n\r\n")
        if not end:
            return b""
        length = f"\r\ncontent-length: {LENGTH}\r\n".encode()
        if not head.startswith(b"HTTP/1.1 200 ") or length not in head.lower() + b"\r\n":
            sys.exit(f"slow.py: not the file: {head.decode(errors='replace')}")
        return body


def main(address, path, count, seconds):
    downloads = [Download(address, path) for _ in range(int(count))]
    ends = time.monotonic() + float(seconds)
    while time.monotonic() < ends:
        round_ends = time.monotonic() + EVERY_S
        for download in downloads:
            download.read()
        time.sleep(max(0, round_ends - time.monotonic()))
    got = [download.body_bytes for download in downloads]
    print(min(got), max(got))


main(*sys.argv[1:])
