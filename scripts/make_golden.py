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
engine must agree to rounding. The model is written with plain tensor functions, apart from the
engine: if the two agree, both implement the same formulas. The plans are drawn here with numpy's
generator; the engine's own generator draws others, and any valid plan will do.

Adaptive input (Baevski & Auli 2018) and adaptive softmax (Grave et al. 2017) mean here what they
mean in fairseq 0.12: every band has a bias-free projection on the input side, the first one too;
the head's scores are the first band's words and then a class for each tail; a tail projects,
drops out (not here: nothing is dropped) and scores its words; tied weights are the input's tables,
tied projections the input's, transposed. No dropout, as in evaluation.
"""

import json
import math
import pathlib

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F

OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "golden"

VOCABULARY, WIDTH, HEADS, FFN_WIDTH, LAYERS = 256, 24, 3, 56, 2
HEAD_SIZE = WIDTH // HEADS
LENGTH = 20
NORM_EPS = 1e-5
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


def alibi_slopes(heads):
    """Press et al. 2021; for other than powers of two, every second slope of the next one."""
    power = 2 ** int(math.log2(heads))
    slopes = [2.0 ** (-8.0 * h / power) for h in range(1, power + 1)]
    following = [2.0 ** (-8.0 * h / (2 * power)) for h in range(1, 2 * power + 1)]
    return torch.tensor(slopes + following[::2][: heads - power], dtype=torch.float64)


def attend_masked(query, key, value, plan):
    """attend_plan() by PyTorch's own attention over all N x N pairs, as a check. (B, N, H, D)."""
    position = torch.arange(LENGTH)
    distance = position[:, None] - position[None, :]
    visible = torch.zeros(LENGTH, LENGTH, dtype=torch.bool)
    for window_targets, window_sources in zip(*plan):
        visible[np.ix_(window_targets, window_sources)] = True
    visible &= distance >= 0
    empty = ~visible.any(-1, keepdim=True)  # (N, 1)
    bias = -alibi_slopes(HEADS)[:, None, None] * distance
    bias = bias.masked_fill(~visible, -math.inf).masked_fill(empty, 0.0)
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2)
    return attended.masked_fill(empty[:, None], 0.0)


def attend_plan(query, key, value, plan):
    """Causal ALiBi attention, each window's targets over that window's sources. (B, N, H, D)."""
    targets, sources = (torch.from_numpy(positions) for positions in plan)
    q, k, v = query[:, targets], key[:, sources], value[:, sources]  # (B, W, T or S, H, D)
    scores = torch.einsum("bwthd,bwshd->bwhts", q, k) / math.sqrt(HEAD_SIZE)
    distance = targets[:, :, None] - sources[:, None, :]  # (W, T, S)
    scores = scores - alibi_slopes(HEADS)[:, None, None] * distance[:, None]
    hidden = (distance < 0)[:, None]  # (W, 1, T, S)
    empty = hidden.all(-1, keepdim=True)
    # A row of -inf would give NaN: such rows get any finite scores, and weight 0.
    scores = scores.masked_fill(hidden, -math.inf).masked_fill(empty, 0.0)
    weights = torch.softmax(scores, -1).masked_fill(empty, 0.0)
    windows = torch.einsum("bwhts,bwshd->bwthd", weights, v)
    out = torch.zeros_like(query)
    out[:, targets] = windows
    return out


def adaptive_input(weights, inputs):
    """Each word's embedding from its band, projected to the width: (B, N, WIDTH)."""
    out = torch.zeros(*inputs.shape, WIDTH, dtype=torch.float64)
    for band, (start, end) in enumerate(zip(BAND_STARTS, BAND_ENDS)):
        inside = (inputs >= start) & (inputs < end)
        name = f"embedding.bands.{band}"
        rows = F.embedding(inputs[inside] - start, weights[f"{name}.weight"])
        out[inside] = F.linear(rows, weights[f"{name}.projection.weight"])
    return out


def adaptive_log_probabilities(weights, x):
    """log p of every word: the head's, and for tails the class's plus that within the band."""

    def tied_or_own(band):
        own = f"output.bands.{band}"
        if f"{own}.weight" in weights:
            return weights[f"{own}.weight"], weights.get(f"{own}.projection.weight")
        name = f"embedding.bands.{band}"
        return weights[f"{name}.weight"], weights[f"{name}.projection.weight"].t()

    first, _ = tied_or_own(0)
    head = torch.cat([F.linear(x, first), F.linear(x, weights["output.classes.weight"])], -1)
    head = torch.log_softmax(head, -1)
    parts = [head[..., : CUTOFFS[0]]]
    for band in range(1, len(BAND_STARTS)):
        table, projection = tied_or_own(band)
        within = torch.log_softmax(F.linear(F.linear(x, projection), table), -1)
        parts.append(within + head[..., CUTOFFS[0] + band - 1, None])
    return torch.cat(parts, -1)


def forward(weights, inputs, plans):
    """Logits (B, N, V); of an adaptive decoder log-probabilities."""

    def linear(name, x):
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(name, x):
        shape = (WIDTH,)
        return F.layer_norm(x, shape, weights[f"{name}.weight"], weights[f"{name}.bias"], NORM_EPS)

    table = weights.get("embedding.weight")
    embedded = adaptive_input(weights, inputs) if table is None else F.embedding(inputs, table)
    x = math.sqrt(WIDTH) * embedded
    for layer, plan in enumerate(plans):
        block = f"blocks.{layer}"
        h = norm(f"{block}.attention_norm", x)
        q, k, v = (
            linear(f"{block}.attention.{projection}", h).unflatten(-1, (HEADS, HEAD_SIZE))
            for projection in ("query", "key", "value")
        )
        attended = attend_plan(q, k, v, plan)
        check = attend_masked(q, k, v, plan)
        torch.testing.assert_close(attended, check, rtol=1e-12, atol=1e-12)
        x = x + linear(f"{block}.attention.output", attended.flatten(-2))
        h = F.gelu(linear(f"{block}.ffn.up", norm(f"{block}.ffn_norm", x)))
        x = x + linear(f"{block}.ffn.down", h)
    if table is None:
        return adaptive_log_probabilities(weights, x)
    return F.linear(norm("final_norm", x), table)


# ---- the run ------------------------------------------------------------------------------------


def run(initial, inputs, targets, plans):
    """The golden tensors of one set of plans, by name."""
    weights = {name: value.double().requires_grad_() for name, value in initial.items()}
    optimizer = torch.optim.Adam(weights.values(), **ADAM)
    golden = {f"weights.{name}": value for name, value in initial.items()}
    golden["inputs"], golden["targets"] = inputs.int(), targets.int()
    for layer, plan in enumerate(plans):
        for name, positions in zip(("targets", "sources"), plan):
            golden[f"plans.{layer}.{name}"] = torch.from_numpy(positions).int()

    losses, norms = [], []
    for step in range(STEPS):
        logits = forward(weights, inputs, plans)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            golden["logits"] = logits.detach().clone()
            golden |= {f"gradients.{name}": value.grad.clone() for name, value in weights.items()}
        norms.append(torch.nn.utils.clip_grad_norm_(weights.values(), CLIP_NORM))
        losses.append(loss.detach())
        optimizer.step()
    golden["losses"], golden["gradient_norms"] = torch.stack(losses), torch.stack(norms)
    return {name: value.contiguous() for name, value in golden.items()}


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
            "norm_eps": NORM_EPS,
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
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)  # sums in the same order everywhere
    rng = np.random.default_rng(SEED)
    initial = make_weights(rng)
    inputs, targets = make_batch()
    plans = {"dense": [dense_plan()] * LAYERS, "plan": make_plans(rng)}
    runs = {name: run(initial, inputs, targets, layers) for name, layers in plans.items()}
    for kind in ("adaptive", "adaptive_untied"):
        plans[kind] = plans["plan"]
        runs[kind] = run(make_weights(rng, kind), *make_word_batch(rng), plans[kind])

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
