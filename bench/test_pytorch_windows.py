#!/usr/bin/env python3
"""Checks that the peers of window_attention.py compute Swin's attention, and its tables.

    python bench/test_pytorch_windows.py

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
import window_attention
from pytorch_windows import Geometry, build, to_map, to_windows

SHIFTED = Geometry(batch=2, side=12, window=4, shift=2, heads=3, head_size=5)
PLAIN = Geometry(batch=1, side=6, window=3, shift=0, heads=2, head_size=4)

# Writes what ssa-bench would.
FAKE_SSA = """#!/bin/sh
if [ "$1" = --version ]; then echo 'ssa-bench 0 (commit none)'; exit; fi
while [ "$1" != --json ]; do shift; done
echo '{"least_forward_seconds": 1.0, "least_backward_seconds": 2.0}' > "$2"
"""


def naive(qkv, table, g):
    """Every pair by itself, from cells of the map: those of a window that the table reaches."""
    window_of = to_windows(torch.arange(g.side**2.0).view(1, g.side, g.side, 1), g)[..., 0].int()
    parts = qkv.reshape(g.batch, g.side**2, 3, g.heads, g.head_size)
    out = torch.zeros(g.batch, g.side**2, g.heads, g.head_size, dtype=qkv.dtype)
    for cells in window_of.tolist():
        for i in cells:
            ways = [(j, i // g.side - j // g.side, i % g.side - j % g.side) for j in cells]
            ways = [w for w in ways if abs(w[1]) < g.window and abs(w[2]) < g.window]
            sources = [w[0] for w in ways]
            rows = [(d + g.window - 1) * (2 * g.window - 1) + r + g.window - 1 for _, d, r in ways]
            query, key, value = parts[:, i, 0], parts[:, sources, 1], parts[:, sources, 2]
            logits = torch.einsum("bhd,bjhd->bjh", query, key) / math.sqrt(g.head_size)
            weights = torch.softmax(logits + table[rows], dim=1)
            out[:, i] = torch.einsum("bjh,bjhd->bhd", weights, value)
    return out.reshape(g.batch, g.side, g.side, -1)


def gradients(call, table, geometry):
    """Output, and the gradients of the input and of the table."""
    torch.manual_seed(4)
    channels = geometry.heads * geometry.head_size
    shape = (geometry.batch, geometry.side, geometry.side)
    qkv = torch.randn(*shape, 3 * channels, dtype=torch.float64, requires_grad=True)
    out = call(qkv)
    cotangent = torch.randn(*shape, channels, dtype=torch.float64)
    return [out, *torch.autograd.grad(out, [qkv, table], cotangent)]


def check_peer(peer, geometry):
    module = build(peer, geometry, "fp32").double()
    with torch.no_grad():
        module.table.normal_()
    got = gradients(module, module.table, geometry)
    wanted = gradients(lambda qkv: naive(qkv, module.table, geometry), module.table, geometry)
    for one, other in zip(got, wanted):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def check_bf16(peer):
    qkv = torch.randn(2, 12, 12, 45, dtype=torch.bfloat16)
    assert build(peer, SHIFTED, "bf16")(qkv).dtype == torch.bfloat16


def check_windows():
    x = torch.randn(2, 12, 12, 7)
    windows = to_windows(x, SHIFTED)
    assert windows.shape == (18, 16, 7)
    assert torch.equal(windows[0, 0], x[0, 2, 2]) and torch.equal(windows[8, 15], x[0, 1, 1])
    assert torch.equal(to_map(windows, SHIFTED), x)


def check_record():
    with tempfile.TemporaryDirectory() as folder:
        fake, output = pathlib.Path(folder) / "ssa-bench", pathlib.Path(folder) / "out.json"
        fake.write_text(FAKE_SSA)
        fake.chmod(0o755)
        arguments = ["--cases", "w7_stage3", "--precisions", "fp32", "--peers", "timm"]
        arguments += ["--batch", "1", "--rounds", "2", "--repeats", "1"]
        window_attention.main([*arguments, "--ssa-bench", str(fake), "--output", str(output)])
        record = json.loads(output.read_text())
        (case,) = record["cases"]
        assert len(case["sides"]["timm"]["turns"]) == 2, case
        case["sides"]["timm"] |= {"forward_seconds": 2.0, "backward_seconds": 7.0}
        text = window_attention.table(record)
        assert "| timm, eager | 2000.00 + 7000.00 ms | 3.00× |" in text, text


CHECKS = {
    "windows of a rolled map": check_windows,
    "fused attention, shifted": lambda: check_peer("sdpa", SHIFTED),
    "fused attention, not shifted": lambda: check_peer("sdpa", PLAIN),
    "timm, shifted": lambda: check_peer("timm", SHIFTED),
    "timm, not shifted": lambda: check_peer("timm", PLAIN),
    "fused attention, bf16": lambda: check_bf16("sdpa"),
    "timm, bf16": lambda: check_bf16("timm"),
    "the record and its table": check_record,
}


if __name__ == "__main__":
    sys.exit(checks.run(CHECKS))
