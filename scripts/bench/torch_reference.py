"""PyTorch on this machine: steps of a T5-base shape, and greedy decoding of a checkpoint.

Reads {"model": folder, "inputs": [[ids], ...], "max_new_tokens": n} from standard input and prints
one JSON object. Called by scripts/bench-torch.ts; needs torch and transformers.
"""

import json
import sys
import time

import torch
import transformers
from transformers import T5Config, T5ForConditionalGeneration

from torch_decode import decode, median

BATCHES = (1, 16)
INPUT_TOKENS = 64
STEPS = 40


def milliseconds(work):
    begin = time.perf_counter()
    result = work()
    return (time.perf_counter() - begin) * 1e3, result


def t5_base():
    config = T5Config(
        vocab_size=32128,
        d_model=768,
        d_kv=64,
        d_ff=2048,
        num_layers=12,
        num_decoder_layers=12,
        num_heads=12,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config).to(torch.bfloat16).eval()


def steps(model, batch):
    """Median milliseconds of a cached greedy step and of an encoder pass."""
    inputs = torch.randint(5, 32000, (batch, INPUT_TOKENS))
    encoder = [milliseconds(lambda: model.encoder(inputs)) for _ in range(4)]
    states = encoder[0][1]
    times = []
    for turn in range(2):
        cache, token = None, torch.zeros((batch, 1), dtype=torch.long)
        for _ in range(STEPS):
            ms, output = milliseconds(
                lambda: model(
                    encoder_outputs=states,
                    decoder_input_ids=token,
                    past_key_values=cache,
                    use_cache=True,
                )
            )
            cache, token = output.past_key_values, output.logits[:, -1:].argmax(-1)
            if turn > 0:
                times.append(ms)
    return {"stepMs": median(times), "encoderMs": median([ms for ms, _ in encoder[1:]])}


def main():
    request = json.load(sys.stdin)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    with torch.inference_mode():
        shape = t5_base()
        shapes = {batch: steps(shape, batch) for batch in BATCHES}
        del shape
        model = T5ForConditionalGeneration.from_pretrained(request["model"], dtype=torch.bfloat16)
        model.eval()
        inputs, limit = request["inputs"], request["max_new_tokens"]
        decode(model, inputs[:4], 4, limit)
        rates = {batch: decode(model, inputs, batch, limit)[0] for batch in BATCHES}
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    threads = torch.get_num_threads()
    print(json.dumps({"versions": versions, "threads": threads, "steps": shapes, "rates": rates}))


main()
