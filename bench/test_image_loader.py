#!/usr/bin/env python3
"""Checks that the peer of image_loader.py reads a folder of classes by Swin's recipe, and its table.

    python bench/test_image_loader.py

Prints one line a check; the exit status is 1 if one fails, 77 without torch, torchvision and timm:
then nothing is checked.
"""

import contextlib
import io
import json
import pathlib
import sys
import tempfile

try:
    import timm  # noqa: F401
    import torchvision  # noqa: F401
    from PIL import Image
except ModuleNotFoundError:
    print("skipped: needs torch, torchvision and timm")
    sys.exit(77)
import checks
import image_loader

# Writes what ssa-bench would, and keeps what it was asked for.
FAKE_SSA = """#!/bin/sh
if [ "$1" = --version ]; then echo 'ssa-bench 0 (commit none)'; exit; fi
echo "$@" >> "$0.calls"
while [ "$1" != --json ]; do shift; done
echo '{"examples_per_second": 300.0}' > "$2"
"""


def make_tree(folder):
    """Two classes of two small pictures each."""
    for name in ("n01", "n02"):
        of_class = pathlib.Path(folder) / "train" / name
        of_class.mkdir(parents=True)
        for number in range(2):
            picture = Image.new("RGB", (40 + number, 30), (200, 90 * number, 10))
            picture.save(of_class / f"{number}.jpg")
    return str(pathlib.Path(folder) / "train")


def check_peer():
    with tempfile.TemporaryDirectory() as folder:
        job = {"tree": make_tree(folder), "batch": 2, "batches": 2, "workers": 0}
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert image_loader.main(["--peer", json.dumps(job)]) == 0
        assert json.loads(printed.getvalue())["examples_per_second"] > 0, printed.getvalue()


def check_recipe():
    """The operations in the order in which Swin has them."""
    kinds = [type(t).__name__ for t in image_loader.training_transform().transforms]
    wanted = ["RandomResizedCropAndInterpolation", "RandomHorizontalFlip", "RandAugment"]
    assert kinds[:3] == wanted, kinds
    assert kinds[-2:] == ["Normalize", "RandomErasing"], kinds


def check_missing():
    try:
        image_loader.main(["--tree", "train"])
    except SystemExit as error:
        assert "give --tree and --data" in str(error), error
    else:
        raise AssertionError("it went on without --data")


def check_record():
    with tempfile.TemporaryDirectory() as folder:
        fake, output = pathlib.Path(folder) / "ssa-bench", pathlib.Path(folder) / "out.json"
        fake.write_text(FAKE_SSA)
        fake.chmod(0o755)
        arguments = ["--tree", make_tree(folder), "--data", "data/some", "--batch", "2"]
        arguments += ["--batches", "1", "--workers", "2", "--rounds", "1"]
        image_loader.main([*arguments, "--ssa-bench", str(fake), "--output", str(output)])
        record = json.loads(output.read_text())
        assert len(record["sides"]["torch"]["turns"]) == 1, record
        (call,) = pathlib.Path(f"{fake}.calls").read_text().splitlines()
        assert "data.path=data/some data.classes=0 data.workers=2" in call, call
        record["sides"]["torch"]["examples_per_second"] = 120.0
        text = image_loader.table(record)
        assert "| ssa | 300 | 150 |" in text, text
        assert "| DataLoader, torchvision and timm | 120 | 60 | 2.50× |" in text, text


CHECKS = {
    "the peer reads pictures": check_peer,
    "the peer's recipe": check_recipe,
    "a side without pictures": check_missing,
    "the record and its table": check_record,
}


if __name__ == "__main__":
    sys.exit(checks.run(CHECKS))
