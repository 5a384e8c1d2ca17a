#!/usr/bin/env python3
"""Molecules per second of `ssa-data prepare`, beside OGB's Python on the same table.

    python3 bench/featurize.py --table qm9_gap.csv.gz --python ENV/bin/python [--rounds 3] [--json FILE]

ENV is the environment of scripts/make_molecule_table.py: rdkit and ogb, with numpy. The sides run in
turn, each in a process of its own:

    ssa, 1 thread     ssa-data prepare on one core: graphs, encodings and files
    ssa, 2 threads    the same on two
    ogb               smiles2graph() of OGB for every row: graphs alone
    ogb + numpy       that, shortest paths are left out, and numpy.linalg.svd for the encodings

Time is that of the whole program for ssa, and that of the loop alone for Python, which favours it.
Seconds of the processors are given as well: others that use the machine change them less.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import machine
import records
import rounds

BAR = 4.0


def python_worker(table, with_svd):
    """Runs in ENV's Python. Prints rows, seconds and seconds of the processors."""
    import csv
    import gzip

    import numpy
    from ogb.utils.mol import smiles2graph
    from rdkit import RDLogger

    RDLogger.DisableLog("rdApp.*")
    with gzip.open(table, "rt") as file:
        smiles = [row["smiles"] for row in csv.DictReader(file)]
    smiles2graph("C")
    start, cpu = time.perf_counter(), time.process_time()
    for text in smiles:
        graph = smiles2graph(text)
        if with_svd:
            adjacency = numpy.eye(graph["num_nodes"], dtype=numpy.float32)
            adjacency[tuple(graph["edge_index"])] = 1
            u, s, v = numpy.linalg.svd(adjacency, hermitian=False)
            numpy.stack([u[:, :8] * s[:8] ** 0.5, v.T[:, :8] * s[:8] ** 0.5], axis=-1)
    print(json.dumps([len(smiles), time.perf_counter() - start, time.process_time() - cpu]))


def run_python(options, with_svd):
    command = [options.python, __file__, "--table", options.table, "--worker"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    output = subprocess.run(
        command + (["--svd"] if with_svd else []), check=True, capture_output=True, env=environment
    )
    return json.loads(output.stdout)


def run_ssa(options, cores):
    with tempfile.TemporaryDirectory() as folder:
        command = [options.ssa_data, "prepare", "molecules", "--input", options.table, "--output",
                   f"{folder}/out", "--smiles", "smiles", "--target", "homolumogap", "--json"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        output = subprocess.run(
            command, check=True, capture_output=True,
            preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores]),
        )
        seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(output.stdout)["rows"], seconds, cpu


def measure(options):
    sides = {
        "ssa, 1 thread": lambda: run_ssa(options, 1),
        "ssa, 2 threads": lambda: run_ssa(options, 2),
        "ogb": lambda: run_python(options, False),
        "ogb + numpy": lambda: run_python(options, True),
    }
    turns = rounds.in_turn(sides, options.rounds, lambda turn: f"{turn[1]:.2f} s")
    result = {}
    for name, measured in turns.items():
        rows = measured[0][0]
        result[name] = {
            "molecules": rows,
            "molecules_per_second": statistics.median(rows / turn[1] for turn in measured),
            "molecules_per_cpu_second": statistics.median(rows / turn[2] for turn in measured),
        }
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", required=True, help="CSV with columns smiles and homolumogap")
    parser.add_argument("--python", default=sys.executable, help="Python with rdkit and ogb")
    parser.add_argument("--ssa-data", default=str(records.ROOT / "build/release/bin/ssa-data"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--svd", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        python_worker(options.table, options.svd)
        return
    sides = measure(options)
    record = {"table": pathlib.Path(options.table).name, "machine": machine.describe(), "sides": sides}
    for name, side in sides.items():
        ratios = [
            f"{side[key] / sides['ogb'][key]:.1f}"
            for key in ("molecules_per_second", "molecules_per_cpu_second")
        ]
        print(f"{name:15} {side['molecules_per_second']:8.0f} molecules/s, "
              f"{side['molecules_per_cpu_second']:8.0f} a second of the processors; "
              f"{ratios[0]} and {ratios[1]} times ogb")
    reached = sides["ssa, 2 threads"]["molecules_per_second"]
    print(f"bar: {BAR} times ogb with 2 threads: "
          f"{'held' if reached >= BAR * sides['ogb']['molecules_per_second'] else 'MISSED'}")
    if options.json:
        records.save(pathlib.Path(options.json), record)


if __name__ == "__main__":
    main()
