"""A decoder that writes texts in PyTorch, with keys and values kept: the peer of generation.py.

    python pytorch_generation.py '{"shape": {}, "precision": "bf16", "threads": 2}'

Weights are random; they have the shape of a trained model's. Answers every line
{"texts": b, "tokens": n} on standard input with one line of JSON, the seconds of writing n tokens
after a prompt of 16, b texts side by side, each token the likeliest; and {"read": n} with those of
reading n bytes that no cache holds. The first answer, unasked, says how many bytes the weights have.
"""

import dataclasses
import json
import os
import sys
import time

import torch
import torch.nn.functional as F

PROMPT = 16


@dataclasses.dataclass(frozen=True)
class Shape:
    layers: int = 16
    width: int = 1024
    ffn_width: int = 4096
    heads: int = 8
    vocabulary: int = 257


def slopes(heads):
    """ALiBi's, for a power of two."""
    return 2.0 ** (-8 * torch.arange(1, heads + 1, dtype=torch.float64) / heads)


class Writer:
    """Pre-norm blocks as in pytorch_decoder.py, without a gradient."""

    def __init__(self, shape, dtype):
        def random(*size):
            return (0.02 * torch.randn(size)).to(dtype)

        self.shape, self.dtype = shape, dtype
        self.embedding = random(shape.vocabulary, shape.width)
        self.layers = [{
            "qkv": random(3 * shape.width, shape.width), "out": random(shape.width, shape.width),
            "up": random(shape.ffn_width, shape.width), "down": random(shape.width, shape.ffn_width),
            "norms": torch.ones(2, shape.width, dtype=dtype),
            "biases": [random(n) for n in (3 * shape.width, shape.width, shape.ffn_width, shape.width)],
        } for _ in range(shape.layers)]
        self.slopes = slopes(shape.heads)

    def weight_bytes(self):
        size = self.embedding.element_size()
        return size * (self.embedding.numel() + sum(
            layer[name].numel() for layer in self.layers for name in ("qkv", "out", "up", "down")))

    def start(self, texts, capacity):
        shape = self.shape
        size = (2, texts, shape.heads, capacity, shape.width // shape.heads)
        self.kept = [torch.zeros(size, dtype=self.dtype) for _ in self.layers]
        self.length = 0

    def attend(self, x, kept, count):
        """x (texts, count, 3·width)"""
        shape, end = self.shape, self.length + count
        q, k, v = x.view(*x.shape[:2], 3, shape.heads, -1).permute(2, 0, 3, 1, 4)
        kept[0, :, :, self.length : end], kept[1, :, :, self.length : end] = k, v
        places = torch.arange(end)
        distance = places[self.length :, None] - places
        bias = (-self.slopes[:, None, None] * distance).masked_fill(distance < 0, -torch.inf)
        mixed = F.scaled_dot_product_attention(q, kept[0, :, :, :end], kept[1, :, :, :end],
                                               attn_mask=bias.to(self.dtype))
        return mixed.transpose(1, 2).flatten(2)

    @torch.inference_mode()
    def read(self, tokens):
        """tokens (texts, count); the scores (texts, V) of the next one."""
        x, count = self.embedding[tokens], tokens.shape[1]
        width = (self.shape.width,)
        for layer, kept in zip(self.layers, self.kept):
            biases, norms = layer["biases"], layer["norms"]
            inner = F.linear(F.layer_norm(x, width, norms[0]), layer["qkv"], biases[0])
            x = x + F.linear(self.attend(inner, kept, count), layer["out"], biases[1])
            inner = F.gelu(F.linear(F.layer_norm(x, width, norms[1]), layer["up"], biases[2]))
            x = x + F.linear(inner, layer["down"], biases[3])
        self.length += count
        return F.linear(F.layer_norm(x[:, -1], width), self.embedding)

    def write(self, texts, tokens):
        """Seconds of writing, the prompt not counted."""
        self.start(texts, PROMPT + tokens)
        scores = self.read(torch.randint(self.shape.vocabulary, (texts, PROMPT)))
        started = time.perf_counter()
        for _ in range(tokens):
            scores = self.read(scores.argmax(-1, keepdim=True))
        return time.perf_counter() - started


class Memory:
    """Reads as much as it is asked for, by all threads, by adding it up: the best of eight times."""

    def __init__(self):
        self.numbers = torch.ones(0)

    def read(self, wanted):
        if self.numbers.numel() != wanted // 4:
            self.numbers = torch.ones(wanted // 4)

        def once():
            started = time.perf_counter()
            self.numbers.sum()
            return time.perf_counter() - started
        return min(once() for _ in range(8))


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    torch.manual_seed(1)
    writer = Writer(Shape(**job["shape"]), {"fp32": torch.float32, "bf16": torch.bfloat16}[job["precision"]])
    writer.write(1, 4)
    memory = Memory()
    print(json.dumps({"torch": torch.__version__, "weight_bytes": writer.weight_bytes()}), file=answers)
    for request in sys.stdin:
        wanted = json.loads(request)
        seconds = (memory.read(wanted["read"]) if "read" in wanted
                   else writer.write(wanted["texts"], wanted["tokens"]))
        print(json.dumps({"seconds": seconds}), file=answers)


if __name__ == "__main__":
    sys.exit(main())
