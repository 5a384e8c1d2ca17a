"""Draws the source plans of ssa in PyTorch: bit for bit those that the engine draws.

    import ssa_plans, ssa_torch
    model = ssa_torch.load("model.safetensors")
    key = ssa_plans.Key(seed=1, purpose=ssa_plans.ENSEMBLE)
    logits = model(tokens, ssa_plans.draw(model.config, key, length=tokens.shape[1]))

A plan says which sources each target may attend to (docs/method.md, "Source plans"): targets (W, T)
and sources (W, S), integers. draw() gives one for each layer of a decoder, or each block of a Swin, and
None where the layer is dense. Needs torch and nothing else.

The plans of training step t (the first is 0) of rank r have Key(train.seed, PLAN, step=t, rank=r), until
the dense end that ssa.finetune_fraction gives a run; those of sub-model m for item i of an evaluation
have Key(train.seed, ENSEMBLE, step=i, rank=m).
"""

import dataclasses
import math

import torch

PLAN, ENSEMBLE = 1, 2  # purposes


@dataclasses.dataclass(frozen=True)
class Key:
    """Names a stream of random words, and decides which they are."""

    seed: int
    purpose: int = PLAN
    step: int = 0
    rank: int = 0
    layer: int = 0
    stream: int = 0  # the window that is shuffled


# ---- random numbers -----------------------------------------------------------------------------


def words(key, count):
    """The first `count` words of a stream, integers of 32 bits: Philox4x32-10 (Salmon et al. 2011),
    which mixes the number of a block of four words with the key in ten rounds."""
    blocks = (count + 3) // 4
    counter = [torch.arange(blocks)] + [torch.full((blocks,), word) for word in (
        key.step, key.layer << 16 | key.rank, key.purpose << 24 | key.stream & 0xFFFFFF)]
    low, high = key.seed & 0xFFFFFFFF, key.seed >> 32 & 0xFFFFFFFF
    for _ in range(10):
        high_0, low_0 = product(counter[0], 0xD2511F53)
        high_1, low_1 = product(counter[2], 0xCD9E8D57)
        counter = [high_1 ^ counter[1] ^ low, low_1, high_0 ^ counter[3] ^ high, low_0]
        low, high = low + 0x9E3779B9 & 0xFFFFFFFF, high + 0xBB67AE85 & 0xFFFFFFFF
    return torch.stack(counter, 1).flatten()[:count]


def product(x, factor):
    """Upper and lower 32 bits of x · factor, whose 64 bits do not fit PyTorch's signed integers: in
    halves of 16."""
    lower = x * (factor & 0xFFFF)
    upper = x * (factor >> 16) + (lower >> 16)
    return upper >> 16, (upper & 0xFFFF) << 16 | lower & 0xFFFF


def polynomial(coefficients, x):
    value = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


def logarithm(x):
    """ln x by ln m = 2 artanh((m - 1) / (m + 1)): the bits of a library's differ between machines."""
    mantissa, exponent = torch.frexp(x)
    mantissa, exponent = 2 * mantissa, exponent.double() - 1  # 1 ≤ m < 2
    large = mantissa > 1.4142135623730951
    mantissa = torch.where(large, 0.5 * mantissa, mantissa)
    exponent = torch.where(large, exponent + 1, exponent)
    s = (mantissa - 1) / (mantissa + 1)
    series = polynomial([1 / odd for odd in range(23, 0, -2)], s * s)
    return exponent * 0.69314718055994530942 + 2 * s * series


# P. J. Acklam's approximation to the inverse normal distribution: numerators and denominators.
CENTRE = ([-3.969683028665376e+01, 2.209460984245205e+02, -2.759285104469687e+02,
           1.383577518672690e+02, -3.066479806614716e+01, 2.506628277459239e+00],
          [-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
           6.680131188771972e+01, -1.328068155288572e+01, 1.0])
TAIL = ([-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
         -2.549732539343734e+00, 4.374664141464968e+00, 2.938163982698783e+00],
        [7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
         3.754408661907416e+00, 1.0])
TAIL_BEGINS = 0.02425


def normals(key, count):
    """Standard normal numbers ε of the words, by additions, multiplications, divisions and square
    roots only: their bits are the same everywhere."""
    p = (words(key, count).double() + 0.5) * 2.0**-32
    q = p - 0.5
    result = polynomial(CENTRE[0], q * q) * q / polynomial(CENTRE[1], q * q)
    outside = torch.minimum(p, 1 - p) < TAIL_BEGINS
    p = p[outside]
    squares = -2 * logarithm(torch.minimum(p, 1 - p))
    # PyTorch's square root is not always the nearest double; Python's is.
    q = squares.new_tensor([math.sqrt(square) for square in squares.tolist()])
    tail = polynomial(TAIL[0], q) / polynomial(TAIL[1], q)
    result[outside] = torch.where(p < 0.5, tail, -tail)
    return result


# ---- draws --------------------------------------------------------------------------------------


def with_stream(key, stream):
    return dataclasses.replace(key, stream=stream)


def kept(count, drop):
    """How many of `count` sources are left: (1 - drop) · count, halves rounded up."""
    return math.floor((1 - drop) * count + 0.5)


def sample(key, count, size):
    """`size` of the numbers 0 … count-1, ascending: those with the smallest words."""
    return torch.argsort(words(key, count), stable=True)[:size].sort().values


def scale_of(sigma, length):
    """The standard deviation in positions, of a σ that is a fraction of the length. Finite for any σ: with
    1e12 the order is uniform anyway."""
    return min(sigma, 1e12) * length


def noisy_order(eps, scale, axis=-1):
    """The order of j + scale · ε_j along an axis: the place of an element before, for each place."""
    places = torch.arange(eps.shape[axis], dtype=torch.float64)
    places = places if axis == -1 else places[:, None]
    return torch.argsort(places + scale * eps, dim=axis, stable=True)


def shuffled_grid(rows, columns, row_scale, column_scale, key):
    """(rows, columns): the number of the cell that lands in each cell when first the cells of each row
    and then those of each column are put in a noisy order."""
    horizontal, vertical = normals(key, 2 * rows * columns).view(2, rows, columns)
    cells = torch.arange(rows * columns).view(rows, columns)
    cells = cells.gather(1, noisy_order(horizontal, column_scale))
    return cells.gather(0, noisy_order(vertical, row_scale, axis=0))


# ---- plans --------------------------------------------------------------------------------------


def equal_parts(what, count, parts):
    """The size of each of the parts."""
    if count % parts:
        raise ValueError(f"{count} {what} cannot be cut into {parts} equal windows (ssa.windows)")
    return count // parts


def unbiased(positions, drop, key):
    """All targets share round((1 - drop)·N) sources, a uniform sample."""
    return torch.arange(positions)[None], sample(key, positions, kept(positions, drop))[None]


def local(positions, windows, sigma, key, causal=True):
    """Window v of the positions has the v-th part of their noisy order as its sources. Causal: for each
    window the positions up to its end are put in order, and it has the last N / W of them."""
    size = equal_parts("positions", positions, windows)
    targets = torch.arange(positions).view(windows, size)
    if not causal:
        order = noisy_order(normals(key, positions), scale_of(sigma, positions))
        return targets, order.view(windows, size).sort(1).values
    sources = []
    for v in range(windows):
        eps = normals(with_stream(key, v), (v + 1) * size)
        sources.append(noisy_order(eps, scale_of(sigma, positions))[-size:].sort().values)
    return targets, torch.stack(sources)


def local_bands(rows, columns, windows, sigma, key):
    """Causal bands of rows of a grid: for each band the rows up to its end are shuffled in two
    dimensions, and its sources are the cells that land in it."""
    band, sources = equal_parts("rows", rows, windows), []
    targets = torch.arange(rows * columns).view(windows, -1)
    for v in range(windows):
        landed = shuffled_grid((v + 1) * band, columns, scale_of(sigma, rows),
                               scale_of(sigma, columns), with_stream(key, v))
        sources.append(landed[-band:].flatten().sort().values)
    return targets, torch.stack(sources)


def window_cells(side, window, shift):
    """(windows, window²): the cells of each window of a map that is shifted around its edge."""
    cells = torch.arange(side * side).view(side, side).roll((-shift, -shift), (0, 1))
    across = side // window
    return cells.view(across, window, across, window).transpose(1, 2).reshape(-1, window * window)


def local_swin(side, window, shift, block, sigma, key):
    """Each window of a map is shuffled by itself, and its blocks of block² cells attend to the cells
    that land in them."""
    cells = window_cells(side, window, shift)
    in_blocks = window_cells(window, block, 0)  # (blocks, block²)
    scale, sources = scale_of(sigma, window), []
    for number, of_window in enumerate(cells):
        landed = shuffled_grid(window, window, scale, scale, with_stream(key, number)).flatten()
        sources.append(of_window[landed[in_blocks]].sort(1).values)
    return cells[:, in_blocks].flatten(0, 1), torch.cat(sources)


def unbiased_swin(side, window, shift, drop, key):
    """Each window of a map has a sample of its cells as its sources."""
    cells = window_cells(side, window, shift)
    size = kept(window * window, drop)
    sources = [of_window[sample(with_stream(key, number), window * window, size)].sort().values
               for number, of_window in enumerate(cells)]
    return cells, torch.stack(sources)


# ---- models -------------------------------------------------------------------------------------


def sigmas(ssa, count):
    """σ of each layer that samples: linear from the first to the last."""
    first, last = float(ssa["sigma"]["first"]), float(ssa["sigma"]["last"])
    return [first + (i / (count - 1) if count > 1 else 0.0) * (last - first) for i in range(count)]


def decoder_layer(config, sigma, key, length):
    ssa = config["ssa"]
    if config["task"] == "image_generation":
        side = config["data"]["image_size"]
        if ssa["kind"] == "local":
            return local_bands(side, 3 * side, ssa["windows"], sigma, key)
        return unbiased(3 * side**2, ssa["drop"], key)
    length = length or config["data"]["length"]
    if ssa["kind"] == "local":
        return local(length, ssa["windows"], sigma, key)
    return unbiased(length, ssa["drop"], key)


def swin_blocks(config):
    """Side, window and shift of each block."""
    swin = config["model"]["swin"]
    side = config["data"]["image_size"] // swin["patch"]
    blocks = []
    for depth in swin["depths"]:
        window = min(swin["window"], side)
        shift = window // 2 if window < side else 0
        blocks += [(side, window, shift * (number % 2)) for number in range(depth)]
        side //= 2
    return blocks


def swin_block(config, geometry, sigma, key):
    ssa, (side, window, shift) = config["ssa"], geometry
    if ssa["kind"] == "unbiased":
        return unbiased_swin(side, window, shift, ssa["drop"], key)
    block = equal_parts("cells of a window's side", window, math.isqrt(ssa["windows"]))
    return local_swin(side, window, shift, block, sigma, key)


def draw(config, key, length=None):
    """The plan of each layer as `config` says it, None for dense ones: the last ssa.layers (0: all)
    that can be sampled are. `length` is that of the text; by default data.length."""
    ssa, classifier = config["ssa"], config["task"] == "image_classification"
    if config["task"] == "graph_regression":
        raise ValueError("the sources of molecules are drawn by ssa_graphs.draw()")
    blocks = swin_blocks(config) if classifier else [None] * config["model"]["layers"]
    plans = [None] * len(blocks)
    if ssa["kind"] == "none":
        return plans
    can = [i for i, geometry in enumerate(blocks)
           if not classifier or geometry[1] == config["model"]["swin"]["window"]]
    can = can[-ssa["layers"] :]  # 0: all of them
    for layer, sigma in zip(can, sigmas(ssa, len(can))):
        own = dataclasses.replace(key, layer=layer)
        if classifier:
            plans[layer] = swin_block(config, blocks[layer], sigma, own)
        else:
            plans[layer] = decoder_layer(config, sigma, own, length)
    return plans
