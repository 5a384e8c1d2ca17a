#!/usr/bin/env python3
"""Writes the golden run of pictures: what PyTorch computes for a tiny image decoder.

    pip install torch numpy
    python scripts/make_golden_image.py

writes tests/fixtures/golden/image.json, which the C++ tests match. Like scripts/make_golden.py, it
computes everything in float64 with plain tensor functions, apart from the engine: if the two agree,
both implement the same formulas. No weight is stored: each is a function of its place, `noise()`,
rounded to float32.

The model is the one of docs/method.md: the sequence of a picture is its sub-pixels, row by row.
Slot t predicts sub-pixel t. It reads sub-pixel t-1, and slot 0 reads a start vector, the sum of a
row for each augmentation; all inputs are multiplied by the root of the width. A learned table has a
bias for each distance in rows and in columns, and for each head. Columns are those of sub-pixels or
of pixels; with pixels, channels are alike or told apart.

    dense           dense attention
    bands           two causal bands of rows, each with a fixed sample of sources for each layer
    causal_shared   the same, with one table for both layers that has no entries for rows below
    pixels          dense attention, with a table of pixels, in which channels are alike
    pixels_and_channels   two bands, with a causal table of pixels and differences of channels

For each run the file holds, before the first update: the loss of every sub-pixel in nats, and for
each parameter's gradient the norm and the product with noise. `losses` are the mean losses before
each of ten steps of Adam, `gradient_norms` the norms of the whole gradient before it is clipped.
"""

import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "golden"

SIDE, CHANNELS, VALUES = 4, 3, 256
ROWS, COLUMNS = SIDE, SIDE * CHANNELS
LENGTH = ROWS * COLUMNS
WIDTH, HEADS, FFN_WIDTH, LAYERS = 32, 4, 48, 2
HEAD_SIZE = WIDTH // HEADS
NORM_EPS = 1e-5
BANDS = 2
STEPS, CLIP_NORM = 10, 1.0
ADAM = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}

STARTS = {"rotation": [0, 3], "transposition": [1, 0]}  # the variant of each picture
VARIANTS = {"rotation": 4, "transposition": 2}
PICTURES_SEED, NOISE_SEED = 1000, 2000


def noise(number, count):
    """`count` numbers in [-1, 1) for tensor `number`: a hash of their places."""
    x = (np.arange(1, count + 1, dtype=np.uint64) * 2654435761 + (number + 1) * 2246822519) % 2**32
    x ^= x >> 15
    x = x * 2246822519 % 2**32
    x ^= x >> 13
    x = x * 3266489917 % 2**32
    x ^= x >> 16
    return x.astype(np.float64) / 2**31 - 1


# ---- parameters, pictures and plans -------------------------------------------------------------


# What a table tells apart in a row: columns, channels.
READINGS = {
    "sub_pixels": (COLUMNS, 1),
    "pixels": (SIDE, 1),
    "pixels_and_channels": (SIDE, CHANNELS),
}


def table_rows(causal, reading):
    columns, channels = READINGS[reading]
    return (ROWS if causal else 2 * ROWS - 1) * (2 * columns - 1) * (2 * channels - 1)


def shapes(shared, causal, reading):
    """The parameters in the order of the engine, which numbers them."""
    table = (table_rows(causal, reading), HEADS)
    result = {"embedding.weight": (VALUES, WIDTH)}
    result |= {f"start.{kind}.weight": (VARIANTS[kind], WIDTH) for kind in STARTS}
    if shared:
        result["relative_bias"] = table

    def both(name, weight):
        result[f"{name}.weight"] = weight
        result[f"{name}.bias"] = weight[:1]

    for layer in range(LAYERS):
        block = f"blocks.{layer}"
        both(f"{block}.attention_norm", (WIDTH,))
        for part in ("query", "key", "value", "output"):
            both(f"{block}.attention.{part}", (WIDTH, WIDTH))
        if not shared:
            result[f"{block}.attention.relative_bias"] = table
        both(f"{block}.ffn_norm", (WIDTH,))
        both(f"{block}.ffn.up", (FFN_WIDTH, WIDTH))
        both(f"{block}.ffn.down", (WIDTH, FFN_WIDTH))
    both("final_norm", (WIDTH,))
    return result


def scaled(name, values):
    """Values as large as they are in a trained model, so that no part of it is idle."""
    if name.endswith("relative_bias"):
        return 1.5 * values
    if name.endswith(".bias"):
        return 0.2 * values
    if "norm" in name:
        return 1 + 0.3 * values
    return 0.3 * values


def make_weights(shared, causal, reading):
    weights = {}
    for number, (name, shape) in enumerate(shapes(shared, causal, reading).items()):
        values = scaled(name, noise(number, math.prod(shape))).astype(np.float32)
        weights[name] = torch.from_numpy(values).double().reshape(shape).requires_grad_()
    return weights


def make_pictures():
    """(B, LENGTH) sub-pixels."""
    count = len(STARTS["rotation"])
    values = np.floor((noise(PICTURES_SEED, count * LENGTH) + 1) * 128).astype(np.int64)
    return torch.from_numpy(values).reshape(count, LENGTH)


def make_plans(bands):
    """For each layer the sources of each window; a window's targets are its part of the line."""
    if not bands:
        return [[list(range(LENGTH))]] * LAYERS
    band = LENGTH // BANDS
    plans = []
    for layer in range(LAYERS):
        # 7 is coprime to LENGTH, so that each half of the residues has as many positions.
        drawn = [p for p in range(LENGTH) if (7 * p + 11 * layer + 5) % LENGTH < band]
        plans.append([list(range(band)), drawn])
    return plans


# ---- the model ----------------------------------------------------------------------------------


def position_bias(table, causal, reading):
    """(H, N, N) for targets in rows and sources in columns; nan where there is no entry."""
    columns, channels = READINGS[reading]
    position = torch.arange(LENGTH)
    row, in_row = position // COLUMNS, position % COLUMNS
    column = in_row // (COLUMNS // columns)
    channel = in_row % channels
    down, right, other = (of[:, None] - of[None, :] for of in (row, column, channel))
    line = down if causal else down + ROWS - 1
    element = line * (2 * columns - 1) + right + columns - 1
    element = element * (2 * channels - 1) + other + channels - 1
    bias = table[element.clamp(min=0)].permute(2, 0, 1)
    return bias.masked_fill(line < 0, math.nan)


def visible(plan):
    """(N, N): which sources each target may attend to."""
    seen = torch.zeros(LENGTH, LENGTH, dtype=torch.bool)
    window = LENGTH // len(plan)
    for number, sources in enumerate(plan):
        seen[number * window : (number + 1) * window, sources] = True
    return seen.tril()


def attend(query, key, value, bias, seen):
    """query, key, value (B, N, H, D); a target that sees nothing gets 0."""
    logits = torch.einsum("bthd,bshd->bhts", query, key) / math.sqrt(HEAD_SIZE) + bias
    blind = ~seen.any(-1, keepdim=True)
    logits = logits.masked_fill(~seen, -math.inf).masked_fill(blind, 0.0)
    weights = torch.softmax(logits, -1).masked_fill(blind, 0.0)
    return torch.einsum("bhts,bshd->bthd", weights, value)


def losses(weights, pictures, plans, causal, reading):
    """The loss of every sub-pixel, (B, N) nats."""

    def linear(name, x):
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(name, x):
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return F.layer_norm(x, (WIDTH,), weight, bias, NORM_EPS)

    embedding = weights["embedding.weight"]
    start = sum(weights[f"start.{kind}.weight"][torch.tensor(rows)] for kind, rows in STARTS.items())
    x = torch.cat([start[:, None], embedding[pictures[:, :-1]]], 1) * math.sqrt(WIDTH)
    for layer, plan in enumerate(plans):
        block = f"blocks.{layer}"
        table = weights.get("relative_bias", weights.get(f"{block}.attention.relative_bias"))
        h = norm(f"{block}.attention_norm", x)
        q, k, v = (
            linear(f"{block}.attention.{part}", h).unflatten(-1, (HEADS, HEAD_SIZE))
            for part in ("query", "key", "value")
        )
        bias = position_bias(table, causal, reading)
        attended = attend(q, k, v, bias, visible(plan))
        x = x + linear(f"{block}.attention.output", attended.flatten(-2))
        h = F.gelu(linear(f"{block}.ffn.up", norm(f"{block}.ffn_norm", x)))
        x = x + linear(f"{block}.ffn.down", h)
    logits = F.linear(norm("final_norm", x), embedding)
    return F.cross_entropy(logits.transpose(1, 2), pictures, reduction="none")


# ---- the runs -----------------------------------------------------------------------------------


def gradients(weights):
    result = {}
    for name, weight in weights.items():
        flat = weight.grad.flatten()
        along = torch.from_numpy(noise(NOISE_SEED, flat.numel()))
        result[name] = {"norm": flat.norm().item(), "with_noise": flat.dot(along).item()}
    return result


def run(bands=False, causal=False, shared=False, reading="sub_pixels"):
    weights = make_weights(shared, causal, reading)
    pictures, plans = make_pictures(), make_plans(bands)
    optimizer = torch.optim.Adam(weights.values(), **ADAM)
    golden = {
        "relative_rows": "causal" if causal else "all",
        "relative_columns": reading,
        "relative_shared": shared,
        "sources": plans,
        "losses": [],
        "gradient_norms": [],
    }
    for step in range(STEPS):
        each = losses(weights, pictures, plans, causal, reading)
        optimizer.zero_grad()
        each.mean().backward()
        if step == 0:
            golden["of_each_sub_pixel"] = each.flatten().tolist()
            golden["gradients"] = gradients(weights)
        norm = torch.nn.utils.clip_grad_norm_(weights.values(), CLIP_NORM)
        golden["losses"].append(each.mean().item())
        golden["gradient_norms"].append(norm.item())
        optimizer.step()
    assert math.isfinite(golden["losses"][-1]) and golden["losses"][-1] < golden["losses"][0]
    return golden


def main():
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)  # sums in the same order everywhere
    golden = {
        "made_by": "scripts/make_golden_image.py",
        "torch": torch.__version__,
        "dense": run(),
        "bands": run(bands=True),
        "causal_shared": run(bands=True, causal=True, shared=True),
        "pixels": run(reading="pixels"),
        "pixels_and_channels": run(bands=True, causal=True, reading="pixels_and_channels"),
    }
    OUTPUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps(golden, indent=1)
    (OUTPUT / "image.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
