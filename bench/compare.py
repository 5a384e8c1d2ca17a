#!/usr/bin/env python3
"""Measures ssa and PyTorch side by side on this machine and puts the figures into the documents.

Both sides train the same decoder on random bytes: ssa through `ssa-bench step`, PyTorch through
pytorch_decoder.py, with the same number of threads. In every round each side runs once, in turn,
while the others wait; the order rotates from round to round. A turn warms up (ssa, whose process is
new, by two steps, PyTorch by one) and measures --steps steps; its figure is their median, a side's
figure the median over the rounds.

Counted in a step, on both sides: drawing the plans (in PyTorch also filling the masks; plan_seconds
says how long), forward, backward, clipping, Adam. Not counted: reading data, starting, compiling.

Memory is the resident peak of the process (VmHWM), whole and without what was resident before the
model was built (interpreter, and libraries that have run once). PyTorch's peak is that of the steps
after warming up, so that the compiler's memory does not count.
"""

import argparse
import dataclasses
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile

import cases
import machine
import records
import tables
from curves import run_curves
from records import say
from rounds import run_case

EXAMPLES = """examples:
  python bench/compare.py                       both cases in fp32 and bf16: takes a while
  python bench/compare.py --cases dense --precisions fp32 --no-compile --no-document
  python bench/compare.py --curves              the cases, then the scaling curves
  python bench/compare.py --curves --cases none the curves alone
  python bench/compare.py --cases image_dense image_l4   pictures
  python bench/compare.py --quick               tries the script out; its figures mean nothing
  python bench/compare.py --render FILE.json    writes the tables of a measurement again

PyTorch: python3 -m venv venv && venv/bin/pip install torch, then run with venv/bin/python.
"""


def pairs(text):
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def at_least_one(text):
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def parse(arguments):
    parser = records.described(__doc__, EXAMPLES)
    add = parser.add_argument
    default = [case.name for case in cases.TEXTS]
    names = [case.name for case in cases.TEXTS + cases.IMAGES]
    add("--cases", nargs="+", choices=[*names, "none"], default=default)
    add("--precisions", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    add("--peers", nargs="+", choices=[p.name for p in cases.PEERS], default=cases.DEFAULT_PEERS)
    add("--no-compile", action="store_true", help="leave torch.compile out")
    add("--compile-mode", default="default", help="mode of torch.compile (default: %(default)s)")
    add("--rounds", type=at_least_one, default=5, help="turns of each side (default: %(default)s)")
    add("--steps", type=at_least_one, default=3, help="measured in a turn (default: %(default)s)")
    add("--warmup", type=at_least_one, default=2, help="PyTorch's steps before the first turn")
    add("--threads", type=at_least_one, default=machine.cores(), help="of each side (default: all)")
    add("--curves", action="store_true", help="also measure the scaling curves of ssa")
    add("--curve-precision", choices=["fp32", "bf16"], default="fp32")
    add("--ssa-bench", default=records.SSA_BENCH, metavar="PATH")
    add("--python", default=sys.executable, metavar="PATH", help="the Python that has torch")
    add("--ssa-env", type=pairs, action="append", default=[], metavar="NAME=VALUE")
    add("--torch-env", type=pairs, action="append", default=[], metavar="NAME=VALUE")
    add("--timeout", type=float, default=900, help="seconds a turn may take (default: %(default)s)")
    add("--output", type=pathlib.Path, metavar="DIR", help="default: bench/results")
    add("--document", type=pathlib.Path, metavar="PATH", help="default: docs/performance.md")
    add("--suffix", metavar="TEXT", help="write between the markers NAME-TEXT, for a second machine")
    add("--no-document", action="store_true", help="print the tables only")
    add("--quick", action="store_true", help="tiny shapes, one round, into build/bench-quick")
    add("--render", type=pathlib.Path, metavar="FILE", help="tables from this, no measuring")
    options = parser.parse_args(arguments)
    return completed(options)


def completed(options):
    """Options with the defaults that depend on other options."""
    options.ssa_env, options.torch_env = dict(options.ssa_env), dict(options.torch_env)
    wanted = [p for p in cases.PEERS if p.name in options.peers]
    options.peers = [p for p in wanted if not (options.no_compile and p.compiled)]
    options.cases = [
        case for case in cases.TEXTS + cases.IMAGES if case.name in options.cases
    ]
    scratch = records.ROOT / "build/bench-quick"
    if options.quick:
        options.rounds, options.steps = 1, 1
        options.cases = [cases.quick(case) for case in options.cases]
        scratch.mkdir(parents=True, exist_ok=True)
        if not options.document:
            options.document = scratch / "performance.md"
            options.document.write_text(tables.EMPTY_DOCUMENT)
    options.output = options.output or (scratch if options.quick else records.RESULTS)
    options.document = options.document or records.ROOT / "docs/performance.md"
    if options.no_document:
        options.document = None
    return options


def place(name, options):
    """The name of a block's markers."""
    return f"{name}-{options.suffix}" if options.suffix else name


def check(options):
    """Everything that can be known to fail before the minutes of measuring."""
    if options.document:
        blocks = [tables.block_of(dataclasses.asdict(case)) for case in options.cases]
        blocks += ["curves"] * options.curves
        places = [place(name, options) for name in blocks]
        tables.require_markers(options.document, places if not options.render else [])
    if options.render:
        return
    if not pathlib.Path(options.ssa_bench).is_file():
        sys.exit(
            f"compare.py: no {options.ssa_bench}; build it with\n"
            "  cmake --preset release && cmake --build --preset release\n"
            "or give --ssa-bench PATH"
        )
    if not options.cases and not options.curves:
        sys.exit("compare.py: nothing to measure: give --cases or --curves")
    if options.cases and options.peers and not has_torch(options.python):
        sys.exit(
            f"compare.py: {options.python} has no PyTorch; install it with\n"
            "  python3 -m venv venv && venv/bin/pip install torch\n"
            "and run with venv/bin/python or give --python venv/bin/python"
        )
    if options.threads > machine.cores():
        sys.exit(f"compare.py: --threads {options.threads}, but only {machine.cores()} cores")


def has_torch(python):
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
    try:
        done = subprocess.run([python, "-c", look], capture_output=True, stdin=subprocess.DEVNULL)
        return done.returncode == 0
    except OSError:
        return False


def measure(options, command):
    record = records.full_head(command, options.ssa_bench) | {
        "quick": options.quick,
        "settings": {
            "threads": options.threads,
            "rounds": options.rounds,
            "steps_per_turn": options.steps,
            "compile_mode": options.compile_mode,
            "ssa_env": options.ssa_env,
            "torch_env": options.torch_env,
        },
        "cases": [],
    }
    options.output.mkdir(parents=True, exist_ok=True)
    path = records.free_path(options.output, records.name_of(record))
    with tempfile.TemporaryDirectory(prefix="ssa-compare-") as folder:
        for case in options.cases:
            for precision in options.precisions:
                record["cases"].append(run_case(case, precision, options, folder))
                records.save(path, record)  # what is measured stays, whatever happens next
        if options.curves:
            record["curves"] = run_curves(options, folder)
    for case in record["cases"]:
        for side in case["sides"].values():
            record["versions"].update(side.pop("versions", {}))
    records.save(path, record)
    say(f"written: {path}")
    return record


def failures(record):
    found = [
        f"{case['name']} {case['precision']} {name}: {side['error']}"
        for case in record["cases"]
        for name, side in case["sides"].items()
        if "error" in side
    ]
    for curve in record.get("curves", []):
        bad = [point for point in curve["points"] if "error" in point]
        found += [f"{curve['name']} {point['x']}: {point['error']}" for point in bad]
    return found


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    check(options)
    if options.render:
        record = json.loads(options.render.read_text())
    else:
        record = measure(options, shlex.join(["python", "bench/compare.py", *arguments]))
    for name, text in tables.blocks(record).items():
        print(text)
        if options.document:
            tables.put(options.document, place(name, options), text)
    problems = failures(record)
    for problem in problems:
        say(f"compare.py: failed: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
