"""Parts that measure this GPU and what kernels make of it."""

import importlib.util
import pathlib


def ceilings(runner):
    numbers = runner.bench("ceilings", "cuda_ceilings")[-1]
    return ", ".join(f"{name} {value}" for name, value in numbers.items()), numbers


def passes(runner):
    """Decoder steps at batch 1: the share of the measured copy bandwidth that they reach."""
    shapes = runner.options.shape or ["small", "base", "large", "xl", "xxl"]
    rows = []
    ways = (("bf16", "kernels", "yes"), ("bf16", "kernels", "no"), ("bf16", "persistent", "yes"),
            ("int8", "by-shape", "yes"))
    for dtype, executor, overlap in ways:
        for shape in shapes:
            rows += runner.bench(f"passes-{shape}-{dtype}-{executor}-{overlap}", "gpu_passes", shape,
                                 "--dtype", dtype, "--executor", executor, "--overlap", overlap)
    # Beside each other in time: a ceiling of another hour says little.
    _, limits = ceilings(runner)
    for row in rows:
        one, eight = row["passes"]
        least = one["bytes"] / limits["copyGBps"] / 1e6
        row["shareOfCopyBandwidth"] = round(least / one["medianMs"], 3)
        row["eightOverOne"] = round(eight["medianMs"] / one["medianMs"], 3)
    detail = ", ".join(
        f"{row['shape']} {row['dtype']} {row['executor']} {row['shareOfCopyBandwidth']:.0%}"
        for row in rows)
    return detail, {"ceilings": limits, "steps": rows}


def verification(runner):
    """Fused verification, beside reading its inputs at the measured copy bandwidth."""
    rows = runner.bench("verification", "gpu_verify")
    _, limits = ceilings(runner)
    for row in rows:
        row["overRead"] = round(row["medianUs"] / (row["bytes"] / limits["copyGBps"] / 1e3), 2)
    detail = ", ".join(f"{row['case']} {row['medianUs']:.1f} us" for row in rows)
    return detail, {"ceilings": limits, "cases": rows}


def speculation(runner):
    """Decoding from end to end, and what a drafted token costs."""
    targets = runner.options.shape or ["large", "xl", "xxl"]
    rows = []
    for target in targets:
        for executor in ("kernels", "by-shape"):
            rows += runner.bench(f"speculation-{target}-{executor}", "gpu_speculation", target,
                               "small", "--executor", executor)
    _, limits = ceilings(runner)
    for row in rows:
        row["shareOfPrediction"] = round(row["speedup"] / row["predicted"], 3)
        if row["phases"] > 0:
            # Rows, distributions and levels of a round meet at barriers of their own.
            least = (row["draftedBytes"] / limits["copyGBps"] / 1e6
                     + (row["phases"] + 3) * limits["gridBarrierMicroseconds"] / 1e3)
            row["draftedOverLeast"] = round(row["draftedTokenMs"] / least, 2)
    detail = ", ".join(f"{row['target']} {row['executor']} {row['speedup']:.2f} x" for row in rows)
    return detail, {"ceilings": limits, "runs": rows}


def find_cublaslt():
    """The library in Python's packages, where toolkits from wheels keep it; else what linkers find."""
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        found = sorted(pathlib.Path(folder).glob("*/lib/libcublasLt.so.*"))
        if found:
            return ["--cublaslt", str(found[-1])]
    return []


def encoder(runner):
    """The encoder's products beside cuBLASLt's."""
    shapes = runner.options.shape or ["large", "xl", "xxl"]
    rows = []
    for shape in shapes:
        rows += runner.bench(f"encoder-{shape}", "gpu_encoder", shape, *find_cublaslt())
    for row in rows:
        row["teraflops"] = round(row["flops"] / row["ms"] / 1e9, 1)
        if row["cublasLtMs"] is not None:
            row["shareOfCublasLt"] = round(row["cublasLtMs"] / row["ms"], 3)
    detail = ", ".join(
        f"{row['shape']} {row['teraflops']} TFLOP/s, {row.get('shareOfCublasLt', 'no share')}"
        for row in rows)
    return f"{detail}; {rows[0]['note']}", {"shapes": rows}
