"""Molecules for ssa_torch.Egt: its fields from the graphs of the Open Graph Benchmark (OGB), and sources
drawn as the engine draws them.

    import ogb.utils, ssa_graphs, ssa_torch
    model = ssa_torch.load("model.safetensors")
    graphs = [ogb.utils.smiles2graph(smiles) for smiles in ("CCO", "c1ccccc1")]
    gaps = model(**ssa_graphs.batch(graphs, model.config))

Needs torch and ssa_plans.py. A graph is a dict: node_feat (n, 9), edge_index (2, E) with both directions
of every bond, edge_feat (E, 3), integers. ssa reads SMILES with RDKit by itself; its features are OGB's.
"""

import dataclasses

import torch

import ssa_plans

ATOM_ROWS, BOND_ROWS = 128, 8  # rows of an embedding for each feature, behind row 0 for nothing
RANK = 8  # most pairs of singular vectors


def distances(adjacency):
    """(n, n): bonds on a shortest path, n where there is none."""
    count = len(adjacency)
    result = torch.full((count, count), count)
    reached = torch.eye(count)
    for distance in range(count):
        result = torch.where((reached > 0) & (result == count), distance, result)
        reached = ((reached @ adjacency + reached) > 0).float()
    return result


def encodings(adjacency):
    """(n, 2·RANK): u_k·√s_k and v_k·√s_k side by side for the RANK largest singular values s of A = the
    adjacency with ones on its diagonal. A is symmetric, so u is an eigenvector and v is u with the sign of
    its eigenvalue. Eigenvectors have no sign: the entry of largest magnitude is positive, the first one
    among those that are equal within 1e-6. Of equal singular values any vectors may come out."""
    count = len(adjacency)
    values, vectors = torch.linalg.eigh(adjacency.double() + torch.eye(count))
    ranked = sorted(range(count), key=lambda k: (-round(float(values[k].abs()), 9), values[k] < 0))
    result = torch.zeros(count, RANK, 2, dtype=torch.float64)
    for k, number in enumerate(ranked[:RANK]):
        u = vectors[:, number]
        largest = int((u.abs() > u.abs().max() - 1e-6).nonzero()[0])
        u = u * u[largest].sign() * values[number].abs().sqrt()
        result[:, k, 0], result[:, k, 1] = u, u * values[number].sign()
    return result.flatten(1).float()


def molecule(graph):
    """The fields of one graph."""
    features, bonds = (torch.as_tensor(graph[of]).long() for of in ("node_feat", "edge_feat"))
    begin, end = torch.as_tensor(graph["edge_index"]).long()
    adjacency = torch.zeros(len(features), len(features))
    adjacency[begin, end] = 1
    rows = torch.zeros(*adjacency.shape, 3, dtype=torch.long)
    rows[begin, end] = 1 + BOND_ROWS * torch.arange(3) + bonds.view(-1, 3)
    return {"atoms": 1 + ATOM_ROWS * torch.arange(9) + features, "encodings": encodings(adjacency),
            "distances": distances(adjacency), "bonds": rows}


def batch(graphs, config):
    """The arguments of Egt for these graphs, padded to the largest of them."""
    molecules = [molecule(graph) for graph in graphs]
    sizes = torch.tensor([len(one["atoms"]) for one in molecules])
    far, most = config["model"]["egt"]["hops"] + 1, int(sizes.max())
    result = {}
    for name, axes in (("atoms", 1), ("encodings", 1), ("distances", 2), ("bonds", 2)):
        like = molecules[0][name]
        padded = like.new_zeros(len(molecules), *[most] * axes, *like.shape[axes:])
        for number, (one, size) in enumerate(zip(molecules, sizes)):
            values = one[name]
            if name == "distances":
                values = values.masked_fill(values == size, far)
            padded[(number, *[slice(size)] * axes)] = values
        result[name] = padded
    rank = config["model"]["egt"]["svd_rank"]
    return result | {"encodings": result["encodings"][..., : 2 * rank], "sizes": sizes}


def draw(config, key, sizes, numbers):
    """The plans of an Egt with ssa.kind unbiased, masks (B, N, N): each molecule keeps its virtual nodes
    and a sample of its atoms as sources. numbers (B) are those in the data set, which a draw depends on.
    In training the key's stream has the number, in an ensemble its step."""
    ssa, layers = config["ssa"], config["model"]["layers"]
    virtual_nodes = config["model"]["egt"]["virtual_nodes"]
    if (ssa["kind"], ssa["scope"], ssa["virtual_nodes"]) != ("unbiased", "sample", "keep"):
        raise ValueError("only ssa.kind unbiased with scope sample and virtual_nodes keep is drawn here")
    plans, nodes = [None] * layers, virtual_nodes + int(max(sizes))
    for layer in list(range(layers))[-ssa["layers"] :]:  # 0: all of them
        seen = torch.zeros(len(sizes), nodes, dtype=torch.bool)
        seen[:, :virtual_nodes] = True
        for graph, (size, number) in enumerate(zip(map(int, sizes), map(int, numbers))):
            own = {"step": number}
            if key.purpose == ssa_plans.PLAN:
                own = {"stream": number & 0xFFFFFF, "rank": number >> 24}
            own = dataclasses.replace(key, layer=layer, **own)
            atoms = ssa_plans.sample(own, size, ssa_plans.kept(size, ssa["drop"]))
            seen[graph, virtual_nodes + atoms] = True
        plans[layer] = seen[:, None].expand(-1, nodes, -1)
    return plans
