"""Writes reference.json and reference.f32: token ids and full-precision embeddings of the texts in texts.py.

Usage: python3 reference.py FOLDER, where FOLDER holds model.safetensors and tokenizer.json of all-MiniLM-L6-v2.
Needs numpy and tokenizers. The embeddings are of the first 256 tokens, mean-pooled and normalised, 384 f32 each.
"""

import json
import math
import pathlib
import sys

import numpy
from tokenizers import Tokenizer

from texts import TEXTS

MAX_TOKENS = 256
HEADS = 12
LAYERS = 6


def read_tensors(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            first, end = entry["data_offsets"]
            tensors[name] = numpy.frombuffer(body[first:end], "<f4").reshape(entry["shape"])
    return tensors


def linear(tensors, name, x):
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def layer_norm(tensors, name, x):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / numpy.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-12)
    return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


ERF = numpy.vectorize(math.erf)


def embed(tensors, ids):
    count = len(ids)
    x = tensors["embeddings.word_embeddings.weight"][ids]
    x = x + tensors["embeddings.position_embeddings.weight"][:count]
    x = x + tensors["embeddings.token_type_embeddings.weight"][0]
    x = layer_norm(tensors, "embeddings.LayerNorm", x)
    for number in range(LAYERS):
        name = f"encoder.layer.{number}"

        def heads(part):
            return linear(tensors, f"{name}.attention.self.{part}", x).reshape(count, HEADS, -1).transpose(1, 0, 2)

        query, key, value = heads("query"), heads("key"), heads("value")
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        weights = numpy.exp(scores - scores.max(-1, keepdims=True))
        weights = weights / weights.sum(-1, keepdims=True)
        mixed = (weights @ value).transpose(1, 0, 2).reshape(count, -1)
        x = layer_norm(
            tensors, f"{name}.attention.output.LayerNorm", linear(tensors, f"{name}.attention.output.dense", mixed) + x
        )
        inner = linear(tensors, f"{name}.intermediate.dense", x)
        inner = inner * 0.5 * (1 + ERF(inner / math.sqrt(2)))
        x = layer_norm(tensors, f"{name}.output.LayerNorm", linear(tensors, f"{name}.output.dense", inner) + x)
    mean = x.mean(0)
    return mean / numpy.linalg.norm(mean)


def main():
    folder = pathlib.Path(sys.argv[1])
    here = pathlib.Path(__file__).parent
    tensors = read_tensors(folder / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    entries, vectors = [], []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        entries.append({"text": text, "ids": ids})
        first = ids if len(ids) <= MAX_TOKENS else ids[: MAX_TOKENS - 1] + ids[-1:]
        vectors.append(embed(tensors, first).astype("<f4"))
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    (here / "reference.json").write_text(f"[\n{lines}\n]\n")
    (here / "reference.f32").write_bytes(b"".join(vector.tobytes() for vector in vectors))
    counts = [len(entry["ids"]) for entry in entries]
    print(len(entries), "texts of", min(counts), "to", max(counts), "tokens")


main()
