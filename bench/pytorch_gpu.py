#!/usr/bin/env python3
"""PyTorch's side on a GPU: one measurement in a process of its own, as one line of JSON.

    python3 bench/pytorch_gpu.py '{"kind": "peaks", "device": "cuda"}'
    python3 bench/pytorch_gpu.py '{"kind": "attention", "device": "cuda", "attention": "flex",
                                   "shape": {…}}'
    python3 bench/pytorch_gpu.py '{"kind": "step", "device": "cuda", "attention": "sdpa",
                                   "compiled": true, "shape": {…}}'

The decoder is that of pytorch_decoder.py, with its attention by one of

    sdpa  scaled_dot_product_attention with ALiBi and causality as a mask in memory
    flex  FlexAttention, compiled, on the same plan: ALiBi as score_mod, causality as a block mask
          that lets it skip, both through a lookup of the sampled positions

and, for dense attention alone, without ALiBi and with is_causal: `sdpa_plain`, what its fastest
kernels do, and `cudnn`, what cuDNN's do.
All plans of a step are drawn on the device at once. FlexAttention has no backward pass on CPUs:
there only forward passes are measured, to try the script out.
"""

import json
import os
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

import pytorch_decoder
from pytorch_decoder import Decoder, Shape, alibi_slopes

compiled_flex = torch.compile(flex_attention, dynamic=False)
make_block_mask = torch.compile(create_block_mask, dynamic=False)


class FlexPlan:
    """What FlexAttention needs of one layer's plan. Windows are sequences: batch index b is window
    b % W, as in pytorch_decoder.Attention."""

    def __init__(self, sources, length, batch, slopes):
        """sources (W, S), or None: dense."""
        windows = 1 if sources is None else len(sources)
        size = length // windows

        def ahead(b, q, k):  # by how much the source is ahead of the target
            if sources is None:
                return k - q
            window = b % windows
            return sources[window, k] - (window * size + q)

        def add_alibi(score, b, h, q, k):
            return score + slopes[h] * ahead(b, q, k)

        def sees(b, h, q, k):
            return ahead(b, q, k) <= 0

        self.score_mod = add_alibi
        self.block_mask = make_block_mask(
            sees, None if sources is None else batch * windows, None, size, size,
            device=slopes.device.type)


def flex(query, key, value, plan):
    return compiled_flex(query, key, value, score_mod=plan.score_mod, block_mask=plan.block_mask)


def sdpa_plain(query, key, value, plan):
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


def cudnn(query, key, value, plan):
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return sdpa_plain(query, key, value, plan)


pytorch_decoder.ATTENTIONS |= {"sdpa": F.scaled_dot_product_attention, "flex": flex,
                               "sdpa_plain": sdpa_plain, "cudnn": cudnn}


def draw_all_sources(shape):
    """Sources of all layers (L, W, S), ascending: as draw_sources(), in a few launches."""
    size = shape.length // shape.windows
    along = torch.linspace(0, 1, shape.layers) if shape.layers > 1 else torch.zeros(1)
    sigma = shape.sigma_first + along * (shape.sigma_last - shape.sigma_first)
    positions = torch.arange(shape.length)
    noise = torch.randn(shape.layers, shape.windows, shape.length)
    noised = positions + sigma[:, None, None] * shape.length * noise
    ends = size * torch.arange(1, shape.windows + 1)
    noised.masked_fill_(positions >= ends[:, None], -torch.inf)
    return noised.topk(size, dim=-1).indices.sort(dim=-1).values


def mask_of(sources, slopes, dtype):
    """(W, H, T, S): as pytorch_decoder.attention_bias(), in a few launches."""
    windows, size = sources.shape
    targets = torch.arange(windows * size).view(windows, size)
    ahead = (sources[:, None, :] - targets[:, :, None]).float()
    ahead.masked_fill_(ahead > 0, -torch.inf)
    return (slopes[:, None, None] * ahead[:, None]).to(dtype)


class GpuDecoder(Decoder):
    def plans(self, dtype):
        s = self.shape
        if s.windows == 1:
            if self.dense_plan is None:
                self.dense_plan = (torch.arange(s.length), self.layer_plan(None, dtype))
            return [self.dense_plan] * s.layers
        first_rows = s.length * torch.arange(s.batch)
        return [((first_rows[:, None] + sources.view(1, -1)).view(-1),
                 self.layer_plan(sources, dtype)) for sources in draw_all_sources(s)]

    def layer_plan(self, sources, dtype):
        s = self.shape
        if s.attention == "flex":
            return FlexPlan(sources, s.length, s.batch, self.slopes)
        dense = torch.arange(s.length).view(1, -1)
        mask = mask_of(dense if sources is None else sources, self.slopes, dtype)
        return mask if sources is None or s.batch == 1 else mask.repeat(s.batch, 1, 1, 1)


class Trainer:
    """Steps as pytorch_decoder.Trainer's, without waiting for the loss."""

    def __init__(self, shape, device, precision, compiled):
        torch.manual_seed(1)
        self.device, self.amp = device, {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self.model = GpuDecoder(shape)
        self.run = torch.compile(self.model, dynamic=False) if compiled else self.model
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4, fused=True)
        self.ids = torch.randint(shape.vocabulary, (shape.batch, shape.length))
        self.targets = torch.randint(shape.vocabulary, (shape.batch, shape.length))
        self.learns = device != "cpu" or shape.attention != "flex"

    def plans(self):
        return self.model.plans(self.amp or torch.float32)

    def step(self, plans=None):
        plans = plans or self.plans()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.set_grad_enabled(self.learns):
            with torch.autocast(self.device, self.amp, enabled=self.amp is not None):
                loss = self.run(self.ids, self.targets, plans)
        if self.learns:
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
        return loss


def wait(device):
    if device != "cpu":
        torch.cuda.synchronize()


def seconds_of(call, device, repeats, at_once=1):
    """Median seconds of a call; `at_once` are queued before it waits."""
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in range(at_once):
            call()
        wait(device)
        found.append((time.perf_counter() - started) / at_once)
    return statistics.median(found)


def queued_seconds(call, device, repeats):
    """As many calls at once as take 20 ms, so that launching hardly counts."""
    call()
    once = max(seconds_of(call, device, 2), 1e-5)
    return seconds_of(call, device, repeats, max(1, min(200, int(0.02 / once))))


def measure_peaks(job):
    device, size = job["device"], job.get("size", 8192)
    result = {}
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32)):
        a, b = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
        seconds = queued_seconds(lambda: a @ b, device, job["repeats"])
        result[f"matmul_{name}_flop_per_second"] = 2 * size**3 / seconds
    source = torch.zeros(16 * size * size, dtype=torch.uint8)  # 1 GiB of 8192²
    target = torch.empty_like(source)
    seconds = queued_seconds(lambda: target.copy_(source), device, job["repeats"])
    result["copy_bytes_per_second"] = 2 * source.nbytes / seconds  # read and written
    return result


def measure_attention(job, shape):
    """Forward and both passes of one layer's attention on (B, N, H·D), keys and values gathered."""
    device, dtype = job["device"], torch.bfloat16
    model = GpuDecoder(Shape(**{**job["shape"], "layers": 1, "attention": job["attention"]}))
    rows, plan = model.plans(dtype)[0]
    trains = device != "cpu" or job["attention"] != "flex"
    q, k, v, grad = (torch.randn(shape.batch, shape.length, shape.width, dtype=dtype)
                     for _ in range(4))
    for tensor in (q, k, v):
        tensor.requires_grad_(trains)

    def attend():
        split = (shape.batch * shape.windows, -1, shape.heads, shape.width // shape.heads)
        key, value = k, v
        if shape.windows > 1:
            key, value = (x.view(-1, shape.width).index_select(0, rows) for x in (k, v))
        parts = (x.view(split).transpose(1, 2) for x in (q, key, value))
        mixed = pytorch_decoder.ATTENTIONS[job["attention"]](*parts, plan)
        return mixed.transpose(1, 2).reshape(q.shape)

    def forward():
        with torch.no_grad():
            attend()

    def both():
        torch.autograd.grad(attend(), (q, k, v), grad)

    result = {"forward_seconds": queued_seconds(forward, device, job["repeats"])}
    if trains:
        total = queued_seconds(both, device, job["repeats"])
        result["both_seconds"] = total
        result["backward_seconds"] = total - result["forward_seconds"]
    return result


def measure_step(job, shape):
    device = job["device"]
    trainer = Trainer(shape, device, job["precision"], job["compiled"])
    started = time.perf_counter()
    first_loss = trainer.step().item()
    for _ in range(job["warmup"]):
        trainer.step()
    wait(device)
    warmup_seconds = time.perf_counter() - started
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    seconds = seconds_of(trainer.step, device, job["repeats"])
    result = {
        "step_seconds": seconds,
        "tokens_per_second": shape.batch * shape.length / seconds,
        "plan_seconds": seconds_of(trainer.plans, device, job["repeats"]),
        "first_loss": first_loss,
        "loss": trainer.step().item(),
        "warmup_seconds": warmup_seconds,
        "learns": trainer.learns,
    }
    if device != "cpu":
        result["peak_memory_bytes"] = torch.cuda.max_memory_allocated()
    return result


def main():
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # compilers print where they like
    job = json.loads(sys.argv[1])
    torch.set_default_device(job["device"])
    torch.backends.cuda.matmul.allow_tf32 = False  # as ssa
    result = {"torch": torch.__version__}
    if job["device"] != "cpu":
        result["gpu"] = torch.cuda.get_device_name()
    if job["kind"] == "peaks":
        result |= measure_peaks(job)
    else:
        shape = Shape(**{**job["shape"], "attention": job["attention"]})
        result |= (measure_attention if job["kind"] == "attention" else measure_step)(job, shape)
    print(json.dumps(result), file=answer)


if __name__ == "__main__":
    main()
