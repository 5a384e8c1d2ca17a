#!/usr/bin/env python3
"""Checks ogb_submission.py on a split of five rows.

    python scripts/test_ogb_submission.py

Prints one line a check; the exit status is 1 if one fails, 77 without numpy.
"""

import json
import pathlib
import sys
import tempfile

try:
    import numpy as np
except ModuleNotFoundError:
    print("skipped: needs numpy")
    sys.exit(77)
import ogb_submission

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
import checks  # noqa: E402

SKIPPED = 'idx,split,what,reason,smiles\n7,test-dev,skipped,"a ""reason"", long","C1"\n' \
          '9,test-dev,rescued,"valence","[Si]"\n3,train,no target,"empty","C"\n'


def run(predictions, part="test-dev", split=None):
    """The array that the script writes."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "dataset.json").write_text(json.dumps({"train_mean": 5.5}))
        (folder / "skipped.csv").write_text(SKIPPED)
        (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in predictions))
        order = {"train": [3], "test-dev": [9, 7, 4], "test-challenge": [12, 11]}
        np.savez(folder / "split.npz", **(split or order))
        ogb_submission.main([
            "--predictions", f"{folder}/p.jsonl", "--split", f"{folder}/split.npz", "--data",
            f"{folder}", "--part", part, "--output", f"{folder}/out.npz",
        ])
        with np.load(folder / "out.npz") as out:
            assert list(out) == ["y_pred"], list(out)
            return out["y_pred"]


ALL = [{"index": i, "prediction": i / 4, "target": None} for i in (4, 9, 11, 12)]


def refusal(*arguments):
    try:
        run(*arguments)
    except SystemExit as error:
        return str(error.code)
    raise AssertionError("it was accepted")


def check_order():
    values = run(ALL)
    assert values.dtype == np.float32 and values.shape == (3,), values
    assert values.tolist() == [2.25, 5.5, 1.0], values
    assert run(ALL, "test-challenge").tolist() == [3.0, 2.75]


def check_missing():
    text = refusal(ALL[1:])
    assert "1 rows of the split have no prediction" in text and "first idx 4" in text, text


def check_bad_lines():
    assert "p.jsonl:5: molecule 4 is predicted a second time" in refusal([*ALL, ALL[0]])
    assert "p.jsonl:1: no prediction of a molecule" in refusal([{"index": 1, "losses": [2.0]}])
    assert "p.jsonl:1: the prediction" in refusal([{"index": 1, "prediction": float("nan")}])


def check_part():
    text = refusal(ALL, "valid")
    assert "there is no valid; it has train, test-dev, test-challenge" in text, text


if __name__ == "__main__":
    sys.exit(checks.run({
        "the split's order, and the mean for skipped rows": check_order,
        "rows without a prediction": check_missing,
        "lines that are no predictions": check_bad_lines,
        "a part that is not there": check_part,
    }))
