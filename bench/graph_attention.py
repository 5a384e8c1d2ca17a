#!/usr/bin/env python3
"""Attention inside graphs (EGT): `ssa-bench graph-attention` beside dense padded attention in
PyTorch, in turn, as one record and one table.

Both do the forward and the backward pass of attention alone. PyTorch gets biases and gates of all
pairs as they are, (B, N, N, H): what it costs to make them, and to add up their gradients by class
as ssa does, is left out. Nothing else should run meanwhile.

    python3 bench/graph_attention.py --ssa-bench build/release/bin/ssa-bench
"""

import json
import math
import shlex
import statistics
import sys

import machine
import records
import rounds
import sides
import tables

WORKER = sides.HERE / "pytorch_graph_attention.py"
PEERS = {
    "eager": {"compiled": False, "heads_first": False},
    "compile": {"compiled": True, "heads_first": False},
    "eager, heads first": {"compiled": False, "heads_first": True},
    "compile, heads first": {"compiled": True, "heads_first": True},
}


def sources_of(size, options):
    real = max(0, size - options.virtual_nodes)
    return size - real + math.floor((1 - options.drop) * real + 0.5)


class Ssa:
    """ssa-bench, a process a turn."""

    def __init__(self, options):
        self.options = options
        self.arguments = [
            "graph-attention", "--graphs", str(options.graphs), "--nodes", options.nodes,
            "--drop", str(options.drop), "--virtual-nodes", str(options.virtual_nodes),
            "--precision", options.precision, "--repeats", str(options.steps), "--device", "cpu"]

    def measure(self):
        """Medians of forward and backward; the whole result is kept for the sizes in it."""
        program, *before = [*self.options.run_under, self.options.ssa_bench]
        settings = sides.ssa_environment(self.options.threads, {})
        self.result, _ = sides.run_ssa_bench(program, [*before, *self.arguments], settings, 600)
        return self.result["forward_seconds"], self.result["backward_seconds"]

    def close(self):
        pass


class Torch:
    """pytorch_graph_attention.py, started once."""

    def __init__(self, options, shape, peer):
        job = {key: shape[key] for key in ("sizes", "virtual_nodes", "heads", "head_size")}
        job["sources"] = [sources_of(size, options) for size in shape["sizes"]]
        job |= {"precision": options.precision, "threads": options.threads} | peer
        self.steps = options.steps
        command = [*options.run_under, options.python, str(WORKER), json.dumps(job)]
        self.worker = sides.Worker(command, sides.torch_environment(options.threads, {}))
        self.version = self.worker.answer()["torch"]

    def measure(self):
        answer = self.worker.ask({"steps": self.steps})
        return statistics.median(answer["forward"]), statistics.median(answer["backward"])

    def close(self):
        self.worker.close()


def table(record):
    rows, ours = [], record["turns"]["ssa"]
    for name, turns in record["turns"].items():
        forward, backward = (statistics.median(turn[i] for turn in turns) for i in (0, 1))
        ratios = ""
        if name != "ssa":
            both = [sum(theirs) / sum(own) for theirs, own in zip(turns, ours)]
            of = [statistics.median(turn[i] for turn in turns) /
                  statistics.median(own[i] for own in ours) for i in (0, 1)]
            ratios = (f"{of[0]:.1f}×, {of[1]:.1f}×, **{statistics.median(both):.1f}×** "
                      f"({min(both):.1f}–{max(both):.1f})")
        rows.append([name, f"{forward * 1e3:.2f}", f"{backward * 1e3:.2f}", ratios])
    head = ["side", "forward, ms", "backward, ms",
            "ssa faster: forward, backward, both (of rounds)"]
    return tables.table(head, rows)


def parse(arguments):
    parser = records.parser(__doc__)
    parser.add_argument("--python", default=sys.executable, help="one that has torch")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--graphs", type=int, default=128)
    parser.add_argument("--nodes", default="10-26", help="LO-HI, virtual nodes included")
    parser.add_argument("--virtual-nodes", type=int, default=4)
    parser.add_argument("--drop", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=machine.cores())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=7, help="steps of each turn")
    parser.add_argument("--run-under", type=shlex.split, default=[],
                        help="a command that runs each side")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    if options.render:
        return records.render(options.render, table)
    record = records.head(options)
    running = {"ssa": Ssa(options)}
    running["ssa"].measure()  # says which sizes the graphs have
    shape = running["ssa"].result
    try:
        for name, peer in PEERS.items():
            running[f"PyTorch {name}"] = Torch(options, shape, peer)
        turns = {name: side.measure for name, side in running.items()}
        measured = rounds.in_turn(turns, options.rounds, lambda turn: f"{1e3 * sum(turn):.2f} ms")
        torch = running["PyTorch eager"].version
    finally:
        for side in running.values():
            side.close()
    record |= {"torch": torch, "command": shlex.join(["ssa-bench", *running["ssa"].arguments]),
               "threads": options.threads, "shape": shape, "turns": measured}
    records.save(records.path_of(options, record, f"graph-attention-{options.precision}"), record)
    print(table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
