#!/usr/bin/env python3
"""Checks coverage_table.py on losses that are a straight line of the coverage."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "coverage_table.py")


def run(records):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "coverage.jsonl")
        with open(path, "w") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
        return subprocess.run([sys.executable, PROGRAM, path], capture_output=True, text=True,
                              check=False)


def records(windows, samples):
    """Each window has its own level; the loss falls by 0.5 for all of the coverage."""
    return [{"window": w, "sample": s, "coverage": 0.5 + 0.1 * s, "renorm_loss": 1.0 + w,
             "loss": 1.5 + w - 0.5 * (0.5 + 0.1 * s)} for w in range(windows) for s in range(samples)]


class CoverageTable(unittest.TestCase):
    def test_slope_quarters_and_distance_within_windows(self):
        result = run(records(windows=3, samples=4))
        self.assertEqual(result.returncode, 0, result.stderr)
        names, values = (line.split(",") for line in result.stdout.splitlines())
        row = dict(zip(names, values))
        self.assertEqual(row["windows"], "3")
        self.assertAlmostEqual(float(row["coverage"]), 0.65)
        self.assertAlmostEqual(float(row["slope"]), -0.5)
        self.assertAlmostEqual(float(row["slope_stderr"]), 0)
        self.assertAlmostEqual(float(row["quarters"]), -0.15)
        self.assertAlmostEqual(float(row["less_renorm"]), 0.175)

    def test_too_few_of_them(self):
        for windows, samples in ((1, 4), (2, 3)):
            result = run(records(windows, samples))
            self.assertEqual(result.returncode, 1)
            self.assertIn("coverage.jsonl: errors need two windows", result.stderr)


if __name__ == "__main__":
    unittest.main()
