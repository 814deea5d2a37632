"""transformers on a GPU: makes a random checkpoint of a published shape, or decodes with one.

  torch_gpu.py make --shape '{"d_model": 512, ...}' --out FOLDER
  torch_gpu.py decode                      a request on standard input

A request: {"target": folder, "drafter": folder or null, "inputs": [[ids], ...], "batches": [1, 64],
"max_new_tokens": n, "min_new_tokens": n, "repeats": n, "device": "cuda"}. Prints one JSON object:
versions, and a list of runs, each the fastest of the caches that worked; what did not is in "notes".
Needs torch and transformers; called by scripts/gpu-check.
"""

import argparse
import json
import sys

import torch
import transformers
from transformers import T5Config, T5ForConditionalGeneration

from torch_decode import decode, median

# None: the cache that generate() takes by itself. A static one is compiled by generate() on GPUs.
CACHES = (None, "static")


def make(shape, folder):
    """Random weights as T5 v1.1 lays them out, in bfloat16."""
    config = T5Config(
        **shape,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = T5ForConditionalGeneration(config)
    if model.lm_head.weight.data_ptr() == model.shared.weight.data_ptr():
        # Recent versions tie every T5; those that load the files do not.
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.shared.weight))
        model.config.tie_word_embeddings = False
    model.save_pretrained(folder, max_shard_size="100GB")
    # As published: newer versions write a file that says otherwise.
    path = f"{folder}/config.json"
    with open(path, encoding="utf-8") as file:
        written = json.load(file)
    written["tie_word_embeddings"] = False
    written.pop("scale_decoder_outputs", None)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(written, file)


def load(folder, device):
    model = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.bfloat16)
    return model.to(device).eval()


def timed(model, request, batch, options):
    """The median rate after a first run, which compiles and warms up, and the outputs."""
    limits = {"min_new_tokens": request["min_new_tokens"]} if request["min_new_tokens"] else {}
    rates = []
    for turn in range(request["repeats"] + 1):
        rate, outputs = decode(
            model, request["inputs"], batch, request["max_new_tokens"], **limits, **options
        )
        if turn > 0:
            rates.append(rate)
    return median(rates), outputs


def best_of(candidates, model, request, batch, notes):
    """The fastest of several ways to decode; None where none works."""
    best = None
    for name, options in candidates:
        try:
            rate, outputs = timed(model, request, batch, options)
        except Exception as error:  # a way that a version does not support must not cost the others
            first = (str(error).splitlines() or [""])[0]
            notes.append(f"batch {batch}, {name}: {type(error).__name__}: {first[:200]}")
            continue
        if best is None or rate > best["tokensPerSecond"]:
            best = {"batch": batch, "how": name, "tokensPerSecond": rate, "outputs": outputs}
    return best


def run(request):
    target = load(request["target"], request["device"])
    notes, runs = [], []
    for batch in request["batches"]:
        candidates = [
            (f"autoregressive, {cache or 'dynamic'} cache", {"cache_implementation": cache})
            for cache in CACHES
        ]
        runs.append(best_of(candidates, target, request, batch, notes))
    if request["drafter"]:
        drafter = load(request["drafter"], request["device"])
        runs.append(best_of([("assisted", {"assistant_model": drafter})], target, request, 1, notes))
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    return {"versions": versions, "runs": [one for one in runs if one], "notes": notes}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=("make", "decode"))
    parser.add_argument("--shape")
    parser.add_argument("--out")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    with torch.inference_mode():
        if options.command == "make":
            make(json.loads(options.shape), options.out)
        else:
            print(json.dumps(run(json.load(sys.stdin))))


main()
