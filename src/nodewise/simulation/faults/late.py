# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a node, by itself: takes the packets of one netfilter queue and lets each go later, or never.

python3 late.py QUEUE DELAY_S JITTER_S LOSS SEED, until SIGTERM; says "ready" once packets come here. Formats are those of
linux/netfilter/nfnetlink_queue.h: messages of netlink in the machine's byte order, what they carry in the network's.
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
PACKET_HEADER, VERDICT_HEADER = 1, 2  # attributes of packets and verdicts
COMMAND, PARAMETERS, LENGTH, MASK, FLAGS = 1, 2, 3, 4, 5  # of a configuration
BIND, COPY_META = 1, 1
FAIL_OPEN_AND_GSO = 1 | 4  # a queue that is full lets packets through; large ones come whole
DROP, ACCEPT = 0, 1
SOL_NETLINK, NO_ENOBUFS = 270, 5
MOST = 20_000  # packets that wait
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
        self.configure(attribute(PARAMETERS, struct.pack("!IB", 0, COPY_META)))
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

    def packets(self) -> list[int]:
        """The numbers of the packets that have come, in their order."""
        found = []
        for _ in range(256):
            try:
                message = self.socket.recv(65536)
            except BlockingIOError:
                break
            if struct.unpack_from("=H", message, 4)[0] == PACKET:
                found.append(number_of(message))
        return found


def number_of(message: bytes) -> int:
    """The number of the packet that a message is about."""
    at = HEAD
    while struct.unpack_from("=H", message, at + 2)[0] & 0x3FFF != PACKET_HEADER:
        at += (struct.unpack_from("=H", message, at)[0] + 3) & ~3
    return int(struct.unpack_from("!I", message, at + 4)[0])


def main(number: int, delay: float, jitter: float, loss: float, seed: int) -> None:
    """Hold packets until SIGTERM; those that wait then go at once. None overtakes another."""
    queue, choose = Queue(number), random.Random(seed)
    waiting: collections.deque[tuple[float, int]] = collections.deque()
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    last = 0.0
    while not ended:
        until = waiting[0][0] - time.monotonic() if waiting else 0.5
        select.select([queue.socket], [], [], max(0.0, until))
        now = time.monotonic()
        for packet in queue.packets():
            if loss and choose.random() < loss:
                queue.judge(VERDICT, DROP, packet)
            else:
                last = max(last, now + delay + choose.uniform(-jitter, jitter))
                waiting.append((last, packet))
        gone = [waiting.popleft()[1] for _ in range(sum(due <= now for due, _ in waiting))]
        if gone:
            queue.judge(BATCH, ACCEPT, gone[-1])
    if waiting:
        queue.judge(BATCH, ACCEPT, waiting[-1][1])


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
