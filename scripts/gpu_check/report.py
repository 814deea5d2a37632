"""What came out, as JSON and as Markdown."""

import dataclasses
import json
import pathlib
import re

from .outcome import Missing, Part

# Shares of the copy bandwidth that a step over one position is asked to reach.
ASKED_SHARES = {"large": "60%", "xl": "75%, 85%", "xxl": "85%"}


def least_below(rows, median, least):
    """How far the fastest of what a row is the median of lies below it, in the row where it is most."""
    shares = [1 - row[least] / row[median] for row in rows if least in row]
    return f" Least times are up to {max(shares):.1%} below these medians." if shares else ""


def table_of_passes(counts):
    lines = [
        "", "## Decoder steps at batch 1", "",
        f"Copies on the device reach {counts['ceilings']['copyGBps']} GB/s, read and written. Passes "
        "over 1 and over 8 positions have plans of their own: ms and shares are of the plan of 1, and "
        "the last column divides the time of the plan of 8 by it. Asked of that: at most 1.10 for xl and "
        "xxl. Kernels start while the one before ends, but where they run one by one."
        + least_below([one for row in counts["rows"] for one in row["passes"]], "medianMs", "minMs"), "",
        "| shape | weights | run by | phases a layer | GB a step reads | ms, plan of 1 "
        "| share of copies | asked | plan of 8 / plan of 1 |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in counts["rows"]:
        one = row["passes"][0]
        asked = ASKED_SHARES.get(row["shape"], "") if row["dtype"] == "bf16" else ""
        # Those of embedding and head are fewer than there are layers.
        phases = row["phases"] // row["layers"] or ""
        how = "one kernel" if row["phases"] else "kernels"
        if not row["phases"] and not row["overlap"]:
            how = "kernels one by one"
        lines.append(
            f"| {row['shape']} | {row['dtype']} | {how} | {phases} | {one['bytes'] / 1e9:.3f} | {one['medianMs']:.3f} "
            f"| {row['shareOfCopyBandwidth']:.0%} | {asked} | {row['eightOverOne']:.2f} |")
    return lines


def table_of_batch(counts):
    lines = [
        "", "## Passes of a batch", "",
        "In bf16, planned for all positions; ms of the target's pass alone. The share is that of "
        f"copies ({counts['ceilings']['copyGBps']} GB/s) at which the pass over all positions reads "
        "weights and each sequence's keys and values once."
        + least_below([one for row in counts["rows"] for one in row["passes"]], "medianMs", "minMs"), "",
        "| shape | sequences | input tokens | positions | ms, 1 position each | ms, all | all / 1 | share |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in counts["rows"]:
        one, many = row["passes"]
        lines.append(
            f"| {row['shape']} | {row['sequences']} | {row['source']} | {many['rows']} | {one['medianMs']:.3f} "
            f"| {many['medianMs']:.3f} | {row['manyOverOne']:.2f} | {row['shareOfCopyBandwidth']:.0%} |")
    return lines


def table_of_verification(counts):
    first = counts["rows"][0]
    lines = [
        "", "## Fused verification", "",
        f"{first['sequences']} sequences, chains of {first['gamma']}, vocabulary "
        f"{first['vocabulary']}, logits in {first['logits']}, all drafts accepted. At temperature 1, "
        "with the sums that the output head leaves, but for cases that name another. Beside one read of "
        f"both inputs, the target's logits and the drafter's rows: {first['bytes'] / 1e6:.1f} MB at "
        f"{counts['ceilings']['readGBps']} GB/s, measured by a kernel that reads alone. Asked: lossless "
        "at most 25 us, rules 2.5 reads, with top-p 5."
        + least_below(counts["rows"], "medianUs", "minUs"), "",
        "| case | us | us / one measured read of both inputs |", "| --- | ---: | ---: |",
    ]
    for row in counts["rows"]:
        times = f"{row['medianUs']:.1f} | {row['overRead']:.2f}"
        if "problem" in row:
            times = f"failed: {row['problem']} |"
        lines.append(f"| {row['case']} | {times} |")
    return lines


def table_of_speculation(counts):
    first = counts["rows"][0]
    lines = [
        "", "## Speculative decoding, batch 1", "",
        f"Random weights in {first['dtype']}, chains of {first['gamma']}: the target's pass is over "
        f"{first['gamma'] + 1} positions. A temperature that makes distributions all but uniform. "
        "Speed-up: over the target alone, by the wall clock; predicted from the steps' times on the "
        "device. Asked: 90% of that for xxl; a drafted token at most 1.5 times its bytes and barriers. "
        "These are the drafter's bytes at the copy bandwidth, and the barriers between the phases of its "
        "persistent kernel, beside which drafts by kernels stand too. Three runs, medians."
        + least_below(counts["rows"], "tokenMs", "leastTokenMs"), "",
        f"| target | drafter | drafts by | accepted | tokens a step of {first['gamma'] + 1} positions "
        "| speed-up | predicted | speed-up / predicted | drafted token, us "
        "| drafted token / bytes and barriers of one kernel |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in counts["rows"]:
        how = "one kernel" if row["phases"] else "kernels"
        lines.append(
            f"| {row['target']} | {row['drafter']} | {how} | {row['accepted']:.3f} "
            f"| {row['tokensPerStep']:.2f} | {row['speedup']:.2f} | {row['predicted']:.2f} "
            f"| {row['shareOfPrediction']:.0%} | {1000 * row['draftedTokenMs']:.1f} "
            f"| {row.get('draftedOverLeast', '')} |")
    return lines


def table_of_encoder(counts):
    first = counts["rows"][0]
    lines = [
        "", "## Products of an encoder layer", "",
        f"{first['rows']} rows, bfloat16, {first['note']}. Ours with the rounding of inputs, gates and "
        "the residual, cuBLASLt's alone. Asked: 60% of cuBLASLt."
        + least_below(counts["rows"], "ms", "leastMs"), "",
        "| shape | ms | TFLOP/s | cuBLASLt, ms | share | attention of a layer, ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in counts["rows"]:
        other = row["cublasLtMs"]
        theirs = f"{other:.3f} | {row['shareOfCublasLt']:.0%}" if other is not None else " | "
        lines.append(f"| {row['shape']} | {row['ms']:.3f} | {row['teraflops']:.0f} | {theirs} "
                     f"| {row['attentionMs']:.3f} |")
    return lines


def rate(value, range_of_it):
    return f"{value:.0f} ({range_of_it[0]:.0f}-{range_of_it[1]:.0f})"


def table_of_transformers(counts):
    lines = [
        "", "## Beside transformers", "",
        f"{counts['versions']}, the fastest of its caches; the same files, bfloat16, greedy, tokens a "
        "second by the wall clock, medians (slowest-fastest of three). base, large and xl: the bundled "
        "`large`, widened. Asked: 3 times one by one, 5 times in batches of 64.", "",
        "| pair | batch | transformers | tokens/s | speccascade | tokens/s | times | equal outputs |",
        "| --- | ---: | --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for row in counts["rows"]:
        theirs, ratio = "not measured | ", " | "
        if "ratio" in row:
            theirs = f"{row['theirHow']} | {rate(row['theirTokensPerSecond'], row['theirRange'])}"
            ratio = f"{row['ratio']:.2f} | {row['equal']} of {row['inputs']}"
        lines.append(f"| {row['pair']} | {row['batch']} | {theirs} | {row['how']} "
                     f"| {rate(row['tokensPerSecond'], row['range'])} | {ratio} |")
    return lines + ["", *(f"- {note}" for note in counts["notes"])]


def table_of_trained(counts):
    lines = [
        "", "## A larger target, the bundled models drafting", "",
        f"The target: {counts['target']}. {counts['captions']} captions one by one, bfloat16, greedy.", "",
        "| method | tokens/s | times | tokens a call | accepted | deferred | BLEU |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    return lines + [
        f"| {row['method']} | {rate(row['tokensPerSecond'], row['range'])} | {row['speedup']:.2f} "
        f"| {row['tokensPerCall']:.2f} | {row['acceptance']:.3f} | {row['deferral']:.3f} "
        f"| {row['bleu'] if row['bleu'] is not None else ''} |" for row in counts["rows"]]


TABLES = {"passes": table_of_passes, "batch": table_of_batch, "verification": table_of_verification,
          "encoder": table_of_encoder, "speculation": table_of_speculation,
          "trained": table_of_trained, "transformers": table_of_transformers}


def markdown(machine, parts):
    gpu = machine["gpu"]
    lines = [
        f"# {gpu['name']}, {machine['date']}", "",
        f"Compute capability {gpu['computeCapability']}, {gpu['memory']}, driver {gpu['driver']}, "
        f"CUDA {machine['toolkit']}, {machine['cores']} cores ({machine['processor']}), "
        f"commit {machine['commit']}. By `scripts/gpu-check`.", "",
        "| part | state | passed | failed | skipped | seconds | remarks |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for part in parts:
        counts = [str(part.counts.get(key, "")) for key in ("passed", "failed", "skipped")]
        remark = part.detail.splitlines()[0].replace("|", "/") if part.detail else ""
        cells = [part.name, part.state, *counts, str(part.seconds), remark]
        lines.append(f"| {' | '.join(cells)} |")
    for part in parts:
        if part.name in TABLES and part.counts.get("rows"):
            try:
                lines += TABLES[part.name](part.counts)
            # The other parts are still to run.
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                lines += ["", f"{part.name}: no table: {error!r}"]
    return "\n".join(lines) + "\n"


# Results that agree in these may stand in one table.
SAME = ("gpu", "processor", "cores", "toolkit", "commit")


def read_result(path):
    """What an earlier command wrote; throws Missing."""
    try:
        result = json.loads(pathlib.Path(path).read_text())
        return result["machine"], [Part(**part) for part in result["parts"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Missing(f"  missing: results in {path}: {error!r}") from None


def differs_in(machine, other):
    return [key for key in SAME if machine.get(key) != other.get(key)]


def unmerged(options, machine):
    """Why --merge brings nothing, or None."""
    other = read_result(options.merge)[0] if options.merge else machine
    keys = differs_in(machine, other)
    return f"not merged: {options.merge} differs in {', '.join(keys)}" if keys else None


def found(part):
    """How much a part measured."""
    counts = part.counts
    return len(counts.get("rows", ())) + counts.get("passed", 0) + counts.get("failed", 0)


def merge(earlier, parts):
    """What was cut short does not replace what an earlier command found more in."""
    merged = {part.name: part for part in earlier}
    merged.update((part.name, part) for part in parts
                  if part.name not in merged or part.state not in ("skipped", "stopped")
                  or found(part) > found(merged[part.name]))
    return list(merged.values())


def file_of(folder, machine):
    """Where results go: a path without its ending, and the parts that are there already. What another
    commit or machine of the same name wrote on that day stays, and this one's name has a number."""
    slug = re.sub(r"[^a-z0-9]+", "-", machine["gpu"]["name"].lower()).strip("-")
    name = f"gpu-{slug}-{machine['date']}"
    for number in range(2, 1000):
        path = folder / f"{name}.json"
        try:
            other, parts = read_result(path)
        except Missing:
            if not path.exists():
                return folder / name, []
        else:
            if not differs_in(machine, other):
                return folder / name, parts
        name = f"gpu-{slug}-{machine['date']}-{number}"
    raise Missing(f"  missing: a free name in {folder}")


def write(options, machine, parts):
    """Adds the parts to those that earlier commands wrote, in the same place or in --merge."""
    folder = pathlib.Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    path, there = file_of(folder, machine)
    if options.merge and not unmerged(options, machine):
        there = merge(read_result(options.merge)[1], there)
    parts = merge(there, parts)
    public = {key: value for key, value in machine.items() if key != "nvcc"}
    result = {"machine": public, "parts": [dataclasses.asdict(part) for part in parts]}
    (folder / f"{path.name}.json").write_text(json.dumps(result, indent=2) + "\n")
    (folder / f"{path.name}.md").write_text(markdown(machine, parts))
    return folder / f"{path.name}.md"
