"""Parts that say whether kernels are right on this GPU."""

import json
import re
import shutil

from .build import list_tests
from .machine import ROOT, find_toolkit, output_of
from .outcome import Failed, Skipped, Stopped

# Small enough for a tool that runs kernels some hundred times slower; together they start every
# kernel of ops and decode.
SANITIZED = {
    "cuda_intrinsics_test": None,
    "cuda_row_ops_test": None,
    "cuda_sampling_test": None,
    "cuda_attention_test": "rows_that_share_keys_have_their_own_bits",
    "cuda_level_draft_test": None,
    "cuda_gemm_test": "many_rows",
    "cuda_bookkeeping_test": None,
    "cuda_verify_test": "the_same_in_every_schedule",
    "cuda_graph_test": None,
    "cuda_overlap_test": None,
    "cuda_engine_test": "sampling_equals_the_plain_loop",
    "cuda_persistent_test": "phases_are_counted",
    "cuda_draft_loop_test": None,
}


def judge(runner, counts, commands, timeout, verdict):
    """Runs programs side by side; verdict(status, text) says what became of one, and a remark. A
    failure is raised when all have run."""
    late, remarks = [], []
    for name, status, text in runner.side_by_side(commands, timeout):
        if status is None:
            late.append(name)
            continue
        state, remark = verdict(status, text)
        counts[state] += 1
        if remark:
            remarks.append(f"{name} {state}{remark}")
    if late:
        remarks.append(f"no time for {', '.join(sorted(late))}")
    text = "; ".join(sorted(remarks))
    if counts["failed"]:
        raise Failed(text)
    if late:
        raise Stopped(text)
    return text


def test_verdict(status, text):
    if status == 0:
        return "passed", ""
    end = "\n".join(text.splitlines()[-15:])[-1500:]
    return ("skipped" if status == 77 else "failed"), f": {status}\n{end}\n"


def run_tests(runner, counts, tests):
    counts.update(passed=0, failed=0, skipped=0)
    notes = [f"{name} skipped: {reason}" for name, reason in tests.items() if reason]
    counts["skipped"] = len(notes)
    commands = {name: [str(runner.build_dir / name)] for name, reason in tests.items() if not reason}
    # Until the part's end, several at once: of what time did not suffice for, nothing is known.
    text = judge(runner, counts, commands, min(300, runner.left()), test_verdict)
    if counts["passed"] == 0:
        raise Failed(f"no test passed: {text}")
    return "; ".join([*notes, text] if text else notes)


def conformance(runner, counts):
    return run_tests(runner, counts, list_tests(runner.build_dir))


def fragments(runner, counts):
    name = "cuda_intrinsics_test"
    return run_tests(runner, counts, {name: list_tests(runner.build_dir).get(name)})


def programs_named(text):
    """Of SANITIZED, by names that --programs separates by commas, as `engine` of `cuda_engine_test`."""
    names = [f"cuda_{name}_test" for name in text.split(",")]
    unknown = [name for name in names if name not in SANITIZED]
    if unknown:
        known = ", ".join(name[len("cuda_"):-len("_test")] for name in SANITIZED)
        raise ValueError(f"no {', '.join(unknown)}; there are {known}")
    return names


def sanitize(runner, counts, tool):
    sanitizer = find_toolkit("compute-sanitizer")
    if sanitizer is None:
        raise Skipped("compute-sanitizer is neither on the PATH nor in the toolkit")
    asked = runner.options.programs or list(SANITIZED)
    built = [name for name in asked if (runner.build_dir / name).exists()]
    if not built:
        raise Skipped(f"{runner.build_dir} holds no tests")
    counts.update(passed=0, failed=0, skipped=len(asked) - len(built))
    unwatched = []

    def verdict(status, text):
        summary = re.findall(r"=========.*SUMMARY.*", text)
        if not summary:
            reason = next((line for line in text.splitlines() if "=====" in line and
                           "COMPUTE-SANITIZER" not in line), f"exit code {status}")
            unwatched.append(reason.strip("= "))
            return "failed", f": no summary: {unwatched[-1]}"
        return ("failed" if status else "passed"), f": {summary[-1].strip('= ')}" if status else ""

    commands = {
        f"{tool}-{program}": [sanitizer, "--tool", tool, "--error-exitcode", "99",
                              str(runner.build_dir / program),
                              *([SANITIZED[program]] if SANITIZED[program] else [])]
        for program in built}
    try:
        return judge(runner, counts, commands, 600, verdict)
    except Failed:
        if len(unwatched) < len(built):
            raise
        # Without any summary the tool did not watch: a driver or a container that forbids it.
        counts.update(failed=0, skipped=len(asked))
        raise Skipped(f"{sanitizer} does not work here: {unwatched[0]}") from None


def memcheck(runner, counts):
    return sanitize(runner, counts, "memcheck")


def racecheck(runner, counts):
    return sanitize(runner, counts, "racecheck")


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
    # Where node-gyp-build looks.
    addon = ROOT / "build" / "Release" / "speccascade.node"
    if not addon.exists() and not (ROOT / "prebuilds").is_dir():
        raise Skipped(f"{addon} is not there: run npm run build:native with nvcc on the PATH")
    return node, version, folder


def node(runner, counts):
    node, version, tsx = find_node(runner, "tsx")
    status, text = runner.run("vectors", [
        node, str(tsx / "dist" / "cli.mjs"), "scripts/vectors.ts",
        "test/vectors/rules.json.gz", "--device", "cuda",
    ], 600)
    runner.check("vectors", status, text)
    # Per kind: those that passed, of all.
    kinds = [(int(passed), int(of)) for passed, of in re.findall(r"\s(\d+)/(\d+)\s", text)]
    skipped = sum(int(count) for count in re.findall(r"(\d+) skipped: ", text))
    counts.update(passed=sum(passed for passed, _ in kinds), failed=0, skipped=skipped)
    if not kinds and skipped:
        raise Skipped(f"Node {version}: {text.splitlines()[0]}")
    if counts["passed"] == 0:
        raise Failed(f"Node {version}: no vector passed\n{text[-2000:]}")
    return f"Node {version}: vectors on cuda"


def sessions(runner, counts):
    """The tests of models and sessions that npm test runs over the emulated device."""
    node, version, vitest = find_node(runner, "vitest")
    report = runner.logs / "sessions.json"
    report.unlink(missing_ok=True)
    status, text = runner.run("sessions", [
        node, str(vitest / "vitest.mjs"), "run", "--config", "test/device/vitest.config.ts",
        "--reporter=default", "--reporter=json", f"--outputFile={report}",
    ], 600, {"SPECCASCADE_REAL_DEVICE": "1"})
    if not report.exists():
        runner.check("sessions", status, text)
        raise Failed(f"vitest: exit code {status}\n{text[-2000:]}")
    result = json.loads(report.read_text())
    counts.update(passed=result["numPassedTests"], failed=result["numFailedTests"],
                  skipped=result["numPendingTests"])
    if status != 0 or counts["passed"] == 0:
        raise Failed(f"vitest: exit code {status}, {counts}\n{text[-4000:]}")
    return f"Node {version}: sessions on cuda"
