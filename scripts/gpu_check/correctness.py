"""Parts that say whether kernels are right on this GPU."""

import json
import re
import shutil

from .machine import ROOT, find_toolkit, output_of
from .outcome import Failed, Skipped

# Small enough for a tool that runs kernels some hundred times slower; together they start every
# kernel of ops and decode.
SANITIZED = {
    "cuda_intrinsics_test": None,
    "cuda_row_ops_test": None,
    "cuda_sampling_test": None,
    "cuda_level_draft_test": None,
    "cuda_gemm_test": "many_rows",
    "cuda_bookkeeping_test": None,
    "cuda_graph_test": None,
    "cuda_overlap_test": None,
    "cuda_engine_test": "sampling_equals_the_plain_loop",
    "cuda_persistent_test": "phases_are_counted",
    "cuda_draft_loop_test": None,
}


def build(runner):
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    architecture = runner.machine["gpu"]["computeCapability"].replace(".", "")
    if architecture == "90":
        architecture = "90a"
    runner.must("configure", [
        "cmake", "-S", str(ROOT), "-B", str(runner.build_dir), *generator,
        "-DCMAKE_BUILD_TYPE=Release", "-DSPECCASCADE_CUDA=ON", "-DSPECCASCADE_TESTS=ON",
        "-DSPECCASCADE_DEVICE_TESTS=ON", "-DSPECCASCADE_BENCH=ON", f"-DCMAKE_CUDA_COMPILER={runner.machine['nvcc']}",
        f"-DCMAKE_CUDA_ARCHITECTURES={architecture}-real",
    ], 300)
    jobs = str(runner.options.jobs)
    runner.must("build", ["cmake", "--build", str(runner.build_dir), "-j", jobs], 3000)
    return f"sm_{architecture}", {}


def conformance(runner):
    return runner.ctest("conformance", ["-R", "^cuda_"])


def fragments(runner):
    return runner.ctest("fragments", ["-R", "^cuda_intrinsics_test$"])


def sanitize(runner, tool, extra=()):
    sanitizer = find_toolkit("compute-sanitizer")
    if sanitizer is None:
        raise Skipped("compute-sanitizer is neither on the PATH nor in the toolkit")
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    problems = []
    for program, case in SANITIZED.items():
        binary = runner.build_dir / program
        if not binary.exists():
            problems.append(f"{program} is not built")
            continue
        status, text = runner.run(f"{tool}-{program}", [
            sanitizer, "--tool", tool, "--error-exitcode", "99", *extra, str(binary),
            *([case] if case else []),
        ], 600)
        # Without a summary the tool did not watch: a driver or a container that forbids it.
        summary = re.findall(r"=========.*SUMMARY.*", text)
        if not summary:
            reason = next((line for line in text.splitlines() if "=====" in line and
                           "COMPUTE-SANITIZER" not in line), f"exit code {status}")
            raise Skipped(f"{sanitizer} does not work here: {reason.strip('= ')}")
        counts["passed" if status == 0 else "failed"] += 1
        if status != 0:
            problems.append(f"{program}: exit code {status}, {summary[-1].strip('= ')}")
    if problems:
        raise Failed("\n".join(problems))
    return "", counts


def memcheck(runner):
    return sanitize(runner, "memcheck")


def racecheck(runner):
    return sanitize(runner, "racecheck")


def find_node(runner, package):
    """A Node, its version, and a package's folder; the addon is built."""
    node = runner.options.node or shutil.which("node")
    if not node:
        raise Skipped("no Node: give --node PATH")
    version = output_of([node, "--version"])
    if version is None:
        raise Failed(f"{node} --version does not work")
    folder = ROOT / "node_modules" / package
    if not folder.is_dir():
        raise Skipped("node_modules is not there: run npm ci")
    addon = ROOT / "build-cmake" / "Release" / "speccascade.node"
    if not addon.exists():
        raise Skipped(f"{addon} is not there: run npm run build:native with nvcc on the PATH")
    return node, version, folder


def node(runner):
    node, version, tsx = find_node(runner, "tsx")
    runner.must("vectors", [
        node, str(tsx / "dist" / "cli.mjs"), "scripts/vectors.ts",
        "test/vectors/rules.json", "--device", "cuda",
    ], 600)
    return f"Node {version}: vectors on cuda", {"passed": 1, "failed": 0, "skipped": 0}


def sessions(runner):
    """The tests of models and sessions that npm test runs over the emulated device."""
    node, version, vitest = find_node(runner, "vitest")
    report = runner.logs / "sessions.json"
    report.unlink(missing_ok=True)
    status, text = runner.run("sessions", [
        node, str(vitest / "vitest.mjs"), "run", "--config", "vitest.device.config.ts",
        "--reporter=default", "--reporter=json", f"--outputFile={report}",
    ], 600, {"SPECCASCADE_REAL_DEVICE": "1"})
    if not report.exists():
        raise Failed(f"vitest: exit code {status}\n{text[-2000:]}")
    result = json.loads(report.read_text())
    counts = {"passed": result["numPassedTests"], "failed": result["numFailedTests"],
              "skipped": result["numPendingTests"]}
    if status != 0 or counts["passed"] == 0:
        raise Failed(f"vitest: exit code {status}, {counts}\n{text[-4000:]}")
    return f"Node {version}: sessions on cuda", counts
