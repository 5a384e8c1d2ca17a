#!/usr/bin/env python3
"""Checks that ssa_plans.py draws what the engine draws.

    python scripts/test_ssa_plans.py

Prints one line a check; the exit status is 1 if one fails, 77 without torch: then nothing is checked.
"""

import functools
import operator
import pathlib
import sys

try:
    import torch
except ModuleNotFoundError:
    print("skipped: needs torch")
    sys.exit(77)
import ssa_plans as plans

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
import checks  # noqa: E402

# The key and the numbers of tests/sampling/plan_golden_test.cpp.
KEY = plans.Key(0x0123456789ABCDEF, plans.PLAN, step=7, rank=3, layer=5)


def check_words():
    """The known answer of Philox's authors for a counter and a key of zeros."""
    zero = plans.words(plans.Key(0, purpose=0), 4).tolist()
    assert zero == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8], [hex(word) for word in zero]
    ones = 2**32 - 1
    high, low = plans.product(torch.tensor([ones, 3]), ones)
    assert high.tolist() == [ones - 1, 2] and low.tolist() == [1, ones - 2], (high, low)
    assert torch.equal(plans.words(KEY, 5), plans.words(KEY, 8)[:5])


def check_normals():
    eps = plans.normals(KEY, 100000)
    exact = torch.special.ndtri((plans.words(KEY, 100000).double() + 0.5) / 2**32)
    error = ((eps - exact) / exact).abs().max()
    assert error < 1.2e-9, error
    # Number i's bits times 2i + 1, all XORed: as src/core/normal_quantile.h has them. This sees a last
    # bit that is wrong.
    bits = plans.normals(KEY, 20000).view(torch.int64) * (2 * torch.arange(20000) + 1)
    mixed = functools.reduce(operator.xor, bits.tolist())
    assert mixed == 0x49ED13CD00D7E07A, hex(mixed)


def check_lines():
    targets, sources = plans.unbiased(20, 0.6, KEY)
    assert targets.tolist() == [list(range(20))]
    assert sources.tolist() == [[1, 2, 3, 4, 6, 9, 17, 18]], sources
    assert plans.local(24, 3, 0.2, KEY, causal=False)[1].tolist() == [
        [0, 1, 2, 3, 4, 5, 6, 9], [7, 8, 11, 13, 15, 16, 17, 18], [10, 12, 14, 19, 20, 21, 22, 23]]
    assert plans.local(24, 3, 0.2, KEY)[1].tolist() == [
        [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 8, 9, 10, 13, 14, 15], [12, 15, 16, 18, 19, 20, 22, 23]]


def check_bands():
    """The golden plan has another σ in columns than in rows."""
    landed = [plans.shuffled_grid(2 * (v + 1), 4, 0.3 * 6, 0.4 * 4, plans.with_stream(KEY, v))
              for v in range(3)]
    assert [sorted(of[-2:].flatten().tolist()) for of in landed] == [
        [0, 1, 2, 3, 4, 5, 6, 7], [1, 2, 5, 7, 8, 11, 12, 15], [0, 1, 18, 19, 20, 21, 22, 23]]
    targets, sources = plans.local_bands(6, 4, 3, 0.3, KEY)
    assert targets[1].tolist() == list(range(8, 16)) and sources[0].tolist() == list(range(8))


def check_swin():
    targets, sources = plans.local_swin(8, 4, 1, 2, 0.75, KEY)
    assert sources[:2].tolist() == [[10, 11, 17, 34], [18, 20, 27, 28]], sources[:2]
    assert targets[-4:].tolist() == [
        [45, 46, 53, 54], [47, 40, 55, 48], [61, 62, 5, 6], [63, 56, 7, 0]], targets[-4:]
    assert sources[-4:].tolist() == [
        [0, 6, 45, 46], [40, 47, 48, 54], [53, 55, 62, 63], [5, 7, 56, 61]], sources[-4:]
    targets, sources = plans.unbiased_swin(8, 4, 1, 0.75, KEY)
    assert targets[1].tolist() == [
        13, 14, 15, 8, 21, 22, 23, 16, 29, 30, 31, 24, 37, 38, 39, 32], targets[1]
    assert sources.tolist() == [
        [11, 12, 19, 26], [13, 15, 22, 24], [2, 3, 42, 58], [0, 6, 46, 62]], sources


def config_of(task, model, data=None, **ssa):
    ssa = {"kind": "local", "layers": 0, "windows": 4, "drop": 0.5,
           "sigma": {"first": 0.1, "last": 0.4}} | ssa
    return {"task": task, "model": model, "data": data or {"length": 16}, "ssa": ssa}


def check_layers():
    drawn = plans.draw(config_of("byte_lm", {"layers": 5}, layers=3), KEY)
    assert [plan is None for plan in drawn] == [True, True, False, False, False]
    for layer, sigma in ((2, 0.1), (3, 0.25), (4, 0.4)):
        key = plans.Key(KEY.seed, step=7, rank=3, layer=layer)
        assert torch.equal(drawn[layer][1], plans.local(16, 4, sigma, key)[1]), layer
    dense = plans.draw(config_of("byte_lm", {"layers": 2}, kind="none"), KEY)
    assert dense == [None, None], dense
    half = plans.draw(config_of("word_lm", {"layers": 1}, kind="unbiased"), KEY, length=10)
    assert half[0][1].shape == (1, 5), half
    images = config_of("image_generation", {"layers": 1}, {"image_size": 8})
    assert plans.draw(images, KEY)[0][1].shape == (4, 48)


def check_refusal():
    try:
        plans.draw(config_of("byte_lm", {"layers": 1}), KEY, length=17)
    except ValueError as error:
        assert "17 positions cannot be cut into 4 equal windows" in str(error), error
    else:
        raise AssertionError("17 positions in 4 windows were drawn")


def check_swin_layers():
    swin = {"window": 14, "patch": 4, "depths": [2, 2, 6, 2]}
    config = config_of("image_classification", {"swin": swin}, {"image_size": 224}, layers=6)
    drawn = plans.draw(config, KEY)
    sampled = [layer for layer, plan in enumerate(drawn) if plan is not None]
    assert sampled == [4, 5, 6, 7, 8, 9], sampled
    assert drawn[4][0].shape == (4, 49), drawn[4][0].shape  # one window of 14 x 14 in four


if __name__ == "__main__":
    sys.exit(checks.run({
        "Philox": check_words,
        "normal numbers": check_normals,
        "plans of a line are the engine's": check_lines,
        "bands of rows are the engine's": check_bands,
        "windows of Swin are the engine's": check_swin,
        "which layers of a decoder sample": check_layers,
        "a length that windows do not divide": check_refusal,
        "which blocks of a Swin sample": check_swin_layers,
    }))
