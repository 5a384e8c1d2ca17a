#!/usr/bin/env python3
"""Extracts one layer's attention of egt_pytorch's golden run, for the C++ tests to match.

    pip install numpy safetensors
    python scripts/make_graph_fixture.py FOLDER

FOLDER holds weights.safetensors and dense.f64.safetensors: a tiny EGT-Simple with egt_pytorch's
names, and its activations in f64 for three molecules, each alone. Writes
tests/fixtures/golden/graph_attention.safetensors, the three graphs packed one behind the other:

    query, key, value     f64  (R, H, D) of the layer
    nodes, pairs          i32  (G+1) where each graph's rows and classes begin
    classes               u8   (Σ n²) of each pair: pairs with equal edge features have one
    bias_table, gate_table  f64  (C, H) what the layer makes of the edge features of a class
    attention             f64  (R, H, D) egt_pytorch's result, before the output map

Only norms and linear maps in front of attention are computed here. In egt_pytorch the head is the
fast index of a row; rows are turned so that here it is the slow one.
"""

import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "golden"
LAYER, HEADS, GRAPHS = 1, 4, 3


def layer_norm(x, gain, shift, eps=1e-5):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * gain + shift


def linear(x, weight, bias):
    return x @ weight.T + bias


def head_major(rows):
    """(R, D·H) with the head fastest to (R, H, D)."""
    return rows.reshape(len(rows), -1, HEADS).transpose(0, 2, 1)


def offsets(sizes):
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)


def main(folder):
    weights = load_file(folder / "weights.safetensors")
    run = load_file(folder / "dense.f64.safetensors")

    def weight(name):
        return weights[f"EGT_layers.{LAYER}.{name}"].astype(np.float64)

    def activation(name):
        return [run[f"act.graph{g}.{name}"][0] for g in range(GRAPHS)]

    hidden = np.concatenate(activation(f"layer.{LAYER - 1}.h"))
    normed = layer_norm(hidden, weight("mha_ln_h.weight"), weight("mha_ln_h.bias"))
    projected = linear(normed, weight("lin_QKV.weight"), weight("lin_QKV.bias"))
    query, key, value = (head_major(part) for part in np.split(projected, 3, axis=1))
    edges = activation("input.e")
    sizes = [len(each) for each in edges]
    rows = np.concatenate([each.reshape(-1, each.shape[-1]) for each in edges])
    features, classes = np.unique(rows, axis=0, return_inverse=True)
    normed = layer_norm(features, weight("mha_ln_e.weight"), weight("mha_ln_e.bias"))
    fixture = {
        "query": query, "key": key, "value": value,
        "nodes": offsets(sizes), "pairs": offsets([size**2 for size in sizes]),
        "classes": classes.ravel().astype(np.uint8),
        "bias_table": linear(normed, weight("lin_E.weight"), weight("lin_E.bias")),
        "gate_table": linear(normed, weight("lin_G.weight"), weight("lin_G.bias")),
        "attention": head_major(np.concatenate(activation(f"layer.{LAYER}.attention"))),
    }
    fixture = {name: np.ascontiguousarray(array) for name, array in fixture.items()}
    save_file(fixture, OUTPUT / "graph_attention.safetensors")
    for name, array in fixture.items():
        print(name, array.dtype, array.shape)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
