"""Runs programs with their output in logs."""

import json
import os
import pathlib
import subprocess
import xml.etree.ElementTree

from .machine import ROOT
from .outcome import Failed, Skipped


class Runner:
    def __init__(self, options, machine):
        self.options = options
        self.machine = machine
        self.build_dir = pathlib.Path(options.build).resolve()
        self.logs = self.build_dir / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)

    def run(self, name, command, timeout, env=None):
        """Runs a command with its output in a log, the end of which a failure shows."""
        log = self.logs / f"{name}.log"
        with log.open("w") as out:
            try:
                done = subprocess.run(
                    command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, timeout=timeout,
                    check=False, env={**os.environ, **(env or {})},
                )
                status = done.returncode
            except subprocess.TimeoutExpired:
                status = f"none within {timeout} s"
        text = log.read_text(errors="replace")
        return status, text

    def must(self, name, command, timeout, env=None):
        status, text = self.run(name, command, timeout, env)
        if status != 0:
            end = "\n".join(text.splitlines()[-25:])
            raise Failed(f"{command[0]}: exit code {status}; {self.logs / (name + '.log')}\n{end}")
        return text

    def ctest(self, name, selection):
        if not (self.build_dir / "CTestTestfile.cmake").exists():
            raise Skipped(f"{self.build_dir} holds no build")
        report = self.logs / f"{name}.xml"
        report.unlink(missing_ok=True)
        status, text = self.run(name, [
            "ctest", "--test-dir", str(self.build_dir), "--output-on-failure",
            "--no-tests=error", "--output-junit", str(report), *selection,
        ], 3000)
        if not report.exists():
            raise Failed(f"ctest: exit code {status}\n{text[-2000:]}")
        counts = {"passed": 0, "failed": 0, "skipped": 0}
        states = {"run": "passed", "fail": "failed", "notrun": "skipped", "disabled": "skipped"}
        notes = []
        for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
            state = states.get(case.get("status"), "failed")
            counts[state] += 1
            if state != "passed":
                notes.append(f"{case.get('name')} {state}")
        if status != 0 or counts["failed"]:
            raise Failed(f"exit code {status}; {'; '.join(notes)}\n{text[-4000:]}")
        if counts["passed"] == 0:
            raise Failed(f"no test passed: {'; '.join(notes)}")
        return "; ".join(notes), counts

    def bench(self, log, program, *arguments):
        """What a native bench prints: a list of JSON objects, one a line."""
        binary = self.build_dir / program
        if not binary.exists():
            raise Skipped(f"{binary} is not built")
        text = self.must(log, [str(binary), *arguments], 300)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
