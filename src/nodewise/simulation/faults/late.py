# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a node, by itself: takes the packets of one netfilter queue and lets each go later, or never.

python3 late.py QUEUE DELAY_S JITTER_S LOSS BYTES_A_SECOND SEED, until SIGTERM; says "ready" once packets come here. Formats are
those of linux/netfilter/nfnetlink_queue.h: messages of netlink in the machine's byte order, what they carry in the network's.
"""

from __future__ import annotations

import collections
import os
import random
import select
import signal
import socket
import struct
import sys
import time

NETLINK_NETFILTER, SUBSYSTEM = 12, 3 << 8
PACKET, VERDICT, CONFIG, BATCH = SUBSYSTEM, SUBSYSTEM | 1, SUBSYSTEM | 2, SUBSYSTEM | 3
REQUEST, ACK = 1, 4
PACKET_HEADER, VERDICT_HEADER, PAYLOAD, WHOLE_LENGTH = 1, 2, 10, 13  # attributes of packets and verdicts
COMMAND, PARAMETERS, LENGTH, MASK, FLAGS = 1, 2, 3, 4, 5  # of a configuration
BIND, COPY_PACKET, COPIED = 1, 2, 64  # bytes of each packet: of one that is longer the kernel says how long it is
FAIL_OPEN_AND_GSO = 1 | 4  # a queue that is full lets packets through; large ones come whole
DROP, ACCEPT = 0, 1
SOL_NETLINK, NO_ENOBUFS = 270, 5
MOST = 20_000  # packets that wait
LONGEST = 1.0  # seconds that a packet waits for those before it, where there is a rate: a later one is lost, as in a full router
HEAD = 20  # bytes before the attributes


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


class Queue:
    """A netfilter queue, bound to this process."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.socket.bind((0, 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.setsockopt(SOL_NETLINK, NO_ENOBUFS, 1)
        flags = struct.pack("!I", FAIL_OPEN_AND_GSO)
        self.configure(attribute(COMMAND, struct.pack("!BBH", BIND, 0, 0)))
        self.configure(attribute(PARAMETERS, struct.pack("!IB", COPIED, COPY_PACKET)))
        self.configure(attribute(LENGTH, struct.pack("!I", MOST)))
        self.configure(attribute(MASK, flags) + attribute(FLAGS, flags))
        self.socket.setblocking(False)

    def send(self, kind: int, attributes: bytes, flags: int = REQUEST) -> None:
        """Send one message."""
        body = struct.pack("!BBH", 0, 0, self.number) + attributes
        self.socket.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body)

    def configure(self, attributes: bytes) -> None:
        """Send a configuration and wait until the kernel has taken it. Raises OSError."""
        self.send(CONFIG, attributes, REQUEST | ACK)
        code = -struct.unpack_from("=i", self.socket.recv(4096), 16)[0]
        if code:
            raise OSError(code, os.strerror(code))

    def judge(self, kind: int, verdict: int, packet: int) -> None:
        """A verdict on a packet, or (BATCH) on it and all that came before it."""
        self.send(kind, attribute(VERDICT_HEADER, struct.pack("!II", verdict, packet)))

    def packets(self) -> list[tuple[int, int]]:
        """The numbers of the packets that have come, in their order, and their bytes."""
        found = []
        for _ in range(256):
            try:
                message = self.socket.recv(65536)
            except BlockingIOError:
                break
            if struct.unpack_from("=H", message, 4)[0] == PACKET:
                found.append(about(message))
        return found


def about(message: bytes) -> tuple[int, int]:
    """The number of the packet that a message is about, and its bytes."""
    at, found = HEAD, {}
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        found[kind & 0x3FFF] = message[at + 4 : at + length]
        at += (length + 3) & ~3
    whole = found.get(WHOLE_LENGTH)
    return struct.unpack_from("!I", found[PACKET_HEADER])[0], struct.unpack("!I", whole)[0] if whole else len(
        found.get(PAYLOAD, b"")
    )


class Line:
    """When a packet arrives, or that it never does."""

    def __init__(self, delay: float, jitter: float, loss: float, rate: float, seed: int) -> None:
        self.delay, self.jitter, self.loss, self.rate, self.choose = delay, jitter, loss, rate, random.Random(seed)
        self.free = self.last = 0.0

    def due(self, now: float, size: int) -> float | None:
        """The time of a packet of so many bytes that comes now; None: never. None overtakes another."""
        if self.loss and self.choose.random() < self.loss:
            return None
        if self.rate:
            if self.free > now + LONGEST:
                return None
            self.free = max(self.free, now) + size / self.rate
        self.last = max(self.last, max(self.free, now) + self.delay + self.choose.uniform(-self.jitter, self.jitter))
        return self.last


def main(number: int, delay: float, jitter: float, loss: float, rate: float, seed: int) -> None:
    """Hold packets until SIGTERM; those that wait then go at once."""
    queue, line = Queue(number), Line(delay, jitter, loss, rate, seed)
    waiting: collections.deque[tuple[float, int]] = collections.deque()
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not ended:
        until = waiting[0][0] - time.monotonic() if waiting else 0.5
        select.select([queue.socket], [], [], max(0.0, until))
        now = time.monotonic()
        for packet, size in queue.packets():
            due = line.due(now, size)
            if due is None:
                queue.judge(VERDICT, DROP, packet)
            else:
                waiting.append((due, packet))
        gone = [waiting.popleft()[1] for _ in range(sum(due <= now for due, _ in waiting))]
        if gone:
            queue.judge(BATCH, ACCEPT, gone[-1])
    if waiting:
        queue.judge(BATCH, ACCEPT, waiting[-1][1])


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6]))
