"""transformers on a GPU: decodes with a checkpoint in several ways, one after the other.

  torch_gpu.py < REQUEST

A request: {"target": folder, "drafter": folder or null, "inputs": [[ids], ...], "one_by_one": n,
"batches": [1, 64], "max_new_tokens": n, "repeats": n, "device": "cuda"}; alone, the first
`one_by_one` inputs are decoded. Prints a line of JSON for each thing as soon as it is known, since
whoever asked may end it any time: what it is about to do, and after how many seconds; versions; a note
for a way that does not work; a run, its rate the median of the repeats. Needs torch and transformers;
called by scripts/gpu-check.
"""

import json
import sys
import time

BEGIN = time.monotonic()


def tell(**what):
    print(json.dumps(what), flush=True)


def tell_progress(what):
    tell(progress=what, seconds=round(time.monotonic() - BEGIN, 1))


tell_progress("importing")  # from a cold disk, most of a minute

import torch  # noqa: E402
import transformers  # noqa: E402
from torch_decode import decode, median  # noqa: E402
from transformers import T5ForConditionalGeneration  # noqa: E402


def load(folder, device):
    model = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.bfloat16)
    # generate() makes caches of as many layers as the encoder has. Those beyond the decoder's are never
    # filled, and assisted generation, which crops all of them, ends there.
    model.config.num_layers = model.config.num_decoder_layers
    return model.to(device).eval()


def measure(model, request, batch, how, options):
    inputs = request["inputs"]
    # generate() compiles for a static cache: one width, not one for each length.
    width = max(map(len, inputs)) if how == "static cache" else None
    if batch == 1:
        inputs = inputs[: request["one_by_one"]]

    def run(some):
        return decode(model, some, batch, request["max_new_tokens"], width, **options)

    try:
        run(inputs[:batch])  # compiles and warms up
        rates, outputs = [], []
        for _ in range(request["repeats"]):
            rate, outputs = run(inputs)
            rates.append(rate)
    except Exception as error:  # a way that a version does not support must not cost the others
        first = (str(error).splitlines() or [""])[0]
        tell(note=f"batch {batch}, {how}: {type(error).__name__}: {first[:200]}")
        return
    tell(batch=batch, how=how, tokensPerSecond=median(rates), range=[min(rates), max(rates)],
         outputs=outputs)


def main():
    request = json.load(sys.stdin)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tell(versions=f"torch {torch.__version__}, transformers {transformers.__version__}")
    tell_progress("loading")
    with torch.inference_mode():
        target = load(request["target"], request["device"])
        tell_progress("loaded")
        for batch in request["batches"]:
            measure(target, request, batch, "dynamic cache", {})
        if request["drafter"]:
            drafter = load(request["drafter"], request["device"])
            measure(target, request, 1, "assisted", {"assistant_model": drafter})
        for batch in request["batches"]:
            measure(target, request, batch, "static cache", {"cache_implementation": "static"})


main()
