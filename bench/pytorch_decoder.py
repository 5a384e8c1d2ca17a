"""The same decoder as ssa's, in plain PyTorch: the peer that compare.py measures against.

Pre-norm blocks, ALiBi, GELU, linear layers with bias, a final layer norm, output matrix tied with
the embedding. Attention is PyTorch's own fused scaled_dot_product_attention on a mask that holds
ALiBi and causality: over all positions (dense), or over the gathered keys and values of each
window (SSA, local causal windows as in docs/method.md). The kernel adds the mask itself; besides
it nothing of the size of the attention matrix is in memory.

The peer is meant to be as fast as plain PyTorch gets. Where there was a choice, it was measured:
keys and values are gathered by one index_select over rows, the fastest of six ways; projections are
split by views, which the kernel reads without a copy; masks are filled head by head in the dtype
they are used in; Adam is the fused one.

What plain PyTorch cannot do: with a mask, scaled_dot_product_attention does not skip what lies
above the diagonal. The kernel below it can, but only a private function reaches it (`causal_skip`).
FlexAttention, which could do both, has no backward pass on CPUs (PyTorch 2.15).
"""

import math
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Shape:
    """Sizes of model and batch. windows 1 is dense; sigma as in ssa's config."""

    layers: int
    width: int
    heads: int
    ffn_width: int
    length: int
    batch: int
    windows: int = 1
    sigma_first: float = 0.02
    sigma_last: float = 0.1
    vocabulary: int = 256
    attention: str = "fused"  # or a key of ATTENTIONS


def alibi_slopes(heads):
    """(H): 2^(-8h/H) for powers of two; for others as Press et al. 2021."""
    power = 2 ** int(math.log2(heads))
    slopes = [2.0 ** (-8.0 * h / power) for h in range(1, power + 1)]
    slopes += [2.0 ** (-8.0 * h / (2 * power)) for h in range(1, 2 * (heads - power), 2)]
    return torch.tensor(slopes)


def draw_sources(shape, sigma):
    """Sources of every causal window (W, S), S = N / W, ascending: the last S of the noisy order of
    all positions up to the window's end."""
    size = shape.length // shape.windows
    rows = []
    for window in range(shape.windows):
        end = (window + 1) * size
        noised = torch.arange(end) + sigma * shape.length * torch.randn(end)
        rows.append(torch.argsort(noised)[-size:].sort().values)
    return torch.stack(rows)


def attention_bias(targets, sources, slopes, dtype):
    """(W, H, T, S) of dtype: -slope·(i - j), or -inf where j > i."""
    ahead = (sources[:, None, :] - targets[:, :, None]).float()
    ahead.masked_fill_(ahead > 0, -math.inf)
    bias = torch.empty(len(targets), len(slopes), *ahead.shape[1:], dtype=dtype)
    for head, slope in enumerate(slopes.tolist()):
        bias[:, head] = slope * ahead
    return bias


def causal_attention(query, key, value, bias):
    """As scaled_dot_product_attention with this mask, but skips blocks above the diagonal."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return kernel(query, key, value, 0.0, True, attn_mask=bias)[0]


def unfused_attention(query, key, value, bias):
    """Logits and weights in memory, two plain products."""
    logits = torch.matmul(query, key.transpose(-1, -2)) * query.shape[-1] ** -0.5
    return torch.matmul(torch.softmax(logits + bias, dim=-1), value)


ATTENTIONS = {
    "fused": F.scaled_dot_product_attention,
    "causal_skip": causal_attention,  # dense only
    "unfused": unfused_attention,
}


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.output = nn.Linear(shape.width, shape.width)

    def forward(self, x, rows, bias):
        """x (B, N, d). rows: where each source's row lies in the batch (dense: unused). bias as
        Decoder.plans makes it."""
        s = self.shape
        # (sequences, positions, H, D): a window is a sequence of its own.
        shape = (s.batch * s.windows, -1, s.heads, s.width // s.heads)
        if s.windows == 1:
            query, key, value = self.qkv(x).chunk(3, dim=-1)
        else:
            query, key_value = self.qkv(x).view(-1, 3 * s.width).split([s.width, 2 * s.width], -1)
            key, value = key_value.index_select(0, rows).chunk(2, dim=-1)
        query, key, value = (part.view(shape).transpose(1, 2) for part in (query, key, value))
        mixed = ATTENTIONS[s.attention](query, key, value, bias)
        return self.output(mixed.transpose(1, 2).reshape(s.batch, s.length, s.width))


class Block(nn.Module):
    def __init__(self, shape, attention=Attention):
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width)
        self.attention = attention(shape)
        self.ffn_norm = nn.LayerNorm(shape.width)
        self.up = nn.Linear(shape.width, shape.ffn_width)
        self.down = nn.Linear(shape.ffn_width, shape.width)

    def forward(self, x, rows, bias):
        x = x + self.attention(self.attention_norm(x), rows, bias)
        return x + self.down(F.gelu(self.up(self.ffn_norm(x))))


class Decoder(nn.Module):
    def __init__(self, shape, attention=Attention):
        super().__init__()
        if shape.length % shape.windows:
            raise ValueError(f"{shape.windows} windows do not divide {shape.length} positions")
        if shape.attention == "causal_skip" and shape.windows > 1:
            raise ValueError("gathered sources have no diagonal to skip above")
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        nn.init.normal_(self.embedding.weight, std=shape.width**-0.5)
        self.blocks = nn.ModuleList(Block(shape, attention) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        self.slopes = alibi_slopes(shape.heads)
        self.dense_plan = None

    def plans(self, dtype):
        """(rows, bias) of every layer: freshly drawn, or for dense attention made once for all
        layers and steps."""
        s = self.shape
        targets = torch.arange(s.length).view(s.windows, -1)
        if s.windows == 1:
            if self.dense_plan is None:
                bias = attention_bias(targets, targets, self.slopes, dtype)
                self.dense_plan = (targets.view(-1), bias)
            return [self.dense_plan] * s.layers
        first_rows = s.length * torch.arange(s.batch)
        drawn = []
        for layer in range(s.layers):
            along = layer / max(1, s.layers - 1)
            sources = draw_sources(s, s.sigma_first + along * (s.sigma_last - s.sigma_first))
            bias = attention_bias(targets, sources, self.slopes, dtype)
            rows = (first_rows[:, None] + sources.view(1, -1)).view(-1)
            drawn.append((rows, bias if s.batch == 1 else bias.repeat(s.batch, 1, 1, 1)))
        return drawn

    def embed(self, ids):
        return self.embedding(ids) * math.sqrt(self.shape.width)

    def forward(self, ids, targets, plans):
        x = self.embed(ids)
        for block, (rows, bias) in zip(self.blocks, plans):
            x = block(x, rows, bias)
        logits = F.linear(self.norm(x), self.embedding.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def plan_bytes(plans):
    """Memory of masks, row numbers and places in tables; what layers share counts once."""

    def tensors_of(part):
        return [part] if isinstance(part, torch.Tensor) else sum(map(tensors_of, part), [])

    tensors = {tensor.data_ptr(): tensor for tensor in tensors_of(plans)}
    return sum(tensor.nbytes for tensor in tensors.values())


class Trainer:
    """Steps as ssa's: draw the plans, zero gradients, forward, backward, clip, Adam.

    Not in a step on either side: reading data (random bytes, the same in every step). In a step of
    the peer, and told apart as plan_seconds: drawing plans and filling their masks.
    """

    model_class = Decoder

    def __init__(self, shape, precision="fp32", compile_mode=None):
        torch.manual_seed(1)
        self.model = self.model_class(shape)
        self.run = torch.compile(self.model, mode=compile_mode) if compile_mode else self.model
        self.autocast = precision == "bf16"
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4, fused=True)
        self.ids = torch.randint(shape.vocabulary, (shape.batch, shape.length))
        self.targets = torch.randint(shape.vocabulary, (shape.batch, shape.length))
        self.plan_seconds = 0.0
        self.plan_bytes = 0

    def plans(self):
        return self.model.plans(torch.bfloat16 if self.autocast else torch.float32)

    def loss(self, plans, model=None):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            return (model or self.run)(self.ids, self.targets, plans)

    def step(self):
        """One training step; the loss before it."""
        started = time.perf_counter()
        plans = self.plans()
        self.plan_seconds = time.perf_counter() - started
        self.plan_bytes = plan_bytes(plans)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(plans)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()

    def attention_kernels(self):
        """Names of the attention functions that a forward pass (not compiled) has recorded, to see
        that the fused one was taken."""
        names, seen = set(), set()
        waiting = [self.loss(self.plans(), self.model).grad_fn]
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            if "Attention" in node.name():
                names.add(node.name())
            waiting += [following for following, _ in node.next_functions]
        return sorted(names)
