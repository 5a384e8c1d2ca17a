#!/usr/bin/env python3
"""Turns predictions of a test split of PCQM4Mv2 into the file that OGB takes as a submission.

    ssa-eval --run runs/a --split test --predictions test.jsonl
    python scripts/ogb_submission.py --predictions test.jsonl --split split.npz --data data/pcqm4mv2 \\
        --part test-dev --output y_pred_pcqm4m-v2_test-dev.npz

--split is the file of splits that the data were prepared with: predictions are put into its order.
--data is the prepared folder. Rows of the split that its skipped.csv lists, because their SMILES
cannot be read, get the mean of the training targets. The output has one array, y_pred (f32).

    pip install numpy
"""

import argparse
import csv
import json
import pathlib
import sys

import numpy as np


def read_predictions(path):
    """idx → prediction"""
    predictions = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            row = json.loads(line)
            index, prediction = int(row["index"]), float(row["prediction"])
        except (ValueError, KeyError, TypeError) as error:
            sys.exit(f"{path}:{number}: no prediction of a molecule ({error!r}). Make the file with "
                     "ssa-eval --predictions")
        if not np.isfinite(prediction):
            sys.exit(f"{path}:{number}: the prediction of molecule {index} is {prediction}")
        if index in predictions:
            sys.exit(f"{path}:{number}: molecule {index} is predicted a second time")
        predictions[index] = prediction
    return predictions


def read_order(path, part):
    """The idx of each row of a part of the file of splits."""
    with np.load(path) as splits:
        if part not in splits:
            sys.exit(f"{path}: there is no {part}; it has {', '.join(splits)}")
        return splits[part].astype(np.int64).ravel()


def read_skipped(folder):
    """The idx of the rows that a prepared folder has left out."""
    with open(folder / "skipped.csv", newline="") as file:
        return {int(row["idx"]) for row in csv.DictReader(file) if row["what"] == "skipped"}


def submission(predictions, order, skipped, mean):
    """(predictions in order, how many of them are the mean)"""
    left_out = [index for index in order if index not in predictions]
    unknown = [index for index in left_out if index not in skipped]
    if unknown:
        sys.exit(f"{len(unknown)} rows of the split have no prediction and were not left out when "
                 f"the data were prepared, first idx {unknown[0]}. Predict the whole test split "
                 "(without --max-tokens), of the data that --split and --data name")
    values = np.array([predictions.get(index, mean) for index in order.tolist()], np.float32)
    return values, len(left_out)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("predictions", "split", "data", "output"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--part", default="test-dev", help="test-dev (default) or test-challenge")
    options = parser.parse_args(arguments)
    try:
        mean = json.loads((options.data / "dataset.json").read_text())["train_mean"]
        values, filled = submission(
            read_predictions(options.predictions), read_order(options.split, options.part),
            read_skipped(options.data), mean,
        )
        with open(options.output, "wb") as file:  # np.savez adds .npz to a name
            np.savez_compressed(file, y_pred=values)
    except OSError as error:
        sys.exit(f"ogb_submission.py: {error}")
    print(f"{options.output}: {len(values)} predictions of {options.part}, {filled} of them the mean "
          f"of the training targets ({mean:.4f}), for rows whose SMILES cannot be read")


if __name__ == "__main__":
    main()
