#!/usr/bin/env python3
"""Trains on several hosts, which are network namespaces of this machine, while their network is slow
or loses frames, a link goes down, or a host vanishes.

usage: scripts/check_hosts.py [--short]

A bad network alone must change no bit: the run ends with 0 and the weights of the same ranks on one
host. Where a host is cut off, every rank that is left ends with 6, and a resume on sound hosts ends
with those weights. Prints a table. --short: two hosts and two cases, about half a minute.

Exit code: 0; 1 if something did not hold; 77 where network namespaces are not allowed.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/hosts"))
from hosts import Hosts, why_no_hosts  # noqa: E402  # pylint: disable=wrong-import-position

PROGRAM = ROOT / "build/release/bin/ssa-train"
STEPS = 120
ACCIDENT_AT = 40  # a step with a checkpoint, so that the accident is in the midst of later ones
TIMEOUT = 4  # distributed.timeout_seconds
HANGS_AFTER = 90  # seconds
CONFIG = f"""\
task: byte_lm
model: {{layers: 2, width: 16, ffn_width: 32, heads: 2, dropout: 0.1}}
ssa: {{kind: local, windows: 4, sigma: {{first: 0.1, last: 0.3}}, finetune_fraction: 0.5}}
data: {{name: words, path: text.txt, length: 32}}
train: {{steps: {STEPS}, batch_size: 4, micro_batch: 1, clip_norm: 1.0, optimizer: {{lr: 0.01}},
        schedule: {{warmup_steps: 2}}, log_every: 1, eval_every: 0, checkpoint_every: 20}}
distributed: {{timeout_seconds: {TIMEOUT}}}
"""


class Broken(Exception):
    """A promise that did not hold; the message says which."""


# ---- jobs ---------------------------------------------------------------------------------------


class Job:
    """ssa-train on hosts, a rank each, or on one host that has them all."""

    def __init__(self, hosts, ranks, folder, launcher):
        self.hosts, self.ranks, self.launcher = hosts, ranks, launcher
        self.folder = folder
        self.log, self.code_file = Path(f"{folder}.log"), Path(f"{folder}.codes")
        self.log.write_text("")
        self.code_file.write_text("")
        self.train = [str(PROGRAM), "--quiet", "--resume", "auto", "--config", "config.yaml",
                      "--run-dir", str(folder)]
        self.processes = self.start_mpirun() if launcher == "mpirun" else self.start_ranks()

    def host_of(self, rank):
        return rank if len(self.hosts.namespaces) > 1 else 0

    def start(self, host, command, variables):
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                self.hosts.command_on(host, command), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, cwd=self.folder.parent,
                env=os.environ | variables | {"OMP_NUM_THREADS": "1"})

    def reporting(self, rank_variable):
        """ssa-train, whose rank and exit code are added to a file: what it prints to mpirun is lost
        when its host is cut off."""
        report = f'"$@"; code=$?; echo ${rank_variable} $code >> "$0"; exit $code'
        return ["sh", "-c", report, str(self.code_file), *self.train]

    def start_ranks(self):
        return [self.start(self.host_of(rank), self.reporting("RANK"),
                           {"RANK": str(rank), "WORLD_SIZE": str(self.ranks),
                            "MASTER_ADDR": self.hosts.address(0), "MASTER_PORT": "29500"})
                for rank in range(self.ranks)]

    def start_mpirun(self):
        """Other hosts are reached through an agent in place of ssh; what it gets is their address
        and a command for a shell."""
        agent = self.folder.parent / "agent.sh"
        lines = ["#!/bin/sh", 'host=$1; shift', 'case "$host" in']
        for host in range(len(self.hosts.namespaces)):
            command = " ".join(f"'{word}'" for word in self.hosts.command_on(host, ["sh", "-c"]))
            lines.append(f'  {self.hosts.address(host)}) exec {command} "$*" ;;')
        agent.write_text("\n".join([*lines, "esac", "exit 1", ""]))
        agent.chmod(0o755)
        network = "10.77.0.0/24"
        slots = [f"{self.hosts.address(self.host_of(rank))}:1" for rank in range(self.ranks)]
        options = {"plm_rsh_agent": str(agent), "plm_rsh_no_tree_spawn": "1",
                   "oob_tcp_if_include": network, "btl_tcp_if_include": network}
        command = ["mpirun", "-n", str(self.ranks), "--host", ",".join(slots), "--bind-to", "none",
                   "--oversubscribe", "--enable-recovery", "-x", "OMP_NUM_THREADS",
                   *(word for key, value in options.items() for word in ("--mca", key, value))]
        allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        return [self.start(0, command + self.reporting("OMPI_COMM_WORLD_RANK"), allowed)]

    def output(self):
        return self.log.read_text(errors="replace")

    def codes(self):
        """The exit codes of the ranks that have ended, by rank."""
        lines = self.code_file.read_text().splitlines()
        return {int(rank): int(code) for rank, code in map(str.split, lines)}

    def ended(self):
        return all(process.poll() is not None for process in self.processes)

    def wait_until(self, ready, what):
        deadline = time.monotonic() + HANGS_AFTER
        while not ready():
            if time.monotonic() > deadline:
                raise Broken(f"{what}: not after {HANGS_AFTER} s:\n{self.output()}")
            time.sleep(0.02)

    def expect(self, code, ranks):
        """Waits for ranks. mpirun itself may wait for a lost host, and is not waited for."""
        self.wait_until(lambda: set(ranks) <= self.codes().keys() or self.ended(),
                        f"ranks {ranks} end")
        codes = self.codes()
        if any(codes.get(rank) != code for rank in ranks):
            raise Broken(f"exit codes by rank: {codes}, not {code}:\n{self.output()}")


def weights(folder):
    path = folder / f"checkpoints/step-{STEPS}/model.safetensors"
    return path.read_bytes() if path.exists() else None


def optimizer(folder):
    return (folder / f"checkpoints/step-{STEPS}/optimizer.safetensors").read_bytes()


class Trial:
    """The runs of one number of ranks and one launcher."""

    def __init__(self, scratch, ranks, launcher):
        self.ranks, self.launcher = ranks, launcher
        self.scratch = scratch / f"{launcher}-{ranks}"
        self.scratch.mkdir()
        (self.scratch / "config.yaml").write_text(CONFIG)
        words = random.Random(3).choices("the of and a window layer source step loss plan".split(),
                                         k=2000)
        (self.scratch / "text.txt").write_text(" ".join(words)[:6000])
        self.whole = self.scratch / "whole"
        with Hosts(1) as hosts:
            self.finish(hosts, self.whole)

    def finish(self, hosts, folder):
        Job(hosts, self.ranks, folder, self.launcher).expect(0, range(self.ranks))

    def check_bits(self, folder):
        if weights(folder) != weights(self.whole) or optimizer(folder) != optimizer(self.whole):
            raise Broken(f"{folder} has other bits than {self.whole}")

    def bad_network(self, delay_ms, loss):
        folder = self.scratch / f"delay-{delay_ms}-loss-{loss}"
        with Hosts(self.ranks, delay_ms, loss) as hosts:
            self.finish(hosts, folder)
        self.check_bits(folder)

    def accident(self, happen, host, others_only=False):
        folder = self.scratch / f"{happen.__name__}-{host}"
        with Hosts(self.ranks) as hosts:
            job = Job(hosts, self.ranks, folder, self.launcher)
            job.wait_until((folder / f"checkpoints/step-{ACCIDENT_AT}").exists, "a checkpoint")
            happen(hosts, host)
            job.expect(6, [rank for rank in range(self.ranks) if rank != host or not others_only])
        if weights(folder) is not None:
            raise Broken("the run was over before the accident")
        with Hosts(self.ranks) as hosts:
            self.finish(hosts, folder)
        self.check_bits(folder)

    def link_down(self, host):
        self.accident(Hosts.take_link_down, host)

    def cut_cable(self, host):
        self.accident(Hosts.unplug, host)

    def lost_host(self, host):
        self.accident(Hosts.vanish, host, others_only=True)


# ---- cases --------------------------------------------------------------------------------------


def cases(short):
    """(ranks, launcher, what happens, function of a Trial)"""
    if short:
        yield 2, "environment", "delay 5 ms, 1% lost", lambda t: t.bad_network(5, 0.01)
        yield 2, "environment", "host 1 vanishes", lambda t: t.lost_host(1)
        return
    for launcher in ("environment", "mpirun"):
        for ranks in (2, 4):
            last = ranks - 1
            yield ranks, launcher, "a sound network", lambda t: t.bad_network(0, 0)
            yield ranks, launcher, "delay 10 ms", lambda t: t.bad_network(10, 0)
            yield ranks, launcher, "1% of frames lost", lambda t: t.bad_network(0, 0.01)
            yield ranks, launcher, "delay 5 ms, 2% lost", lambda t: t.bad_network(5, 0.02)
            for host in (0, last):
                yield ranks, launcher, f"link of host {host} down", lambda t, h=host: t.link_down(h)
                yield ranks, launcher, f"cable of host {host} cut", lambda t, h=host: t.cut_cable(h)
            yield ranks, launcher, f"host {last} vanishes", lambda t, h=last: t.lost_host(h)
            if launcher == "environment":  # mpirun itself would be gone
                yield ranks, launcher, "host 0 vanishes", lambda t: t.lost_host(0)


def run_case(trials, scratch, ranks, launcher, case):
    """What went wrong; empty: nothing."""
    try:
        if (ranks, launcher) not in trials:
            trials[ranks, launcher] = Trial(scratch, ranks, launcher)
        case(trials[ranks, launcher])
    except Broken as broken:
        return str(broken)
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--short", action="store_true", help="two hosts, two cases")
    short = parser.parse_args().short
    if why := why_no_hosts():
        print(f"check_hosts: skipped: {why}")
        sys.exit(77)
    if not PROGRAM.exists():
        sys.exit(f"check_hosts: {PROGRAM} is missing: build it first (scripts/test.sh)")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which takes the hosts down
    trials, failed = {}, 0
    with tempfile.TemporaryDirectory(prefix="ssa-hosts-") as scratch:
        for ranks, launcher, what, case in cases(short):
            if launcher == "mpirun" and shutil.which("mpirun") is None:
                print(f"{ranks} hosts  {launcher:12}{what:28}skipped: no mpirun on PATH")
                continue
            began = time.monotonic()
            problem = run_case(trials, Path(scratch), ranks, launcher, case)
            seconds = time.monotonic() - began
            print(f"{ranks} hosts  {launcher:12}{what:28}{'FAILED' if problem else 'held':8}"
                  f"{seconds:5.1f} s", flush=True)
            if problem:
                print(problem)
                failed += 1
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
