"""Parts that decode with trained checkpoints: beside transformers on the same GPU, and one method
beside another."""

import gzip
import importlib
import json
import sys

from .machine import ROOT
from .outcome import Failed, Skipped, Stopped
from .plan import write_plan
from .runner import objects
from .widen import SHAPES, widen

MODELS = ROOT / "models"
TORCH_SIDE = ROOT / "scripts" / "bench" / "torch_gpu.py"
PREFIX = "translate English to German: "
# Inputs that are decoded one by one; all 64 are in a batch.
ONE_BY_ONE = 4
MAX_NEW = 128
# Of the time, what the bundled pair is left: it comes last and takes little.
BUNDLED_SECONDS = 45
CHAIN = ("--method", "chain", "--widths", "1,1,1,1")


def require_modules(*names):
    """Skips a part whose modules this Python lacks, or whose torch sees no GPU."""
    try:
        modules = [importlib.import_module(name) for name in names]
    except Exception as error:  # of a library that a module lacks, too
        raise Skipped(f"{sys.executable}: {error}") from None
    if not modules[0].cuda.is_available():
        raise Skipped(f"{sys.executable}: torch sees no GPU")


def checkpoint(runner, name):
    return runner.build_dir / "checkpoints" / name


def widened(runner, name):
    """The bundled `large` in a published shape; or what was trained."""
    folder = checkpoint(runner, name)
    if not (folder / "config.json").exists():
        widen(MODELS / "large", folder, name)
    return folder


def own(runner, name, folders, inputs, *options):
    plan = runner.build_dir / f"{name}.plan"
    write_plan(plan, folders, inputs)
    return list(runner.bench(name, "gpu_decode", str(plan), "--max-new", str(MAX_NEW),
                             "--outputs", "yes", *options))[-1]


def range_of(run):
    """Of a result of gpu_decode: the slowest and the fastest repeat, tokens a second."""
    return [round(run["tokens"] / run[key], 1) for key in ("mostSeconds", "leastSeconds")]


def set_beside(rows, ours, runs):
    """Puts into each row the fastest of their runs of its batch: with a drafter beside theirs with
    one, where that runs."""
    for row, outputs in zip(rows, ours):
        plain = [run for run in runs if run["batch"] == row["batch"] and run["how"] != "assisted"]
        assisted = [run for run in runs if run["how"] == "assisted"]
        candidates = assisted if assisted and row["how"] != "autoregressive" else plain
        if candidates:
            other = max(candidates, key=lambda run: run["tokensPerSecond"])
            row.update(
                theirHow=other["how"], theirTokensPerSecond=other["tokensPerSecond"],
                theirRange=other["range"],
                ratio=round(row["tokensPerSecond"] / other["tokensPerSecond"], 2),
                equal=sum(a == b for a, b in zip(outputs, other["outputs"])))


def last_of(told, text):
    """How far transformers came: its runs; without any, what it was at, and its output's end."""
    runs = ", ".join(f"{one['how']} x {one['batch']}" for one in told if "how" in one)
    progress = [f"{one['progress']} ({one['seconds']} s)" for one in told if "progress" in one]
    last = (text.strip().splitlines() or ["nothing"])[-1]
    return runs or "; ".join([*progress, *([] if last.startswith("{") else [last[:200]])])


def time_kept(left, larger):
    """Of a part's time that is left, what one pair keeps for those after it: `larger` of its size, this
    one among them, then the bundled one."""
    if larger == 0:
        return 0
    bundled = min(BUNDLED_SECONDS, 0.35 * left)
    return bundled + (left - bundled) * (larger - 1) / larger


def compare(runner, counts, end, name):
    """Rows of one pair, until so much of the part's time is left: every batch without a drafter; one by
    one with it."""
    target = MODELS / "large" if name == "bundled" else widened(runner, name)
    drafter = MODELS / ("small" if name == "bundled" else "base")
    cases = json.loads(gzip.decompress((MODELS / "large" / "golden.json.gz").read_bytes()))["cases"]
    inputs = [case["inputIds"] for case in cases]
    rows, ours = [], []
    for batch, how, folders, options in ((1, "autoregressive", [target], ()),
                                         (1, "chain of 4", [target, drafter], CHAIN),
                                         (64, "autoregressive", [target], ())):
        some = inputs[:ONE_BY_ONE] if batch == 1 else inputs
        run = own(runner, f"{name}-{len(rows)}", folders, some, "--batch", str(batch), *options)
        ours.append(run["outputs"])
        rows.append({"pair": name, "batch": batch, "how": how, "inputs": len(some),
                     "tokensPerSecond": run["tokensPerSecond"], "range": range_of(run),
                     "acceptance": run["acceptance"]})
        counts["rows"].append(rows[-1])
    request = {"target": str(target), "drafter": str(drafter), "inputs": inputs, "batches": [1, 64],
               "one_by_one": ONE_BY_ONE, "max_new_tokens": MAX_NEW, "repeats": 3, "device": "cuda"}
    status, text = runner.run(f"{name}-torch", [sys.executable, str(TORCH_SIDE)],
                              max(1, min(900, runner.left() - end)), request=json.dumps(request))
    told = list(objects(text))
    for one in told:
        counts["versions"] = one.get("versions", counts["versions"])
    counts["notes"] += [f"{name}: {one['note']}" for one in told if "note" in one]
    set_beside(rows, ours, [one for one in told if "how" in one])
    if status != 0:
        counts["notes"].append(f"{name}: transformers did not come beyond: {last_of(told, text)}")


def transformers(runner, counts):
    """Tokens per second beside transformers' generate(), the same files, bfloat16, greedy."""
    require_modules("torch", "transformers", "safetensors")
    counts.update(rows=[], notes=[], versions="Of transformers no version is known")
    names = [one for one in runner.options.shape or ("large",) if one in SHAPES] + ["bundled"]
    if (checkpoint(runner, "trained") / "config.json").exists():
        names.insert(0, "trained")
    problems = []
    for at, name in enumerate(names):
        end = time_kept(runner.left(), len(names) - 1 - at)
        try:
            compare(runner, counts, end, name)
        except Failed as reason:
            problems.append(str(reason))
    if problems:
        raise Failed("\n".join(problems))
    without = [name for name in names
               if not any(row["pair"] == name and "ratio" in row for row in counts["rows"])]
    if without:
        raise Stopped("\n".join([f"nothing beside {', '.join(without)}", *counts["notes"]]))
    ratios = ", ".join(f"{row['pair']} x {row['batch']} {row['how']}: {row.get('ratio', '?')} x"
                       for row in counts["rows"])
    return "\n".join([ratios, *counts["notes"]])


# Name, drafters, options of gpu_decode; where time ends, it is the last that go without. A cascade's
# lengths are row by row: the target's stages, then those of each drafter, Max-Gram last.
METHODS = (
    ("target alone", (), ()),
    ("chain of 4, base", ("base",), CHAIN),
    ("csDraft, base, small, Max-Gram", ("base", "small"),
     ("--method", "cascade", "--copies", "yes", "--lengths", "4,2,1,0,2,1,0,0,1")),
    *((f"{rule} {alpha}, chain of 4, base", ("base",), (*CHAIN, "--rule", rule, "--alpha", str(alpha)))
      for rule, alpha in (("chow", 0.3), ("tokenV3", 0.3), ("opt", 0.3), ("diff", 0.1))),
    ("tree 2 x 2 x 1, base", ("base",), ("--method", "tree", "--widths", "2,2,1")),
    ("chain of 4, small", ("small",), CHAIN),
)
CAPTIONS = 100


def train(runner):
    """Trains for at most half of the part's time."""
    folder = checkpoint(runner, "trained")
    minutes = min(runner.options.minutes, runner.left() / 120)
    if not (folder / "config.json").exists():
        runner.must("train", [
            sys.executable, str(MODELS / "train.py"), "--data", runner.options.captions,
            "--out", str(folder), "--init", str(widened(runner, "large")), "--minutes", f"{minutes:.2f}",
            "--device", "cuda", "--tokens", "16384", "--lr", "2e-4", "--warmup", "20",
        ], int(60 * minutes + 300))
    return folder, ("of T5-large's shape, widened from the bundled `large` and trained on for "
                    f"{minutes:.1f} minutes (`models/train.py`)")


def bleu_of(texts, references):
    try:
        import sacrebleu
    except ImportError:
        return None
    return round(sacrebleu.corpus_bleu(texts, [references]).score, 2)


def trained(runner, counts):
    """A larger target, the bundled models drafting: speed and BLEU."""
    require_modules("torch", "safetensors", "sentencepiece")
    import sentencepiece

    if runner.options.captions:
        target, counts["target"] = train(runner)
    else:
        shape = next((one for one in runner.options.shape or () if one in SHAPES), "large")
        target = widened(runner, shape)
        counts["target"] = f"{shape}, widened from the bundled `large` (`gpu_check/widen.py`)"
    lines = {language: (ROOT / "examples" / "captions" / f"test_2016.{language}").read_text(
        encoding="utf-8").splitlines()[:CAPTIONS] for language in ("en", "de")}
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(MODELS / "base" / "spiece.model"))
    inputs = [pieces.encode(PREFIX + text) + [1] for text in lines["en"]]
    rows = counts["rows"] = []
    counts["captions"] = CAPTIONS

    def finish(run):
        texts = [pieces.decode([id for id in output if 1 < id < 8000]) for output in run["outputs"]]
        # The first is the target alone.
        rate, alone = run["tokensPerSecond"], (rows or [run])[0]["tokensPerSecond"]
        return {"tokensPerSecond": rate, "range": range_of(run), "speedup": round(rate / alone, 2),
                "tokensPerCall": run["tokensPerCall"], "acceptance": run["acceptance"],
                "deferral": run["deferral"], "bleu": bleu_of(texts, lines["de"])}

    problems = []
    for number, (name, drafters, options) in enumerate(METHODS):
        try:
            run = own(runner, f"trained-{number}", [target, *(MODELS / one for one in drafters)], inputs,
                      "--repeats", "2", *options)
            rows.append({"method": name, **finish(run)})
        except Failed as reason:
            problems.append(str(reason))
            if not rows:
                break  # nothing to be faster than
    if problems:
        raise Failed("\n".join(problems))
    return ", ".join(f"{row['method']} {row['speedup']} x, BLEU {row['bleu']}" for row in rows)
