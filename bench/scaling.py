#!/usr/bin/env python3
"""Weak and strong scaling of ssa-train over the ranks of this machine, beside what a model says of it.

Every side is a short training: so many ranks of --threads threads, a global batch, buckets, with or
without overlap. In every round each side runs once, in turn; the order rotates. A turn's figure is the
median step behind the first --warmup ones, by metrics.jsonl; a side's figure the median over the rounds.

weak      --sequences a rank, on each number of ranks
strong    the batch of the most ranks, on each number of ranks
buckets   on --study ranks: each size of bucket, with and without overlap
apart     as many trainings of one rank side by side as --study says, which know nothing of each other:
          the same cores, memory and caches without communication, which no ranks can beat

Latency and bandwidth are fitted to `ssa-bench collective` on --study ranks, compute to the sides of one
rank; scaling_model.py makes a step time of them for each side. More ranks than cores are slower by the
cores they lack.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import random
import shlex
import statistics
import subprocess
import sys
import tempfile

import records
import scaling_model
from records import say

WORDS = "the of and a window layer source target step loss plan token rank bucket ring".split()


@dataclasses.dataclass(frozen=True)
class Side:
    """A way to train: `copies` of it run at the same time."""

    ranks: int
    batch: int  # of all ranks
    bucket_mib: int
    overlap: bool = True
    copies: int = 1

    def name(self):
        if self.copies > 1:
            return f"{self.copies} x 1 rank apart, batch {self.batch}"
        kind = "overlap" if self.overlap else "no overlap"
        ranks = f"{self.ranks} rank{'s' if self.ranks > 1 else ''}, batch {self.batch}"
        return ranks if self.ranks == 1 else f"{ranks}, {self.bucket_mib} MiB, {kind}"


def parse(arguments):
    parser = records.described(__doc__)
    add = parser.add_argument
    add("--bin", type=pathlib.Path, default=records.ROOT / "build/release/bin", help="where the programs are")
    add("--config", type=pathlib.Path, default=records.ROOT / "configs/enwik8_mini_s6_l4.yaml")
    add("--data", type=pathlib.Path, help="bytes to train on (default: words drawn at random)")
    add("--set", nargs="+", default=[], metavar="key=value", help="override keys of the config")
    add("--ranks", type=int, nargs="+", default=[1, 2, 4])
    add("--study", type=int, default=2, help="ranks of buckets, apart and collectives (default: 2)")
    add("--sequences", type=int, default=8, help="a rank and micro-batch (default: %(default)s)")
    add("--buckets", type=int, nargs="+", default=[5, 1, 25], metavar="MIB",
        help="the first is that of weak and strong scaling (default: 5 1 25)")
    add("--threads", type=int, default=1, help="of each rank (default: %(default)s)")
    add("--steps", type=int, default=24, help="of a turn (default: %(default)s)")
    add("--warmup", type=int, default=4, help="steps that do not count (default: %(default)s)")
    add("--rounds", type=int, default=5, help="turns of each side (default: %(default)s)")
    add("--launcher", choices=["mpirun", "environment"], default="mpirun")
    add("--timeout", type=float, default=900, help="seconds a turn may take (default: %(default)s)")
    add("--output", type=pathlib.Path, metavar="FILE", help="default: in bench/results, by date")
    add("--render", type=pathlib.Path, metavar="FILE", help="tables of a record, no measuring")
    options = parser.parse_args(arguments)
    if options.steps <= options.warmup:
        parser.error("--steps has to be more than --warmup")
    options.ranks = sorted({1, *options.ranks})
    return options


def weak_sides(options):
    return [Side(n, n * options.sequences, options.buckets[0]) for n in options.ranks]


def strong_sides(options):
    batch = options.ranks[-1] * options.sequences
    return [Side(n, batch, options.buckets[0]) for n in options.ranks]


def bucket_sides(options):
    batch = options.study * options.sequences
    return [Side(options.study, batch, mib, overlap)
            for mib in options.buckets for overlap in (True, False)]


def apart(options):
    return Side(1, options.sequences, options.buckets[0], copies=options.study)


def all_sides(options):
    wanted = [*weak_sides(options), *strong_sides(options), *bucket_sides(options), apart(options)]
    return list(dict.fromkeys(wanted))


class Failed(Exception):
    pass


def launched(options, ranks, program, *arguments):
    """The command that runs a program on so many ranks."""
    return [str(records.ROOT / "scripts/launch_local.sh"), "-n", str(ranks), "--threads",
            str(options.threads), "--launcher", options.launcher, "--", str(options.bin / program),
            *map(str, arguments)]


def run_together(commands, folder, timeout):
    """Runs the commands at the same time; what they print is shown only if one fails."""
    logs = [folder / f"log-{number}" for number in range(len(commands))]
    processes = []
    for command, log in zip(commands, logs):
        with log.open("w") as stream:
            processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream,
                                              stderr=subprocess.STDOUT))
    try:
        for process, command, log in zip(processes, commands, logs):
            if process.wait(timeout) != 0:
                lines = "\n".join(log.read_text().splitlines()[-15:])
                raise Failed(f"{shlex.join(command)}\nended with {process.returncode}:\n{lines}")
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{shlex.join(late.cmd)}\ndid not end within {timeout:.0f} s") from late
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()  # launch_local.sh hands it on
                process.wait()


def settings(options, side, data):
    return [
        f"data.path={data}", "data.name=scaling", f"train.steps={options.steps}",
        "train.schedule.warmup_steps=1", f"train.batch_size={side.batch}",
        f"train.micro_batch={options.sequences}", "train.log_every=1", "train.eval_every=0",
        "train.eval_tokens=1", "train.checkpoint_every=0",
        f"distributed.bucket_mib={side.bucket_mib}",
        f"distributed.overlap={'true' if side.overlap else 'false'}", *options.set,
    ]


def read_steps(options, side, run_dir):
    """What metrics.jsonl says of the steps that count."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["split"] == "train"][options.warmup :]
    tokens = (lines[-1]["tokens"] - lines[0]["tokens"]) / (lines[-1]["step"] - lines[0]["step"])
    ranks = lines[-1].get("ranks", 1)
    if ranks != side.ranks:
        raise Failed(f"{side.name()}: trained on {ranks} ranks")
    found = {"step_seconds": statistics.median(tokens / line["tokens_per_second"] for line in lines)}
    for key, name in (("wait_seconds", "wait_seconds"), ("overlap", "hidden")):
        values = [line[key] for line in lines if line.get(key) is not None]
        if values:
            found[name] = statistics.fmean(values)
    return found


def take_turn(options, side, data):
    with tempfile.TemporaryDirectory(prefix="ssa-scaling-") as folder:
        folder = pathlib.Path(folder)
        runs = [folder / f"run-{number}" for number in range(side.copies)]
        commands = [launched(options, side.ranks, "ssa-train", "--quiet", "--config", options.config,
                             "--run-dir", run, "--set", *settings(options, side, data))
                    for run in runs]
        run_together(commands, folder, options.timeout)
        turns = [read_steps(options, side, run) for run in runs]
        return max(turns, key=lambda turn: turn["step_seconds"])  # as ranks wait for the slowest


def measure_sides(options, data, record, save):
    sides = all_sides(options)
    results = record["sides"] = [
        dataclasses.asdict(side) | {"name": side.name(), "turns": []} for side in sides]
    for number in range(options.rounds):
        order = list(zip(sides, results))
        shift = number % len(order)
        for side, result in order[shift:] + order[:shift]:
            turn = take_turn(options, side, data)
            result["turns"].append(turn)
            say(f"round {number + 1}: {side.name()}: {turn['step_seconds']:.4f} s")
            for key in turn:
                values = [one[key] for one in result["turns"] if key in one]
                result[key] = statistics.median(values)
        save()


def measure_collectives(options):
    with tempfile.TemporaryDirectory(prefix="ssa-scaling-") as folder:
        output = pathlib.Path(folder) / "collective.json"
        command = launched(options, options.study, "ssa-bench", "collective", "--json", output)
        run_together([command], pathlib.Path(folder), options.timeout)
        return json.loads(output.read_text())


def parameter_count(options):
    command = [options.bin / "ssa-train", "--config", options.config, "--dry-run", "--json", "-",
               "--set", "data.path=unused", *options.set]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["parameters"]


def find(record, side):
    """The step time of a side."""
    wanted = dataclasses.asdict(side)
    for result in record["sides"]:
        if all(result[key] == value for key, value in wanted.items()):
            return result
    raise KeyError(side.name())


def modelled(record, options, side):
    """Seconds of a side's step by scaling_model, from compute on one rank and the collectives' fit."""
    few, many = (find(record, of(options)[0]) for of in (weak_sides, strong_sides))
    sequence = (many["step_seconds"] - few["step_seconds"]) / max(1, many["batch"] - few["batch"])
    sequence = max(sequence, 0.0)  # on a busy machine more sequences may seem to take less time
    crowded = max(1.0, side.ranks * options.threads / record["machine"]["cores"])
    update = max(0.0, few["step_seconds"] - few["batch"] * sequence)
    fitted = record["fit"]["f32"]
    network = scaling_model.Network(scaling_model.Link(fitted["latency"], fitted["bandwidth"]))
    job = scaling_model.Job(
        parameters=record["parameters"], sequence_seconds=sequence * crowded, batch=side.batch,
        micro_batch=options.sequences, update_seconds=update * crowded,
        bucket=side.bucket_mib * 2**20, overlap=side.overlap,
        # Without cores of its own, communication takes its time from compute.
        stolen=1.0 if side.ranks * options.threads >= record["machine"]["cores"] else 0.0)
    return scaling_model.step(job, network, side.ranks)["step"]


def row(record, options, side, reference):
    """A line of a table; `reference`: seconds that would be perfect."""
    result = find(record, side)
    seconds = result["step_seconds"]
    spread = [turn["step_seconds"] for turn in result["turns"]]
    model = "" if side.copies > 1 else f"{modelled(record, options, side):.4f}"
    beside = [f"{result[key]:.4f}" if key in result else "" for key in ("wait_seconds", "hidden")]
    return (f"| {result['name']} | {seconds:.4f} ({min(spread):.4f}–{max(spread):.4f}) | "
            f"{100 * reference / seconds:.0f}% | {beside[0]} | {beside[1]} | {model} |")


def tables(record):
    options = argparse.Namespace(**record["settings"])
    weak, strong = weak_sides(options), strong_sides(options)
    alone, whole = (find(record, sides[0])["step_seconds"] for sides in (weak, strong))
    head = ("| {} | step s (least–most) | efficiency | waiting s | hidden | model s |\n"
            "|---|---|---|---|---|---|")
    parts = [head.format("weak")]
    parts += [row(record, options, side, alone) for side in [*weak, apart(options)]]
    parts += ["", head.format("strong")]
    parts += [row(record, options, side, whole / side.ranks) for side in strong]
    parts += ["", head.format(f"buckets, {options.study} ranks")]
    parts += [row(record, options, side, alone) for side in bucket_sides(options)]
    parts.append("")
    for dtype, fitted in record["fit"].items():
        parts.append(f"{dtype}: latency {fitted['latency'] * 1e6:.1f} µs, bandwidth "
                     f"{fitted['bandwidth'] * 1e-9:.3f} GB/s, median error "
                     f"{100 * fitted['median_error']:.0f}%")
    return "\n".join(parts)


def generated_text(folder):
    path, draw = pathlib.Path(folder) / "text.txt", random.Random(1)
    path.write_text(" ".join(draw.choice(WORDS) for _ in range(400000)))
    return path


def measure(options, command):
    kept = ("ranks", "study", "sequences", "buckets", "threads", "steps", "warmup", "rounds",
            "launcher", "set")
    record = records.full_head(command, options.bin / "ssa-bench") | {
        "settings": {key: getattr(options, key) for key in kept},
        "config": options.config.name, "data": options.data.name if options.data else "generated",
        "parameters": parameter_count(options),
    }
    output = records.path_of(options, record, "scaling")

    def save():
        records.save(output, record)

    record["collective"] = measure_collectives(options)
    record["fit"] = {}
    for dtype in ("f32", "bf16"):
        link, error = scaling_model.fit(record["collective"], dtype)
        record["fit"][dtype] = {"latency": link.latency, "bandwidth": link.bandwidth,
                                "median_error": error}
    with tempfile.TemporaryDirectory(prefix="ssa-scaling-") as folder:
        data = options.data.resolve() if options.data else generated_text(folder)
        measure_sides(options, data, record, save)
    record["machine"]["load_average_after"] = os.getloadavg()[0]
    save()
    say(f"written: {output}")
    return record


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    try:
        if options.render:
            record = json.loads(options.render.read_text())
        else:
            record = measure(options, shlex.join(["python", "bench/scaling.py", *arguments]))
    except Failed as error:
        say(f"scaling.py: {error}")
        return 1
    print(tables(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
