#!/usr/bin/env python3
"""Checks that the peer of graph_attention.py is EGT's attention, and that padding does not show.

    python bench/test_pytorch_graph_attention.py

Prints one line a check; the exit status is 1 if one fails, 77 without torch: then
nothing is checked.
"""

import math
import sys

try:
    import torch
except ModuleNotFoundError:
    print("skipped: needs torch")
    sys.exit(77)
from pytorch_graph_attention import CLIP, attention, padding_of

SIZES, HEADS, SIZE, VIRTUAL = [5, 3, 7], 2, 4, 2


def naive(query, key, value, bias, gates):
    """One graph, target by target and head by head; query and such (N, H, D), bias (N, N, H)."""
    out = torch.zeros_like(query)
    for i in range(len(query)):
        for h in range(HEADS):
            product = [float(query[i, h] @ k[h]) / math.sqrt(SIZE) for k in key]
            logits = torch.tensor([min(max(p, -CLIP), CLIP) for p in product]) + bias[i, :, h]
            gate = torch.sigmoid(gates[i, :, h])
            weights = torch.softmax(logits, 0) * gate
            degree = 1.0 if i < VIRTUAL else math.log(1 + float(gate.sum()))
            out[i, h] = degree * sum(w * v[h] for w, v in zip(weights, value))
    return out


def largest_error(heads_first):
    torch.manual_seed(2)
    graphs, nodes = len(SIZES), max(SIZES)
    query, key, value = (6 * torch.rand(graphs, nodes, HEADS, SIZE) - 3 for _ in range(3))
    bias, gates = (torch.rand(graphs, nodes, nodes, HEADS) for _ in range(2))
    turned = [t.permute(0, 3, 1, 2) if heads_first else t for t in (bias, gates)]
    padding, virtual = padding_of(SIZES, heads_first), torch.arange(nodes) < VIRTUAL
    out = attention(query, key, value, *turned, padding, virtual, heads_first)
    worst = 0.0
    for g, n in enumerate(SIZES):
        exact = naive(query[g, :n], key[g, :n], value[g, :n], bias[g, :n, :n], gates[g, :n, :n])
        worst = max(worst, float((out[g, :n] - exact).abs().max()))
    return worst


def main():
    failed = False
    for heads_first in (False, True):
        error = largest_error(heads_first)
        failed = failed or not error < 1e-5
        print(f"heads {'first' if heads_first else 'last'}: off by {error:.1e}, at most 1e-5")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
