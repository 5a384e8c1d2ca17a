#!/usr/bin/env python3
"""Checks that the peer of the cases with pictures is the model it claims to be.

    python bench/test_pytorch_image_decoder.py

Prints one line a check; the exit status is 1 if one fails, 77 without torch: then
nothing is checked.
"""

import dataclasses
import math
import sys

try:
    import torch
except ModuleNotFoundError:
    print("skipped: needs torch")
    sys.exit(77)
import checks
from pytorch_image_decoder import Decoder, Shape, Trainer, draw_sources, table_columns

SMALL = Shape(
    layers=2, width=48, heads=6, ffn_width=80, length=48, batch=2, vocabulary=32, rows=4
)
BANDS = dataclasses.replace(SMALL, windows=2)


def naive_attention(attention, x, sources_of):
    """Softmax written out, target by target, head by head; the bias from (rows, columns) away."""
    s = attention.shape
    size = s.width // s.heads
    query, key, value = attention.qkv(x).view(s.batch, s.length, 3, s.heads, size).unbind(2)
    table = attention.table.view(s.heads, 2 * s.rows - 1, 2 * s.columns - 1)
    mixed = torch.zeros(s.batch, s.length, s.heads, size)
    for i in range(s.length):
        visible = [j for j in sources_of(i) if j <= i]
        down = torch.tensor([i // s.columns - j // s.columns for j in visible]) + s.rows - 1
        right = torch.tensor([i % s.columns - j % s.columns for j in visible]) + s.columns - 1
        for h in range(s.heads):
            logits = torch.einsum("bd,bjd->bj", query[:, i, h], key[:, visible, h])
            weights = torch.softmax(logits / math.sqrt(size) + table[h, down, right], dim=-1)
            mixed[:, i, h] = torch.einsum("bj,bjd->bd", weights, value[:, visible, h])
    return attention.output(mixed.reshape(s.batch, s.length, s.width))


def check_attention(shape):
    torch.manual_seed(3)
    model = Decoder(shape)
    rows, places = model.plans(torch.float32)[-1]
    size = shape.length // shape.windows
    sources = rows[: shape.length].view(shape.windows, size).tolist()
    attention = model.blocks[-1].attention
    attention.table.data.normal_()
    x = torch.randn(shape.batch, shape.length, shape.width)
    results = []
    for run in (
        lambda: attention(x, rows, places),
        lambda: naive_attention(attention, x, lambda i: sources[i // size]),
    ):
        attention.zero_grad()
        out = run()
        out.square().sum().backward()
        results.append([out.detach()] + [p.grad.clone() for p in attention.parameters()])
    for fast, naive in zip(*results):
        torch.testing.assert_close(fast, naive, rtol=1e-4, atol=1e-4)


def check_sources():
    torch.manual_seed(5)
    for sigma in (0.0, 0.25, 2.0):
        sources = draw_sources(dataclasses.replace(BANDS, sigma=sigma))
        assert sources[0].tolist() == list(range(24)), "the first band is itself"
        last = sources[1].tolist()
        assert last == sorted(set(last)) and len(last) == 24 and last[-1] < 48, last
        assert (last == list(range(24, 48))) == (sigma == 0.0), last


def check_causality():
    """No logit depends on a later sub-pixel, and the first on none."""
    torch.manual_seed(7)
    model = Decoder(dataclasses.replace(BANDS, batch=1))
    plans = model.plans(torch.float32)
    ids = torch.randint(32, (1, SMALL.length))

    def hidden(ids):
        x = model.embed(ids)
        for block, (rows, places) in zip(model.blocks, plans):
            x = block(x, rows, places)
        return x[0]

    changed = ids.clone()
    changed[0, 10] = (changed[0, 10] + 1) % 32
    differs = (hidden(ids) != hidden(changed)).any(dim=-1).nonzero().flatten().tolist()
    assert differs and differs[0] == 11, differs


def check_ways():
    columns = table_columns(SMALL, torch.arange(48)[None], torch.arange(48)[None])
    assert len(columns.unique()) == 7 * 23, "every way in the table occurs"


def check_same_losses():
    losses = []
    for kind in ("fused", "unfused"):
        trainer = Trainer(dataclasses.replace(BANDS, attention=kind))
        losses.append([trainer.step() for _ in range(3)])
    assert max(abs(a - b) for a, b in zip(*losses)) < 1e-5, losses


def check_training(shape, precision):
    trainer = Trainer(shape, precision)
    for group in trainer.optimizer.param_groups:
        group["lr"] = 1e-2
    losses = [trainer.step() for _ in range(20)]
    uniform = math.log(shape.vocabulary)
    assert losses[-1] < 0.7 * uniform < uniform < losses[0], losses


def check_parameters():
    shape = Shape(
        layers=8, width=512, heads=8, ffn_width=2048, length=3072, batch=1, rows=32
    )
    d, f = 512, 2048
    block = 4 * d * d + 4 * d + 2 * d * f + f + d + 4 * d + 8 * 63 * 191
    count = sum(p.numel() for p in Decoder(shape).parameters())
    assert count == 8 * block + 257 * d + 2 * d, count


CHECKS = {
    "sources of the bands": check_sources,
    "ways between the cells": check_ways,
    "number of parameters": check_parameters,
    "causality": check_causality,
    "dense attention is a softmax": lambda: check_attention(SMALL),
    "attention in bands is a softmax": lambda: check_attention(BANDS),
    "two products give the same losses": check_same_losses,
    "training, dense, fp32": lambda: check_training(SMALL, "fp32"),
    "training, dense, bf16": lambda: check_training(SMALL, "bf16"),
    "training, bands, fp32": lambda: check_training(BANDS, "fp32"),
    "training, bands, bf16": lambda: check_training(BANDS, "bf16"),
}


if __name__ == "__main__":
    sys.exit(checks.run(CHECKS))
