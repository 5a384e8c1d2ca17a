#!/usr/bin/env python3
"""C, M and S of the paper's schemes: `ssa-bench step --compare` for each, as one record and one table.

The model is the paper's for WikiText-103 made smaller with its proportions kept: length 3 times the
width, so that C is the paper's, and 8 heads, so that the stored matrices keep their share of the
activations. Nothing else should run meanwhile.

    python3 bench/dense_attention.py --ssa-bench build/release/bin/ssa-bench --precision bf16
    python3 bench/dense_attention.py --render bench/results/FILE.json …
"""

import json
import pathlib
import shlex
import subprocess
import sys
import tempfile

import records
import tables

SCHEMES = {"s16_l2": 0, "s16_l4": 0, "s12_l4": 0.75, "s16_l6": 0, "s16_l8": 0}  # part that samples


def settings(options, part):
    width = options.width
    return [
        "data.path=unused", f"model.layers={options.layers}", f"model.width={width}",
        f"model.ffn_width={4 * width}", "model.heads=8", f"data.length={3 * width}",
        f"eval.length={3 * width}", "eval.overlap=0", f"train.batch_size={options.batch}",
        f"train.micro_batch={options.batch}", "model.embedding.kind=plain", "data.vocabulary=2000",
        f"ssa.layers={round(part * options.layers)}",
    ]


def measure(options, scheme, part):
    """One scheme: what ssa-bench wrote, with the command that made it write."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "compare.json"
        command = options.run_under + [
            options.ssa_bench, "step", "--config", str(records.ROOT / f"configs/wikitext103_{scheme}.yaml"),
            "--compare", "--precision", options.precision, "--repeats", str(options.repeats),
            "--json", str(file), "--set", *settings(options, part)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        result = json.loads(file.read_text())
    result["command"] = " ".join(
        ["ssa-bench", "step", "--config", f"configs/wikitext103_{scheme}.yaml", "--compare",
         "--precision", options.precision, "--repeats", str(options.repeats), "--set",
         *settings(options, part)])
    return result


def table(record):
    head = ["scheme", "C", "paper: C, M, S", "both materialised: M, S", "both fused: M, S",
            "fused to dense materialised: M, S"]
    rows = []
    for row in record["rows"]:
        paper = row["published"]
        pairs = [f"{row[key]['memory']:.2f}, {row[key]['speed']:.2f}" for key in
                 ("both_materialized", "both_fused", "fused_to_dense_materialized")]
        rows.append([paper["scheme"], f"{row['compute_ratio']:.2f}",
                     f"{paper['C']:.2f}, {paper['M']:.2f}, {paper['S']:.2f}", *pairs])
    return tables.table(head, rows)


def parse(arguments):
    parser = records.parser(__doc__)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--schemes", nargs="+", choices=list(SCHEMES), default=list(SCHEMES))
    parser.add_argument("--run-under", type=shlex.split, default=[],
                        help="a command that runs each measurement")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    if options.render:
        return records.render(options.render, table)
    record = records.head(options) | {"precision": options.precision, "rows": []}
    output = records.path_of(options, record, f"dense-attention-{options.precision}")
    for scheme in options.schemes:
        record["rows"].append(measure(options, scheme, SCHEMES[scheme]))
        records.save(output, record)
    print(table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
