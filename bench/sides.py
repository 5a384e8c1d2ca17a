"""The two kinds of sides of a comparison, measured in turn: ssa-bench, a process each turn;
PyTorch, a process that stays warm between its turns."""

import json
import os
import pathlib
import select
import signal
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent


class SideError(RuntimeError):
    """A side could not start or measure; the comparison goes on without it."""


def tail(text, lines=3):
    """The last lines of what a program printed."""
    return " | ".join(text.decode(errors="replace").strip().splitlines()[-lines:])


def ssa_environment(threads, overrides):
    """ssa's threads, which hardly spin when they wait unless the caller's environment says so."""
    wanted = {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "20000")}
    return wanted | {"OMP_NUM_THREADS": str(threads)} | overrides


def torch_environment(threads, overrides):
    """PyTorch as it comes: its threads wait in their own default way."""
    return {"OMP_NUM_THREADS": str(threads)} | overrides


def with_settings(settings):
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    return inherited | settings


def describe_exit(code):
    return f"code {code}" if code >= 0 else signal.Signals(-code).name


def wait(process, timeout):
    """(exit code, most bytes resident) of a process; it is killed after timeout seconds."""
    timer = threading.Timer(timeout, process.kill)
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        raise
    finally:
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss * 1024


def run_ssa_bench(binary, arguments, settings, timeout):
    """Runs ssa-bench; (its JSON, the most memory it had resident). SideError if it fails."""
    with tempfile.TemporaryDirectory(prefix="ssa-compare-") as folder:
        output, log = f"{folder}/result.json", f"{folder}/log"
        with open(log, "wb") as stream:
            process = subprocess.Popen(
                [binary, *arguments, "--json", output],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=with_settings(settings),
            )
        started = time.monotonic()
        code, resident = wait(process, timeout)
        if code == -signal.SIGKILL and time.monotonic() - started >= timeout:
            raise SideError(f"ssa-bench {arguments[0]}: no result within {timeout:.0f} s")
        if code != 0:
            ended = describe_exit(code)
            printed = pathlib.Path(log).read_bytes()
            raise SideError(f"ssa-bench {arguments[0]} ended with {ended}: {tail(printed)}")
        return json.loads(pathlib.Path(output).read_text()), resident


class Worker:
    """A Python process that answers each line of JSON with one, and is warm between them. Its first
    answer comes unasked."""

    def __init__(self, command, settings, timeout=900):
        self.timeout, self.log = timeout, tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, env=with_settings(settings))
        self.pid = self.process.pid

    def answer(self):
        readable, _, _ = select.select([self.process.stdout], [], [], self.timeout)
        if not readable:
            raise SideError(f"no answer within {self.timeout:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            code = describe_exit(self.process.wait())
            self.log.seek(0)
            raise SideError(f"the PyTorch process ended with {code}: {tail(self.log.read())}")
        result = json.loads(line)
        if "error" in result:
            raise SideError(result["error"])
        return result

    def ask(self, request):
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # answer() says how it ended
        return self.answer()

    def close(self):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            stream.close()


class SsaSide:
    """ssa-bench step, one process a turn."""

    name, title, counts, pid = "ssa", "ssa", False, None

    def __init__(self, case, precision, options, folder):
        self.options = options
        self.config = case.config(precision)
        self.path = pathlib.Path(folder) / f"{case.name}-{precision}.yaml"
        self.path.write_text(self.config)
        self.settings = ssa_environment(options.threads, options.ssa_env)

    def start(self):
        return {"config": self.config, "environment": self.settings}

    def measure(self, steps):
        arguments = ["step", "--config", str(self.path), "--repeats", str(steps)]
        json_result, resident = run_ssa_bench(
            self.options.ssa_bench, arguments, self.settings, self.options.timeout
        )
        plans = [v for k, v in json_result["breakdown"].items() if k.startswith("plans")]
        result = dict(json_result)
        result["seconds"] = result.pop("step_seconds")
        result["plan_seconds"] = plans[0] if plans else 0.0
        result.setdefault("peak_resident_bytes", resident)
        return result

    def close(self):
        pass


class TorchSide:
    """pytorch_worker.py, started once; blocked in a read while others are measured."""

    def __init__(self, peer, case, precision, options):
        self.name, self.title, self.counts = peer.name, peer.title, peer.counts
        self.options = options
        self.job = {
            "shape": case.shape() | {"attention": peer.attention},
            "precision": precision,
            "threads": options.threads,
            "compile_mode": options.compile_mode if peer.compiled else None,
            "warmup": options.warmup,
        }
        self.settings = torch_environment(options.threads, options.torch_env)
        self.worker = None

    @property
    def pid(self):
        return self.worker.pid if self.worker else None

    def start(self):
        command = [self.options.python, str(HERE / "pytorch_worker.py"), json.dumps(self.job)]
        self.worker = Worker(command, self.settings, self.options.timeout)
        return self.worker.answer() | {"environment": self.settings}

    def measure(self, steps):
        return self.worker.ask({"steps": steps})

    def close(self):
        if self.worker:
            self.worker.close()
            self.worker = None
