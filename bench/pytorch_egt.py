"""EGT-Simple (Hussain et al. 2022) in PyTorch on padded graphs: the peer of egt_step.py, a process
a side.

    python pytorch_egt.py '{"shape": {}, "sizes": [10, 15], "threads": 2, "compiled": false}'

The pairs' embeddings are a tensor (B, N, N, 64), of which each layer makes a norm, biases and gates,
as in egt_pytorch; its names of the parameters are ssa's. Unlike there, no node looks at padding.

Answers every line {"steps": n} on standard input with one line of JSON: n times of a whole step
(forward, backward, Adam), measured after one more that is not, and the most memory that was
resident in them. The first answer, unasked, says that it is warm.
"""

import dataclasses
import gc
import json
import math
import os
import sys
import time

import torch
from pytorch_worker import reset_peak, status_bytes
from torch import nn

ATOM_FEATURES, BOND_FEATURES = 9, 3
FIELDS = ("atoms", "encodings", "distances", "bonds", "sizes", "target")


@dataclasses.dataclass(frozen=True)
class Shape:
    layers: int = 6
    width: int = 512
    ffn_width: int = 512
    heads: int = 32
    edge_width: int = 64
    virtual_nodes: int = 4
    hops: int = 16
    encoding: int = 16
    atom_rows: int = 1 + 128 * ATOM_FEATURES
    bond_rows: int = 1 + 8 * BOND_FEATURES
    clip: float = 5.0


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.pair_bias = nn.Linear(shape.edge_width, shape.heads)
        self.pair_gate = nn.Linear(shape.edge_width, shape.heads)
        self.output = nn.Linear(shape.width, shape.width)

    def forward(self, x, edges, padding):
        """x (B, N, d), edges (B, N, N, e), padding (B, 1, N, 1): -inf at sources that are none."""
        batch, nodes, _ = x.shape
        parts = self.qkv(x).view(batch, nodes, 3, self.shape.heads, -1)
        query, key, value = parts.unbind(2)
        logits = torch.einsum("bihd,bjhd->bijh", query / math.sqrt(query.shape[-1]), key)
        logits = logits.clamp(-self.shape.clip, self.shape.clip) + self.pair_bias(edges) + padding
        gates = torch.sigmoid(self.pair_gate(edges) + padding)
        mixed = torch.einsum("bijh,bjhd->bihd", torch.softmax(logits, dim=2) * gates, value)
        degree = torch.log1p(gates[:, self.shape.virtual_nodes :].sum(dim=2))  # (B, n, H)
        ones = degree.new_ones(batch, self.shape.virtual_nodes, self.shape.heads)
        mixed = mixed * torch.cat([ones, degree], dim=1).unsqueeze(-1)
        return self.output(mixed.reshape(batch, nodes, -1))


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width)
        self.edge_norm = nn.LayerNorm(shape.edge_width)
        self.attention = Attention(shape)
        self.ffn_norm = nn.LayerNorm(shape.width)
        self.ffn = nn.ModuleDict({
            "up": nn.Linear(shape.width, shape.ffn_width),
            "down": nn.Linear(shape.ffn_width, shape.width),
        })

    def forward(self, h, edges, padding):
        h = h + self.attention(self.attention_norm(h), self.edge_norm(edges), padding)
        inner = nn.functional.elu(self.ffn["up"](self.ffn_norm(h)))
        return h + self.ffn["down"](inner)


class Egt(nn.Module):
    """The fields of a batch: atoms (B, n, 9) and bonds (B, n, n, 3), rows of their embeddings, 0 for
    nothing; distances (B, n, n) by bonds; encodings (B, n, 16); sizes (B); target (B)."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embedding = nn.ModuleDict({
            "atom": nn.Embedding(shape.atom_rows, shape.width, padding_idx=0),
            "svd": nn.Linear(shape.encoding, shape.width),
            "distance": nn.Embedding(shape.hops + 2, shape.edge_width),
            "bond": nn.Embedding(shape.bond_rows, shape.edge_width, padding_idx=0),
        })
        self.virtual_nodes = nn.ModuleDict({
            "node": nn.Embedding(shape.virtual_nodes, shape.width),
            "edge": nn.Embedding(shape.virtual_nodes, shape.edge_width),
        })
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.final_norm = nn.LayerNorm(shape.width)
        self.head = nn.ModuleList([
            nn.Linear(shape.virtual_nodes * shape.width, shape.width),
            nn.Linear(shape.width, shape.width),
            nn.Linear(shape.width, 1),
        ])

    def edges(self, distances, bonds):
        """(B, N, N, e) of all nodes, virtual ones first."""
        batch, atoms = distances.shape[:2]
        real = self.embedding["distance"](distances.clamp(max=self.shape.hops + 1))
        real = real + self.embedding["bond"](bonds).sum(dim=3)
        rows = self.virtual_nodes["edge"].weight
        count, width = rows.shape
        between = ((rows[:, None] + rows[None]) / 2).expand(batch, count, count, width)
        right = rows[None, :, None].expand(batch, count, atoms, width)
        below = rows[None, None].expand(batch, atoms, count, width)
        return torch.cat([torch.cat([between, right], 2), torch.cat([below, real], 2)], 1)

    def forward(self, atoms, encodings, distances, bonds, sizes):
        batch, count = len(sizes), atoms.shape[1]
        h = self.embedding["atom"](atoms).sum(dim=2) + self.embedding["svd"](encodings)
        virtual = self.virtual_nodes["node"].weight.expand(batch, -1, -1)
        h, edges = torch.cat([virtual, h], 1), self.edges(distances, bonds)
        number = torch.arange(count + self.shape.virtual_nodes)
        missing = number >= sizes[:, None] + self.shape.virtual_nodes
        padding = torch.zeros(missing.shape, dtype=h.dtype).masked_fill(missing, -math.inf)
        padding = padding[:, None, :, None]
        for block in self.blocks:
            h = block(h, edges, padding)
        z = self.final_norm(h[:, : self.shape.virtual_nodes]).flatten(1)
        z = nn.functional.elu(self.head[0](z))
        return self.head[2](nn.functional.elu(self.head[1](z))).squeeze(-1)

    def load_ssa(self, tensors):
        """Takes parameters by ssa's names, in which query, key and value stand alone."""
        state = dict(tensors)
        for i in range(self.shape.layers):
            for kind in ("weight", "bias"):
                name = f"blocks.{i}.attention"
                parts = [state.pop(f"{name}.{part}.{kind}") for part in ("query", "key", "value")]
                state[f"{name}.qkv.{kind}"] = torch.cat(parts)
        self.load_state_dict(state)

    def gradients(self):
        """Gradients by ssa's names."""
        found = {}
        for name, parameter in self.named_parameters():
            if ".qkv." not in name:
                found[name] = parameter.grad
                continue
            for part, grad in zip(("query", "key", "value"), parameter.grad.chunk(3)):
                found[name.replace("qkv", part)] = grad
        return found


def chain(atoms):
    """Distances (n, n) and bond rows (n, n, 3) of a chain with a ring at its end, the molecule that
    ssa-bench makes up."""
    bonds = [(i - 1, i) for i in range(1, atoms)]
    if atoms > 6:
        bonds.append((atoms - 6, atoms - 1))
    far = 510
    distances = torch.full((atoms, atoms), far)
    rows = torch.zeros(atoms, atoms, BOND_FEATURES, dtype=torch.long)
    distances.fill_diagonal_(0)
    for i, j in bonds:
        distances[i, j] = distances[j, i] = 1
        rows[i, j] = rows[j, i] = 1 + 8 * torch.arange(BOND_FEATURES)
    for k in range(atoms):
        distances = torch.minimum(distances, distances[:, k : k + 1] + distances[k : k + 1])
    return distances, rows


def made_up(sizes, shape):
    """A batch of chains of these sizes, padded to the largest."""
    most = max(sizes)
    batch = {
        "atoms": torch.zeros(len(sizes), most, ATOM_FEATURES, dtype=torch.long),
        "encodings": torch.zeros(len(sizes), most, shape.encoding),
        "distances": torch.zeros(len(sizes), most, most, dtype=torch.long),
        "bonds": torch.zeros(len(sizes), most, most, BOND_FEATURES, dtype=torch.long),
        "sizes": torch.tensor(sizes),
        "target": torch.full((len(sizes),), 5.0),
    }
    for g, n in enumerate(sizes):
        batch["atoms"][g, :n] = 2 + 128 * torch.arange(ATOM_FEATURES)
        batch["encodings"][g, :n] = 0.1
        batch["distances"][g, :n, :n], batch["bonds"][g, :n, :n] = chain(n)
    return batch


class Trainer:
    def __init__(self, shape, sizes, compiled):
        torch.manual_seed(1)
        self.batch = made_up(sizes, shape)
        self.model = Egt(shape)
        self.forward = torch.compile(self.model) if compiled else self.model
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4)

    def step(self):
        """The loss, |prediction - target| in the mean."""
        self.optimizer.zero_grad()
        inputs = {name: self.batch[name] for name in FIELDS[:-1]}
        loss = (self.forward(**inputs) - self.batch["target"]).abs().mean()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def timed(self):
        started = time.perf_counter()
        if not math.isfinite(loss := self.step()):
            raise RuntimeError(f"the loss is {loss}")
        return time.perf_counter() - started


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # compilers print where they like
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    shape = Shape(**job["shape"])
    # Code that is loaded at its first call is not the model's memory.
    tiny = dataclasses.replace(shape, layers=1, width=2 * shape.heads, ffn_width=8)
    Trainer(tiny, [3], False).step()
    gc.collect()
    before = status_bytes("VmRSS")
    trainer = Trainer(shape, job["sizes"], job["compiled"])
    for _ in range(3):
        trainer.step()
    reset_peak()  # it forgets the compiler's memory
    print(json.dumps({"torch": torch.__version__, "resident_before_bytes": before}), file=answers)
    for request in sys.stdin:
        trainer.step()
        seconds = [trainer.timed() for _ in range(json.loads(request)["steps"])]
        peak = status_bytes("VmHWM")
        print(json.dumps({"seconds": seconds, "peak_resident_bytes": peak}), file=answers)


if __name__ == "__main__":
    main()
