"""What a measurement ran on: processor, memory, load, versions."""

import os
import pathlib
import re
import subprocess

FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16", "amx_int8")


def cores():
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))


def first_match(path, pattern):
    try:
        found = re.search(pattern, pathlib.Path(path).read_text(), re.MULTILINE)
    except OSError:
        return None
    return found[1].strip() if found else None


def describe():
    cpu = first_match("/proc/cpuinfo", r"^model name\s*:\s*(.+)$") or os.uname().machine
    flags = (first_match("/proc/cpuinfo", r"^(?:flags|Features)\s*:\s*(.+)$") or "").split()
    return {
        "cpu": " ".join(re.sub(r"\((R|TM)\)", "", cpu).split()),
        "cores": cores(),
        "virtual": "hypervisor" in flags,
        "flags": [flag for flag in FLAGS if flag in flags],
        "memory_bytes": int(first_match("/proc/meminfo", r"^MemTotal:\s+(\d+) kB") or 0) * 1024,
        "huge_pages": first_match("/sys/kernel/mm/transparent_hugepage/enabled", r"\[(\w+)\]"),
        "kernel": os.uname().release,
        "load_average": os.getloadavg()[0],
    }


def file_name(description, date):
    """<date>-<cpu>, of letters, digits and dashes."""
    name = f"{description['cpu']} {description['cores']} cores".lower()
    return f"{date:%Y-%m-%d}-{re.sub(r'[^a-z0-9]+', '-', name).strip('-')}"


def ssa_version(ssa_bench):
    """The line that ssa-bench --version prints."""
    done = subprocess.run([ssa_bench, "--version"], capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def cpu_seconds(pid):
    """Processor time a process has used, all its threads together."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
