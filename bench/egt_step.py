#!/usr/bin/env python3
"""A training step of EGT-Simple at its published size: ssa beside PyTorch, in turn.

A step is forward, backward and Adam on a batch of molecules, in f32. With --data, ssa gets the first
batch of a prepared folder of molecules; otherwise chains of 10 to 18 atoms, 14 in the mean as in
PCQM4Mv2. PyTorch gets chains of the same numbers of atoms, padded to the largest. Not counted: reading
molecules. ssa also runs with half of the atoms dropped; PyTorch has nothing like that.

    python bench/egt_step.py --ssa-bench build/release/bin/ssa-bench [--data data/pcqm4mv2]
    python bench/egt_step.py --render bench/results/FILE.json

A turn is the median of a few steps; the figure of a side is the least over all turns, so that other
programs on the machine disturb it less. Memory is the most that was resident in any turn. PyTorch's
forgets what compiling took, but has the libraries, which are given apart.

PyTorch: python3 -m venv venv && venv/bin/pip install torch, then run with venv/bin/python.
"""

import json
import statistics
import sys

import machine
import records
import rounds
import sides
import tables

CASES = {"s0": "pcqm4mv2_s0", "s6_u50": "pcqm4mv2_s6_u50"}
PEERS = {"eager": False, "compile": True}  # compiled?
VIRTUAL_NODES = 4
TITLES = {"eager": "PyTorch, eager", "compile": "PyTorch, compiled"}


class Ssa:
    """ssa-bench step, a process a turn."""

    def __init__(self, options, case):
        self.options = options
        settings = [f"train.batch_size={options.batch}", f"train.micro_batch={options.batch}",
                    f"model.layers={options.layers}", f"ssa.layers={options.layers}"]
        self.arguments = ["step", "--config", str(records.ROOT / f"configs/{CASES[case]}.yaml"), "--device",
                          "cpu", "--precision", "fp32", "--repeats", str(options.steps)]
        for setting in settings[: 3 if case == "s0" else 4]:
            self.arguments += ["--set", setting]
        if options.data:
            self.arguments += ["--data", "--set", f"data.path={options.data}"]
        self.sizes = None  # atoms of each molecule, once a batch was trained on

    def measure(self):
        settings = sides.ssa_environment(self.options.threads, {})
        result, _ = sides.run_ssa_bench(self.options.ssa_bench, self.arguments, settings, 900)
        self.sizes = [rows - VIRTUAL_NODES for rows in result["rows_of_graphs"]]
        return {"seconds": result["step_seconds"]} | {
            key: result[key] for key in ("resident_before_bytes", "peak_resident_bytes")}

    def close(self):
        pass


class Torch:
    """pytorch_egt.py, started once."""

    def __init__(self, options, peer, sizes):
        self.steps = options.steps
        job = {"shape": {"layers": options.layers}, "sizes": sizes,
               "threads": options.threads, "compiled": PEERS[peer]}
        command = [options.python, str(sides.HERE / "pytorch_egt.py"), json.dumps(job)]
        self.worker = sides.Worker(command, sides.torch_environment(options.threads, {}))
        self.first = self.worker.answer()

    def measure(self):
        answer = self.worker.ask({"steps": self.steps})
        return {"seconds": statistics.median(answer["seconds"]),
                "resident_before_bytes": self.first["resident_before_bytes"],
                "peak_resident_bytes": answer["peak_resident_bytes"]}

    def close(self):
        self.worker.close()


def figures(turns):
    """(least seconds, most resident bytes) of a side."""
    return min(t["seconds"] for t in turns), max(t["peak_resident_bytes"] for t in turns)


def table(record):
    ours = {name: figures(record["sides"][name]) for name in CASES if name in record["sides"]}
    rows = []
    for name, turns in record["sides"].items():
        seconds, resident = figures(turns)
        against = "" if name in CASES else "; ".join(
            f"{case}: {tables.times(seconds / own)}, {tables.times(memory / resident)}"
            for case, (own, memory) in ours.items())
        rows.append([TITLES.get(name, name), f"{seconds:.3f} s", f"{record['batch'] / seconds:.1f}",
                     tables.mib(resident), against])
    return tables.table(["side", "step", "graphs/s", "peak resident",
                         "ssa faster, and its memory against this"], rows)


def parse(arguments):
    parser = records.parser(__doc__)
    parser.add_argument("--python", default=sys.executable, help="one that has torch")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--data", help="a prepared folder of molecules")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--layers", type=int, default=6, help="fewer, to try the script")
    parser.add_argument("--threads", type=int, default=machine.cores())
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5, help="steps of a turn")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    if options.render:
        return records.render(options.render, table)
    record = records.head(options)
    running = {case: Ssa(options, case) for case in options.cases}
    try:
        first = next(iter(running.values()))
        first.measure()
        for peer in options.peers:
            running[peer] = Torch(options, peer, first.sizes)
        turns = {name: side.measure for name, side in running.items()}
        measured = rounds.in_turn(turns, options.rounds, lambda turn: f"{turn['seconds']:.3f} s")
    except sides.SideError as error:
        sys.exit(f"egt_step.py: {error}")
    finally:
        for side in running.values():
            side.close()
    torch = [running[peer].first["torch"] for peer in options.peers]
    record |= {"torch": torch[0] if torch else None, "threads": options.threads,
               "batch": options.batch, "layers": options.layers, "rounds": options.rounds,
               "steps": options.steps, "data": bool(options.data), "sizes": first.sizes, "sides": measured}
    records.save(records.path_of(options, record, "egt-step"), record)
    print(table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
