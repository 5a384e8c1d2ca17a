#!/usr/bin/env python3
"""Writing texts with a trained model, side by side with PyTorch: how near it comes to the speed of memory.

One text at a time reads all weights for each token; texts side by side read them once for all. A
turn writes --tokens tokens. ssa-generate's start and prompt are taken off by writing 16 tokens
first; PyTorch's are not counted. In each round memory is read as well: PyTorch adds up 2 GiB with as
many threads. A virtual machine's memory may be twice as fast a minute later, so a share of it is one
of the same round, and the table has the median over the rounds. The bytes of the weights are those of
the matrices; keys and values are not counted.

    ssa-train --config configs/enwik8_s0.yaml --run-dir runs/gen_bf16 --set train.precision=bf16 \\
      train.steps=1 train.batch_size=1 train.micro_batch=1 data.length=64 eval.length=64 train.eval_every=0
    python bench/generation.py --run bf16=runs/gen_bf16 --run fp32=runs/gen_fp32

Runs are called by their precision; the run in bf16 is also written with int8 weights. The shape of
the peer is that of the config above.
"""

import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import machine
import records
import rounds
import sides
import tables

START = 16  # tokens that are written to be taken off
READ = 2**31  # bytes
MEMORY = "memory"


class Ssa:
    """ssa-generate, two processes a turn."""

    def __init__(self, options, run, weights, texts):
        self.options, self.texts = options, texts
        self.program = str(pathlib.Path(options.ssa_bench).with_name("ssa-generate"))
        self.arguments = ["--run", run, "--weights", weights]

    def seconds(self, tokens):
        """What ssa-generate says that writing took, after a prompt of 16 bytes."""
        with tempfile.TemporaryDirectory() as folder:
            prompts = pathlib.Path(folder) / "prompts"
            prompts.write_text("The history of A\n" * self.texts)
            which = ["--prompts", str(prompts), "--batch", str(self.texts)]
            if self.texts == 1:
                which = ["--prompt", "The history of A"]
            settings = sides.ssa_environment(self.options.threads, {})
            done = subprocess.run(
                [self.program, *self.arguments, *which, "--length", str(tokens), "--output",
                 f"{folder}/text"], env=sides.with_settings(settings), capture_output=True, check=False)
        said = re.search(rb"(\d+) bytes in [0-9.]+ s: ([0-9.]+) a second", done.stderr)
        if done.returncode != 0 or not said:
            raise sides.SideError(f"ssa-generate: {sides.tail(done.stderr)}")
        return int(said[1]) / float(said[2])

    def measure(self):
        return {"seconds": self.seconds(START + self.options.tokens) - self.seconds(START)}


class Torch:
    def __init__(self, options, worker, texts):
        self.options, self.worker, self.texts = options, worker, texts

    def measure(self):
        return self.worker.ask({"texts": self.texts, "tokens": self.options.tokens})


def table(record):
    rows, seconds = [], {name: [turn["seconds"] for turn in turns]
                         for name, turns in record["sides"].items()}
    memory = [READ / taken for taken in seconds.pop(MEMORY)]
    for name, taken in seconds.items():
        side, precision, texts = name.split()
        weights = record["weight_bytes"][precision] * record["tokens"]
        read = [weights / each for each in taken]
        share = statistics.median(mine / most for mine, most in zip(read, memory))
        rows.append([texts, precision, side,
                     f"{int(texts) * record['tokens'] / statistics.median(taken):.0f}",
                     f"{statistics.median(read) / 1e9:.1f} GB/s", f"{100 * share:.0f}%"])
    rows.sort(key=lambda row: (int(row[0]), row[1]))
    return (f"Memory: {statistics.median(memory) / 1e9:.1f} GB/s, from {min(memory) / 1e9:.1f} to "
            f"{max(memory) / 1e9:.1f}.\n\n" + tables.table(
                ["texts", "weights", "side", "tokens/s", "weights read", "of the memory's speed"], rows))


def parse(arguments):
    parser = records.parser(__doc__)
    parser.add_argument("--run", nargs="+", action="extend", default=[], metavar="PRECISION=DIR")
    parser.add_argument("--python", default=sys.executable, help="one that has torch")
    parser.add_argument("--texts", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=machine.cores())
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    if options.render:
        return records.render(options.render, table)
    record = records.head(options)
    turns, workers, weight_bytes = {}, [], {}
    try:
        for precision, run in (run.split("=", 1) for run in options.run):
            job = {"shape": {}, "precision": precision, "threads": options.threads}
            workers.append(sides.Worker(
                [options.python, str(sides.HERE / "pytorch_generation.py"), json.dumps(job)],
                sides.torch_environment(options.threads, {})))
            first = workers[-1].answer()
            weight_bytes[precision] = first["weight_bytes"]
            record["torch"] = first["torch"]
            turns.setdefault(MEMORY, lambda worker=workers[-1]: worker.ask({"read": READ}))
            for texts in options.texts:
                turns[f"ssa {precision} {texts}"] = Ssa(options, run, "full", texts).measure
                turns[f"PyTorch {precision} {texts}"] = Torch(options, workers[-1], texts).measure
            if precision == "bf16":
                weight_bytes["int8"] = first["weight_bytes"] // 2
                for texts in options.texts:
                    turns[f"ssa int8 {texts}"] = Ssa(options, run, "int8", texts).measure
        measured = rounds.in_turn(turns, options.rounds, lambda turn: f"{turn['seconds']:.3f} s")
    except sides.SideError as error:
        sys.exit(f"generation.py: {error}")
    finally:
        for worker in workers:
            worker.close()
    record |= {"threads": options.threads, "tokens": options.tokens, "rounds": options.rounds,
               "weight_bytes": weight_bytes, "sides": measured}
    records.save(records.path_of(options, record, "generation"), record)
    print(table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
