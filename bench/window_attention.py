#!/usr/bin/env python3
"""Swin's attention in shifted windows, forward and backward: ssa beside PyTorch and timm, in turn.

Every side gets query, key and value of a map, and gives the gradients of these and of the bias
table. A turn measures one side several times; the figure of a side is the least over all turns, so
that other programs on the machine disturb it less.

    python bench/window_attention.py --ssa-bench build/release/bin/ssa-bench
    python bench/window_attention.py --render bench/results/FILE.json

PyTorch: python3 -m venv venv && venv/bin/pip install torch timm, then run with venv/bin/python.
"""

import dataclasses
import os
import sys
import time

import records
import rounds
import sides
import tables

# (side of the map, window, shift, heads): the shifted blocks of Swin-T's first and third stage.
CASES = {
    "w7": (56, 7, 3, 3),
    "w7_stage3": (14, 7, 3, 12),
    "w14": (56, 14, 7, 3),
    "w14_stage3": (14, 14, 0, 12),
}
TITLES = {
    "ssa": "ssa",
    "ssa_alibi": "ssa, ALiBi instead",
    "sdpa": "PyTorch, fused attention, eager",
    "sdpa_compile": "PyTorch, fused attention, compiled",
    "timm": "timm, eager",
    "timm_compile": "timm, compiled",
}


def ssa_turn(options, case, precision, bias):
    """Least seconds (forward, backward) of ssa-bench attention."""
    side, window, shift, heads = CASES[case]
    arguments = [
        "attention", "--device", "cpu", "--precision", precision, "--bias", bias,
        "--batch", str(options.batch), "--heads", str(heads), "--head-size", "32",
        "--grid-rows", str(side), "--grid-columns", str(side), "--window", str(window),
        "--shift", str(shift), "--repeats", str(options.repeats),
    ]
    settings = sides.ssa_environment(options.threads, {})
    result, _ = sides.run_ssa_bench(options.ssa_bench, arguments, settings, 600)
    return result["least_forward_seconds"], result["least_backward_seconds"]


class TorchSide:
    """One peer in this process, warm between its turns."""

    def __init__(self, peer, geometry, precision):
        import torch
        from pytorch_windows import DTYPES, build

        torch.manual_seed(1)
        self.module = build(peer, geometry, precision)
        channels = geometry.heads * geometry.head_size
        shape = (geometry.batch, geometry.side, geometry.side)
        dtype = DTYPES[precision]
        self.qkv = torch.randn(*shape, 3 * channels, dtype=dtype, requires_grad=True)
        self.grad = torch.randn(*shape, channels, dtype=dtype)
        self.turn(2)

    def turn(self, repeats):
        """Least seconds (forward, backward)."""
        forward, backward = [], []
        for _ in range(repeats):
            self.qkv.grad = None
            self.module.zero_grad()
            started = time.perf_counter()
            out = self.module(self.qkv)
            between = time.perf_counter()
            out.backward(self.grad)
            backward.append(time.perf_counter() - between)
            forward.append(between - started)
        return min(forward), min(backward)


def measure(options, case, precision):
    """One case: (forward, backward) seconds of every turn of every side, and the least."""
    from pytorch_windows import Geometry

    side, window, shift, heads = CASES[case]
    geometry = Geometry(options.batch, side, window, shift, heads)
    turns = {
        "ssa": lambda: ssa_turn(options, case, precision, "relative_2d"),
        "ssa_alibi": lambda: ssa_turn(options, case, precision, "alibi"),
    }
    for peer in options.peers:
        torch_side = TorchSide(peer, geometry, precision)
        turns[peer] = lambda of=torch_side: of.turn(options.repeats)
    records.say(f"{case} {precision}")
    measured = rounds.in_turn(turns, options.rounds, lambda turn: f"{1e3 * sum(turn):.2f} ms")
    record = {"case": case, "precision": precision, "geometry": dataclasses.asdict(geometry)}
    record["sides"] = {
        name: {
            "turns": seconds,
            "forward_seconds": min(turn[0] for turn in seconds),
            "backward_seconds": min(turn[1] for turn in seconds),
        }
        for name, seconds in measured.items()
    }
    return record


def total(side):
    return side["forward_seconds"] + side["backward_seconds"]


def table(record):
    rows = []
    for case in record["cases"]:
        g, ours = case["geometry"], case["sides"]["ssa"]
        for name, side in case["sides"].items():
            first = name == "ssa"
            what = f"map {g['side']}, window {g['window']}, shift {g['shift']}, {g['heads']} heads"
            rows.append([
                f"{what}, {case['precision']}" if first else "",
                TITLES[name],
                f"{1e3 * side['forward_seconds']:.2f} + {1e3 * side['backward_seconds']:.2f} ms",
                "" if first else tables.times(total(side) / total(ours)),
            ])
    return tables.table(["case", "side", "forward + backward", "time against ssa's"], rows)


def parse(arguments):
    parser = records.parser(__doc__)
    parser.add_argument("--cases", nargs="*", choices=list(CASES), default=list(CASES))
    both, peers = ["fp32", "bf16"], list(TITLES)[2:]
    parser.add_argument("--precisions", nargs="+", choices=both, default=both)
    parser.add_argument("--peers", nargs="*", choices=peers, default=peers)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=10, help="measurements per turn")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    if options.render:
        return records.render(options.render, table)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    found = records.versions(torch="torch", timm="timm")
    import torch

    torch.set_num_threads(options.threads)
    record = records.head(options) | found | {
        "threads": options.threads, "rounds": options.rounds,
        "repeats": options.repeats, "cases": [],
    }
    output = records.path_of(options, record, "window-attention")
    for precision in options.precisions:
        for case in options.cases:
            record["cases"].append(measure(options, case, precision))
            records.save(output, record)
    print(table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
