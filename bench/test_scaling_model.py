#!/usr/bin/env python3
"""Checks scaling_model.py against values worked out by hand.

    python bench/test_scaling_model.py

Prints one line a check; the exit status is 1 if one fails.
"""

import contextlib
import dataclasses
import io
import json
import math
import pathlib
import sys
import tempfile
import traceback

from scaling_model import Job, Link, Network, curve, fit, limit, main as program, step


def close(a, b):
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


# A backward pass of 4 s, and four buckets of one parameter each.
SMALL = Job(parameters=4, sequence_seconds=6, batch=8, backward_fraction=2 / 3, bucket=4)


def network(bucket_seconds, ranks):
    """A bucket of SMALL takes this long to be all-reduced among so many ranks."""
    return Network(Link(0.0, 2 * (ranks - 1) / ranks * 4 / bucket_seconds))


def check_collectives():
    assert close(Network(Link(1e-3, 1e6)).all_reduce(4e6, 4), 2 * 3e-3 + 2 * 0.75 * 4)
    assert close(Network(Link(1e-3, 1e6)).half(4e6, 4), 3e-3 + 3)
    assert close(Network(Link(1e-3, 1e6, "tree")).all_reduce(4e6, 8), 2 * 3e-3 + 2 * 4)
    assert Network(Link(1e-3, 1e6)).all_reduce(4e6, 1) == 0
    # Two nodes of four: 3.003 s inside, a quarter of the bytes across.
    two_levels = Network(Link(1e-3, 1e6), 4, Link(1e-2, 5e5))
    assert close(two_levels.half(4e6, 8), 3.003 + 0.01 + 0.5 * 1e6 / 5e5)
    assert close(two_levels.half(4e6, 4), 3.003)


def check_overlap():
    # A sequence a rank: gradients are complete at 1, 2, 3 and 4 s of backward.
    quick = step(SMALL, network(0.5, 8), 8)
    assert close(quick["exposed"], 0.5) and close(quick["communication"], 2), quick
    slow = step(SMALL, network(2, 8), 8)  # ends at 3, 5, 7, 9
    assert close(slow["exposed"], 5) and close(slow["step"], 11), slow
    late = step(dataclasses.replace(SMALL, overlap=False), network(2, 8), 8)
    assert close(late["exposed"], 8) and close(late["step"], 14), late
    one = step(dataclasses.replace(SMALL, bucket=1e9), network(2, 8), 8)  # 8 s, from 4 s on
    assert close(one["exposed"], 8), one


def check_last_micro_batch():
    # Two ranks, four sequences each: only the last pass of one sequence hides communication ...
    small = step(SMALL, network(2, 2), 2)
    assert close(small["compute"], 24) and close(small["exposed"], 5), small
    # ... and one pass of four has 16 s of backward: buckets every 4 s.
    whole = step(dataclasses.replace(SMALL, micro_batch=4, micro_batch_seconds=0.75), network(2, 2), 2)
    assert close(whole["compute"], 24.75) and close(whole["exposed"], 2), whole


def check_costs_beside_communication():
    job = dataclasses.replace(SMALL, stolen=0.5, update_seconds=1)
    busy = step(job, network(0.5, 8), 8)
    assert close(busy["compute"], 6 + 0.5 * 1.5) and close(busy["step"], 6.75 + 0.5 + 1), busy
    uneven = step(dataclasses.replace(SMALL, jitter=0.1), network(0.5, 8), 8)
    assert close(uneven["compute"], 6 * (1 + 0.1 * math.sqrt(2 * math.log(8)))), uneven
    alone = step(dataclasses.replace(job, jitter=0.1), network(0.5, 8), 1)
    assert close(alone["step"], 48 + 1) and alone["communication"] == 0, alone


def check_zero1():
    # Half of each all-reduce while backward goes on; 16 bytes to gather behind the update.
    job = dataclasses.replace(SMALL, zero1=True, update_seconds=4)
    one = step(job, network(1, 8), 8)
    gather = 7 / 8 * 16 / (2 * 7 / 8 * 4)
    assert close(one["update"], 0.5) and close(one["exposed"], 0.5 + gather), one
    assert close(one["communication"], 4 * 0.5 + gather), one
    half = dataclasses.replace(job, parameter_bytes=2)
    assert close(step(half, network(1, 8), 8)["exposed"], 0.5 + gather / 2)


def check_curves():
    free = Network(Link(0.0, math.inf))
    assert all(close(row["efficiency"], 1) for row in curve(SMALL, free, [1, 2, 4, 8]))
    assert [row["sequences_per_rank"] for row in curve(SMALL, free, [1, 2, 8])] == [8, 4, 1]
    assert limit(SMALL, free) == (8, "batch")
    weak = curve(SMALL, free, [1, 64], weak=True)
    assert close(weak[1]["speed"], 64) and weak[1]["sequences_per_rank"] == 8
    assert limit(SMALL, free, weak=True, most=1024) == (1024, "none")


def check_limits():
    job = Job(parameters=1e8, sequence_seconds=0.02, batch=4096, micro_batch=8, update_seconds=1e-3)
    link = Network(Link(1e-5, 2e10))
    for weak in (False, True):
        for of in (job, dataclasses.replace(job, zero1=True, batch=1 if weak else 4096)):
            ranks, why = limit(of, link, weak, most=1 << 14)
            best, next_one = curve(of, link, [ranks, 2 * ranks], weak)
            assert best["efficiency"] >= 0.5, (weak, best)
            assert why != "communication" or next_one["efficiency"] < 0.5, (weak, next_one)
    assert limit(job, link)[1] == "communication"
    # More sequences a rank leave more time to hide the same bytes in.
    few, many = (curve(dataclasses.replace(job, batch=n), link, [64], True)[0] for n in (1, 64))
    assert many["efficiency"] > few["efficiency"], (few, many)


def measured(link, ranks):
    kinds = {"all_reduce": 2, "reduce_scatter": 1, "all_gather": 1}
    return {"ranks": ranks, "collectives": [
        {"collective": name, "dtype": "f32", "bytes": size, "seconds": n * link.half(size, ranks)}
        for name, n in kinds.items() for size in (4096 * 4**k for k in range(8))]}


def check_fit():
    for link in (Link(3e-5, 2e9), Link(0.0, 1e9)):
        for ranks in (2, 4):
            found, error = fit(measured(link, ranks), "f32")
            assert abs(found.latency - link.latency) < 1e-12, found
            assert math.isclose(found.bandwidth, link.bandwidth, rel_tol=1e-6) and error < 1e-6
    record = measured(Link(3e-5, 2e9), 2)
    for number, one in enumerate(record["collectives"]):
        one["seconds"] *= 1.1 if number % 2 else 0.9
    found, error = fit(record)
    assert 2e-5 < found.latency < 4e-5 and 1.5e9 < found.bandwidth < 2.5e9, found
    assert 0.05 < error < 0.15, error


def check_program():
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said):
        path = pathlib.Path(folder) / "c.json"
        path.write_text(json.dumps(measured(Link(3e-5, 2e9), 2)))
        assert program(["--fit", str(path)]) == 0
        job = ["--parameters", "1e8", "--sequence-seconds", "0.02", "--batch", "64"]
        assert program([*job, "--latency", "1e-5", "--bandwidth", "1e12"]) == 0
    assert "latency 30.0 µs a hop, bandwidth 2.000 GB/s" in said.getvalue(), said.getvalue()
    assert "| 64 | 1 |" in said.getvalue() and "| 128 |" not in said.getvalue(), said.getvalue()
    assert "scales to 64 ranks: a sequence a rank is left" in said.getvalue(), said.getvalue()
    with contextlib.redirect_stderr(io.StringIO()) as refused:
        try:
            program(["--parameters", "1e8"])
        except SystemExit as error:
            assert error.code == 2 and "--latency, --bandwidth" in refused.getvalue()
        else:
            raise AssertionError("went through")


def main():
    checks = {n[6:].replace("_", " "): c for n, c in globals().items() if n.startswith("check_")}
    failed = 0
    for name, check in checks.items():
        try:
            check()
            print(f"ok      {name}")
        except Exception:
            failed += 1
            print(f"FAILED  {name}\n{traceback.format_exc()}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
