#!/usr/bin/env python3
"""Checks scaling.py with stand-ins for ssa-train and ssa-bench.

    python bench/test_scaling.py

Needs no build. Prints one line a check; the exit status is 1 if one fails.
"""

import contextlib
import functools
import io
import json
import pathlib
import re
import sys
import tempfile
import traceback

import scaling

# A step takes 0.1 s a sequence and rank, with several ranks 0.02 s to sum, 0.03 more without overlap.
FAKE_TRAIN = """#!/usr/bin/env python3
import json, os, pathlib, sys
if "--dry-run" in sys.argv:
    print(json.dumps({"parameters": 1000000}))
    sys.exit()
ranks, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
word = lambda name: sys.argv[sys.argv.index(name) + 1]
values = dict(text.split("=", 1) for text in sys.argv[sys.argv.index("--set") + 1:])
if values["distributed.bucket_mib"] == os.environ.get("FAIL_ON"):
    sys.exit("ssa-train: error: not today")
folder = pathlib.Path(word("--run-dir"))
folder.mkdir(exist_ok=True)
if rank == 0:
    batch = int(values["train.batch_size"])
    overlap = values["distributed.overlap"] == "true"
    seconds = 0.1 * batch / ranks + (ranks > 1) * (0.02 + 0.03 * (not overlap))
    with (folder / "metrics.jsonl").open("w") as lines:
        for step in range(1, int(values["train.steps"]) + 1):
            slow = 9 if step <= 2 else 1
            line = {"step": step, "split": "train", "tokens": step * batch * 64,
                    "tokens_per_second": batch * 64 / (slow * seconds)}
            if ranks > 1:
                line |= {"ranks": ranks, "wait_seconds": 0.01, "overlap": 0.75 * overlap}
            lines.write(json.dumps(line) + "\\n")
        lines.write(json.dumps({"step": step, "split": "valid", "loss": 1}) + "\\n")
"""
# Collectives of 1 ms a hop and 1 GB/s a link.
FAKE_BENCH = """#!/usr/bin/env python3
import json, os, sys
if "--version" in sys.argv:
    print("ssa-bench 0 (commit none)")
elif os.environ["RANK"] == "0":
    rows = [{"collective": name, "dtype": dtype, "bytes": size, "seconds": n * (1e-3 + size / 2e9)}
            for name, n in (("all_reduce", 2), ("all_gather", 1))
            for dtype in ("f32", "bf16") for size in (4096, 65536, 1048576, 16777216)]
    with open(sys.argv[sys.argv.index("--json") + 1], "w") as out:
        json.dump({"ranks": int(os.environ["WORLD_SIZE"]), "collectives": rows}, out)
"""


def run(folder, *arguments):
    """(exit status, record, what was printed, what was logged) of scaling.py with the stand-ins."""
    for name, text in {"ssa-train": FAKE_TRAIN, "ssa-bench": FAKE_BENCH}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    output = folder / "record.json"
    known = ["--bin", str(folder), "--output", str(output), "--launcher", "environment"]
    with contextlib.redirect_stdout(io.StringIO()) as out, \
            contextlib.redirect_stderr(io.StringIO()) as log:
        status = scaling.main([*known, "--steps", "5", "--warmup", "2", "--rounds", "2",
                               "--ranks", "2", "--buckets", "5", "1", *arguments])
    record = json.loads(output.read_text()) if output.exists() else None
    return status, record, out.getvalue(), log.getvalue()


@functools.cache
def measured():
    """(record, what was printed) of one measurement that all goes well in."""
    with tempfile.TemporaryDirectory() as folder:
        status, record, text, log = run(pathlib.Path(folder))
        assert status == 0, log
        return record, text


def check_figures(_):
    record, text = measured()
    sides = {side["name"]: side for side in record["sides"]}
    expected = {
        "1 rank, batch 8": 0.8, "2 ranks, batch 16, 5 MiB, overlap": 0.82,
        "1 rank, batch 16": 1.6, "2 ranks, batch 16, 5 MiB, no overlap": 0.85,
        "2 ranks, batch 16, 1 MiB, overlap": 0.82, "2 ranks, batch 16, 1 MiB, no overlap": 0.85,
        "2 x 1 rank apart, batch 8": 0.8,
    }
    assert sides.keys() == expected.keys(), sides.keys()
    for name, seconds in expected.items():
        assert abs(sides[name]["step_seconds"] - seconds) < 1e-9, sides[name]
        assert len(sides[name]["turns"]) == 2
    assert sides["2 ranks, batch 16, 5 MiB, overlap"]["wait_seconds"] == 0.01
    assert sides["2 ranks, batch 16, 5 MiB, no overlap"]["hidden"] == 0
    fitted = record["fit"]["f32"]
    assert abs(fitted["latency"] - 1e-3) < 1e-9 and abs(fitted["bandwidth"] / 1e9 - 1) < 1e-6, fitted
    assert "f32: latency 1000.0 µs, bandwidth 1.000 GB/s, median error 0%" in text
    weak = re.search(r"^\| 2 ranks, batch 16, 5 MiB, overlap \|(.*)$", text, re.MULTILINE)[1]
    assert "0.8200 (0.8200–0.8200) | 98% | 0.0100 | 0.7500 |" in weak, weak


def check_model(_):
    record = json.loads(json.dumps(measured()[0]))
    record["machine"]["cores"] = 4
    options = scaling.argparse.Namespace(**record["settings"])
    # A bucket of 4 MB: 2·(1 ms + 2 ms), behind 0.8 s of compute; the update takes no time here.
    two = scaling.Side(2, 16, 5)
    assert abs(scaling.modelled(record, options, two) - 0.806) < 1e-6
    assert abs(scaling.modelled(record, options, scaling.Side(1, 16, 5)) - 1.6) < 1e-6
    # Four buckets of 1 MB take 4 ms each, and all but the last one are hidden.
    assert abs(scaling.modelled(record, options, scaling.Side(2, 16, 1)) - 0.803) < 2e-3
    record["machine"]["cores"] = 1  # half as fast, and nothing to hide behind
    assert scaling.modelled(record, options, two) > 1.6


def check_rendering(folder):
    record, text = measured()
    (folder / "record.json").write_text(json.dumps(record))
    with contextlib.redirect_stdout(io.StringIO()) as again:
        assert scaling.main(["--render", str(folder / "record.json")]) == 0
    assert again.getvalue() == text


def check_failures(folder):
    scaling.os.environ["FAIL_ON"] = "1"
    try:
        status, record, _, log = run(folder)
    finally:
        del scaling.os.environ["FAIL_ON"]
    assert status == 1 and record is None and "not today" in log, log


def main():
    checks = {n[6:].replace("_", " "): c for n, c in globals().items() if n.startswith("check_")}
    failed = 0
    for name, check in checks.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(pathlib.Path(folder))
                print(f"ok      {name}")
            except Exception:
                failed += 1
                print(f"FAILED  {name}\n{traceback.format_exc()}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
