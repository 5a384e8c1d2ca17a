#!/usr/bin/env python3
"""Writes the golden run of pictures: what PyTorch computes for a tiny image decoder.

    pip install torch numpy safetensors
    python scripts/make_golden_image.py

writes tests/fixtures/golden/image.json, which the C++ tests match. Like scripts/make_golden.py, it
computes everything in float64 with the model of ssa_torch.py, apart from the engine: if the two
agree, both implement the same formulas. No weight is stored: each is a function of its place, `noise()`,
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

import ssa_torch

OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "golden"

SIDE, CHANNELS = 4, 3
LENGTH = SIDE * SIDE * CHANNELS
WIDTH, HEADS, FFN_WIDTH, LAYERS = 32, 4, 48, 2
BANDS = 2
STEPS, CLIP_NORM = 10, 1.0
ADAM = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}

STARTS = {"rotation": [0, 3], "transposition": [1, 0]}  # the variant of each picture
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


def make_config(shared, causal, reading):
    """What ssa_torch needs of a config."""
    model = {
        "layers": LAYERS,
        "width": WIDTH,
        "ffn_width": FFN_WIDTH,
        "heads": HEADS,
        "activation": "gelu",
        "position": "relative_2d",
        "relative_shared": shared,
        "relative_rows": "causal" if causal else "all",
        "relative_columns": reading,
        "final_norm": True,
        "embedding": {"kind": "plain", "tie_weights": True},
    }
    data = {"image_size": SIDE, "augment": list(STARTS)}
    return {"task": "image_generation", "model": model, "data": data}


def parameter_names(shared):
    """The parameters in the order of the engine, which numbers them."""

    def both(name):
        return [f"{name}.weight", f"{name}.bias"]

    result = ["embedding.weight", *(f"start.{kind}.weight" for kind in STARTS)]
    if shared:
        result.append("relative_bias")
    for layer in range(LAYERS):
        block = f"blocks.{layer}"
        result += both(f"{block}.attention_norm")
        for part in ("query", "key", "value", "output"):
            result += both(f"{block}.attention.{part}")
        if not shared:
            result.append(f"{block}.attention.relative_bias")
        for part in ("ffn_norm", "ffn.up", "ffn.down"):
            result += both(f"{block}.{part}")
    return result + both("final_norm")


def scaled(name, values):
    """Values as large as they are in a trained model, so that no part of it is idle."""
    if name.endswith("relative_bias"):
        return 1.5 * values
    if name.endswith(".bias"):
        return 0.2 * values
    if "norm" in name:
        return 1 + 0.3 * values
    return 0.3 * values


def make_model(shared, causal, reading):
    """The decoder with weights of float32 that are functions of their places."""
    model = ssa_torch.build(make_config(shared, causal, reading), {}).double()
    state = model.state_dict()
    for number, name in enumerate(parameter_names(shared)):
        values = scaled(name, noise(number, state[name].numel())).astype(np.float32)
        state[name].copy_(torch.from_numpy(values).reshape(state[name].shape))
    return model


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


def with_targets(sources):
    """The plan that ssa_torch takes."""
    return torch.arange(LENGTH).view(len(sources), -1), torch.tensor(sources)


# ---- the runs -----------------------------------------------------------------------------------


def gradients(model):
    result = {}
    named = dict(model.named_parameters())
    for name in parameter_names("relative_bias" in named):
        flat = named[name].grad.flatten()
        along = torch.from_numpy(noise(NOISE_SEED, flat.numel()))
        result[name] = {"norm": flat.norm().item(), "with_noise": flat.dot(along).item()}
    return result


def run(bands=False, causal=False, shared=False, reading="sub_pixels"):
    model = make_model(shared, causal, reading)
    pictures, sources = make_pictures(), make_plans(bands)
    plans = [with_targets(of_layer) for of_layer in sources]
    starts = {kind: torch.tensor(rows) for kind, rows in STARTS.items()}
    optimizer = torch.optim.Adam(model.parameters(), **ADAM)
    golden = {
        "relative_rows": "causal" if causal else "all",
        "relative_columns": reading,
        "relative_shared": shared,
        "sources": sources,
        "losses": [],
        "gradient_norms": [],
    }
    for step in range(STEPS):
        each = model.losses(pictures, starts, plans)
        optimizer.zero_grad()
        each.mean().backward()
        if step == 0:
            golden["of_each_sub_pixel"] = each.flatten().tolist()
            golden["gradients"] = gradients(model)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        golden["losses"].append(each.mean().item())
        golden["gradient_norms"].append(norm.item())
        optimizer.step()
    assert math.isfinite(golden["losses"][-1]) and golden["losses"][-1] < golden["losses"][0]
    return golden


def make_runs():
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)  # sums in the same order everywhere
    return {
        "dense": run(),
        "bands": run(bands=True),
        "causal_shared": run(bands=True, causal=True, shared=True),
        "pixels": run(reading="pixels"),
        "pixels_and_channels": run(bands=True, causal=True, reading="pixels_and_channels"),
    }


def main():
    head = {"made_by": "scripts/make_golden_image.py", "torch": torch.__version__}
    golden = head | make_runs()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps(golden, indent=1)
    (OUTPUT / "image.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
