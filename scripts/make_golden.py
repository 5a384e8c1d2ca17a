#!/usr/bin/env python3
"""Writes the golden run: what PyTorch computes for a tiny byte decoder, for the C++ tests to match.

    pip install torch numpy safetensors
    python scripts/make_golden.py

writes into tests/fixtures/golden/

    dense.safetensors   dense attention
    plan.safetensors    the same weights and batch, attention over a fixed source plan a layer
    adaptive.safetensors        a word decoder with adaptive input and adaptive softmax, all tied
    adaptive_untied.safetensors the same decoder with an output of its own
    golden.json         shapes, hyperparameters, versions, losses and norms to read by eye

Each .safetensors file holds

    weights.NAME                 f32  initial parameters; NAME as in docs/reference/weights.md
    inputs, targets              i32  (B, N) bytes; targets are the next bytes
    plans.I.targets, .sources    i32  (W, T), (W, S): the source plan of layer I
    logits                       f64  (B, N, V) at step 0; of adaptive ones log-probabilities
    gradients.NAME               f64  of the mean cross-entropy at step 0
    losses, gradient_norms       f64  (STEPS) before each Adam step on the same batch

Everything is computed in float64 from weights that float32 represents exactly, so that a float64
engine must agree to rounding. The model is that of ssa_torch.py, written with plain tensor functions,
apart from the engine: if the two agree, both implement the same formulas. The plans are drawn here with numpy's
generator; the engine's own generator draws others, and any valid plan will do.

Adaptive input (Baevski & Auli 2018) and adaptive softmax (Grave et al. 2017) mean here what they
mean in fairseq 0.12: every band has a bias-free projection on the input side, the first one too;
the head's scores are the first band's words and then a class for each tail; a tail projects,
drops out (not here: nothing is dropped) and scores its words; tied weights are the input's tables,
tied projections the input's, transposed. No dropout, as in evaluation.
"""

import json
import pathlib

import numpy as np
import safetensors.torch
import torch

import ssa_torch

OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "golden"

VOCABULARY, WIDTH, HEADS, FFN_WIDTH, LAYERS = 256, 24, 3, 56, 2
LENGTH = 20
SEED = 7  # with it the first steps are clipped and the last ones are not

STEPS, CLIP_NORM = 10, 1.0
ADAM = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}

# The adaptive decoder: words of three bands, the last of another width than a division would give.
WORDS, CUTOFFS, FACTOR = 150, (30, 70), 3
BAND_STARTS, BAND_ENDS = (0, *CUTOFFS), (*CUTOFFS, WORDS)
BAND_WIDTHS = [WIDTH // FACTOR**band for band in range(len(BAND_STARTS))]
IGNORED = -1

# LENGTH + 1 bytes each: repeated bytes (their gradients add up), the lowest and the highest.
SEQUENCES = [b"the cat sat on a mat.", b"\x00\xff\xff\x00 na\xc3\xafve \x80 tattoo\xff"]


# ---- parameters and batch ---------------------------------------------------------------------


def make_vocabulary(rng, kind):
    """Random embeddings and output weights by name: plain, adaptive, or adaptive_untied."""

    def matrix(rows, columns, spread):
        return rng.normal(0.0, spread, (rows, columns))

    if kind == "plain":
        return {"embedding.weight": matrix(VOCABULARY, WIDTH, WIDTH**-0.5)}
    weights = {}
    sides = ("embedding", "output") if kind == "adaptive_untied" else ("embedding",)
    for side in sides:
        for band, width in enumerate(BAND_WIDTHS):
            name, words = f"{side}.bands.{band}", BAND_ENDS[band] - BAND_STARTS[band]
            weights[f"{name}.weight"] = matrix(words, width, width**-0.5)
            if side == "embedding":
                weights[f"{name}.projection.weight"] = matrix(WIDTH, width, 0.3)
            elif band > 0:
                weights[f"{name}.projection.weight"] = matrix(width, WIDTH, 0.3)
    weights["output.classes.weight"] = matrix(len(CUTOFFS), WIDTH, 0.3)
    return weights


def make_weights(rng, kind="plain"):
    """Random float32 parameters by name; no gain is 1 and no bias 0, so that none goes untested."""
    weights = make_vocabulary(rng, kind)

    def linear(name, outputs, inputs, gain=1.0):
        weights[f"{name}.weight"] = rng.normal(0.0, gain * inputs**-0.5, (outputs, inputs))
        weights[f"{name}.bias"] = rng.normal(0.0, 0.2, outputs)

    def norm(name):
        weights[f"{name}.weight"] = rng.normal(1.0, 0.2, WIDTH)
        weights[f"{name}.bias"] = rng.normal(0.0, 0.2, WIDTH)

    for layer in range(LAYERS):
        block = f"blocks.{layer}"
        norm(f"{block}.attention_norm")
        for projection in ("query", "key"):  # larger, so that attention is far from uniform
            linear(f"{block}.attention.{projection}", WIDTH, WIDTH, gain=1.5)
        for projection in ("value", "output"):
            linear(f"{block}.attention.{projection}", WIDTH, WIDTH)
        norm(f"{block}.ffn_norm")
        linear(f"{block}.ffn.up", FFN_WIDTH, WIDTH)
        linear(f"{block}.ffn.down", WIDTH, FFN_WIDTH)
    if kind == "plain":
        norm("final_norm")
    return {name: torch.from_numpy(value.astype(np.float32)) for name, value in weights.items()}


def make_batch():
    """Inputs and next-byte targets, (B, N) int64."""
    assert all(len(sequence) == LENGTH + 1 for sequence in SEQUENCES)
    stream = torch.tensor([list(sequence) for sequence in SEQUENCES])
    return stream[:, :-1].contiguous(), stream[:, 1:].contiguous()


def make_word_batch(rng):
    """Words of all bands, each band's first and last among them; some targets ignored."""
    edges = [0, *CUTOFFS, *(cutoff - 1 for cutoff in CUTOFFS), WORDS - 1]
    stream = torch.from_numpy(rng.integers(0, WORDS, (2, LENGTH + 1)))
    stream[0, : len(edges)] = torch.tensor(edges)
    targets = stream[:, 1:].contiguous()
    targets[1, [0, 7]] = IGNORED
    return stream[:, :-1].contiguous(), targets


# ---- source plans: (targets (W, T), sources (W, S)) ---------------------------------------------


def dense_plan():
    everything = np.arange(LENGTH)[None, :]
    return everything, everything


def local_causal_plan(rng, windows, sigma):
    """Window v: the last T entries of argsort_j(j + sigma N eps_j) over j < (v + 1) T."""
    size = LENGTH // windows
    targets = np.arange(LENGTH).reshape(windows, size)
    sources = []
    for window in range(windows):
        end = (window + 1) * size
        noisy = np.arange(end) + sigma * LENGTH * rng.standard_normal(end)
        sources.append(np.argsort(noisy)[-size:])
    return targets, np.stack(sources)


def unbiased_plan(rng, kept):
    """One window; its sources are the first `kept` of a random permutation."""
    return np.arange(LENGTH)[None, :], rng.permutation(LENGTH)[None, :kept]


def targets_without_source(plan):
    """How many targets see no source under the causal mask."""
    targets, sources = plan
    return int((sources.min(axis=1)[:, None] > targets).sum())


def make_plans(rng):
    """One plan a layer. A local causal window always holds a source that its first target sees (T
    sources, only T - 1 of them can lie behind it); an unbiased plan may leave targets without any,
    which must then get attention 0: one is drawn until it does."""
    local = local_causal_plan(rng, windows=4, sigma=0.3)
    unbiased = unbiased_plan(rng, kept=11)
    while targets_without_source(unbiased) < 2:
        unbiased = unbiased_plan(rng, kept=11)
    return [local, unbiased]


# ---- the model ----------------------------------------------------------------------------------


def make_config(kind):
    """What ssa_torch needs of a config."""
    untied = kind == "adaptive_untied"
    embedding = {
        "kind": "plain" if kind == "plain" else "adaptive",
        "cutoffs": list(CUTOFFS),
        "factor": FACTOR,
        "tie_weights": not untied,
        "tie_projections": not untied,
    }
    model = {
        "layers": LAYERS,
        "width": WIDTH,
        "ffn_width": FFN_WIDTH,
        "heads": HEADS,
        "activation": "gelu",
        "position": "alibi",
        "final_norm": kind == "plain",
        "embedding": embedding,
    }
    return {"task": "byte_lm" if kind == "plain" else "word_lm", "model": model}


# ---- the run ------------------------------------------------------------------------------------


def run(kind, initial, batch, plans):
    """The golden tensors of one set of plans, by name."""
    model = ssa_torch.build(make_config(kind), initial).double()
    model.load_state_dict(initial)
    optimizer = torch.optim.Adam(model.parameters(), **ADAM)
    inputs, targets = batch
    golden = {f"weights.{name}": value for name, value in initial.items()}
    golden["inputs"], golden["targets"] = inputs.int(), targets.int()
    plans = [tuple(torch.from_numpy(positions) for positions in plan) for plan in plans]
    for layer, plan in enumerate(plans):
        for name, positions in zip(("targets", "sources"), plan):
            golden[f"plans.{layer}.{name}"] = positions.int()

    losses, norms = [], []
    for step in range(STEPS):
        loss = model.losses(inputs, targets, plans).sum() / (targets != IGNORED).sum()
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            golden["logits"] = model(inputs, plans).detach().clone()
            golden |= {f"gradients.{n}": p.grad.clone() for n, p in model.named_parameters()}
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM))
        losses.append(loss.detach())
        optimizer.step()
    golden["losses"], golden["gradient_norms"] = torch.stack(losses), torch.stack(norms)
    return {name: value.contiguous() for name, value in golden.items()}


def make_runs():
    """The golden tensors and the plans of each run."""
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)  # sums in the same order everywhere
    rng = np.random.default_rng(SEED)
    initial = make_weights(rng)
    plans = {"dense": [dense_plan()] * LAYERS, "plan": make_plans(rng)}
    runs = {name: run("plain", initial, make_batch(), layers) for name, layers in plans.items()}
    for kind in ("adaptive", "adaptive_untied"):
        plans[kind] = plans["plan"]
        runs[kind] = run(kind, make_weights(rng, kind), make_word_batch(rng), plans[kind])
    return runs, plans


def describe(runs, plans):
    return {
        "made_by": "scripts/make_golden.py",
        "torch": torch.__version__,
        "numpy": np.__version__,
        "seed": SEED,
        "model": {
            "vocabulary": VOCABULARY,
            "width": WIDTH,
            "heads": HEADS,
            "ffn_width": FFN_WIDTH,
            "layers": LAYERS,
            "activation": "gelu",
            "position": "alibi",
            "final_norm": True,
            "tie_weights": True,
            "norm_eps": 1e-5,
        },
        "adaptive": {
            "vocabulary": WORDS,
            "cutoffs": CUTOFFS,
            "factor": FACTOR,
            "widths": BAND_WIDTHS,
            "final_norm": False,
        },
        "batch": {"sequences": len(SEQUENCES), "length": LENGTH},
        "optimizer": {"kind": "adam", **ADAM, "clip_norm": CLIP_NORM, "steps": STEPS},
        "targets_without_source": {
            name: [targets_without_source(plan) for plan in layers]
            for name, layers in plans.items()
        },
        "losses": {name: golden["losses"].tolist() for name, golden in runs.items()},
        "gradient_norms": {
            name: golden["gradient_norms"].tolist() for name, golden in runs.items()
        },
    }


def main():
    runs, plans = make_runs()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name, golden in runs.items():
        assert all(value.isfinite().all() for value in golden.values())
        norms = golden["gradient_norms"]
        assert norms.max() > CLIP_NORM, "clipping is tested"
        assert norms.min() < CLIP_NORM or "adaptive" in name, "so are steps without"
        (OUTPUT / f"{name}.safetensors").write_bytes(safetensors.torch.save(golden))
    text = json.dumps(describe(runs, plans), indent=2)
    (OUTPUT / "golden.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
