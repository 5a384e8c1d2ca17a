#!/usr/bin/env python3
"""A CSV line for each file of `ssa-eval --coverage`: how the loss of sub-models goes with coverage.

  scripts/coverage_table.py FILE...

Within each window of a file: `quarters` is the mean loss of the quarter of the sub-models that cover
most less that of the quarter that covers least, with its standard error over windows; `slope` is the
loss over the coverage by least squares, all windows with one slope, its error by the jackknife over
windows; `coverage_sd` and `loss_sd` are the standard deviations over the sub-models of a window.
`less_renorm` is how far a sub-model is behind renorm. All losses are in nats. The correlations are
those that ssa-eval prints.
"""
import json
import math
import sys
from statistics import mean, stdev


def windows_of(path):
    windows = {}
    with open(path) as file:
        for line in file:
            record = json.loads(line)
            windows.setdefault(record["window"], []).append(record)
    if len(windows) < 2 or min(map(len, windows.values())) < 4:
        sys.exit(f"{path}: errors need two windows or more, quarters four sub-models or more in each")
    return [sorted(window, key=lambda record: record["coverage"]) for window in windows.values()]


def quarters(window):
    losses = [record["loss"] for record in window]
    size = len(window) // 4
    return mean(losses[-size:]) - mean(losses[:size])


def sums(window):
    """Σ(c − c̄)(l − l̄) and Σ(c − c̄)² of coverage c and loss l."""
    coverage = mean(record["coverage"] for record in window)
    loss = mean(record["loss"] for record in window)
    return (sum((r["coverage"] - coverage) * (r["loss"] - loss) for r in window),
            sum((r["coverage"] - coverage) ** 2 for r in window))


def slope(windows):
    pairs = [sums(window) for window in windows]
    xy, xx = (sum(column) for column in zip(*pairs))
    without = [(xy - a) / (xx - b) for a, b in pairs]
    count = len(pairs)
    spread = sum((value - mean(without)) ** 2 for value in without)
    return xy / xx, math.sqrt((count - 1) / count * spread)


def row(path):
    windows = windows_of(path)
    records = [record for window in windows for record in window]
    gaps = [quarters(window) for window in windows]
    values = [mean(r["coverage"] for r in records), mean(gaps), stdev(gaps) / math.sqrt(len(gaps)),
              *slope(windows), mean(r["loss"] - r["renorm_loss"] for r in records),
              mean(stdev([r["coverage"] for r in window]) for window in windows),
              mean(stdev([r["loss"] for r in window]) for window in windows)]
    return ",".join([path, str(len(windows)), *(f"{value:.5f}" for value in values)])


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if len(sys.argv) > 1 else 2
    print("file,windows,coverage,quarters,quarters_stderr,slope,slope_stderr,less_renorm,"
          "coverage_sd,loss_sd")
    for path in sys.argv[1:]:
        print(row(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
