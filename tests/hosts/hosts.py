"""Hosts on one machine: network namespaces with names and addresses of their own, connected by
switch.py. They share files."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

SWITCH = Path(__file__).with_name("switch.py")


def why_no_hosts():
    """Why this machine lets us make no hosts; empty if it does."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "nsenter", "unshare"):
        if shutil.which(tool) is None:
            return f"there is no program {tool}"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    name = f"ssa{os.getpid()}probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode != 0:
        return f"network namespaces are not allowed here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    inside = ["unshare", "--uts", "--ipc", "true"]
    if subprocess.run(inside, capture_output=True).returncode != 0:
        return "hosts cannot have names of their own here (unshare --uts)"
    return ""


class Hosts:
    """So many hosts at 10.77.0.1 and on, named host0, host1 and so on, until the end of `with`."""

    def __init__(self, count, delay_ms=0, loss=0):
        self.namespaces = [f"ssa{os.getpid()}h{i}" for i in range(count)]
        self.delay_ms, self.loss = delay_ms, loss
        self.switch = None

    def __enter__(self):
        for namespace in self.namespaces:
            subprocess.run(["ip", "netns", "add", namespace], check=True)
        try:
            self.connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def connect(self):
        self.switch = subprocess.Popen(
            [sys.executable, SWITCH, "--delay-ms", str(self.delay_ms), "--loss", str(self.loss),
             *self.namespaces], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.switch.stdout.readline() != "ready\n":
            raise RuntimeError("the switch did not start")
        for i, namespace in enumerate(self.namespaces):
            def ip(*words):
                subprocess.run(["ip", "-n", namespace, *words], check=True)
            ip("link", "set", "lo", "up")
            ip("address", "add", f"{self.address(i)}/24", "dev", "eth0")
            ip("link", "set", "eth0", "up")

    def __exit__(self, *_):
        for host in range(len(self.namespaces)):
            self.kill_processes(host)
        if self.switch:
            self.switch.stdin.close()
            self.switch.wait()
        for namespace in self.namespaces:
            subprocess.run(["ip", "netns", "del", namespace], check=True)

    @staticmethod
    def address(host):
        return f"10.77.0.{host + 1}"

    def command_on(self, host, command):
        """What runs a command on a host."""
        name = 'echo "$0" > /proc/sys/kernel/hostname && exec "$@"'
        return ["nsenter", f"--net=/run/netns/{self.namespaces[host]}", "unshare", "--uts", "--ipc",
                "sh", "-c", name, f"host{host}", *command]

    # ---- accidents ------------------------------------------------------------------------------

    def unplug(self, host):
        """No frame leaves or reaches the host from now on; its card does not notice."""
        print("unplug", self.namespaces[host], file=self.switch.stdin, flush=True)

    def take_link_down(self, host):
        """The host's own card goes down: what it sends fails at once."""
        subprocess.run(["ip", "-n", self.namespaces[host], "link", "set", "eth0", "down"],
                       check=True)

    def vanish(self, host):
        """The host is gone, as after a power failure: the others never get another frame of it."""
        self.unplug(host)
        self.kill_processes(host)

    def kill_processes(self, host):
        listed = subprocess.run(["ip", "netns", "pids", self.namespaces[host]],
                                capture_output=True, text=True).stdout
        for process in map(int, listed.split()):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
