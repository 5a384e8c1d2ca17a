#!/usr/bin/env python3
"""How fast ssa is on a GPU: peaks, attention, training steps, and PyTorch's of the same.

Counted are the operations that the model needs (PaLM's way: no recomputing, backward twice forward;
attention by the pairs of its plan), as a fraction of what a large matrix product reaches on the
same machine. A side that fails is recorded with its message and does not stop the others; when the time
is over, what was not measured says so.

Called by scripts/gpu_check.sh. --device cpu --tiny tries the script out; its figures mean nothing.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import cases
import records
from gpu_record import Record

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
# The body of the paper's WikiText-103 model, 201M parameters, on bytes and without dropout: what
# both sides can do alike.
DENSE = cases.Case("dense_3072", "dense", 3072, 8, layers=16, width=1024, heads=8, ffn_width=4096)
LOCAL = cases.Case("ssa_l4_3072", "SSA L4", 3072, 8, layers=16, width=1024, heads=8,
                   ffn_width=4096, windows=4)
# (attention of pytorch_gpu.py, whether the whole model is compiled)
PEERS = (("sdpa", False), ("flex", False), ("sdpa", True), ("flex", True))
WHOLE = ("wikitext103_s0", "wikitext103_s16_l4")  # 247M parameters, adaptive embedding, dropout
WHOLE_BATCHES = (64, 32, 16, 8, 4)  # the largest that fits
WORDS = 267735


def say(text):
    print(text, flush=True)


class Failed(RuntimeError):
    pass


class Bench:
    """Runs measurements until the time is over, and records each at once."""

    def __init__(self, options):
        self.options, self.record = options, Record(options.record)
        self.end, self.good = time.monotonic() + options.seconds, True
        self.peak = None  # FLOP/s of a bf16 product

    def measure(self, key, call, most):
        """What call(seconds it may take) returns goes under bench.KEY; None if it failed."""
        left = self.end - time.monotonic()
        if left < 15:
            self.record.set(f"bench.{key}", {"skipped": "no time left"})
            say(f"{key}: no time left")
            self.good = False
            return None
        started = time.monotonic()
        try:
            result = call(min(most, left))
        except Failed as error:
            self.record.set(f"bench.{key}", {"error": str(error)})
            say(f"{key}: failed: {error}")
            self.good = False
            return None
        self.record.set(f"bench.{key}", result)
        say(f"{key} ({time.monotonic() - started:.0f} s): {brief(result)}")
        return result

    def ssa(self, arguments, seconds, variables=None):
        with tempfile.TemporaryDirectory() as folder:
            output = pathlib.Path(folder) / "result.json"
            command = [self.options.ssa_bench, *arguments, "--device", self.options.device,
                       "--json", output]
            environment = dict(os.environ) | (variables or {})
            if self.options.ssa_libraries:
                paths = [self.options.ssa_libraries, environment.get("LD_LIBRARY_PATH", "")]
                environment["LD_LIBRARY_PATH"] = ":".join(filter(None, paths))
            run(command, seconds, environment)
            return json.loads(output.read_text()) | {"arguments": [str(a) for a in arguments]}

    def torch(self, job, seconds):
        job = {"device": self.options.device, "repeats": self.options.repeats} | job
        return json.loads(
            run([self.options.python, HERE / "pytorch_gpu.py", json.dumps(job)], seconds))


def run(command, seconds, environment=None):
    """Standard output. Failed with the end of its messages."""
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds,
                              env=environment)
    except subprocess.TimeoutExpired:
        raise Failed(f"no result within {seconds:.0f} s") from None
    except OSError as error:
        raise Failed(str(error)) from None
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Failed(f"ended with code {done.returncode}: {' | '.join(lines[-3:])[-600:]}")
    return done.stdout


def brief(result):
    """The numbers of a result, without lists and parts."""
    numbers = {k: v for k, v in result.items() if isinstance(v, (int, float)) and v is not True}
    return ", ".join(f"{key} {value:.4g}" for key, value in numbers.items())


def measure_peaks(bench):
    size = 512 if bench.options.tiny else 8192
    peaks = bench.measure("peaks.torch", lambda s: bench.torch({"kind": "peaks", "size": size}, s),
                          120)
    found = [peaks["matmul_bf16_flop_per_second"]] if peaks else []
    for precision in ("bf16", "fp16", "fp32"):
        arguments = ["gemm", "--precision", precision, "--m", size, "--n", size, "--k", size]
        own = bench.measure(f"peaks.ssa_{precision}", lambda s: bench.ssa(arguments, s), 60)
        if own and precision == "bf16":
            found.append(own["tflops"] * 1e12)
    bench.peak = max(found, default=None)


def measure_attention(bench, case):
    """One layer's, in bf16."""
    arguments = ["attention", "--precision", "bf16", "--batch", case.batch, "--length", case.length,
                 "--heads", case.heads, "--head-size", case.width // case.heads, "--windows",
                 case.windows, "--sigma", case.sigma_last, "--repeats", bench.options.repeats]
    bench.measure(f"attention.{case.name}.ssa", lambda s: bench.ssa(arguments, s), 60)
    shape = case.shape() | {"sigma_first": case.sigma_last}
    for attention in ("sdpa", "flex") + ("sdpa_plain", "cudnn") * (case.windows == 1):
        job = {"kind": "attention", "attention": attention, "shape": shape}
        bench.measure(f"attention.{case.name}.{attention}", lambda s: bench.torch(job, s), 100)


def measure_graph_attention(bench):
    """One layer's of EGT-Simple on a batch of molecules, dense and with sampled sources."""
    graphs = 4 if bench.options.tiny else 512
    for precision in ("fp32", "bf16"):
        for drop in (0, 0.5):
            arguments = ["graph-attention", "--precision", precision, "--graphs", graphs,
                         "--nodes", "10-26", "--virtual-nodes", 4, "--drop", drop, "--heads", 32,
                         "--head-size", 16, "--repeats", bench.options.repeats]
            name = f"graph_attention.{precision}_drop_{round(100 * drop)}"
            bench.measure(name, lambda s: bench.ssa(arguments, s), 30)


def measure_step(bench, case, folder):
    """ssa's step of a case in bf16."""
    path = pathlib.Path(folder) / f"{case.name}.yaml"
    path.write_text(case.config("bf16"))
    arguments = ["step", "--config", path, "--repeats", bench.options.repeats]
    own = bench.measure(f"step.{case.name}.ssa", lambda s: with_mfu(
        bench, bench.ssa(arguments, s)), 120)
    # What products with epilogues save: bias gradients; and with GELU by tanh, that as well.
    by_tanh = [*arguments, "--set", "model.activation=gelu_tanh"]
    for name, more in (("", arguments), ("_gelu_tanh", by_tanh)):
        for epilogues in ("1", "0") if more is by_tanh else ("0",):
            variables = {"SSA_CUDA_EPILOGUES": epilogues}
            bench.measure(f"epilogues.{case.name}{name}_{'on' if epilogues == '1' else 'off'}",
                          lambda s: bench.ssa(more, s, variables), 60)
    return own


def with_mfu(bench, result):
    """Adds the part of the measured peak that a step of ssa's reaches."""
    if bench.peak:
        result["mfu"] = result["flop_per_second"] / bench.peak
    return result


def measure_peers(bench, case, own, compiled_now):
    """PyTorch's step of the same case; its operations are counted as ssa's."""
    def measured(job, seconds):
        result = bench.torch(job, seconds)
        if own:
            flop = own["flop_per_second"] * own["step_seconds"]
            result["flop_per_second"] = flop / result["step_seconds"]
            result["ssa_speed"] = result["step_seconds"] / own["step_seconds"]
            with_mfu(bench, result)
        return result

    for attention, compiled in PEERS:
        if compiled != compiled_now:
            continue
        job = {"kind": "step", "attention": attention, "compiled": compiled, "precision": "bf16",
               "warmup": 3, "shape": case.shape()}
        name = f"step.{case.name}.{attention}{'_compiled' * compiled}"
        bench.measure(name, lambda s: measured(job, s), 200 if compiled else 100)


def measure_whole(bench, config):
    """The paper's WikiText-103 model as ssa trains it, at the largest batch that fits."""
    sizes = WHOLE_BATCHES
    settings = ["data.path=unused", f"data.vocabulary={WORDS}"]
    if bench.options.tiny:
        sizes = (1,)
        settings += ["model.layers=2", "model.width=64", "model.ffn_width=128", "model.heads=2",
                     "data.length=64", "eval.length=64", "eval.overlap=0", "data.vocabulary=500",
                     "model.embedding.kind=plain"] + ["ssa.layers=2"] * ("_s16" in config)

    def largest(seconds):
        end, tried = time.monotonic() + seconds, {}
        for size in sizes:
            arguments = ["step", "--config", ROOT / f"configs/{config}.yaml", "--precision", "bf16",
                         "--repeats", bench.options.repeats, "--set", *settings,
                         f"train.batch_size={size}", f"train.micro_batch={size}"]
            try:
                result = bench.ssa(arguments, max(5, end - time.monotonic()))
                return with_mfu(bench, result) | {"batch": size, "too_large": tried}
            except Failed as error:
                tried[size] = str(error)
                say(f"{config}, batch {size}: {error}")
        raise Failed(f"no batch fits: {tried}")

    bench.measure(f"whole.{config}", largest, 150)


def measure_ratios(bench):
    """C, M and S of S16-L4, with attention fused and stored."""
    settings = ["data.path=unused", f"data.vocabulary={WORDS}", "train.batch_size=2",
                "train.micro_batch=2"]
    arguments = ["step", "--config", ROOT / "configs/wikitext103_s16_l4.yaml", "--compare",
                 "--precision", "bf16", "--repeats", 3, "--set", *settings]
    bench.measure("ratios.wikitext103_s16_l4", lambda s: bench.ssa(arguments, s), 100)


def table(record):
    """Steps of all sides as Markdown."""
    lines = ["| case | side | step | tokens/s | of matmul peak | peak memory |",
             "|---|---|---|---|---|---|"]
    measured = record.values.get("bench", {})
    rows = [(case, side, result) for case, sides in measured.get("step", {}).items()
            for side, result in sides.items()]
    rows += [(name, "ssa", result) for name, result in measured.get("whole", {}).items()]
    for case, side, result in rows:
        if "step_seconds" not in result:
            lines.append(f"| {case} | {side} | {result.get('error', 'not measured')[:60]} | | | |")
            continue
        lines.append(
            f"| {case} | {side} | {result['step_seconds'] * 1e3:.1f} ms "
            f"| {result['tokens_per_second']:,.0f} | {result.get('mfu', 0):.1%} "
            f"| {result.get('peak_memory_bytes', 0) / 2**30:.1f} GiB |")
    return "\n".join(lines)


def parse():
    parser = records.described(__doc__)
    add = parser.add_argument
    add("--ssa-bench", default=str(ROOT / "build/cuda/bin/ssa-bench"), metavar="PATH")
    add("--ssa-libraries", metavar="DIR", help="where ssa-bench finds its libraries first")
    add("--python", default=sys.executable, metavar="PATH", help="the Python that has torch")
    add("--device", default="cuda", choices=["cuda", "cpu"])
    add("--record", type=pathlib.Path, default=pathlib.Path("gpu_speed.json"))
    add("--seconds", type=float, default=540, help="for everything (default: %(default)s)")
    add("--repeats", type=int, default=10, help="the median counts (default: %(default)s)")
    parts = ["peaks", "attention", "graphs", "step", "whole", "ratios", "peers"]
    add("--parts", nargs="+", default=parts, choices=parts)
    add("--tiny", action="store_true", help="shapes that take no time")
    options = parser.parse_args()
    if not pathlib.Path(options.ssa_bench).is_file():
        sys.exit(f"gpu_speed.py: no {options.ssa_bench}: give --ssa-bench PATH")
    return options


def main():
    options = parse()
    bench, own = Bench(options), {}
    both = [cases.quick(case) for case in (DENSE, LOCAL)] if options.tiny else [DENSE, LOCAL]
    with tempfile.TemporaryDirectory() as folder:
        if "peaks" in options.parts:
            measure_peaks(bench)
        for case in both:
            if "step" in options.parts:
                own[case.name] = measure_step(bench, case, folder)
        for config in WHOLE if "whole" in options.parts else ():
            measure_whole(bench, config)
        for case in both if "attention" in options.parts else ():
            measure_attention(bench, case)
        if "graphs" in options.parts:
            measure_graph_attention(bench)
        for compiled in (False, True):  # compiling takes longest
            for case in both if "peers" in options.parts else ():
                measure_peers(bench, case, own.get(case.name), compiled)
            if not compiled and "ratios" in options.parts and not options.tiny:
                measure_ratios(bench)
    say(table(bench.record))
    return 0 if bench.good else 1


if __name__ == "__main__":
    sys.exit(main())
