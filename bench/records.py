"""What the measuring scripts share: their common options, the head of a record, its file, its tables."""

import argparse
import datetime
import importlib
import json
import pathlib
import sys

import machine

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench/results"
SSA_BENCH = str(ROOT / "build/release/bin/ssa-bench")


def say(text):
    print(text, file=sys.stderr, flush=True)


def described(about, epilog=None):
    """A parser of options that prints a script's docstring as it is written."""
    return argparse.ArgumentParser(description=about, epilog=epilog,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)


def parser(about):
    """The same with the options of every script that compares a few sides and writes one record."""
    made = described(about)
    made.add_argument("--ssa-bench", default=SSA_BENCH, metavar="PATH")
    made.add_argument("--output", type=pathlib.Path, metavar="FILE",
                      help="default: in bench/results, by date and processor")
    made.add_argument("--render", nargs="+", type=pathlib.Path, metavar="FILE",
                      help="print the tables of records, measure nothing")
    return made


def head(options):
    """When it is measured, where, and what of ssa."""
    return {"date": f"{datetime.date.today()}", "machine": machine.describe(),
            "ssa": machine.ssa_version(options.ssa_bench)}


def full_head(command, ssa_bench):
    """The same with the time and the command; says so if the machine is busy."""
    description = machine.describe()
    if description["load_average"] > 0.5:
        say(f"warning: the machine is busy (load average {description['load_average']:.1f})")
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"format": 1, "date": now.isoformat(timespec="seconds"), "command": command,
            "machine": description, "versions": {"ssa": machine.ssa_version(ssa_bench)}}


def versions(**modules):
    """name → version of Python modules; ends the program if one is not there."""
    try:
        return {name: importlib.import_module(of).__version__ for name, of in modules.items()}
    except ModuleNotFoundError as error:
        script = pathlib.Path(sys.argv[0]).name
        sys.exit(f"{script}: {error}; pip install {' '.join(modules)}, and run that python")


def free_path(folder, name):
    """A file of this name that does not exist yet: measurements of the same day stay apart."""
    path, number = pathlib.Path(folder) / f"{name}.json", 2
    while path.exists():
        path, number = path.with_name(f"{name}-{number}.json"), number + 1
    return path


def name_of(record):
    """Date and processor, for a file."""
    return machine.file_name(record["machine"], datetime.datetime.fromisoformat(record["date"]))


def path_of(options, record, what):
    """Where the record of a measurement of `what` goes."""
    return options.output or free_path(RESULTS, f"{name_of(record)}-{what}")


def save(path, record):
    """Writes a record; at any moment the file is whole."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=1) + "\n")
    partial.replace(path)


def render(paths, table):
    """Prints the table of each record; 0, the exit status."""
    for path in paths:
        if len(paths) > 1:
            print(path.name, end="\n\n")
        print(table(json.loads(path.read_text())))
    return 0
