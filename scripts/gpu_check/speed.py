"""Parts that measure this GPU and what kernels make of it."""

import importlib.util
import pathlib

from .outcome import Failed, Skipped, Stopped


def measure_ceilings(runner, numbers):
    """Fills in what the GPU itself gives, line by line."""
    for line in runner.bench("ceilings", "cuda_ceilings"):
        numbers.update(line)


def ceilings(runner, counts):
    measure_ceilings(runner, counts)
    return ", ".join(f"{name} {value}" for name, value in counts.items())


def ceilings_beside(runner, counts, needed="copyGBps"):
    """Measured with a part's rows: a ceiling of another hour says little. Of what fails, only one
    bandwidth is needed."""
    limits = counts["ceilings"] = {}
    try:
        measure_ceilings(runner, limits)
    except Failed:
        if needed not in limits:
            raise
    return limits


def take_rows(runner, counts, runs, finish):
    """The rows of several runs of a bench (a log's name, the program, its arguments), each put beside
    its ceilings. A run that fails does not cost the others; with no time left the first end."""
    rows = counts["rows"] = []
    problems = []
    if not runs:
        raise Skipped("of the shapes asked for it measures none")
    for run in runs:
        try:
            for row in runner.bench(*run):
                finish(row)
                rows.append(row)
        except Failed as reason:
            problems.append(str(reason))
        except Stopped as reason:
            if not problems:
                raise
            problems.append(f"stopped {reason}")
            break
    if problems:
        raise Failed("\n".join(problems))
    return rows


# Decoder steps: what of their time something is asked of comes first.
PASSES = (
    *((shape, "bf16", "kernels", "yes") for shape in ("xl", "xxl", "large")),
    *((shape, "int8", "kernels", "yes") for shape in ("xl", "xxl", "large")),
    *((shape, "bf16", "kernels", "yes") for shape in ("small", "base")),
    *((shape, "bf16", "persistent", "yes") for shape in ("small", "xl")),
    ("xl", "bf16", "kernels", "no"),
)


def passes(runner, counts):
    """Decoder steps at batch 1: the share of the measured copy bandwidth that they reach."""
    limits = ceilings_beside(runner, counts)

    def finish(row):
        one, eight = row["passes"]
        least = one["bytes"] / limits["copyGBps"] / 1e6
        row["shareOfCopyBandwidth"] = round(least / one["medianMs"], 3)
        row["eightOverOne"] = round(eight["medianMs"] / one["medianMs"], 3)

    rows = take_rows(runner, counts, [
        (f"passes-{shape}-{dtype}-{executor}-{overlap}", "gpu_passes", shape,
         "--dtype", dtype, "--executor", executor, "--overlap", overlap)
        for shape, dtype, executor, overlap in PASSES
        if shape in (runner.options.shape or [shape])], finish)
    return ", ".join(
        f"{row['shape']} {row['dtype']} {row['executor']} {row['shareOfCopyBandwidth']:.0%}"
        for row in rows)


# Passes of a batch over long inputs, where rows of a sequence share what attention reads.
BATCHES = (("large", 64, 5, 512), ("large", 64, 5, 64), ("xl", 32, 9, 512))


def batch(runner, counts):
    """Verification of a batch's drafts beside a step without drafts."""
    limits = ceilings_beside(runner, counts)

    def finish(row):
        one, many = row["passes"]
        row["manyOverOne"] = round(many["medianMs"] / one["medianMs"], 3)
        least = many["bytes"] / limits["copyGBps"] / 1e6
        row["shareOfCopyBandwidth"] = round(least / many["medianMs"], 3)

    rows = take_rows(runner, counts, [
        (f"batch-{shape}-{sequences}-{positions}-{source}", "gpu_passes", shape,
         "--sequences", str(sequences), "--positions", str(positions), "--source", str(source))
        for shape, sequences, positions, source in BATCHES
        if shape in (runner.options.shape or [shape])], finish)
    return ", ".join(
        f"{row['shape']} {row['sequences']} x {row['passes'][1]['rows']} over {row['source']}: "
        f"{row['manyOverOne']:.2f}" for row in rows)


def verification(runner, counts):
    """Fused verification, beside reading its inputs at the measured read bandwidth."""
    limits = ceilings_beside(runner, counts, "readGBps")

    def finish(row):
        row["overRead"] = round(row["medianUs"] / (row["bytes"] / limits["readGBps"] / 1e3), 2)

    rows = take_rows(runner, counts, [("verification", "gpu_verify")], finish)
    return ", ".join(f"{row['case']} {row['medianUs']:.1f} us" for row in rows)


def put_beside_least(row, phases, limits):
    """A drafted token beside its bytes and the barriers between `phases` of one kernel."""
    # Rows, distributions and levels of a round meet at barriers of their own.
    least = (row["draftedBytes"] / limits["copyGBps"] / 1e6
             + (phases + 3) * limits["gridBarrierMicroseconds"] / 1e3)
    row["draftedOverLeast"] = round(row["draftedTokenMs"] / least, 2)


def speculation(runner, counts):
    """Decoding from end to end, and what a drafted token costs."""
    limits = ceilings_beside(runner, counts)

    def finish(row):
        row["shareOfPrediction"] = round(row["speedup"] / row["predicted"], 3)
        # The drafter is the same in every row, but a persistent kernel alone has phases: it comes last,
        # and the rows of kernels before it stand beside its barriers.
        if row["phases"] > 0 and "gridBarrierMicroseconds" in limits:
            for one in [*counts["rows"], row]:
                put_beside_least(one, row["phases"], limits)

    targets = runner.options.shape or ["xxl", "xl", "large"]
    runs = [(target, "kernels") for target in targets]
    runs.append(("large" if "large" in targets else targets[-1], "persistent"))
    rows = take_rows(runner, counts, [
        (f"speculation-{target}-{executor}", "gpu_speculation", target, "small", "--executor", executor)
        for target, executor in runs], finish)
    return ", ".join(f"{row['target']} {row['executor']} {row['speedup']:.2f} x" for row in rows)


def find_cublaslt():
    """The library in Python's packages, where toolkits from wheels keep it; else what linkers find."""
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        found = sorted(pathlib.Path(folder).glob("*/lib/libcublasLt.so.*"))
        if found:
            return ["--cublaslt", str(found[-1])]
    return []


def encoder(runner, counts):
    """The encoder's products beside cuBLASLt's."""
    def finish(row):
        row["teraflops"] = round(row["flops"] / row["ms"] / 1e9, 1)
        if row["cublasLtMs"] is not None:
            row["shareOfCublasLt"] = round(row["cublasLtMs"] / row["ms"], 3)

    rows = take_rows(runner, counts, [
        (f"encoder-{shape}", "gpu_encoder", shape, *find_cublaslt())
        for shape in runner.options.shape or ["large", "xl", "xxl"]], finish)
    detail = ", ".join(
        f"{row['shape']} {row['teraflops']} TFLOP/s, {row.get('shareOfCublasLt', 'no share')}"
        for row in rows)
    return f"{detail}; {rows[0]['note']}"
