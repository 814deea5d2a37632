"""Checkpoints and inputs as native/bench/plan_file.h reads them."""

import json
import pathlib
import struct

SIZES = ("vocab_size", "d_model", "d_kv", "d_ff", "num_heads", "num_layers", "num_decoder_layers",
         "relative_attention_num_buckets", "relative_attention_max_distance", "layer_norm_epsilon")


def config_lines(folder):
    config = json.loads((folder / "config.json").read_text())
    # As written by transformers; older files say the two in one word.
    form = config.get("feed_forward_proj", "relu")
    activation = config.get("dense_act_fn") or {"gated-gelu": "gelu_new"}.get(form, form)
    tied = config.get("tie_word_embeddings", True)
    values = {name: config[name] for name in SIZES}
    values["is_gated_act"] = int(config.get("is_gated_act", form.startswith("gated-")))
    values["dense_act_fn"] = activation
    values["tie_word_embeddings"] = int(tied)
    values["scale_decoder_outputs"] = int(config.get("scale_decoder_outputs", tied))
    return [f"config {name} {value}" for name, value in values.items()]


def tensor_lines(number, path):
    """The entries of a safetensors file: an 8-byte length, a JSON header, then the data."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    lines = []
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] not in ("F32", "F16", "BF16"):
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        sizes = " ".join(map(str, entry["shape"]))
        lines.append(f"tensor {name} {number} {entry['dtype']} {begin} {end} {sizes}")
    return lines


def model_lines(folder):
    folder = pathlib.Path(folder).resolve()
    lines = ["model", *config_lines(folder)]
    for number, path in enumerate(sorted(folder.glob("*.safetensors"))):
        lines += [f"file {path}", *tensor_lines(number, path)]
    return lines


def write_plan(path, folders, inputs):
    """`folders`: the target's, then drafters', largest first; `inputs`: lists of token ids."""
    lines = [line for folder in folders for line in model_lines(folder)]
    lines += ["input " + " ".join(map(str, ids)) for ids in inputs]
    pathlib.Path(path).write_text("\n".join(lines) + "\n")
