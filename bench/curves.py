"""How ssa's cost grows: with length at fixed window size, with windows, with threads.

By length there are two kinds. With a fixed σ, a fraction of the length, sources spread over more
positions as length grows: less of each window lies in the future and can be skipped, and the part
that has to be computed rises from about one half to nearly all. With a fixed spread it stays.
"""

import dataclasses
import pathlib
import statistics

import cases
import machine
from records import say
from rounds import at_most, rotated
from sides import SideError, run_ssa_bench, ssa_environment

WINDOW = 256  # positions of a window where its size is fixed
SIGMA = 0.1
SMALL = cases.Case(
    "small", "a layer of width 256", 1024, 1, layers=1, width=256, heads=4, ffn_width=1024
)


@dataclasses.dataclass(frozen=True)
class Point:
    """One point of a curve: x, its case, and the threads it runs with."""

    x: int
    case: cases.Case
    threads: int


def small(length, windows, tokens, sigma=SIGMA):
    return dataclasses.replace(
        SMALL,
        length=length,
        batch=max(1, tokens // length),
        windows=windows,
        sigma_first=sigma,
        sigma_last=sigma,
    )


def curves(options):
    """name → (title, kind of measurement, points)."""
    tokens, longest, window = (2048, 2048, 64) if options.quick else (65536, 65536, WINDOW)
    threads = options.threads
    lengths = [n for n in (4**k for k in range(5, 9)) if n <= longest]
    by_length = [Point(n, small(n, n // window, tokens), threads) for n in lengths]
    near = [Point(n, small(n, n // window, tokens, SIGMA * 1024 / n), threads) for n in lengths]
    fixed = 512 if options.quick else 4096
    by_windows = [Point(w, small(fixed, w, 4 * fixed), threads) for w in (1, 2, 4, 8, 16)]
    dense = cases.quick(cases.TEXTS[0]) if options.quick else cases.TEXTS[0]
    counts = sorted({2**k for k in range(7) if 2**k < threads} | {threads})
    by_threads = [Point(n, dense, n) for n in counts]
    at_length = f"windows of {window} positions, {tokens} positions a step, σ {SIGMA}"
    at_spread = f"the same with σ of {SIGMA * 1024:.0f} positions at every length"
    at_windows = f"length {fixed}, {4 * fixed} positions a step"
    return {
        "attention_by_length": (f"attention by length, {at_length}", attention, by_length),
        "step_by_length": (f"step by length, {at_length}", step, by_length),
        "near_attention_by_length": (f"attention by length, {at_spread}", attention, near),
        "near_step_by_length": (f"step by length, {at_spread}", step, near),
        "attention_by_windows": (f"attention by windows, {at_windows}", attention, by_windows),
        "step_by_windows": (f"step by windows, {at_windows}", step, by_windows),
        "step_by_threads": ("step of the dense case by threads", step, by_threads),
    }


def attention(point, options, _folder):
    """One layer's attention, forward and backward."""
    case = point.case
    sizes = {
        "--length": case.length,
        "--windows": case.windows,
        "--batch": case.batch,
        "--heads": case.heads,
        "--head-size": case.width // case.heads,
        "--sigma": case.sigma_first,
        "--repeats": options.steps,
        "--precision": options.curve_precision,
    }
    arguments = ["attention"] + [str(part) for pair in sizes.items() for part in pair]
    settings = ssa_environment(point.threads, options.ssa_env)
    result, _ = run_ssa_bench(options.ssa_bench, arguments, settings, options.timeout)
    forward, backward = result["forward_seconds"], result["backward_seconds"]
    return {"seconds": forward + backward, "forward": forward, "backward": backward}


def step(point, options, folder):
    """A whole step; without_plans leaves out drawing them, which training does ahead of time."""
    path = pathlib.Path(folder) / "curve.yaml"
    path.write_text(point.case.config(options.curve_precision))
    arguments = ["step", "--config", str(path), "--repeats", str(options.steps)]
    settings = ssa_environment(point.threads, options.ssa_env)
    result, _ = run_ssa_bench(options.ssa_bench, arguments, settings, options.timeout)
    plans = sum(v for k, v in result["breakdown"].items() if k.startswith("plans"))
    whole = result["step_seconds"]
    return {"seconds": whole, "plans": plans, "without_plans": whole - plans}


def run_curve(name, title, measure, points, options, folder):
    """Medians over rounds; in each round every point is measured once."""
    say(title)
    turns = {point.x: [] for point in points}
    errors = {}
    for number in range(options.rounds):
        for point in rotated(points, number):
            if point.x in errors:
                continue
            try:
                turns[point.x].append(measure(point, options, folder))
                say(f"  {point.x}: {turns[point.x][-1]['seconds']:.4f} s")
            except SideError as error:
                errors[point.x] = str(error)
                say(f"  {point.x} failed: {error}")
    results = [summary(point, turns[point.x], errors.get(point.x)) for point in points]
    return {
        "name": name,
        "title": title,
        "precision": options.curve_precision,
        "points": results,
        "bars": flatness(name, results),
    }


def summary(point, turns, error):
    result = {"x": point.x, "threads": point.threads, "shape": dataclasses.asdict(point.case)}
    if error:
        return result | {"error": error}
    for part in turns[0]:
        result[part] = statistics.median(turn[part] for turn in turns)
    result["rounds"] = [turn["seconds"] for turn in turns]
    result["ns_per_position"] = 1e9 * result["seconds"] / point.case.tokens()
    return result


def flatness(name, points):
    """Bars on most over least cost per position of the curves over length."""
    good = [point for point in points if "error" not in point]
    if not name.endswith("by_length") or len(good) < len(points):
        return []

    def spread(key):
        each = [p[key] / (p["shape"]["length"] * p["shape"]["batch"]) for p in good]
        return max(each) / min(each)

    keys = {"seconds": "cost per position, most over least"}
    if "without_plans" in good[0]:
        keys["without_plans"] = "the same without drawing the plans"
    return [at_most(what, spread(key), cases.FLAT_BAR, "times") for key, what in keys.items()]


def run_curves(options, folder):
    """All curves, those at the machine's number of threads first."""
    say(f"curves, {options.curve_precision}, {machine.cores()} cores")
    return [
        run_curve(name, title, measure, points, options, folder)
        for name, (title, measure, points) in curves(options).items()
    ]
