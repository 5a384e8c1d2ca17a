"""The record that scripts/gpu_check.sh leaves: one JSON that each stage adds to.

    python3 bench/gpu_record.py RECORD KEY.KEY JSON     sets a value
    python3 bench/gpu_record.py RECORD --keep FOLDER    copies it there, by date and GPU
"""

import json
import pathlib
import re
import sys

import records


class Record:
    """A JSON file that is whole at any moment, whatever happens to who writes it."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.values = json.loads(self.path.read_text()) if self.path.exists() else {"format": 1}

    def set(self, key, value):
        """key is dotted; what is on its way and no object is replaced by one."""
        place = self.values
        *way, last = key.split(".")
        for part in way:
            if not isinstance(place.get(part), dict):
                place[part] = {}
            place = place[part]
        place[last] = value
        self.save()

    def save(self):
        records.save(self.path, self.values)


def keep(record, folder):
    gpu = (record.values.get("gpu") or "no gpu").split(",")[0]
    name = re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
    stem = f"{record.values['date'][:10]}-{name}"
    path = records.free_path(folder, stem)
    records.save(path, record.values)
    print(f"kept: {path}")


def main(arguments):
    if len(arguments) != 3:
        sys.exit(__doc__)
    path, key, value = arguments
    record = Record(path)
    if key == "--keep":
        keep(record, value)
    else:
        record.set(key, json.loads(value))


if __name__ == "__main__":
    main(sys.argv[1:])
