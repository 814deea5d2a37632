"""Parts that decode with trained and with random checkpoints: beside transformers on the same GPU,
and one method beside another."""

import json
import random
import subprocess
import sys

from .machine import ROOT
from .outcome import Failed, Skipped
from .plan import write_plan

MODELS = ROOT / "models"
TORCH_SIDE = ROOT / "scripts" / "bench" / "torch_gpu.py"
PREFIX = "translate English to German: "

# T5 v1.1 as published; larger ones take long to write as files.
SHAPES = {
    "base": {"d_model": 768, "d_ff": 2048, "num_heads": 12, "num_layers": 12},
    "large": {"d_model": 1024, "d_ff": 2816, "num_heads": 16, "num_layers": 24},
    "xl": {"d_model": 2048, "d_ff": 5120, "num_heads": 32, "num_layers": 24},
}
# Inputs that are decoded one by one; all are in batches of 64.
ONE_BY_ONE = 8
BATCHES = (1, 64)


def require_modules(*names):
    """Skips a part whose modules this Python lacks, or whose torch sees no GPU."""
    check = f"import {', '.join(names)}"
    if "torch" in names:
        check += "; assert torch.cuda.is_available(), 'torch sees no GPU'"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Skipped(f"{sys.executable}: {last}")


def checkpoint_folder(runner, name):
    folder = runner.build_dir / "checkpoints" / name
    folder.parent.mkdir(exist_ok=True)
    return folder


def random_checkpoint(runner, name):
    folder = checkpoint_folder(runner, name)
    if not (folder / "config.json").exists():
        shape = {"vocab_size": 32128, "d_kv": 64, **SHAPES[name]}
        runner.must(f"make-{name}", [sys.executable, str(TORCH_SIDE), "make", "--shape",
                                     json.dumps(shape), "--out", str(folder)], 600)
    return folder


def random_inputs(count, length, vocabulary):
    draw = random.Random(1)
    return [[draw.randrange(5, vocabulary) for _ in range(length)] for _ in range(count)]


def golden_inputs(name):
    cases = json.loads((MODELS / name / "golden.json").read_text())["cases"]
    return [case["inputIds"] for case in cases]


def own(runner, name, folders, inputs, *options):
    plan = runner.build_dir / f"{name}.plan"
    write_plan(plan, folders, inputs)
    return runner.bench(name, "gpu_decode", str(plan), *options)[-1]


def theirs(runner, name, request):
    log = runner.logs / f"{name}-torch.log"
    done = subprocess.run([sys.executable, str(TORCH_SIDE), "decode"], input=json.dumps(request),
                          capture_output=True, text=True, timeout=900, check=False)
    log.write_text(done.stderr + done.stdout)
    if done.returncode != 0:
        raise Failed(f"torch_gpu.py: exit code {done.returncode}; {log}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(runner, name, target, drafter, inputs, limits):
    """Rows of one pair: every batch without a drafter; one by one with it."""
    rows, versions, notes = [], "", []
    for batch in BATCHES:
        some = inputs[:ONE_BY_ONE] if batch == 1 else inputs
        request = {"target": str(target), "drafter": str(drafter) if drafter and batch == 1 else None,
                   "inputs": some, "batches": [batch], "repeats": 2, "device": "cuda", **limits}
        answer = theirs(runner, f"{name}-{batch}", request)
        versions, notes = answer["versions"], notes + answer["notes"]
        options = ["--batch", str(batch), "--max-new", str(limits["max_new_tokens"]), "--outputs", "yes"]
        if limits["min_new_tokens"]:
            options += ["--min-new", str(limits["min_new_tokens"])]
        how = {"autoregressive": own(runner, f"{name}-{batch}", [target], some, *options)}
        if request["drafter"]:
            how["chain of 4"] = own(runner, f"{name}-{batch}-chain", [target, drafter], some, *options,
                                    "--method", "chain", "--widths", "1,1,1,1")
        plain = next((run for run in answer["runs"] if run["how"] != "assisted"), None)
        for own_how, ours in how.items():
            # A drafter beside theirs with one, where that runs; else beside theirs without.
            other = plain
            if own_how != "autoregressive":
                other = next((run for run in answer["runs"] if run["how"] == "assisted"), plain)
            equal = sum(a == b for a, b in zip(ours["outputs"], other["outputs"])) if other else None
            rows.append({
                "pair": name, "batch": batch, "how": own_how,
                "tokensPerSecond": ours["tokensPerSecond"], "acceptance": ours["acceptance"],
                "theirHow": other["how"] if other else None,
                "theirTokensPerSecond": other["tokensPerSecond"] if other else None,
                "ratio": round(ours["tokensPerSecond"] / other["tokensPerSecond"], 2) if other else None,
                "equal": equal, "inputs": len(some),
            })
    return rows, versions, notes


def transformers(runner):
    """Tokens per second beside transformers' generate(), the same files, bfloat16, greedy."""
    require_modules("torch", "transformers", "safetensors")
    pairs = [("bundled", MODELS / "large", MODELS / "small", golden_inputs("large"),
              {"max_new_tokens": 128, "min_new_tokens": 0})]
    trained_folder = checkpoint_folder(runner, "trained")
    if (trained_folder / "config.json").exists():
        pairs.append(("trained", trained_folder, MODELS / "base", golden_inputs("large"),
                      {"max_new_tokens": 128, "min_new_tokens": 0}))
    for name in runner.options.shape or SHAPES:
        if name in SHAPES:
            pairs.append((name, random_checkpoint(runner, name), None, random_inputs(64, 64, 32000),
                          {"max_new_tokens": 64, "min_new_tokens": 64}))
    rows, versions, notes = [], "", []
    for pair in pairs:
        more, versions, said = compare(runner, *pair)
        rows += more
        notes += [f"{pair[0]}: {note}" for note in said]
    detail = ", ".join(f"{row['pair']} x {row['batch']} {row['how']}: {row['ratio']} x" for row in rows)
    return detail, {"versions": versions, "rows": rows, "notes": notes}


# Name, drafters, options of gpu_decode. A cascade's lengths are row by row: the target's stages, then
# those of each drafter, Max-Gram last.
CHAIN = ("--method", "chain", "--widths", "1,1,1,1")
METHODS = (
    ("target alone", (), ()),
    ("chain of 4, small", ("small",), CHAIN),
    ("chain of 4, base", ("base",), CHAIN),
    ("tree 2 x 2 x 1, base", ("base",), ("--method", "tree", "--widths", "2,2,1")),
    ("csDraft, base, small, Max-Gram", ("base", "small"),
     ("--method", "cascade", "--copies", "yes", "--lengths", "4,2,1,0,2,1,0,0,1")),
    *((f"{rule} {alpha}, chain of 4, base", ("base",), (*CHAIN, "--rule", rule, "--alpha", str(alpha)))
      for rule, alpha in (("chow", 0.3), ("diff", 0.1), ("opt", 0.3), ("tokenV3", 0.3))),
)
CAPTIONS = 200


def train(runner):
    folder = checkpoint_folder(runner, "trained")
    if (folder / "config.json").exists():
        return folder
    captions = runner.options.captions
    if not captions:
        raise Skipped("no training captions: give --captions FOLDER, of train.en.gz and train.de.gz")
    minutes = runner.options.minutes
    runner.must("train", [
        sys.executable, str(MODELS / "train.py"), "--data", captions, "--out", str(folder),
        "--d-model", "1024", "--d-ff", "2816", "--heads", "16", "--enc", "24", "--dec", "24",
        "--minutes", str(minutes), "--device", "cuda", "--tokens", "16384", "--lr", "3e-4",
    ], int(60 * minutes + 300))
    return folder


def bleu_of(texts, references):
    try:
        import sacrebleu
    except ImportError:
        return None
    return round(sacrebleu.corpus_bleu(texts, [references]).score, 2)


def trained(runner):
    """A larger target trained here for minutes, the bundled models drafting: speed and BLEU."""
    require_modules("torch", "transformers", "sentencepiece")
    import sentencepiece

    target = train(runner)
    lines = {language: (ROOT / "examples" / "captions" / f"test_2016.{language}").read_text().splitlines()
             for language in ("en", "de")}
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(MODELS / "base" / "spiece.model"))
    inputs = [pieces.encode(PREFIX + text) + [1] for text in lines["en"][:CAPTIONS]]
    rows = []
    for number, (name, drafters, options) in enumerate(METHODS):
        result = own(runner, f"trained-{number}", [target, *(MODELS / one for one in drafters)], inputs,
                     "--batch", "1", "--max-new", "128", "--repeats", "1", "--outputs", "yes", *options)
        texts = [pieces.decode([id for id in output if 1 < id < 8000]) for output in result["outputs"]]
        rows.append({"method": name, "tokensPerSecond": result["tokensPerSecond"],
                     "speedup": round(result["tokensPerSecond"] / (rows[0]["tokensPerSecond"] if rows
                                                                   else result["tokensPerSecond"]), 2),
                     "tokensPerCall": result["tokensPerCall"], "acceptance": result["acceptance"],
                     "deferral": result["deferral"], "bleu": bleu_of(texts, lines["de"][:CAPTIONS])})
    detail = ", ".join(f"{row['method']} {row['speedup']} x, BLEU {row['bleu']}" for row in rows)
    return detail, {"minutes": runner.options.minutes, "captions": CAPTIONS, "rows": rows}
