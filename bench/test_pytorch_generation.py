#!/usr/bin/env python3
"""Checks the peer of generation.py, that what it keeps changes nothing, and the record.

    python bench/test_pytorch_generation.py

Prints one line a check; the exit status is 1 if one fails, 77 without torch: then nothing is checked.
"""

import json
import pathlib
import sys
import tempfile

try:
    import torch
except ModuleNotFoundError:
    print("skipped: needs torch")
    sys.exit(77)
import checks
import generation
from pytorch_generation import Shape, Writer, slopes

TINY = Shape(layers=2, width=32, ffn_width=48, heads=4, vocabulary=11)
FAKE_GENERATE = """#!/bin/sh
while [ "$1" != --length ]; do shift; done
echo "[info] $2 bytes in 1.0 s: 8 a second" >&2
"""


def tiny_writer():
    torch.manual_seed(3)
    return Writer(TINY, torch.float32)


def check_kept():
    tokens = torch.randint(TINY.vocabulary, (3, 9))
    at_once, one_by_one = tiny_writer(), tiny_writer()
    at_once.start(3, 9)
    one_by_one.start(3, 9)
    expected = at_once.read(tokens)
    for place in range(9):
        scores = one_by_one.read(tokens[:, place : place + 1])
    assert torch.allclose(scores, expected, atol=1e-5), (scores - expected).abs().max()
    assert expected.shape == (3, TINY.vocabulary)


def check_far_tokens_count_less():
    assert torch.equal(slopes(4), torch.tensor([0.25, 0.0625, 0.015625, 0.00390625]).double())


def check_shape():
    weights = Writer(Shape(), torch.bfloat16).weight_bytes()
    assert weights == 2 * (257 * 1024 + 16 * 12 * 1024**2), weights


def check_record():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, text in (("ssa-generate", FAKE_GENERATE), ("ssa-bench", "#!/bin/sh\necho ssa-bench 0\n")):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        output = folder / "out.json"
        generation.main(["--run", "bf16=run", "--texts", "1", "2", "--tokens", "8", "--rounds", "2", "--threads",
                         "1", "--ssa-bench", str(folder / "ssa-bench"), "--output", str(output)])
        record = json.loads(output.read_text())
        assert record["sides"]["ssa bf16 1"] == [{"seconds": 1.0}] * 2, record["sides"]
        assert record["weight_bytes"]["int8"] * 2 == record["weight_bytes"]["bf16"]
        assert all(turn["seconds"] > 0 for turn in record["sides"]["PyTorch bf16 2"])
        assert "| 2 | bf16 | ssa | 16 |" in generation.table(record), generation.table(record)


if __name__ == "__main__":
    sys.exit(checks.run({
        "kept keys and values change nothing": check_kept,
        "slopes": check_far_tokens_count_less,
        "bytes of the published weights": check_shape,
        "the record and its table": check_record,
    }))
