"""Runs programs with their output in logs, for as long as their part may take."""

import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import time

from .machine import ROOT
from .outcome import Failed, Skipped, Stopped

# Programs whose speed does not matter. Each test page-locks a GiB.
AT_ONCE = min(12, max(4, (os.cpu_count() or 1) * 3 // 4))
UNLIMITED = 86400


class Runner:
    def __init__(self, options, machine):
        self.options = options
        self.machine = machine
        self.build_dir = pathlib.Path(options.build).resolve()
        self.logs = self.build_dir / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.give(UNLIMITED)

    def give(self, seconds):
        """The time of the part that runs next."""
        self.share = seconds
        self.deadline = time.monotonic() + seconds

    def left(self):
        return self.deadline - time.monotonic()

    def run(self, name, command, timeout, env=None, request=None):
        """Runs a command with its output in a log. Returns its exit code, or a reason why there is none
        (None: the part's time is over), and what it printed."""
        left = self.left()
        if left < 1:
            return None, ""
        log = self.logs / f"{name}.log"
        with log.open("w") as out:
            try:
                # A session of its own: what it has started ends with it, rather than hold the GPU.
                process = subprocess.Popen(
                    command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
                    stdin=subprocess.DEVNULL if request is None else subprocess.PIPE, text=True,
                    env={**os.environ, **(env or {})},
                )
            except OSError as error:
                return str(error), ""
            try:
                process.communicate(request, timeout=min(timeout, left))
                status = process.returncode
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                status = None if left <= timeout else f"none within {timeout:.0f} s"
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    status = "none, and it cannot be ended"
        return status, log.read_text(errors="replace")

    def check(self, name, status, text):
        """Raises what a status that is not 0 means; a failure shows the log's end."""
        if status is None:
            raise Stopped(f"before the end of {name}")
        if status != 0:
            end = "\n".join(text.splitlines()[-25:])[-3000:]
            raise Failed(f"{name}: exit code {status}; {self.logs / (name + '.log')}\n{end}")

    def must(self, name, command, timeout, env=None):
        status, text = self.run(name, command, timeout, env)
        self.check(name, status, text)

    def side_by_side(self, commands, timeout):
        """Runs commands, a few at a time; yields name, status and text of each as it ends."""
        pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        try:
            runs = {pool.submit(self.run, name, command, timeout): name
                    for name, command in commands.items()}
            for run in concurrent.futures.as_completed(runs):
                yield runs[run], *run.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def program_seconds(self):
        """The most that one of a bench's runs takes: one that hangs must not cost the others."""
        return min(300, max(30, self.share / 3))

    def bench(self, log, program, *arguments):
        """What a native bench prints: JSON objects, one a line; those before a failure too."""
        binary = self.build_dir / program
        if not binary.exists():
            raise Skipped(f"{binary} is not built")
        status, text = self.run(log, [str(binary), *arguments], self.program_seconds())
        yield from objects(text)
        self.check(log, status, text)


def objects(text):
    """The whole lines of JSON objects in a program's output; one that is broken fails behind them."""
    broken = None
    for line in text.splitlines():
        if not (line.startswith("{") and line.endswith("}")):
            continue
        try:
            yield json.loads(line)
        except ValueError as error:  # as where a number is not finite
            broken = broken or Failed(f"{error}: {line}")
    if broken:
        raise broken
