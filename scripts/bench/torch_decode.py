"""Greedy decoding by transformers, timed: what the benches that compare with it share."""

import time

import torch


def median(values):
    return sorted(values)[len(values) // 2]


def decode(model, inputs, batch, limit, width=None, **options):
    """Tokens per second of generate(), batches of inputs of similar length, padded (to `width`, if
    there is one); and the outputs in the order of `inputs`, with their end tokens. `options`: of
    generate()."""
    order = sorted(range(len(inputs)), key=lambda at: len(inputs[at]))
    end = model.config.eos_token_id
    outputs = [[] for _ in inputs]
    begin = time.perf_counter()
    for first in range(0, len(order), batch):
        part = order[first : first + batch]
        columns = width or max(len(inputs[at]) for at in part)
        pad = [columns - len(inputs[at]) for at in part]
        ids = torch.tensor([inputs[at] + [0] * more for at, more in zip(part, pad)])
        mask = torch.tensor([[1] * len(inputs[at]) + [0] * more for at, more in zip(part, pad)])
        output = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=limit,
            do_sample=False,
            num_beams=1,
            **options,
        )
        for at, row in zip(part, output[:, 1:].tolist()):
            outputs[at] = row[: row.index(end) + 1] if end in row else row
    seconds = time.perf_counter() - begin
    return sum(map(len, outputs)) / seconds, outputs
