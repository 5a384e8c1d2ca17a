#!/usr/bin/env python3
"""Writes a tiny file of CIFAR-10's Python version, for the tests of its reader.

    pip install numpy
    python scripts/make_cifar_pickle.py

writes tests/fixtures/cifar10_python/data_batch_1: three pictures, pickled as the published files
are, which were written by Python 2. Its strings are written by instructions that Python 3 can only
read, and the module of NumPy's arrays had another name; this pickler does both as Python 2 did.
"""

import pathlib
import pickle
import struct

import numpy as np

OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "cifar10_python"
LABELS = [6, 9, 0]


class Python2Pickler(pickle._Pickler):
    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, text):
        data = text.encode("latin1") if isinstance(text, str) else text
        short = len(data) < 256
        head = b"U" + bytes([len(data)]) if short else b"T" + struct.pack("<i", len(data))
        self.write(head + data)
        self.memoize(text)

    def save_global(self, obj, name=None):
        name = name or obj.__qualname__
        module = "numpy.core.multiarray" if name == "_reconstruct" else obj.__module__
        self.write(b"c" + f"{module}\n{name}\n".encode())
        self.memoize(obj)

    dispatch[bytes] = dispatch[str] = save_string
    dispatch[type(np.ndarray.__reduce__)] = save_global

    def save_type(self, obj):
        self.save_global(obj)

    dispatch[type] = save_type


def pictures():
    """Byte i of each plane is i + 7·plane + 31·picture, modulo 256."""
    i, plane, picture = np.arange(1024), np.arange(3), np.arange(len(LABELS))
    values = i + 7 * plane[:, None] + 31 * picture[:, None, None]
    return (values % 256).astype(np.uint8).reshape(len(LABELS), 3072)


def main():
    batch = {
        b"batch_label": b"training batch 1 of 5",
        b"labels": LABELS,
        b"data": pictures(),
        b"filenames": [f"picture_s_{number:06}.png".encode() for number in range(len(LABELS))],
    }
    OUTPUT.mkdir(parents=True, exist_ok=True)
    path = OUTPUT / "data_batch_1"
    with open(path, "wb") as file:
        Python2Pickler(file, protocol=2).dump(batch)
    read = pickle.loads(path.read_bytes(), encoding="bytes")
    assert read.keys() == batch.keys() and (read[b"data"] == batch[b"data"]).all()
    assert all(read[key] == batch[key] for key in batch if key != b"data")


if __name__ == "__main__":
    main()
