#!/usr/bin/env python3
"""Turns egt_pytorch's golden run of a tiny EGT-Simple into a fixture for the C++ tests to match.

    pip install numpy safetensors
    python scripts/make_egt_fixture.py FOLDER

FOLDER holds weights.safetensors, inputs.safetensors and dense.f64.safetensors: the weights with
egt_pytorch's names, three molecules, and what the model makes of each alone in f64. Writes
tests/fixtures/golden/egt.safetensors, the three molecules packed one behind the other:

    sizes                 i32  (3) atoms
    atoms                 i32  (A, 9) rows of the embedding of atoms
    distances, bonds      i32  (Σ n²), (Σ n², 3) of each pair; rows of the embedding of bonds
    encodings, target     f32  (A, 16), (3)
    weight.NAME           f32  parameters by this project's names
    prediction, loss      f64  (3), (1)
    grad.NAME             f64  of Σ c_i · prediction_i with c = (0.7, -1.3, 0.45)
    grad_l1.NAME          f64  of the mean |prediction - target|, some of the parameters

In egt_pytorch the head is the fast index of a row of query, key and value; rows are turned so that
here it is the slow one. Rows of the embedding of atoms that no molecule has are left out.
"""

import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "golden"
HEADS, GRAPHS = 4, 3
WITH_L1 = ("head.", "final_norm.", "blocks.0.", "embedding.distance.")

NAMES = {
    "nodef_embed.weight": "embedding.atom.weight",
    "svd_embed": "embedding.svd",
    "dist_embed.weight": "embedding.distance.weight",
    "featm_embed.weight": "embedding.bond.weight",
    "vn_layer.vn_node_embeddings": "virtual_nodes.node.weight",
    "vn_layer.vn_edge_embeddings": "virtual_nodes.edge.weight",
    "final_ln_h": "final_norm",
    "mlp_layers": "head",
    "EGT_layers": "blocks",
    "mha_ln_h": "attention_norm",
    "mha_ln_e": "edge_norm",
    "lin_E": "attention.pair_bias",
    "lin_G": "attention.pair_gate",
    "lin_O_h": "attention.output",
    "ffn_ln_h": "ffn_norm",
    "lin_W_h_1": "ffn.up",
    "lin_W_h_2": "ffn.down",
}


def head_major(array):
    """(D·H, …) with the head fastest to head-major."""
    parts = array.reshape(-1, HEADS, *array.shape[1:])
    return np.swapaxes(parts, 0, 1).reshape(array.shape)


def renamed(name, array):
    """The project's parameters that a tensor of egt_pytorch becomes."""
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours)
    if ".lin_QKV." in name:
        parts = zip(("query", "key", "value"), np.split(array, 3))
        return {name.replace("lin_QKV", f"attention.{part}"): head_major(rows)
                for part, rows in parts}
    if name.endswith("attention.output.weight"):
        array = head_major(array.T).T
    return {name: array}


def main(folder):
    inputs = load_file(folder / "inputs.safetensors")
    run = load_file(folder / "dense.f64.safetensors")
    sizes = inputs["num_nodes"]
    molecules = range(GRAPHS)
    atoms = np.concatenate([inputs["node_features"][g, : sizes[g]] for g in molecules])
    used = np.unique(np.append(atoms, 0))

    def pairs(name, width):
        return np.concatenate([inputs[name][g, : sizes[g], : sizes[g]].reshape(-1, *width)
                               for g in molecules]).astype(np.int32)

    fixture = {
        "sizes": sizes.astype(np.int32),
        "atoms": np.searchsorted(used, atoms).astype(np.int32),
        "distances": pairs("distance_matrix", ()),
        "bonds": pairs("feature_matrix", (3,)),
        "encodings": np.concatenate([inputs["svd_encodings"][g, : sizes[g]] for g in molecules]),
        "target": inputs["target"],
        "prediction": run["prediction"],
        "loss": run["loss"],
    }

    def add(prefix, tensors, wanted=lambda name: True):
        for theirs, array in tensors.items():
            for name, part in renamed(theirs, array).items():
                if name == "embedding.atom.weight":
                    part = part[used]
                if wanted(name):
                    fixture[f"{prefix}.{name}"] = part

    add("weight", load_file(folder / "weights.safetensors"))
    gradients = {kind: {name.removeprefix(kind + "."): array for name, array in run.items()
                        if name.startswith(kind + ".")} for kind in ("grad_ct", "grad_l1")}
    add("grad", gradients["grad_ct"])
    add("grad_l1", gradients["grad_l1"], lambda name: name.startswith(WITH_L1))
    fixture = {name: np.ascontiguousarray(array) for name, array in fixture.items()}
    save_file(fixture, OUTPUT / "egt.safetensors")
    for name, array in fixture.items():
        print(name, array.dtype, array.shape)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
