"""One case in rounds: every side measured in turn, then figures, ratios and bars."""

import dataclasses
import statistics
import time

import cases
import machine
from records import say
from sides import SideError, SsaSide, TorchSide


MEDIANS = (
    "fraction_of_matmul_peak",
    "fraction_of_matmul_same_shapes",
    "peak_memory_bytes",
    "resident_before_bytes",
)


def rotated(sides, number):
    """The sides in the order of round `number`, which begins with the next one each time."""
    shift = number % max(1, len(sides))
    return sides[shift:] + sides[:shift]


def in_turn(turns, rounds, show):
    """name → what its turn gave in each round; in a round every side has one. `show` makes a text of
    what a turn gave."""
    measured = {name: [] for name in turns}
    for number in range(rounds):
        for name in rotated(list(turns), number):
            measured[name].append(turns[name]())
            say(f"  {name}: {show(measured[name][-1])}")
    return measured


def run_case(case, precision, options, folder):
    """The record of a case in one precision: sides, ratios, bars. Sides that fail are recorded with
    their message and do not stop the others."""
    sides = [SsaSide(case, precision, options, folder)]
    for peer in options.peers:
        if case.takes(peer):
            sides.append(TorchSide(peer, case, precision, options))
    results = {side.name: {"title": side.title, "turns": []} for side in sides}
    try:
        running = start_all(sides, results, f"{case.name} {precision}")
        for number in range(options.rounds):
            for side in rotated(running, number):
                take_turn(side, running, results[side.name], options.steps)
            running = [side for side in running if "error" not in results[side.name]]
    finally:
        for side in sides:
            side.close()
    for side in sides:
        summarize(results[side.name], case.tokens())
        results[side.name]["counts"] = side.counts
    record = {"name": case.name, "title": case.title, "precision": precision}
    record |= {"shape": dataclasses.asdict(case), "sides": results}
    return judge(record, case)


def start_all(sides, results, label):
    running = []
    for side in sides:
        say(f"{label}: starting {side.title}")
        try:
            results[side.name] |= side.start()
            running.append(side)
        except SideError as error:
            fail(side, results[side.name], error)
    return running


def fail(side, result, error):
    result["error"] = str(error)
    say(f"  {side.title} failed: {error}")
    side.close()


def take_turn(side, running, result, steps):
    """Measures one side once, and how busy the waiting ones were meanwhile."""
    waiting = {other.pid: machine.cpu_seconds(other.pid) for other in running if other.pid}
    waiting.pop(side.pid, None)
    started = time.perf_counter()
    try:
        turn = side.measure(steps)
    except SideError as error:
        return fail(side, result, error)
    wall = time.perf_counter() - started
    used = sum(machine.cpu_seconds(pid) - before for pid, before in waiting.items())
    if isinstance(turn["seconds"], list):
        turn["step_seconds"] = turn.pop("seconds")
        turn["seconds"] = statistics.median(turn["step_seconds"])
        turn["plan_seconds"] = statistics.median(turn["plan_seconds"])
    turn["others_cpu_fraction"] = used / wall
    if used > 0.05 * wall:
        say(f"  warning: waiting sides used {used / wall:.0%} of a core meanwhile")
    result["turns"].append(turn)
    say(f"  {side.title}: {turn['seconds']:.3f} s")


def summarize(result, tokens):
    """Medians over the turns, peaks over all of them."""
    turns = result["turns"]
    if not turns:
        return

    def median(key):
        return statistics.median(turn[key] for turn in turns)

    result["step_seconds"] = median("seconds")
    result["rounds"] = [turn["seconds"] for turn in turns]
    result["tokens_per_second"] = tokens / result["step_seconds"]
    result["plan_seconds"] = median("plan_seconds")
    result["others_cpu_fraction"] = max(turn["others_cpu_fraction"] for turn in turns)
    result["peak_resident_bytes"] = max(turn["peak_resident_bytes"] for turn in turns)
    for key in MEDIANS:
        if key in turns[0]:
            result[key] = median(key)
    if "plan_bytes" in turns[0]:
        result["plan_bytes"] = turns[0]["plan_bytes"]
    if "breakdown" in turns[0]:
        result["breakdown"] = {
            part: statistics.median(turn["breakdown"].get(part, 0.0) for turn in turns)
            for part in turns[0]["breakdown"]
        }
    if "resident_before_bytes" in result:
        result["model_bytes"] = result["peak_resident_bytes"] - result["resident_before_bytes"]


def measured(result):
    return "error" not in result and bool(result["turns"])


def ratios(ssa, other):
    """ssa against another side: speed (more is better), memory (less is better)."""
    each = [theirs / ours for ours, theirs in zip(ssa["rounds"], other["rounds"])]
    found = {
        "speed": other["step_seconds"] / ssa["step_seconds"],
        "speed_of_rounds": [min(each), max(each)],
        "memory_whole": ssa["peak_resident_bytes"] / other["peak_resident_bytes"],
    }
    if "model_bytes" in ssa and "model_bytes" in other:
        found["memory_model"] = ssa["model_bytes"] / other["model_bytes"]
    return found


def at_least(what, value, limit, unit, against=""):
    """A bar: unit is "times" or "part"."""
    found = {"what": what, "against": against, "value": value, "unit": unit}
    return found | {"bar": limit, "at_least": True, "met": value >= limit}


def at_most(what, value, limit, unit, against=""):
    found = {"what": what, "against": against, "value": value, "unit": unit}
    return found | {"bar": limit, "at_least": False, "met": value <= limit}


def judge(record, case):
    """Adds ratios and bars."""
    sides = record["sides"]
    record["ratios"], record["bars"] = {}, []
    if not measured(sides["ssa"]):
        return record
    others = {name: side for name, side in sides.items() if name != "ssa" and measured(side)}
    record["ratios"] = {name: ratios(sides["ssa"], side) for name, side in others.items()}
    record["bars"] = peer_bars(record["ratios"], others, case) + own_bars(sides["ssa"])
    return record


def peer_bars(found, others, case):
    """Speed and memory, each against the best side that counts for it."""
    counting = {name: found[name] for name, side in others.items() if side["counts"]}
    if not counting:
        return []
    name = min(counting, key=lambda n: counting[n]["speed"])
    against = others[name]["title"]
    bars = [at_least("speed", counting[name]["speed"], case.speed_bar, "times", against)]
    for key, what in (
        ("memory_model", "peak memory, libraries left out"),
        ("memory_whole", "peak memory of the process"),
    ):
        known = {name: each[key] for name, each in counting.items() if key in each}
        if known:
            name = max(known, key=known.get)
            against = others[name]["title"]
            bars.append(at_most(what, known[name], cases.MEMORY_BAR, "times", against))
    return bars


def own_bars(ssa):
    key, where = "fraction_of_matmul_same_shapes", "the same shapes"
    if key not in ssa:
        key, where = "fraction_of_matmul_peak", "large squares"
    what = f"step against the matmul library's rate on {where}"
    share = ssa["plan_seconds"] / ssa["step_seconds"]
    return [
        at_least(what, ssa[key], cases.MATMUL_BAR, "part"),
        at_most("drawing the plans, part of the step", share, cases.PLAN_BAR, "part"),
    ]
