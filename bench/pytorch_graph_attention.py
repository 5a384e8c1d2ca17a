"""EGT's attention in PyTorch, dense and padded: the peer of graph_attention.py, a process a side.

    python pytorch_graph_attention.py '{"sizes": [...], "sources": [...], "virtual_nodes": 4,
        "heads": 32, "head_size": 16, "precision": "fp32", "threads": 2, "compiled": false,
        "heads_first": false}'

Answers every line {"steps": n} on standard input with one line of JSON: n times of forward and of
backward, measured after one more that is not. The first answer, unasked, says that it is warm.
"""

import json
import math
import os
import sys
import time

import torch

CLIP = 5.0


def attention(query, key, value, bias, gates, padding, virtual, heads_first):
    """Query (B, N, H, D), key and value (B, S, H, D); bias and gates (B, N, S, H), or (B, H, N, S)
    with the heads first; padding (B, 1, S, 1) or (B, 1, 1, S), -inf at sources that do not exist;
    virtual (N): whether a node's degree is 1. Hussain et al. 2022."""
    sources = 3 if heads_first else 2
    pairs = "bhij" if heads_first else "bijh"
    product = torch.einsum(f"bihd,bjhd->{pairs}", query / math.sqrt(query.shape[-1]), key).float()
    weights = torch.softmax(product.clamp(-CLIP, CLIP) + bias + padding, dim=sources)
    gate = torch.sigmoid(gates + padding)
    total = gate.sum(dim=sources)
    degree = torch.where(virtual if heads_first else virtual[:, None], 1.0, torch.log1p(total))
    degree = degree.transpose(1, 2) if heads_first else degree  # (B, N, H)
    mixed = torch.einsum(f"{pairs},bjhd->bihd", (weights * gate).to(value.dtype), value)
    return mixed * degree.to(mixed.dtype).unsqueeze(-1)


def padding_of(counts, heads_first):
    """(B, 1, S, 1) or (B, 1, 1, S) of graphs with these numbers of sources."""
    exists = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
    mask = torch.zeros(exists.shape).masked_fill(~exists, -math.inf)
    return mask[:, None, None, :] if heads_first else mask[:, None, :, None]


class Peer:
    def __init__(self, job):
        torch.manual_seed(1)
        torch.set_num_threads(job["threads"])
        graphs, heads, size = len(job["sizes"]), job["heads"], job["head_size"]
        nodes, sources = max(job["sizes"]), max(job["sources"])
        dtype = torch.bfloat16 if job["precision"] == "bf16" else torch.float32
        self.heads_first = job["heads_first"]
        pairs = (heads, nodes, sources) if self.heads_first else (nodes, sources, heads)
        shapes = [(graphs, nodes, heads, size)] + [(graphs, sources, heads, size)] * 2
        self.inputs = [torch.rand(shape, dtype=dtype) * 2 - 1 for shape in shapes]
        self.inputs += [torch.rand((graphs, *pairs)) * 2 - 1 for _ in range(2)]
        for tensor in self.inputs:
            tensor.requires_grad_()
        self.grad = torch.rand(shapes[0], dtype=dtype)
        self.padding = padding_of(job["sources"], self.heads_first)
        self.virtual = torch.arange(nodes) < job["virtual_nodes"]
        self.attention = torch.compile(attention) if job["compiled"] else attention

    def step(self):
        """Seconds of forward and of backward."""
        started = time.perf_counter()
        out = self.attention(*self.inputs, self.padding, self.virtual, self.heads_first)
        middle = time.perf_counter()
        torch.autograd.grad(out, self.inputs, self.grad)
        return middle - started, time.perf_counter() - middle


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # compilers print where they like
    peer = Peer(json.loads(sys.argv[1]))
    for _ in range(3):
        peer.step()
    print(json.dumps({"torch": torch.__version__}), file=answers)
    for request in sys.stdin:
        peer.step()
        times = [peer.step() for _ in range(json.loads(request)["steps"])]
        print(json.dumps({"forward": [f for f, _ in times], "backward": [b for _, b in times]}),
              file=answers)


if __name__ == "__main__":
    main()
