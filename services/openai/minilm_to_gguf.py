"""Writes all-MiniLM-L6-v2 as GGUF, the format of llama.cpp.

  minilm_to_gguf.py MODEL.zip OUT.gguf      (the archive holds model.safetensors, config.json and tokenizer.json)
"""

import io
import json
import sys
import zipfile

import gguf
import numpy
from safetensors.numpy import load

SPECIAL = {"[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"}
TABLES = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
PARTS = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def main(archive: str, target: str) -> None:
    with zipfile.ZipFile(archive) as files:
        weights = load(files.read("model.safetensors"))
        config = json.load(io.BytesIO(files.read("config.json")))
        tokenizer = json.load(io.BytesIO(files.read("tokenizer.json")))
    writer = gguf.GGUFWriter(target, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    add_tokenizer(writer, tokenizer["model"]["vocab"], config["type_vocab_size"])
    for name, renamed in tensors(config["num_hidden_layers"]):
        tensor = weights[name].astype(numpy.float32)
        # The large tables are halved; norms, biases and the two small tables stay exact.
        if tensor.ndim == 2 and renamed not in ("position_embd.weight", "token_types.weight"):
            tensor = tensor.astype(numpy.float16)
        writer.add_tensor(renamed, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(layers: int):
    yield from TABLES.items()
    for layer in range(layers):
        for part, renamed in PARTS.items():
            for kind in ("weight", "bias"):
                yield f"encoder.layer.{layer}.{part}.{kind}", f"blk.{layer}.{renamed}.{kind}"


def add_tokenizer(writer: gguf.GGUFWriter, vocabulary: dict[str, int], types: int) -> None:
    tokens, kinds = [], []
    for token, _ in sorted(vocabulary.items(), key=lambda entry: entry[1]):
        if token in SPECIAL:
            kinds.append(gguf.TokenType.CONTROL)
        elif token.startswith("[unused"):
            kinds.append(gguf.TokenType.UNUSED)
        else:
            kinds.append(gguf.TokenType.NORMAL)
            # llama.cpp marks the start of a word, BERT its continuation.
            token = token.removeprefix("##") if token.startswith("##") else "\u2581" + token
        tokens.append(token.encode())
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_type_count(types)
    writer.add_sep_token_id(vocabulary["[SEP]"])
    writer.add_pad_token_id(vocabulary["[PAD]"])
    writer.add_unk_token_id(vocabulary["[UNK]"])
    writer.add_mask_token_id(vocabulary["[MASK]"])
    writer.add_bos_token_id(vocabulary["[CLS]"])
    writer.add_eos_token_id(vocabulary["[SEP]"])


if __name__ == "__main__":
    main(*sys.argv[1:])
