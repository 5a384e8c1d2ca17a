"""The cases that are compared: shapes, the peers of each, and the bars they are held to."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Case:
    """A decoder's training step. Field names as in pytorch_decoder.Shape."""

    name: str
    title: str
    length: int
    batch: int
    layers: int = 8
    width: int = 512
    heads: int = 8
    ffn_width: int = 2048
    windows: int = 1
    sigma_first: float = 0.02
    sigma_last: float = 0.1
    speed_bar: float = 1.0  # ssa's tokens/s over PyTorch's, at least

    def shape(self):
        """For pytorch_decoder.Shape."""
        described = dataclasses.asdict(self)
        return {k: v for k, v in described.items() if k not in ("name", "title", "speed_bar")}

    def takes(self, peer):
        """Whether a peer is measured with this case."""
        return not (peer.images_only or (peer.dense_only and self.windows > 1))

    def tokens(self):
        return self.length * self.batch

    def config(self, precision):
        """ssa's config of the same model, as YAML. Nothing is read from data.path."""
        kind = "local" if self.windows > 1 else "none"
        return (
            "task: byte_lm\n"
            f"model: {{layers: {self.layers}, width: {self.width}, ffn_width: {self.ffn_width}, "
            f"heads: {self.heads}}}\n"
            f"ssa: {{kind: {kind}, windows: {self.windows}, "
            f"sigma: {{first: {self.sigma_first}, last: {self.sigma_last}}}}}\n"
            f"data: {{name: random, path: not-read, length: {self.length}}}\n"
            f"train: {{steps: 100, batch_size: {self.batch}, micro_batch: {self.batch}, "
            f"precision: {precision}, clip_norm: 1.0}}\n"
        )


@dataclasses.dataclass(frozen=True)
class ImageCase(Case):
    """The step of a decoder of pictures: length sub-pixels in rows of 3·size, windows as bands."""

    rows: int = 32
    sigma: float = 0.25

    def takes(self, peer):
        return peer.counts

    def config(self, precision):
        kind = "local" if self.windows > 1 else "none"
        return (
            "task: image_generation\n"
            f"model: {{layers: {self.layers}, width: {self.width}, ffn_width: {self.ffn_width}, "
            f"heads: {self.heads}, position: relative_2d}}\n"
            f"ssa: {{kind: {kind}, windows: {self.windows}, sigma: {self.sigma}}}\n"
            f"data: {{name: random, path: not-read, image_size: {self.rows}}}\n"
            f"train: {{steps: 100, batch_size: {self.batch}, micro_batch: {self.batch}, "
            f"precision: {precision}, clip_norm: 1.0}}\n"
        )


@dataclasses.dataclass(frozen=True)
class Peer:
    """A way to run the decoder in PyTorch."""

    name: str
    title: str
    attention: str = "fused"  # a key of pytorch_decoder.ATTENTIONS
    compiled: bool = False
    counts: bool = True  # the bars are against the best of those that count
    dense_only: bool = False
    images_only: bool = False


TEXTS = (
    Case("dense", "dense", 1024, 4, speed_bar=1.3),
    Case("ssa_l4_3072", "SSA L4, length 3072", 3072, 1, windows=4, speed_bar=2.0),
)

IMAGES = (
    ImageCase("image_dense", "pictures of 32 × 32, dense", 3072, 1, speed_bar=1.5),
    ImageCase("image_l4", "pictures of 32 × 32, 4 bands", 3072, 1, windows=4, speed_bar=2.0),
)

PEERS = (
    Peer("eager", "PyTorch eager"),
    Peer("compile", "PyTorch compile", compiled=True),
    Peer(
        "skip",
        "PyTorch eager, private causal kernel",
        attention="causal_skip",
        counts=False,
        dense_only=True,
    ),
    Peer("unfused", "PyTorch eager, unfused attention", attention="unfused", counts=False),
    Peer("products", "PyTorch eager, two products", attention="unfused", images_only=True),
    Peer(
        "products_compile",
        "PyTorch compile, two products",
        attention="unfused",
        compiled=True,
        images_only=True,
    ),
)
DEFAULT_PEERS = ("eager", "compile", "skip", "products", "products_compile")

MEMORY_BAR = 0.6  # ssa's peak over PyTorch's, at most
MATMUL_BAR = 0.65  # of what the matmul library reaches, at least
PLAN_BAR = 0.01  # of the step for drawing plans, at most
FLAT_BAR = 1.1  # most over least cost per token, at most


def quick(case):
    """The same at a size that takes no time; its figures mean nothing."""
    return dataclasses.replace(
        case,
        title=f"{case.title} (tiny)",
        layers=2,
        width=64,
        heads=2,
        ffn_width=128,
        batch=max(1, case.batch // 2),
        **({"rows": 8, "length": 192} if isinstance(case, ImageCase) else {"length": 256}),
    )
