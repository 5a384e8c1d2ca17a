#!/usr/bin/env python3
"""Short trainings on a GPU against the CPU's: losses step by step, resuming, scoring.

Small decoders (configs/enwik8_mini_s0, _s6_l4) learn the same text with the same seeds on both, in
fp32, bf16 and fp16. Sums are taken in other orders, so that losses drift apart slowly: how far they
may, for the first steps and at the end, is in BOUNDS. The CPU has no fp16; its fp32 is the reference.

Called by scripts/gpu_check.sh, and by scripts/gpu_bundle.sh with --make-reference.
"""

import json
import math
import pathlib
import shutil
import statistics
import subprocess
import sys

import records
from gpu_record import Record

ROOT = pathlib.Path(__file__).resolve().parent.parent
# (config, precision on the device, precision of the CPU's reference, more overrides)
RUNS = (
    ("enwik8_mini_s6_l4", "fp32", "fp32"),
    ("enwik8_mini_s6_l4", "bf16", "bf16"),
    ("enwik8_mini_s6_l4", "fp16", "fp32"),
    ("enwik8_mini_s0", "fp32", "fp32"),
    ("enwik8_mini_s0", "bf16", "bf16"),
    ("enwik8_mini_s6_l4", "bf16", "bf16", "model.activation=gelu_tanh"),  # inside the products
)
FIRST_STEPS = 50
# Relative differences: most of any of the first steps, and of the mean of the last ten.
BOUNDS = {"fp32": (1e-3, 0.02), "bf16": (0.02, 0.05), "fp16": (0.05, 0.05)}
SCORE_BOUND = 1e-4  # relative, fp32
SCORED_BYTES = 8192


def say(text):
    print(text, flush=True)


def parse():
    parser = records.described(__doc__)
    add = parser.add_argument
    add("--bin", type=pathlib.Path, required=True, help="where the programs are")
    add("--text", type=pathlib.Path, required=True, help="plain or packed")
    add("--work", type=pathlib.Path, required=True, help="folder for data and runs; made anew")
    add("--device", default="cuda", help="what is checked (default: %(default)s)")
    add("--steps", type=int, default=100, help="of each run (default: %(default)s)")
    add("--record", type=pathlib.Path, help="where results are added (default: in --work)")
    add("--reference", type=pathlib.Path, help="the CPU's losses, from --make-reference")
    add("--make-reference", type=pathlib.Path, metavar="FILE", help="write the CPU's and stop")
    options = parser.parse_args()
    if options.steps < 20 or options.steps % 2:
        parser.error("--steps must be even, and at least 20")
    options.record = options.record or options.work / "gpu_train.json"
    options.unrecorded = {}  # why, by run: a step could not be made a CUDA graph
    return options


def run(*command):
    """Runs a program; its output is shown only if it fails."""
    command = [str(part) for part in command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        lines = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise RuntimeError(f"{' '.join(command)}\nended with code {done.returncode}:\n{lines}")
    return done.stdout


def settings(options, precision):
    return [
        f"data.path={options.work / 'data'}", "data.name=bytes", f"train.precision={precision}",
        f"train.steps={options.steps}", f"train.schedule.warmup_steps={options.steps // 2}",
        "train.micro_batch=4", "train.log_every=1", f"train.eval_every={options.steps}",
        "train.eval_tokens=4096", f"train.checkpoint_every={options.steps // 2}",
    ]


def train(options, config, precision, device, name, *more, overrides=()):
    """A run folder."""
    folder = options.work / name
    told = run(options.bin / "ssa-train", "--config", ROOT / f"configs/{config}.yaml", "--device",
               device, "--run-dir", folder, *more, "--set", *settings(options, precision),
               *overrides)
    for line in told.splitlines():
        if "steps are not recorded" in line:
            options.unrecorded[name] = line
    return folder


def losses(folder):
    """Of every step, in nats a byte; and the median of the last half's tokens/s."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line.get("split") == "train"]
    rates = [line["tokens_per_second"] for line in lines[len(lines) // 2 :]]
    return [line["loss"] for line in lines], statistics.median(rates)


def data_checksum(options):
    return json.loads((options.work / "data/dataset.json").read_text()).get("xxh3_64")


def prepare(options):
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    run(options.bin / "ssa-data", "prepare", "bytes", "--input", options.text, "--output",
        options.work / "data")


def make_reference(options):
    reference = {"steps": options.steps, "data": data_checksum(options), "losses": {}}
    for precision in ("fp32", "bf16"):
        config = "enwik8_mini_s6_l4"
        folder = train(options, config, precision, "cpu", f"{config}-{precision}-cpu")
        reference["losses"][f"{config} {precision}"], rate = losses(folder)
        say(f"cpu {config} {precision}: {rate:.0f} tokens/s")
        options.make_reference.write_text(json.dumps(reference) + "\n")


class References:
    """The CPU's losses: those brought along if they are of the same text and steps, else its own."""

    def __init__(self, options):
        self.options, self.known = options, {}
        if options.reference:
            brought = json.loads(options.reference.read_text())
            if (brought["steps"], brought["data"]) == (options.steps, data_checksum(options)):
                self.known = {name: (values, "bundle") for name, values in brought["losses"].items()}
            else:
                say(f"{options.reference}: of other text or steps, not used")

    def losses(self, config, precision, *overrides):
        name = " ".join([config, precision, *overrides])
        if name not in self.known:
            folder = train(self.options, config, precision, "cpu",
                           name.replace(" ", "-") + "-cpu", overrides=overrides)
            self.known[name] = (losses(folder)[0], "this machine")
        return self.known[name]


def compare(own, reference, precision):
    """What the record says of one run; "ok" is the verdict."""
    apart = [abs(a - b) / abs(b) for a, b in zip(own, reference)]
    first_bound, last_bound = BOUNDS[precision]
    ends = [statistics.fmean(values[-10:]) for values in (own, reference)]
    first, last = max(apart[:FIRST_STEPS]), abs(ends[0] - ends[1]) / ends[1]
    learned = ends[0] < 0.8 * own[0]
    whole = len(own) == len(reference) and all(math.isfinite(loss) for loss in own)
    return {
        "ok": whole and first <= first_bound and last <= last_bound and learned,
        "most_apart_first_steps": first, "bound_first_steps": first_bound,
        "apart_at_end": last, "bound_at_end": last_bound,
        "learned": learned, "losses": own, "reference": reference,
    }


def check_losses(options, record):
    references, good = References(options), True
    for config, precision, of_reference, *overrides in RUNS:
        if options.device == "cpu" and precision == "fp16":
            continue  # to try this script out
        name = " ".join([config, precision, *overrides])
        folder = train(options, config, precision, options.device,
                       name.replace(" ", "-") + "-device", overrides=overrides)
        own, rate = losses(folder)
        reference, source = references.losses(config, of_reference, *overrides)
        result = compare(own, reference, precision)
        result |= {"tokens_per_second": rate, "reference_from": source}
        record.set(f"train.losses.{name.replace('.', '_')}", result)
        say(f"{name}: {'ok' if result['ok'] else 'FAILED'}: first {FIRST_STEPS} steps "
            f"at most {result['most_apart_first_steps']:.2e} apart, at the end "
            f"{result['apart_at_end']:.2e}; {rate:.0f} tokens/s")
        good = good and result["ok"]
    return good


def same_bits(first, second):
    return all((first / name).read_bytes() == (second / name).read_bytes()
               for name in ("model.safetensors", "optimizer.safetensors"))


def check_resuming(options, record):
    """The second half again, from the checkpoint in the middle; the whole run again, and without
    CUDA graphs."""
    good = True
    for precision in ("fp32", "bf16"):
        whole = options.work / f"enwik8_mini_s6_l4-{precision}-device"
        config, last = "enwik8_mini_s6_l4", f"checkpoints/step-{options.steps}"
        again = train(options, config, precision, options.device, f"again-{precision}")
        middle = whole / f"checkpoints/step-{options.steps // 2}"
        resumed = train(options, config, precision, options.device, f"resumed-{precision}",
                        "--resume", middle)
        by_call = train(options, config, precision, options.device, f"by_call-{precision}",
                        overrides=["train.cuda_graphs=false"])
        result = {"again": same_bits(whole / last, again / last),
                  "resumed": same_bits(whole / last, resumed / last),
                  "without_graphs": same_bits(whole / last, by_call / last)}
        result["ok"] = all(result.values())
        record.set(f"train.same_bits.{precision}", result)
        say(f"same bits {precision}: {result}")
        good = good and result["ok"]
    return good


def check_scores(options, record):
    """ssa-eval of the fp32 run on both."""
    folder, good = options.work / "enwik8_mini_s6_l4-fp32-device", True
    for mode, more in (("renorm", []), ("ensemble", ["--samples", "3"])):
        scores = {}
        for device in (options.device, "cpu"):
            output = options.work / f"{mode}-{device}.json"
            run(options.bin / "ssa-eval", "--run", folder, "--mode", mode, *more, "--max-tokens",
                SCORED_BYTES, "--device", device, "--json", output)
            scores["cpu" if device == "cpu" else "device"] = json.loads(output.read_text())["loss"]
        own, reference = scores.get("device", scores["cpu"]), scores["cpu"]
        apart = abs(own - reference) / reference
        result = {"ok": apart <= SCORE_BOUND, "apart": apart, "bound": SCORE_BOUND, **scores}
        record.set(f"train.scores.{mode}", result)
        say(f"score {mode}: {result}")
        good = good and result["ok"]
    return good


def main():
    options = parse()
    prepare(options)
    if options.make_reference:
        make_reference(options)
        return 0
    record, good = Record(options.record), True
    for check in (check_losses, check_resuming, check_scores):
        try:
            good = check(options, record) and good
        except (RuntimeError, OSError, KeyError) as error:  # the other checks still say something
            record.set(f"train.errors.{check.__name__}", str(error))
            say(f"{check.__name__} failed: {error}")
            good = False
    record.set("train.unrecorded", options.unrecorded)
    for name, why in options.unrecorded.items():
        say(f"{name}: {why}")
    good = good and not options.unrecorded
    record.set("train.ok", good)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
