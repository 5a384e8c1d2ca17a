#!/usr/bin/env python3
"""The models of ssa in PyTorch: to use weights that ssa has trained, and to read what they compute.

    import ssa_torch
    model = ssa_torch.load("model.safetensors")    # made by `ssa-convert export --layout ssa`
    logits = model(tokens)                         # (B, N) integers -> (B, N, V)

    python ssa_torch.py model.safetensors          # prints what is in the file, and checks it

Needs torch and safetensors, and nothing else of the project.

    DecoderLm       text as bytes, words or ids       tokens (B, N)              -> (B, N, V)
    ImageDecoder    a picture, value after value      pictures (B, R, R, 3)      -> (B, 3·R², 256)
    Swin            the class of a picture            images (B, 3, R, R)        -> (B, classes)
    Egt             a number for a molecule           fields, see there          -> (B)

Attention is dense, unless `plans` has a plan for each layer (of a Swin for each block); None in the
list stands for a dense layer. A plan is a pair of integer tensors, targets (W, T) and sources (W, S):
those in row w of targets attend to those in row w of sources. Each position is a target once.
ssa_plans.py draws such plans, those that the engine draws. Of an Egt, a plan is a mask (B, N, N).

Modules and parameters have the names of docs/reference/weights.md, so that a state_dict is what an
export holds. load() returns a model in evaluation mode; after model.train() dropout is active.

Shapes: B examples, N positions, H heads of D, width d = H·D; W windows of T targets and S sources.
"""

import argparse
import dataclasses
import functools
import json
import math
import re
import sys

import safetensors
import torch
import torch.nn.functional as F
from torch import nn

ACTIVATIONS = {"gelu": F.gelu, "gelu_tanh": functools.partial(F.gelu, approximate="tanh"),
               "relu": F.relu, "elu": F.elu}


def dense_plan(positions):
    """One window, in which every position is a target and a source."""
    everything = torch.arange(positions)[None]
    return everything, everything


def plan_of_each(blocks, plans):
    """For each block a plan, or None."""
    plans = [None] * len(blocks) if plans is None else list(plans)
    if len(plans) != len(blocks):
        raise ValueError(f"{len(plans)} plans for {len(blocks)} layers; None stands for a dense one")
    return plans


def attend(query, key, value, plan, bias, dropout=0.0):
    """out_i = Σ_j softmax_j(q_i·k_j / √D + bias_ij) · v_j, the sums over the sources of i's window.

    query, key, value (B, N, H, D) -> (B, N, H, D). bias (H or 1, W, T, S) is -inf where the target
    does not see the source; a target that sees none gets 0."""
    targets, sources = plan
    q, k, v = query[:, targets], key[:, sources], value[:, sources]  # (B, W, T or S, H, D)
    logits = torch.einsum("bwthd,bwshd->bhwts", q, k) / math.sqrt(q.shape[-1]) + bias
    blind = bias.isneginf().all(-1, keepdim=True)  # the softmax of such a row would be NaN
    weights = torch.softmax(logits.masked_fill(blind, 0.0), -1).masked_fill(blind, 0.0)
    mixed = torch.einsum("bhwts,bwshd->bwthd", F.dropout(weights, dropout, dropout > 0), v)
    out = mixed.new_zeros(query.shape)
    out[:, targets] = mixed  # every position is a target once
    return out


def alibi_slopes(heads):
    """m_h = 2^(-8h/H), h = 1 … H, for H a power of two; for other H those of the largest power of two
    below, P, then every second one for 2P (Press et al. 2022). The engine has them as float32."""
    power = 2 ** int(math.log2(heads))
    slopes = [2.0 ** (-8.0 * h / power) for h in range(1, power + 1)]
    following = [2.0 ** (-8.0 * h / (2 * power)) for h in range(1, 2 * power + 1, 2)]
    return torch.tensor(slopes + following[: heads - power], dtype=torch.float32)


def causal_bias(plan, slopes):
    """ALiBi: -m_h·(i - j) for sources j ≤ i, and -inf for later ones. slopes (H) -> (H, W, T, S)"""
    targets, sources = plan
    distance = targets[:, :, None] - sources[:, None, :]  # (W, T, S)
    return (-slopes[:, None, None, None] * distance).masked_fill(distance < 0, -math.inf)


@dataclasses.dataclass(frozen=True)
class RelativeBias:
    """A learned bias on positions that number the cells of a grid row by row (Liu et al. 2021): a table
    has a row for each difference of rows, columns and channels from source to target. Pairs that are
    `rows` rows or `columns` columns apart, or more, do not see each other."""

    grid_columns: int
    rows: int
    columns: int
    in_cell: int = 1  # positions that share a cell: the channels of a pixel
    channels: int = 1  # in_cell if the table tells channels apart, else 1
    rows_above_only: bool = False  # the table has no entries for sources in rows below the target
    causal: bool = False  # later sources are not seen

    def table_rows(self):
        lines = self.rows if self.rows_above_only else 2 * self.rows - 1
        return lines * (2 * self.columns - 1) * (2 * self.channels - 1)

    def __call__(self, plan, table):
        """table (table_rows, H) -> (H, W, T, S)"""
        targets, sources = plan

        def difference(of):
            return of(targets)[:, :, None] - of(sources)[:, None, :]  # (W, T, S)

        down = difference(lambda position: position // self.in_cell // self.grid_columns)
        right = difference(lambda position: position // self.in_cell % self.grid_columns)
        channel = difference(lambda position: position % self.channels)
        line = down if self.rows_above_only else down + self.rows - 1
        row = line * (2 * self.columns - 1) + right + self.columns - 1
        row = row * (2 * self.channels - 1) + channel + self.channels - 1
        seen = (down.abs() < self.rows) & (right.abs() < self.columns)
        if self.causal:
            seen &= difference(lambda position: position) >= 0
        bias = table[row.masked_fill(~seen, 0)]  # (W, T, S, H)
        return bias.permute(3, 0, 1, 2).masked_fill(~seen, -math.inf)


class Attention(nn.Module):
    """Multi-head self-attention. With `table_rows` it has a table of relative biases of its own."""

    def __init__(self, width, heads, dropout=0.0, table_rows=0):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)
        if table_rows:
            self.relative_bias = nn.Parameter(torch.zeros(table_rows, heads))

    def split(self, x):
        """Query, key and value of x (B, N, d), each (B, N, H, D): head h has D numbers in a row."""
        return [m(x).unflatten(-1, (self.heads, -1)) for m in (self.query, self.key, self.value)]

    def forward(self, x, plan, bias):
        mixed = attend(*self.split(x), plan, bias, self.dropout if self.training else 0.0)
        return self.output(mixed.flatten(-2))


class FeedForward(nn.Module):
    """down(activation(up(x)))"""

    def __init__(self, width, model):
        super().__init__()
        hidden = model["ffn_width"]
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.activation = ACTIVATIONS[model["activation"]]
        self.dropout = nn.Dropout(model.get("activation_dropout", 0.0))

    def forward(self, x):
        return self.down(self.dropout(self.activation(self.up(x))))


class Block(nn.Module):
    """x + attention(norm(x)), then x + ffn(norm(x)); `drop` acts on both branches. `pairs` is what
    attention takes besides x: a plan and its bias."""

    def __init__(self, width, attention, ffn, drop):
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(width), attention
        self.ffn_norm, self.ffn = nn.LayerNorm(width), ffn
        self.drop = drop

    def forward(self, x, *pairs):
        x = x + self.drop(self.attention(self.attention_norm(x), *pairs))
        return x + self.drop(self.ffn(self.ffn_norm(x)))


# ---- models -------------------------------------------------------------------------------------


class Decoder(nn.Module):
    """The causal transformer between an embedding and an output matrix."""

    def __init__(self, model, relative=None):
        """`model` is the section of this name of a config; `relative` takes the place of ALiBi."""
        super().__init__()
        self.width, self.relative, heads = model["width"], relative, model["heads"]
        shared = relative and model["relative_shared"]
        if shared:
            self.relative_bias = nn.Parameter(torch.zeros(relative.table_rows(), heads))
        own_rows = relative.table_rows() if relative and not shared else 0
        self.dropout = nn.Dropout(model.get("dropout", 0.0))
        self.blocks = nn.ModuleList(Block(
            self.width,
            Attention(self.width, heads, model.get("attention_dropout", 0.0), own_rows),
            FeedForward(self.width, model), self.dropout) for _ in range(model["layers"]))
        self.final_norm = nn.LayerNorm(self.width) if model["final_norm"] else nn.Identity()
        slopes = alibi_slopes(heads) if model["position"] == "alibi" else torch.zeros(1)
        self.register_buffer("slopes", slopes, persistent=False)

    def hidden(self, x, plans):
        """The embedded input x (B, N, d) through all blocks -> (B, N, d)"""
        x, dense = self.dropout(x), dense_plan(x.shape[1])
        for block, plan in zip(self.blocks, plan_of_each(self.blocks, plans)):
            plan = [torch.as_tensor(at, device=x.device) for at in plan or dense]
            if self.relative:
                holder = self if hasattr(self, "relative_bias") else block.attention  # shared or not
                bias = self.relative(plan, holder.relative_bias)
            else:
                bias = causal_bias(plan, self.slopes)
            x = block(x, plan, bias)
        return self.final_norm(x)


class AdaptiveInput(nn.Module):
    """Narrower embeddings for rarer words (Baevski & Auli 2018). Band b begins at cutoff b - 1."""

    def __init__(self, embedding, vocabulary, width):
        super().__init__()
        self.edges, self.width = [0, *embedding["cutoffs"], vocabulary], width
        self.bands, narrow = nn.ModuleList(), width
        for start, end in zip(self.edges, self.edges[1:]):
            band = nn.Embedding(end - start, narrow)
            band.projection = nn.Linear(narrow, width, bias=False)
            self.bands.append(band)
            narrow //= embedding["factor"]

    def forward(self, tokens):
        """(B, N) -> (B, N, d)"""
        out = self.bands[0].weight.new_zeros(*tokens.shape, self.width)
        for band, start, end in zip(self.bands, self.edges, self.edges[1:]):
            inside = (tokens >= start) & (tokens < end)
            out[inside] = band.projection(band(tokens[inside] - start)).to(out.dtype)
        return out


class AdaptiveSoftmax(nn.Module):
    """ln p of every word (Grave et al. 2017): p_head(word) in the first band, p_head(class b)·p_b(word)
    in band b. The head is a softmax over the words of the first band and a class for each other band.
    Tables and projections that a band does not have are tied: they are those of the input's band."""

    def __init__(self, source, embedding, dropout):
        super().__init__()
        self.bands = nn.ModuleList()
        for number, band in enumerate(source.bands):
            own = nn.Module()
            if not embedding["tie_weights"]:
                own.weight = nn.Parameter(torch.zeros_like(band.weight))
            if number > 0 and not embedding["tie_projections"]:
                own.projection = nn.Linear(source.width, band.embedding_dim, bias=False)
            self.bands.append(own)
        self.classes = nn.Linear(source.width, len(self.bands) - 1, bias=False)
        self.drop = nn.Dropout(dropout)

    def scores(self, x, number, band):
        """Of the words in a band; `band` is that of the input."""
        own = self.bands[number]
        if number > 0:  # the first band is as wide as the model
            tied = not hasattr(own, "projection")
            weight = band.projection.weight.t() if tied else own.projection.weight
            x = self.drop(F.linear(x, weight))
        return F.linear(x, own.weight if hasattr(own, "weight") else band.weight)

    def forward(self, x, source):
        """x (B, N, d), source the AdaptiveInput -> (B, N, V)"""
        x = self.drop(x)
        first, *tails = (self.scores(x, *at) for at in enumerate(source.bands))
        head = torch.log_softmax(torch.cat([first, self.classes(x)], -1), -1)
        words, *classes = head.split([first.shape[-1], *[1] * len(tails)], -1)
        tails = [torch.log_softmax(tail, -1) + of_band for tail, of_band in zip(tails, classes)]
        return torch.cat([words, *tails], -1)


class DecoderLm(Decoder):
    """A language model: √d · embedding(tokens), blocks, output · x. The result are logits of the next
    token; those of an adaptive output are log-probabilities."""

    def __init__(self, config, vocabulary):
        model, embedding = config["model"], config["model"]["embedding"]
        super().__init__(model)
        self.vocabulary, self.tied = vocabulary, embedding["tie_weights"]
        self.adaptive = embedding["kind"] == "adaptive"
        if self.adaptive:
            self.embedding = AdaptiveInput(embedding, vocabulary, self.width)
            self.output = AdaptiveSoftmax(self.embedding, embedding, model.get("softmax_dropout", 0))
            return
        self.embedding = nn.Embedding(vocabulary, self.width)
        if not self.tied:
            self.output = nn.Linear(self.width, vocabulary, bias=False)

    def forward(self, tokens, plans=None):
        """tokens (B, N) -> (B, N, V)"""
        x = self.hidden(math.sqrt(self.width) * self.embedding(tokens), plans)
        if self.adaptive:
            return self.output(x, self.embedding)
        return F.linear(x, self.embedding.weight) if self.tied else self.output(x)

    def losses(self, tokens, targets, plans=None):
        """-ln p of targets (B, N) in nats; 0 where the target is -1."""
        scores = self(tokens, plans).transpose(1, 2)
        return F.cross_entropy(scores, targets, ignore_index=-1, reduction="none")


class ImageDecoder(Decoder):
    """A model of pictures, value by value: row after row, pixel after pixel, red, green, blue. Slot t
    reads value t - 1 and predicts value t; slot 0 reads a start vector, the sum of a row for each kind
    of augmentation, which says how the picture was changed (Jun et al. 2020)."""

    VARIANTS = {"rotation": 4, "color": 6, "transposition": 2, "jigsaw": 24}
    CHANNELS = 3

    def __init__(self, config):
        model, side = config["model"], config["data"]["image_size"]
        columns = model["relative_columns"]
        in_cell = 1 if columns == "sub_pixels" else self.CHANNELS
        across = side * self.CHANNELS // in_cell
        super().__init__(model, RelativeBias(
            grid_columns=across, rows=side, columns=across, in_cell=in_cell,
            channels=in_cell if columns == "pixels_and_channels" else 1,
            rows_above_only=model["relative_rows"] == "causal", causal=True))
        self.side, self.tied = side, model["embedding"]["tie_weights"]
        self.embedding = nn.Embedding(256, self.width)
        kinds = config["data"]["augment"]
        starts = {kind: nn.Embedding(self.VARIANTS[kind], self.width) for kind in kinds}
        self.start = nn.ModuleDict(starts) if kinds else nn.Embedding(1, self.width)
        if not self.tied:
            self.output = nn.Linear(self.width, 256, bias=False)

    def forward(self, pictures, variants=None, plans=None):
        """Integers 0 … 255, (B, R, R, 3) or flat -> (B, 3·R², 256). `variants`, such as {"rotation":
        integers (B)}, says how the pictures were changed; by default they were not."""
        values = pictures.flatten(1).long()
        unchanged = torch.zeros_like(values[:, 0])
        kinds = [("", self.start)] if isinstance(self.start, nn.Embedding) else self.start.items()
        start = sum(table((variants or {}).get(kind, unchanged)) for kind, table in kinds)  # (B, d)
        x = torch.cat([start[:, None], self.embedding(values[:, :-1])], 1)
        x = self.hidden(math.sqrt(self.width) * x, plans)
        return F.linear(x, self.embedding.weight) if self.tied else self.output(x)

    def losses(self, pictures, variants=None, plans=None):
        """-ln p of every value, (B, 3·R²) nats."""
        scores = self(pictures, variants, plans).transpose(1, 2)
        return F.cross_entropy(scores, pictures.flatten(1).long(), reduction="none")


def window_plan(side, window, shift):
    """The plan of dense attention in windows of window² cells of a map of side² cells, which are
    moved by `shift` rows and columns around the map's edge."""
    cells = torch.arange(side * side).view(side, side).roll((-shift, -shift), (0, 1))
    across = side // window
    cells = cells.view(across, window, across, window).transpose(1, 2).reshape(-1, window * window)
    return cells, cells


class DropPath(nn.Dropout1d):
    """In training, leaves a branch out for whole examples."""

    def forward(self, x):
        return super().forward(x.flatten(1)[None]).view_as(x)  # the examples are the channels of one


class SwinStage(nn.Module):
    """From the second stage on, 2 × 2 cells become one of twice the width. Every second block has its
    windows shifted by half a window. Pairs of a window that lie at opposite edges of the map do not
    see each other: the bias does not reach so far."""

    def __init__(self, side, width, heads, window, ffn_ratio, drop_paths, merges):
        super().__init__()
        if merges:
            self.merge_norm = nn.LayerNorm(2 * width)
            self.merge = nn.Linear(2 * width, width, bias=False)
        self.side, self.window = side, window
        ffn = {"ffn_width": ffn_ratio * width, "activation": "gelu"}
        self.relative = RelativeBias(grid_columns=side, rows=window, columns=window)
        self.blocks = nn.ModuleList(
            Block(width, Attention(width, heads, table_rows=self.relative.table_rows()),
                  FeedForward(width, ffn), DropPath(p))
            for p in drop_paths)

    def merged(self, x):
        """(B, (2·side)², C / 2) -> (B, side², C). Of 2 × 2 cells the left column comes first."""
        squares = x.view(len(x), self.side, 2, self.side, 2, -1)  # row, down, column, right
        cells = squares.permute(0, 1, 3, 4, 2, 5).flatten(3).flatten(1, 2)  # (B, side², 2C)
        return self.merge(self.merge_norm(cells))

    def forward(self, x, plans):
        if hasattr(self, "merge"):
            x = self.merged(x)
        for number, (block, plan) in enumerate(zip(self.blocks, plans)):
            shift = self.window // 2 if number % 2 and self.window < self.side else 0
            plan = plan or window_plan(self.side, self.window, shift)
            plan = [torch.as_tensor(at, device=x.device) for at in plan]
            x = block(x, plan, self.relative(plan, block.attention.relative_bias))
        return x


class Swin(nn.Module):
    """The image classifier of Liu et al. (2021). Images are normalised as timm's are: numbers 0 … 1
    less (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225)."""

    def __init__(self, config, classes):
        super().__init__()
        swin, self.side = config["model"]["swin"], config["data"]["image_size"]
        self.patch, width = swin["patch"], swin["embed_width"]
        self.patch_embedding, self.patch_norm = nn.Linear(3 * self.patch**2, width), nn.LayerNorm(width)
        drop_paths = iter(torch.linspace(0, swin.get("drop_path", 0), sum(swin["depths"])).tolist())
        self.stages, side = nn.ModuleList(), self.side // self.patch
        for number, (depth, heads) in enumerate(zip(swin["depths"], swin["heads"])):
            side, width = (side // 2, 2 * width) if number else (side, width)
            own = [next(drop_paths) for _ in range(depth)]
            self.stages.append(SwinStage(side, width, heads, min(swin["window"], side),
                                         swin["ffn_ratio"], own, merges=number > 0))
        self.final_norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, images, plans=None):
        """(B, 3, R, R) -> (B, classes)"""
        patches = F.unfold(images, self.patch, stride=self.patch).transpose(1, 2)
        x = self.patch_norm(self.patch_embedding(patches))  # (B, (R / patch)², C)
        plans = iter(plan_of_each([b for stage in self.stages for b in stage.blocks], plans))
        for stage in self.stages:
            x = stage(x, plans)  # which takes those of its blocks
        return self.head(self.final_norm(x).mean(1))


class GraphAttention(Attention):
    """Attention inside a graph. m_ij is the embedding of a pair; the sums leave out padding, and what
    target i does not see:

        out_i    = degree_i · Σ_j softmax_j(clamp(q_i·k_j / √D, ±clip) + bias(m_ij)) · gate_ij · v_j
        gate_ij  = sigmoid(gate(m_ij))
        degree_i = ln(1 + Σ_j gate_ij) of an atom, 1 of a virtual node
    """

    def __init__(self, width, heads, egt, dropout):
        super().__init__(width, heads, dropout)
        self.pair_bias = nn.Linear(egt["edge_width"], heads)
        self.pair_gate = nn.Linear(egt["edge_width"], heads)
        self.clip = egt["logit_clip"] or math.inf
        self.virtual_nodes, self.scales = egt["virtual_nodes"], egt["degree_scaling"]

    def forward(self, x, pairs, seen):
        """x (B, N, d), pairs (B, N, N, e) of target and source, seen (B, N, N) -> (B, N, d)"""
        q, k, v = self.split(x)
        logits = torch.einsum("bihd,bjhd->bijh", q / math.sqrt(q.shape[-1]), k)
        logits = logits.clamp(-self.clip, self.clip) + self.pair_bias(pairs)
        logits = logits.masked_fill(~seen[..., None], torch.finfo(logits.dtype).min)
        gates = torch.sigmoid(self.pair_gate(pairs)).masked_fill(~seen[..., None], 0.0)
        weights = F.dropout(torch.softmax(logits, 2), self.dropout, self.training) * gates
        mixed = torch.einsum("bijh,bjhd->bihd", weights, v)
        if self.scales:
            degree = torch.log1p(gates.sum(2))  # (B, N, H)
            degree[:, : self.virtual_nodes] = 1
            mixed = mixed * degree[..., None]
        return self.output(mixed.flatten(-2))


class Egt(nn.Module):
    """EGT-Simple (Hussain et al. 2022): a number for each graph, read from virtual nodes that every
    graph has in front of its n atoms, N = V + n. Pairs keep their embeddings in all layers."""

    def __init__(self, config, atom_rows=1153, bond_rows=25):
        super().__init__()
        model, egt = config["model"], config["model"]["egt"]
        width, edge_width, self.hops = model["width"], egt["edge_width"], egt["hops"]
        self.embedding = nn.ModuleDict({
            "atom": nn.Embedding(atom_rows, width, padding_idx=0),
            "svd": nn.Linear(2 * egt["svd_rank"], width),
            "distance": nn.Embedding(self.hops + 2, edge_width),
            "bond": nn.Embedding(bond_rows, edge_width, padding_idx=0)})
        self.virtual_nodes = nn.ModuleDict({
            "node": nn.Embedding(egt["virtual_nodes"], width),
            "edge": nn.Embedding(egt["virtual_nodes"], edge_width)})
        self.drop = nn.Dropout(model.get("dropout", 0.0))
        self.blocks = nn.ModuleList(Block(
            width, GraphAttention(width, model["heads"], egt, model.get("attention_dropout", 0.0)),
            FeedForward(width, model), self.drop) for _ in range(model["layers"]))
        for block in self.blocks:
            block.edge_norm = nn.LayerNorm(edge_width)
        self.final_norm = nn.LayerNorm(width)
        self.head = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in (
            (egt["virtual_nodes"] * width, width), (width, width), (width, 1)))
        self.activation = ACTIVATIONS[model["activation"]]

    def pairs(self, distances, bonds):
        """(B, N, N, e): of two atoms their distance and the features of their bond, of an atom and a
        virtual node that of the node, of two virtual nodes the mean of theirs."""
        bonds = self.embedding["bond"](bonds).sum(3)
        atoms = self.embedding["distance"](distances.clamp(max=self.hops + 1)) + bonds
        rows = self.virtual_nodes["edge"].weight  # (V, e)
        between = ((rows[:, None] + rows) / 2).expand(len(atoms), -1, -1, -1)
        beside = rows[:, None].expand(len(atoms), -1, atoms.shape[2], -1)
        return torch.cat([torch.cat([between, beside], 2),
                          torch.cat([beside.transpose(1, 2), atoms], 2)], 1)

    def forward(self, atoms, encodings, distances, bonds, sizes, plans=None):
        """atoms (B, n, 9) and bonds (B, n, n, 3), rows of their embeddings, 0 for nothing; encodings
        (B, n, 2r); distances (B, n, n) in bonds; sizes (B), the atoms that are no padding -> (B).
        A plan is a mask (B, N, N): whether the target (second index) sees the source (third)."""
        virtual = self.virtual_nodes["node"].weight.expand(len(sizes), -1, -1)
        x = self.embedding["atom"](atoms).sum(2) + self.embedding["svd"](encodings)
        x, pairs = self.drop(torch.cat([virtual, x], 1)), self.pairs(distances, bonds)
        count, nodes = virtual.shape[1], torch.arange(x.shape[1], device=x.device)
        real = (nodes < sizes[:, None] + count)[:, None].expand(-1, len(nodes), -1)
        for block, plan in zip(self.blocks, plan_of_each(self.blocks, plans)):
            x = block(x, block.edge_norm(pairs), real if plan is None else real & plan.to(x.device))
        x = self.head[0](self.final_norm(x[:, :count]).flatten(1))
        return self.head[2](self.activation(self.head[1](self.activation(x)))).squeeze(-1)


# ---- exports ------------------------------------------------------------------------------------


def build(config, tensors):
    """The module for a config; sizes that only the data know are those of the tensors."""
    task = config["task"]
    if task in ("byte_lm", "word_lm", "token_lm"):
        tables = re.compile(r"embedding\.(bands\.\d+\.)?weight")
        sizes = [len(table) for name, table in tensors.items() if tables.fullmatch(name)]
        return DecoderLm(config, vocabulary=sum(sizes))
    if task == "image_generation":
        return ImageDecoder(config)
    if task == "image_classification":
        return Swin(config, len(tensors["head.bias"]))
    if task == "graph_regression":
        return Egt(config, *(len(tensors[f"embedding.{of}.weight"]) for of in ("atom", "bond")))
    raise ValueError(f"there is no model for task {task} here")


def load(path):
    """The model of an export, in evaluation mode. Its `config` is a dict, nested as the YAML is, and
    `about` the file's metadata: config, weights, step, data, each as text."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path} cannot be read as a safetensors file: {error}") from error
    if about.get("format") != "ssa":
        raise ValueError(f"{path} does not say which model it is. Make a file that does: ssa-convert "
                         "export --checkpoint FOLDER --layout ssa --output FILE")
    config = json.loads(about["config"])
    model = build(config, tensors)
    model.load_state_dict(tensors)
    model.config, model.about = config, about
    return model.eval()


def example(model):
    """Two made-up examples, as arguments of forward()."""
    random = functools.partial(torch.randint, generator=torch.Generator().manual_seed(1))
    if isinstance(model, DecoderLm):
        return (random(model.vocabulary, (2, 32)),)
    if isinstance(model, ImageDecoder):
        return (random(256, (2, 3 * model.side**2)),)
    if isinstance(model, Swin):
        return (random(256, (2, 3, model.side, model.side)) / 64 - 2,)
    chain = (torch.arange(7)[:, None] - torch.arange(7)).abs().expand(2, -1, -1)
    bonds, encodings = random(3, (2, 7, 7, 3)), torch.rand(2, 7, model.embedding["svd"].in_features)
    return random(5, (2, 7, 9)), encodings, chain, bonds, torch.tensor([5, 7])


@torch.no_grad()
def check(model):
    """What should hold for any weights: sentences, and whether they do."""
    batch = example(model)
    out, alone = model(*batch), model(*(x[:1] for x in batch))
    close = functools.partial(torch.allclose, rtol=1e-4, atol=1e-4 * float(out.abs().max()))
    results = {
        "all numbers are finite": all(x.isfinite().all() for x in (out, *model.parameters())),
        "a prediction does not depend on the other examples": close(alone, out[:1]),
    }
    if isinstance(model, Decoder):
        changed = torch.cat([batch[0][:, :-1], 1 - batch[0][:, -1:].clamp(max=1)], 1)
        same = close(model(changed)[:, :-1], out[:, :-1])
        results["a prediction does not depend on what follows"] = same
    return results


def main(words=None):
    parser = argparse.ArgumentParser(description="Prints what is in an export of ssa, and checks it.")
    parser.add_argument("file", help="made by ssa-convert export --layout ssa")
    try:
        model = load(parser.parse_args(words).file)
    except (ValueError, RuntimeError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 4
    about, state = model.about, model.state_dict()
    print(f"{type(model).__name__} of {model.config['task']}, step {about.get('step')}, "
          f"{about.get('weights')} weights: {sum(t.numel() for t in state.values()):,} parameters")
    for name, tensor in state.items():
        print(f"  {name:50} {str(tensor.dtype).removeprefix('torch.'):10} {tuple(tensor.shape)}")
    results = check(model)
    for sentence, holds in results.items():
        print(f"{'ok    ' if holds else 'FAILED'}  {sentence}")
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
