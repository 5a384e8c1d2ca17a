"""Swin's attention in (shifted) windows in PyTorch, without the linear maps around it.

The input, (B, rows, columns, 3·H·D), holds query, key and value as Swin's linear map leaves them;
the output is (B, rows, columns, H·D). Both are maps: rolling them, cutting them into windows and
putting them together again is part of the work, as it is part of ssa's attention over a plan.
"""

import dataclasses

import torch
from torch.nn.functional import scaled_dot_product_attention

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclasses.dataclass(frozen=True)
class Geometry:
    batch: int
    side: int  # of the map
    window: int
    shift: int
    heads: int
    head_size: int = 32

    def cells(self):
        return self.window * self.window


def to_windows(x, geometry):
    """(B·windows, cells of a window, C) of a map (B, side, side, C)."""
    g, across = geometry, geometry.side // geometry.window
    if g.shift:
        x = torch.roll(x, (-g.shift, -g.shift), (1, 2))
    x = x.view(-1, across, g.window, across, g.window, x.shape[-1])
    return x.transpose(2, 3).reshape(-1, g.cells(), x.shape[-1])


def to_map(windows, geometry):
    """The inverse of to_windows()."""
    g, across = geometry, geometry.side // geometry.window
    x = windows.view(-1, across, across, g.window, g.window, windows.shape[-1])
    x = x.transpose(2, 3).reshape(-1, g.side, g.side, windows.shape[-1])
    return torch.roll(x, (g.shift, g.shift), (1, 2)) if g.shift else x


def bias_index(window):
    """(cells, cells): the row of the table for each target and source."""
    cells = torch.arange(window * window)
    down = cells[:, None] // window - cells[None, :] // window + window - 1
    right = cells[:, None] % window - cells[None, :] % window + window - 1
    return down * (2 * window - 1) + right


def shift_mask(geometry):
    """(windows, cells, cells): -100 between the parts of a window that wraps around an edge, as in
    Swin; None without a shift."""
    g = geometry
    if g.shift == 0:
        return None
    part = torch.zeros(g.side)
    part[g.side - g.window : g.side - g.shift] = 1
    part[g.side - g.shift :] = 2
    parts = (3 * part[:, None] + part[None, :]).view(1, g.side, g.side, 1)
    parts = to_windows(parts, dataclasses.replace(g, shift=0)).view(-1, g.cells())
    return torch.where(parts[:, :, None] == parts[:, None, :], 0.0, -100.0)


class FusedWindows(torch.nn.Module):
    """scaled_dot_product_attention with a float mask: the bias, gathered from its table, and the
    shift's mask."""

    def __init__(self, geometry):
        super().__init__()
        self.geometry = geometry
        size = (2 * geometry.window - 1) ** 2
        self.table = torch.nn.Parameter(torch.randn(size, geometry.heads))
        self.register_buffer("index", bias_index(geometry.window))
        self.register_buffer("mask", shift_mask(geometry))

    def bias(self, windows, dtype):
        """(windows or 1, H, cells, cells)"""
        bias = self.table[self.index].permute(2, 0, 1)[None]
        if self.mask is not None:
            bias = bias + self.mask[:, None]
            bias = bias.repeat(windows // self.mask.shape[0], 1, 1, 1)
        return bias.to(dtype)

    def forward(self, qkv):
        g = self.geometry
        windows = to_windows(qkv, g)
        query, key, value = (
            windows.view(-1, g.cells(), 3, g.heads, g.head_size).permute(2, 0, 3, 1, 4).unbind(0)
        )
        bias = self.bias(windows.shape[0], qkv.dtype)
        out = scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return to_map(out.transpose(1, 2).reshape(-1, g.cells(), g.heads * g.head_size), g)


class TimmWindows(torch.nn.Module):
    """timm's WindowAttention with its linear maps taken out."""

    def __init__(self, geometry):
        super().__init__()
        from timm.models.swin_transformer import WindowAttention

        g = self.geometry = geometry
        self.attention = WindowAttention(g.heads * g.head_size, g.heads, window_size=g.window)
        self.attention.qkv = self.attention.proj = torch.nn.Identity()
        self.register_buffer("mask", shift_mask(geometry))

    @property
    def table(self):
        return self.attention.relative_position_bias_table

    def forward(self, qkv):
        windows = self.attention(to_windows(qkv, self.geometry), mask=self.mask)
        return to_map(windows, self.geometry)


PEERS = {
    "sdpa": (FusedWindows, False),
    "sdpa_compile": (FusedWindows, True),
    "timm": (TimmWindows, False),
    "timm_compile": (TimmWindows, True),
}


def build(peer, geometry, precision):
    """The module, in the precision: mixed as in training, f32 tables beside bf16 data."""
    kind, compiled = PEERS[peer]
    module = kind(geometry)
    if precision == "bf16" and kind is TimmWindows:
        module.to(torch.bfloat16)  # it adds bias and mask to the logits as they are
    return torch.compile(module) if compiled else module
