"""A checkpoint of a published shape that says what a bundled one says, made in seconds.

The wide model holds the narrow one's residual stream, heads and feed-forward units several times
over; weights that read the copies are divided by their number, from large on a power of two and
exact. Layers beyond the narrow model's add nothing. So a step costs what the shape costs, and drafts
are accepted as by a trained model.
"""

import json
import re

# T5 v1.1 as published, but for the vocabulary.
SHAPES = {
    "base": {"d_model": 768, "d_ff": 2048, "num_heads": 12, "num_layers": 12},
    "large": {"d_model": 1024, "d_ff": 2816, "num_heads": 16, "num_layers": 24},
    "xl": {"d_model": 2048, "d_ff": 5120, "num_heads": 32, "num_layers": 24},
}
# What axes run over: the residual stream, heads' entries, units, heads. Others: the first.
AXES = {"q": "ie", "k": "ie", "v": "ie", "o": "ei", "wi_0": "fe", "wi_1": "fe", "wo": "ef",
        "lm_head": " e", "shared": " e", "relative_attention_bias": " h"}


def widen(source, folder, name):
    import torch
    from safetensors.torch import load_file, save_file

    shape = SHAPES[name]
    config = json.loads((source / "config.json").read_text())
    narrow_layers, layers = config["num_layers"], shape["num_layers"]
    sizes = {"e": shape["d_model"], "i": shape["num_heads"] * config["d_kv"], "f": shape["d_ff"],
             "h": shape["num_heads"]}
    wide = {}
    for key, tensor in load_file(source / "model.safetensors").items():
        kind = key.split(".")[-2]
        out = torch.zeros([sizes.get(axis, old) for axis, old in zip(AXES.get(kind, "e"), tensor.shape)],
                          dtype=tensor.dtype)
        copies = [size // old for size, old in zip(out.shape, tensor.shape)]
        reads = kind in AXES and kind not in ("shared", "relative_attention_bias")
        tiled = tensor.repeat(copies) / (copies[-1] if reads else 1)
        out[tuple(map(slice, tiled.shape))] = tiled
        wide[key] = out
        layer = re.fullmatch(r"(.*\.block\.)(\d+)(\..*)", key)
        if layer and kind != "relative_attention_bias":
            for at in range(int(layer[2]) + narrow_layers, layers, narrow_layers):
                wide[layer[1] + str(at) + layer[3]] = out * (kind not in ("o", "wo"))
    folder.mkdir(parents=True, exist_ok=True)
    save_file(wide, folder / "model.safetensors", {"format": "pt"})
    # Last: a folder that has it is whole.
    config.update(shape, num_decoder_layers=layers)
    (folder / "config.json").write_text(json.dumps(config))
