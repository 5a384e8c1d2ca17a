#!/usr/bin/env python3
"""Checks compare.py with stand-ins for ssa-bench and PyTorch: figures, failures, documents.

    python bench/test_compare.py

Needs neither torch nor a build. Prints one line a check; the exit status is 1 if one fails.
"""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import traceback

import compare
import tables

# Writes what ssa-bench would; it fails where its arguments hold $FAIL_ON.
FAKE_SSA = """#!/bin/sh
if [ "$1" = --version ]; then echo 'ssa-bench 0 (commit none)'; exit; fi
case " $* " in *"$FAIL_ON"*) echo 'ssa-bench: error: not today' >&2; exit 2;; esac
while [ "$1" != --json ]; do shift; done
echo '{"step_seconds": 2.0, "breakdown": {"matmul": 1.5, "plans (ahead)": 0.03},
  "fraction_of_matmul_peak": 0.5, "fraction_of_matmul_same_shapes": 0.7,
  "forward_seconds": 1.0, "backward_seconds": 2.0,
  "peak_resident_bytes": 600, "resident_before_bytes": 100}' > "$2"
"""
# Speaks pytorch_worker.py's protocol; $1 is the worker, $2 the job.
FAKE_PYTHON = """#!/bin/sh
case "$2" in *'"compile_mode": "default"'*)
  echo '{"error": "InductorError: no compiler"}'; exit 1;;
esac
case "$2" in *causal_skip*) kill -9 $$;; esac
echo '{"resident_before_bytes": 1000, "versions": {"torch": "0", "onednn": "0"}}'
while read -r request; do
  echo '{"seconds": [4.0, 5.0, 9.0], "plan_seconds": [1.0, 2.0, 3.0], "plan_bytes": 7,
    "peak_resident_bytes": 2000}' | tr -d '\\n'; echo
done
"""


def run(folder, *arguments, fail_on="nothing"):
    """(exit status, record, document) of compare.py with the stand-ins."""
    programs = {"ssa-bench": FAKE_SSA.replace("$FAIL_ON", fail_on), "python": FAKE_PYTHON}
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    document = folder / "performance.md"
    document.write_text(f"before\n{tables.EMPTY_DOCUMENT}after\n")
    known = ["--ssa-bench", str(folder / "ssa-bench"), "--python", str(folder / "python")]
    known += ["--output", str(folder / "results"), "--document", str(document)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = compare.main([*known, "--rounds", "3", "--threads", "1", *arguments])
    newest = max((folder / "results").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return status, json.loads(newest.read_text()), document.read_text()


def check_figures(folder):
    arguments = ["--cases", "dense", "--precisions", "fp32", "--peers", "eager"]
    status, record, text = run(folder, *arguments)
    assert status == 0
    (case,) = record["cases"]
    ssa, eager = case["sides"]["ssa"], case["sides"]["eager"]
    assert ssa["rounds"] == [2.0] * 3 and eager["rounds"] == [5.0] * 3, case
    assert ssa["tokens_per_second"] == 2048 and eager["plan_seconds"] == 2.0, case
    assert case["ratios"]["eager"]["speed"] == 2.5, case["ratios"]
    assert case["ratios"]["eager"]["memory_model"] == 0.5, case["ratios"]
    assert case["ratios"]["eager"]["memory_whole"] == 0.3, case["ratios"]
    met = {bar["what"]: bar["met"] for bar in case["bars"]}
    assert met == {
        "speed": True,
        "peak memory, libraries left out": True,
        "peak memory of the process": True,
        "step against the matmul library's rate on the same shapes": True,
        "drawing the plans, part of the step": False,
    }, met
    assert text.startswith("before\n") and text.endswith("after\n"), text
    assert "2.50× (2.50–2.50)" in text and text.count("compare:begin") == 1, text
    kept = len(list((folder / "results").iterdir()))
    run(folder, *arguments)
    assert len(list((folder / "results").iterdir())) == kept + 1, "a result was overwritten"


def check_failed_peers(folder):
    status, record, text = run(folder, "--cases", "dense", "--precisions", "fp32")
    sides = record["cases"][0]["sides"]
    assert status == 1
    assert sides["compile"]["error"] == "InductorError: no compiler", sides["compile"]
    assert "SIGKILL" in sides["skip"]["error"], sides["skip"]
    assert len(sides["eager"]["rounds"]) == 3 and "failed: InductorError" in text, text


def check_failed_ssa(folder):
    arguments = ["--cases", "dense", "--peers", "eager"]
    status, record, _ = run(folder, *arguments, fail_on="-bf16.yaml")
    first, second = record["cases"]
    assert status == 1 and first["bars"] and not second["bars"], record["cases"]
    assert "not today" in second["sides"]["ssa"]["error"], second["sides"]["ssa"]
    assert second["sides"]["eager"]["step_seconds"] == 5.0, second["sides"]["eager"]


def check_curves(folder):
    status, record, text = run(folder, "--cases", "none", "--curves", fail_on="--length 16384 ")
    assert status == 1 and record["cases"] == []
    curves = {curve["name"]: curve for curve in record["curves"]}
    whole, broken = curves["step_by_length"], curves["attention_by_length"]
    assert [point["x"] for point in whole["points"]] == [4**k for k in range(5, 9)]
    assert all(point["seconds"] == 2.0 and point["plans"] == 0.03 for point in whole["points"])
    assert [bar["value"] for bar in whole["bars"]] == [1.0, 1.0], whole["bars"]
    assert "not today" in broken["points"][2]["error"] and broken["bars"] == [], broken
    assert "Attention by windows" in text, text


def check_messages(folder):
    (folder / "bare.md").write_text("no markers\n")
    wanted = {
        "lacks the lines": ["--document", str(folder / "bare.md")],
        "no ": ["--document", str(folder / "missing.md")],
        "cmake --preset release": ["--no-document", "--ssa-bench", str(folder / "missing")],
        "pip install torch": ["--no-document", "--ssa-bench", __file__, "--python", "/bin/false"],
        "nothing to measure": ["--no-document", "--cases", "none", "--ssa-bench", __file__],
    }
    for message, arguments in wanted.items():
        try:
            compare.main(arguments)
        except SystemExit as error:
            assert message in str(error.code), error.code
        else:
            raise AssertionError(f"{arguments} went through")


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
