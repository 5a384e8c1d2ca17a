"""The decoder of pictures as ssa's, in plain PyTorch: the peer of compare.py's cases with pictures.

The blocks are those of pytorch_decoder.py. In place of ALiBi every layer has a learned table over
the grid of sub-pixels: a number for every head and every way (rows, columns) from a source to a
target. Slot t reads sub-pixel t-1; slot 0 reads a learned start vector.

A mask that wants a gradient sends scaled_dot_product_attention to its slow path, with logits and
weights in memory; so there are two ways here: that, and two plain products with the sum written out
(`unfused`). Which is faster was left to the measurement. The bias is gathered by one index_select
from a table with its heads first, the fastest of six ways, forward and backward together.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

import pytorch_decoder


@dataclass(frozen=True)
class Shape(pytorch_decoder.Shape):
    """The grid of sub-pixels has rows × columns = length cells. windows are bands of rows."""

    rows: int = 0
    sigma: float = 0.25

    @property
    def columns(self):
        return self.length // self.rows


def draw_sources(shape):
    """Sources of every causal band (W, S), ascending: the last rows of the shuffled grid up to the
    band's end. First each row is shuffled, then each column."""
    band = shape.rows // shape.windows
    drawn = []
    for window in range(shape.windows):
        rows = (window + 1) * band
        grid = torch.arange(rows * shape.columns).view(rows, shape.columns)
        noise = shape.sigma * shape.columns * torch.randn(rows, shape.columns)
        grid = grid.gather(1, torch.argsort(torch.arange(shape.columns) + noise, dim=1))
        noise = shape.sigma * shape.rows * torch.randn(rows, shape.columns)
        grid = grid.gather(0, torch.argsort(torch.arange(rows)[:, None] + noise, dim=0))
        drawn.append(grid[rows - band :].flatten().sort().values)
    return torch.stack(drawn)


def table_columns(shape, targets, sources):
    """(W·T·S): the column of the table for each target and source."""

    def away(of):
        return of(targets)[:, :, None] - of(sources)[:, None, :]

    down = away(lambda cell: cell // shape.columns) + shape.rows - 1
    right = away(lambda cell: cell % shape.columns) + shape.columns - 1
    return (down * (2 * shape.columns - 1) + right).flatten()


class Attention(pytorch_decoder.Attention):
    def __init__(self, shape):
        super().__init__(shape)
        ways = (2 * shape.rows - 1) * (2 * shape.columns - 1)
        self.table = nn.Parameter(0.02 * torch.randn(shape.heads, ways))

    def forward(self, x, rows, places):
        """places: columns of the table, flat, and which pairs lie ahead, (W, 1, T, S)."""
        columns, ahead = places
        windows, _, targets, sources = ahead.shape
        bias = self.table.index_select(1, columns).view(-1, windows, targets, sources)
        bias = bias.transpose(0, 1)
        if torch.is_autocast_enabled("cpu"):
            bias = bias.to(torch.bfloat16)
        bias = bias.masked_fill(ahead, -math.inf)
        if self.shape.batch > 1 and windows > 1:
            bias = bias.repeat(self.shape.batch, 1, 1, 1)
        return super().forward(x, rows, bias)


class Decoder(pytorch_decoder.Decoder):
    def __init__(self, shape):
        super().__init__(shape, Attention)
        self.start = nn.Parameter(shape.width**-0.5 * torch.randn(1, 1, shape.width))

    def plans(self, dtype):
        """(rows, places) of every layer: freshly drawn, or for dense attention made once."""
        s = self.shape
        if s.windows == 1 and self.dense_plan is not None:
            return [self.dense_plan] * s.layers
        targets = torch.arange(s.length).view(s.windows, -1)
        first_rows = s.length * torch.arange(s.batch)
        drawn = []
        for _ in range(s.layers if s.windows > 1 else 1):
            sources = draw_sources(s) if s.windows > 1 else targets
            ahead = (sources[:, None, :] > targets[:, :, None])[:, None]
            rows = (first_rows[:, None] + sources.view(1, -1)).view(-1)
            drawn.append((rows, (table_columns(s, targets, sources), ahead)))
        if s.windows == 1:
            self.dense_plan = drawn[0]
            return drawn * s.layers
        return drawn

    def embed(self, ids):
        read = F.pad(self.embedding(ids[:, :-1]), (0, 0, 1, 0))
        first = F.pad(self.start, (0, 0, 0, ids.shape[1] - 1))
        return (read + first) * math.sqrt(self.shape.width)


class Trainer(pytorch_decoder.Trainer):
    model_class = Decoder

    def __init__(self, shape, precision="fp32", compile_mode=None):
        super().__init__(shape, precision, compile_mode)
        self.targets = self.ids  # every sub-pixel is predicted from those before it
