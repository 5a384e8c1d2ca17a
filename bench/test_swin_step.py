#!/usr/bin/env python3
"""Checks that the peers of swin_step.py train Swin-T as ssa does, and its table.

    python bench/test_swin_step.py

Prints one line a check; the exit status is 1 if one fails, 77 without torch and timm: then
nothing is checked.
"""

import json
import math
import pathlib
import sys
import tempfile

try:
    import timm  # noqa: F401
    import torch
except ModuleNotFoundError:
    print("skipped: needs torch and timm")
    sys.exit(77)
import checks
import swin_step

# Writes what ssa-bench would, and keeps what it was asked for.
FAKE_SSA = """#!/bin/sh
if [ "$1" = --version ]; then echo 'ssa-bench 0 (commit none)'; exit; fi
echo "$@" >> "$0.calls"
while [ "$1" != --json ]; do shift; done
echo '{"step_seconds": 2.0}' > "$2"
"""


def build(peer, window=7, precision="fp32"):
    """A peer with a batch of one, which has taken the two steps that warm it."""
    return swin_step.TimmSide(peer, window, precision, 1)


def check_parameters():
    for window, count in ((7, 28_288_354), (14, 28_338_754)):
        model = timm.create_model(
            "swin_tiny_patch4_window7_224", pretrained=False, window_size=window
        )
        got = sum(p.numel() for p in model.parameters())
        assert got == count, (window, got)
    for config, window in swin_step.CASES.values():
        assert (swin_step.records.ROOT / f"configs/{config}.yaml").is_file(), config
        assert config.startswith(f"imagenet_w{window}_"), config


def check_step():
    side = build("timm")
    assert torch.allclose(side.targets.sum(1), torch.ones(1)), side.targets.sum(1)
    rates = [m.drop_prob for m in side.model.modules() if type(m).__name__ == "DropPath"]
    assert abs(max(rates) - 0.2) < 1e-6, rates
    assert side.model.training
    before = [p.detach().clone() for p in side.model.parameters()]
    seconds = side.turn(1)
    assert seconds > 0, seconds
    # Biases of a branch that drop path left out in each step so far stay where they were.
    still = [
        name
        for (name, now), then in zip(side.model.named_parameters(), before)
        if then.ndim > 1 and torch.equal(now, then)
    ]
    assert not still, f"not updated: {still}"


def check_loss():
    """Against the sum written out, of a model whose logits are known."""
    side = build("timm")
    logits = torch.zeros(1, 1000)
    logits[0, 0] = 3.0
    side.forward = lambda images: logits
    total = math.log(math.exp(3.0) + 999)
    right, wrong = 0.9 + 0.1 / 1000, 999 * 0.1 / 1000
    wanted = right * (total - 3.0) + wrong * total
    assert abs(side.loss().item() - wanted) < 1e-4, (side.loss().item(), wanted)


def check_bf16():
    side = build("timm", precision="bf16")
    forward, kinds = side.forward, []

    def noted(images):
        logits = forward(images)
        kinds.append(logits.dtype)
        return logits

    side.forward = noted
    loss = side.loss()
    assert kinds == [torch.bfloat16] and loss.dtype == torch.float32, (kinds, loss.dtype)


def check_channels_last():
    side = build("timm_last", window=14)
    assert side.images.is_contiguous(memory_format=torch.channels_last)
    weight = side.model.patch_embed.proj.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def check_record():
    with tempfile.TemporaryDirectory() as folder:
        fake, output = pathlib.Path(folder) / "ssa-bench", pathlib.Path(folder) / "out.json"
        fake.write_text(FAKE_SSA)
        fake.chmod(0o755)
        arguments = ["--cases", "w7_s0", "--precisions", "fp32", "--peers", "timm"]
        arguments += ["--batch", "1", "--rounds", "2", "--repeats", "1", "--threads", "1"]
        swin_step.main([*arguments, "--ssa-bench", str(fake), "--output", str(output)])
        record = json.loads(output.read_text())
        (case,) = record["cases"]
        assert len(case["sides"]["timm"]["turns"]) == 2, case
        calls = pathlib.Path(f"{fake}.calls").read_text().splitlines()
        assert len(calls) == 2, calls
        assert "imagenet_w7_s0.yaml --device cpu --precision fp32 --repeats 1" in calls[0], calls
        assert "train.batch_size=1 train.micro_batch=1" in calls[0], calls
        case["sides"]["timm"]["step_seconds"] = 5.0
        text = swin_step.table(record)
        assert "| w7_s0, fp32 | ssa | 2.000 s | 0.5 |" in text, text
        assert "| timm, eager | 5.000 s | 0.2 | 2.50× |" in text, text


CHECKS = {
    "parameters and configs of the cases": check_parameters,
    "a step updates every weight": check_step,
    "the loss of soft targets": check_loss,
    "bf16": check_bf16,
    "channels last": check_channels_last,
    "the record and its table": check_record,
}


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(checks.run(CHECKS))
