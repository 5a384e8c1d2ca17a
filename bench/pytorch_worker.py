"""One PyTorch side of compare.py, in a process of its own: warms up once, then measures on request.

    python pytorch_worker.py '{"shape": {...}, "precision": "fp32", "threads": 2,
                               "compile_mode": null, "warmup": 2}'

Answers with one line of JSON on standard output when it is warm, and with one for every line
{"steps": n} on standard input: n steps, measured after one more that is not. Between requests it is
blocked in a read. A failure is answered by {"error": text}. Everything else that is printed goes to
standard error.
"""

import dataclasses
import gc
import json
import math
import os
import re
import sys
import time


def status_bytes(key):
    """VmRSS, VmHWM and such of this process."""
    with open("/proc/self/status") as status:
        found = re.search(rf"^{key}:\s+(\d+) kB", status.read(), re.MULTILINE)
    return int(found[1]) * 1024


def reset_peak():
    """Sets VmHWM to what is resident now, so that it forgets the compiler's memory."""
    try:
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")
    except OSError:
        pass  # then the peak of the steps includes what came before them


def versions(torch):
    settings = torch.__config__.show()
    onednn = re.search(r"(?:MKL-DNN|oneDNN) (v[\d.]+)", settings)
    capability = re.search(r"CPU capability usage: (\w+)", settings)
    return {
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "onednn": onednn[1] if onednn else "unknown",
        "cpu_capability": capability[1] if capability else "unknown",
    }


def load_libraries(trainer, shape, precision):
    """Steps of a tiny model of the same kind: code that is loaded at its first call is not the
    model's memory."""
    tiny = dataclasses.replace(
        shape, layers=1, width=shape.heads * 16, ffn_width=64, length=shape.windows * 96, batch=1
    )
    if hasattr(shape, "rows"):
        tiny = dataclasses.replace(tiny, rows=shape.windows * 4)
    small = trainer(tiny, precision)
    small.step()
    del small
    gc.collect()


def start(job):
    """(trainer, first answer)."""
    import torch

    torch.set_num_threads(job["threads"])
    if job["compile_mode"]:
        import torch._inductor.compile_fx  # what it takes is not the model's memory
    if "rows" in job["shape"]:
        from pytorch_image_decoder import Shape, Trainer
    else:
        from pytorch_decoder import Shape, Trainer

    shape = Shape(**job["shape"])
    load_libraries(Trainer, shape, job["precision"])
    answer = {"versions": versions(torch), "resident_before_bytes": status_bytes("VmRSS")}
    started = time.perf_counter()
    trainer = Trainer(shape, job["precision"], job["compile_mode"])
    answer["attention_kernels"] = trainer.attention_kernels()
    answer["first_loss"] = trainer.step()
    for _ in range(job["warmup"] - 1):
        trainer.step()
    answer["warmup_seconds"] = time.perf_counter() - started
    answer["threads"] = torch.get_num_threads()
    answer["peak_resident_warmup_bytes"] = status_bytes("VmHWM")
    reset_peak()
    return trainer, answer


def measure(trainer, steps):
    trainer.step()
    seconds, plan_seconds = [], []
    for _ in range(steps):
        started = time.perf_counter()
        loss = trainer.step()
        seconds.append(time.perf_counter() - started)
        plan_seconds.append(trainer.plan_seconds)
    if not math.isfinite(loss):
        raise RuntimeError(f"the loss is {loss}")
    return {
        "seconds": seconds,
        "plan_seconds": plan_seconds,
        "plan_bytes": trainer.plan_bytes,
        "loss": loss,
        "peak_resident_bytes": status_bytes("VmHWM"),
    }


def one_line(error):
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # compilers print where they like
    try:
        trainer, answer = start(json.loads(sys.argv[1]))
        print(json.dumps(answer), file=answers)
        for request in sys.stdin:
            print(json.dumps(measure(trainer, json.loads(request)["steps"])), file=answers)
    except ModuleNotFoundError as error:
        hint = "; pip install torch, or give --python" if error.name == "torch" else ""
        print(json.dumps({"error": one_line(error) + hint}), file=answers)
        return 1
    except Exception as error:  # whatever it is, the comparison goes on without this side
        print(json.dumps({"error": one_line(error)}), file=answers)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
