#!/usr/bin/env python3
"""Checks that the peer is the model it claims to be.

    python bench/test_pytorch_decoder.py

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
from pytorch_decoder import Decoder, Shape, Trainer, alibi_slopes, draw_sources

SMALL = Shape(layers=2, width=48, heads=6, ffn_width=80, length=32, batch=2, vocabulary=32)
WINDOWED = dataclasses.replace(SMALL, windows=4)


def naive_attention(attention, x, sources_of):
    """Softmax written out, target by target, head by head, in f64."""
    s = attention.shape
    size = s.width // s.heads
    query, key, value = attention.qkv(x).view(s.batch, s.length, 3, s.heads, size).unbind(2)
    mixed = torch.zeros(s.batch, s.length, s.heads, size, dtype=x.dtype)
    slopes = [2.0 ** (-8 * h / 4) for h in range(1, 5)] + [2.0**-1, 2.0**-3]  # 6 heads: 4, then 2
    for i in range(s.length):
        visible = [j for j in sources_of(i) if j <= i]
        if not visible:
            continue
        away = torch.tensor([float(i - j) for j in visible], dtype=x.dtype)
        for h in range(s.heads):
            logits = torch.einsum("bd,bjd->bj", query[:, i, h], key[:, visible, h])
            weights = torch.softmax(logits / math.sqrt(size) - slopes[h] * away, dim=-1)
            mixed[:, i, h] = torch.einsum("bj,bjd->bd", weights, value[:, visible, h])
    return attention.output(mixed.reshape(s.batch, s.length, s.width))


def check_attention(shape):
    torch.manual_seed(3)
    model = Decoder(shape)
    rows, bias = model.plans(torch.float32)[-1]
    size = shape.length // shape.windows
    first_sequence = rows[: shape.length].view(shape.windows, size).tolist()
    attention = model.blocks[-1].attention
    x = torch.randn(shape.batch, shape.length, shape.width)
    results = []
    for run in (
        lambda: attention(x, rows, bias),
        lambda: naive_attention(attention, x, lambda i: first_sequence[i // size]),
    ):
        attention.zero_grad()
        out = run()
        out.square().sum().backward()
        results.append([out.detach()] + [p.grad.clone() for p in attention.parameters()])
    for fused, naive in zip(*results):
        torch.testing.assert_close(fused, naive, rtol=1e-4, atol=1e-4)


def check_same_losses(shape, attention):
    losses = []
    for kind in ("fused", attention):
        trainer = Trainer(dataclasses.replace(shape, attention=kind))
        losses.append([trainer.step() for _ in range(3)])
    assert max(abs(a - b) for a, b in zip(*losses)) < 1e-5, losses


def check_sources():
    torch.manual_seed(5)
    for sigma in (0.0, 0.1, 2.0):
        sources = draw_sources(WINDOWED, sigma)
        for window, row in enumerate(sources.tolist()):
            assert row == sorted(set(row)), row
            assert 0 <= row[0] and row[-1] < (window + 1) * 8, row
            if sigma == 0.0:
                assert row == list(range(8 * window, 8 * window + 8)), row
    assert sorted({len(row) for row in sources.tolist()}) == [8]
    assert sources[-1].min() < 16, "a large sigma reaches far back"


def check_slopes():
    wanted = [2.0**-h for h in range(1, 9)]
    assert alibi_slopes(8).tolist() == wanted, alibi_slopes(8)


def check_causality():
    """No logit depends on a later byte."""
    torch.manual_seed(7)
    model = Decoder(dataclasses.replace(SMALL, batch=1))
    plans = model.plans(torch.float32)
    x = torch.randn(1, SMALL.length, SMALL.width, requires_grad=True)
    y = x
    for block, (rows, bias) in zip(model.blocks, plans):
        y = block(y, rows, bias)
    (grad,) = torch.autograd.grad(y[:, 10].sum(), x)
    assert grad[:, 11:].abs().max() == 0 and grad[:, :11].abs().min(dim=-1).values.max() > 0


def check_training(shape, precision):
    trainer = Trainer(shape, precision)
    for group in trainer.optimizer.param_groups:
        group["lr"] = 1e-2
    losses = [trainer.step() for _ in range(12)]
    # Above uniform: with tied embeddings the input's own byte starts with a logit of up to √d.
    uniform = math.log(shape.vocabulary)
    assert uniform < losses[0] < uniform + math.sqrt(shape.width), losses
    assert losses[-1] < 0.5 * uniform, losses


def check_fused(shape, precision):
    names = Trainer(shape, precision).attention_kernels()
    assert names == ["ScaledDotProductFlashAttentionForCpuBackward0"], names


def check_parameters():
    d, f = 512, 2048
    model = Decoder(Shape(layers=8, width=d, heads=8, ffn_width=f, length=64, batch=1))
    block = 4 * d * d + 4 * d + 2 * d * f + f + d + 4 * d
    count = sum(p.numel() for p in model.parameters())
    assert count == 8 * block + 256 * d + 2 * d, count


CHECKS = {
    "ALiBi's slopes": check_slopes,
    "sources of a plan": check_sources,
    "number of parameters": check_parameters,
    "causality": check_causality,
    "dense attention is a softmax": lambda: check_attention(SMALL),
    "windowed attention is a softmax": lambda: check_attention(WINDOWED),
    "windowed attention, one sequence": lambda: check_attention(
        dataclasses.replace(WINDOWED, batch=1)
    ),
    "the skipping kernel gives the same losses": lambda: check_same_losses(
        dataclasses.replace(SMALL, length=128), "causal_skip"
    ),
    "unfused attention gives the same losses": lambda: check_same_losses(WINDOWED, "unfused"),
    "fused kernel, dense, fp32": lambda: check_fused(SMALL, "fp32"),
    "fused kernel, dense, bf16": lambda: check_fused(SMALL, "bf16"),
    "fused kernel, windowed, fp32": lambda: check_fused(WINDOWED, "fp32"),
    "fused kernel, windowed, bf16": lambda: check_fused(WINDOWED, "bf16"),
    "training, dense, fp32": lambda: check_training(SMALL, "fp32"),
    "training, dense, bf16": lambda: check_training(SMALL, "bf16"),
    "training, windowed, fp32": lambda: check_training(WINDOWED, "fp32"),
    "training, windowed, bf16": lambda: check_training(WINDOWED, "bf16"),
}


if __name__ == "__main__":
    sys.exit(checks.run(CHECKS))
