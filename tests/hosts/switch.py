#!/usr/bin/env python3
"""An Ethernet switch in user space: its ports are the network cards of hosts that are network
namespaces, and its cables are as slow and as bad as wanted. The kernel's own queue for that (netem)
is not on every machine.

usage: switch.py --delay-ms D --loss P NAMESPACE...

Each namespace gets a card `eth0`. A frame arrives after D/2 to 3/2 D milliseconds, so frames may
overtake each other, and is lost with probability P. Prints "ready" once the cards are there. Lines
on standard input: "unplug NAMESPACE" loses all of its frames from then on.
"""

import argparse
import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
CLONE_NEWNET = 0x40000000
LARGEST_FRAME = 65536


def enter_network_of(namespace):
    with open(f"/run/netns/{namespace}") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")


def plug_in(namespace):
    """Makes the card of a host; its frames are read from and written to the file returned."""
    enter_network_of(namespace)
    card = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(card, TUNSETIFF, struct.pack("16sH22x", b"eth0", IFF_TAP | IFF_NO_PI))
    return card


class Switch:
    def __init__(self, cards, delay, loss, seed):
        self.cards = cards  # namespace: file
        self.delay, self.loss = delay, loss
        self.random = random.Random(seed)
        self.unplugged = set()  # files
        self.card_of_address = {}  # Ethernet address: file
        self.on_the_way = []  # heap of (when it arrives, number, file, frame)
        self.numbers = itertools.count()

    def accept(self, source, frame):
        to, by = frame[:6], frame[6:12]
        self.card_of_address[by] = source
        known = self.card_of_address.get(to)
        targets = [known] if known else [card for card in self.cards.values() if card != source]
        for target in targets:
            if self.random.random() >= self.loss:
                arrival = time.monotonic() + self.delay * (0.5 + self.random.random())
                heapq.heappush(self.on_the_way, (arrival, next(self.numbers), target, frame))

    def read(self, card):
        while True:
            try:
                frame = os.read(card, LARGEST_FRAME)
            except OSError:  # nothing left, or the card is down
                return
            if card not in self.unplugged:
                self.accept(card, frame)

    def deliver(self):
        """Writes what has arrived. Returns the seconds until the next frame does, or None."""
        while self.on_the_way:
            wait = self.on_the_way[0][0] - time.monotonic()
            if wait > 0:
                return wait
            _, _, card, frame = heapq.heappop(self.on_the_way)
            if card not in self.unplugged:
                try:
                    os.write(card, frame)
                except OSError:  # the card is down, or has no room
                    pass
        return None

    def obey(self, line):
        if not line:  # whoever started this has ended
            sys.exit(0)
        word, namespace = line.split()
        if word == "unplug":
            self.unplugged.add(self.cards[namespace])

    def run(self):
        while True:
            files = [sys.stdin, *self.cards.values()]
            for file in select.select(files, [], [], self.deliver())[0]:
                if file is sys.stdin:
                    self.obey(sys.stdin.readline())
                else:
                    self.read(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--loss", type=float, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("namespaces", nargs="+")
    options = parser.parse_args()
    cards = {namespace: plug_in(namespace) for namespace in options.namespaces}
    print("ready", flush=True)
    Switch(cards, options.delay_ms / 1000, options.loss, options.seed).run()


if __name__ == "__main__":
    main()
