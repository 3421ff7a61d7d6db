#!/usr/bin/env python3
"""Writes the golden files of the families beside this script, with transformers and gguf as the oracles.

    python3 generate.py

Each case is a folder: config.json and model.safetensors of a tiny random model, tokens.json, and the float32
logits that transformers computes at some positions (logits.bin, little-endian, [positions, vocabulary]; positions
in tokens.json). Weights are made as tests/golden/llama/generate.py makes them, and held to the same standard.
The cases of GGUF are written to model.gguf beside, as llama.cpp's converter does it, with the same weights.
configs.json: config.json of published checkpoints in both spellings, and what transformers reads in them."""
import hashlib
import importlib.metadata
import json
import math
import pathlib
import sys

import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "llama"))
from generate import check_case, randomise  # noqa: E402

BASE = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, vocab_size=96, max_position_embeddings=256, rms_norm_eps=1e-5,
            tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, dtype="bfloat16")


def rope(theta, **scaling):
    return {"rope_parameters": {"rope_theta": theta, "rope_type": "default", **scaling}}


def llama3(factor):
    """The real parameters of Llama 3.1 (8) and 3.2 (32); positions to 1536 show them."""
    return {"hidden_size": 24, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1,
            "max_position_embeddings": 131072, **rope(
                500000.0, rope_type="llama3", factor=factor, low_freq_factor=1.0, high_freq_factor=4.0,
                original_max_position_embeddings=8192)}


# Keys of config.json by case; "tokens" is how many, of which the last 48 in steps have golden logits.
CASES = {
    "llama31": {"model_type": "llama", **llama3(8.0), "head_dim": 128, "tokens": 1536},
    "llama32": {"model_type": "llama", **llama3(32.0), "head_dim": 64, "tie_word_embeddings": True,
                "tokens": 1536},
    "mistral_window": {"model_type": "mistral", "sliding_window": 16, **rope(10000.0)},
    # More queries than one chunk of the attention, and a window across chunks.
    "mistral_long": {"model_type": "mistral", "sliding_window": 600, "max_position_embeddings": 2048,
                     **rope(10000.0), "tokens": 1536},
    "mistral_full": {"model_type": "mistral", "sliding_window": None, **rope(1000000.0)},
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": True, "bos_token_id": None, **rope(1000000.0)},
    "qwen2_window": {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 12,
                     "max_window_layers": 1, **rope(1000000.0)},
    # Qwen 2.5's long context: its real parameters.
    "qwen2_yarn": {"model_type": "qwen2", "num_attention_heads": 2, "num_key_value_heads": 1,
                   "hidden_size": 128, "intermediate_size": 32, "vocab_size": 48,
                   "max_position_embeddings": 131072, "tokens": 1536, "num_hidden_layers": 1,
                   **rope(1000000.0, rope_type="yarn", factor=4.0, original_max_position_embeddings=32768)},
    # A ramp over most dimensions, with every optional key.
    "qwen2_yarn_keys": {"model_type": "qwen2", "max_position_embeddings": 512, **rope(
        10000.0, rope_type="yarn", factor=2.0, original_max_position_embeddings=256, beta_fast=8.0,
        beta_slow=0.5, attention_factor=1.25, truncate=False)},
    "qwen3": {"model_type": "qwen3", "head_dim": 16, "tie_word_embeddings": True, **rope(1000000.0)},
    "qwen3_window": {"model_type": "qwen3", "head_dim": 8, "attention_bias": True, "use_sliding_window": True,
                     "sliding_window": 10, "layer_types": ["sliding_attention", "full_attention"],
                     **rope(10000.0)},
}
IN_GGUF = {"mistral_full": "llama", "qwen2": "qwen2", "qwen2_yarn": "qwen2", "qwen3": "qwen3"}


def write_case(name, keys):
    keys = {**BASE, **keys}
    count = keys.pop("tokens", 48)
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    config = AutoConfig.for_model(**keys)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval().float()
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    randomise(model, seed)
    if keys["model_type"] == "qwen3":  # the norm of Q and K sets the scale of the scores
        for key, parameter in model.named_parameters():
            if key.endswith(("q_norm.weight", "k_norm.weight")):
                parameter.data.copy_((1.3 * parameter.data).bfloat16())
    tokens = torch.randint(0, config.vocab_size, (1, count), generator=torch.Generator().manual_seed(seed + 1))
    positions = list(range(48)) if count == 48 else list(range(15, count, count // 48))
    if count == 48 and config.to_dict().get("sliding_window") is None:
        logits, _ = check_case(name, model, tokens)  # also that attention is far from uniform
    else:
        with torch.no_grad():
            logits = model(tokens).logits[0]
    logits = logits[positions]
    assert logits.std() >= 2, (name, logits.std())
    state = {key: value.bfloat16() for key, value in model.state_dict().items()
             if not (config.tie_word_embeddings and key == "lm_head.weight")}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(
        {**keys, "architectures": [type(model).__name__]}, indent=1) + "\n")
    (folder / "tokens.json").write_text(json.dumps(
        {"tokens": tokens[0].tolist(), "positions": positions}) + "\n")
    logits.numpy().astype("<f4").tofile(folder / "logits.bin")
    if name in IN_GGUF:
        to_gguf(folder / "model.gguf", IN_GGUF[name], config, state)
    print(f"{name}: logits' standard deviation {logits.std():.2f}, {sum(v.numel() for v in state.values())} weights")


# As llama.cpp's convert_hf_to_gguf.py writes them (classes LlamaModel, Qwen2Model, Qwen3Model).
GGUF_NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def gguf_name(name):
    stem, suffix = name.rsplit(".", 1)
    outside = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    if stem in outside:
        return f"{outside[stem]}.{suffix}"
    _, _, layer, inner = stem.split(".", 3)
    return f"blk.{layer}.{GGUF_NAMES[inner]}.{suffix}"


def permute(weights, heads):
    return (weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
            .swapaxes(1, 2).reshape(weights.shape))


def to_gguf(path, architecture, config, state):
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if architecture == "qwen3":
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if architecture == "llama":
        writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if config.rope_parameters["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(config.rope_parameters["factor"])
        writer.add_rope_scaling_orig_ctx_len(config.rope_parameters["original_max_position_embeddings"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if config.bos_token_id is not None:
        writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    for name, weight in state.items():
        values = weight.float().numpy()
        if architecture == "llama" and ".q_proj." in name:
            values = permute(values, config.num_attention_heads)
        if architecture == "llama" and ".k_proj." in name:
            values = permute(values, config.num_key_value_heads)
        if values.ndim == 2:
            values = gguf.quantize(np.ascontiguousarray(values), gguf.GGMLQuantizationType.BF16)
            writer.add_tensor(gguf_name(name), values, raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(gguf_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# --- config.json -----------------------------------------------------------------------------------------
def published(rope_theta, rope_scaling=None, **common):
    """A config in the spellings of transformers 4 (as published) and 5."""
    four = {**common, "torch_dtype": "bfloat16", "rope_theta": rope_theta}
    if rope_scaling:
        four["rope_scaling"] = rope_scaling
    scaling = {("rope_type" if key == "type" else key): value for key, value in (rope_scaling or {}).items()}
    five = {**common, "dtype": "bfloat16",
            "rope_parameters": {"rope_theta": rope_theta, "rope_type": "default", **scaling}}
    return {"transformers 4": four, "transformers 5": five}


MISTRAL = dict(architectures=["MistralForCausalLM"], model_type="mistral", hidden_size=4096,
               intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
               vocab_size=32000, max_position_embeddings=32768, rms_norm_eps=1e-5, tie_word_embeddings=False,
               bos_token_id=1, eos_token_id=2)
QWEN2 = dict(architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_size=3584, intermediate_size=18944,
             num_hidden_layers=28, num_attention_heads=28, num_key_value_heads=4, vocab_size=152064,
             max_position_embeddings=131072, max_window_layers=28, sliding_window=131072,
             use_sliding_window=False, rms_norm_eps=1e-6, tie_word_embeddings=False, bos_token_id=151643,
             eos_token_id=151643)
QWEN3 = dict(architectures=["Qwen3ForCausalLM"], model_type="qwen3", hidden_size=4096, intermediate_size=12288,
             num_hidden_layers=36, num_attention_heads=32, num_key_value_heads=8, head_dim=128,
             vocab_size=151936, max_position_embeddings=40960, max_window_layers=36, sliding_window=None,
             use_sliding_window=False, attention_bias=False, rms_norm_eps=1e-6, tie_word_embeddings=False,
             bos_token_id=151643, eos_token_id=151645)
SHAPE = dict(hidden_size=256, intermediate_size=128, num_hidden_layers=3, num_attention_heads=32, vocab_size=100)
PUBLISHED = {
    "Mistral-7B-v0.1": published(10000.0, **MISTRAL, sliding_window=4096),
    "Mistral-7B-Instruct-v0.2": published(1000000.0, **MISTRAL, sliding_window=None),
    "Mistral-7B-Instruct-v0.3": published(1000000.0, **{**MISTRAL, "vocab_size": 32768}, sliding_window=None),
    "Mistral-Nemo-Base-2407": published(1000000.0, **{
        **MISTRAL, "hidden_size": 5120, "num_hidden_layers": 40, "head_dim": 128, "vocab_size": 131072,
        "max_position_embeddings": 128000}, sliding_window=None),
    "Qwen2.5-7B": published(1000000.0, **QWEN2),
    "Qwen2.5-7B-Instruct, long context": published(
        1000000.0, {"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"},
        **{**QWEN2, "max_position_embeddings": 32768, "eos_token_id": 151645}),
    "Qwen2, a window in use": published(1000000.0, **{
        **QWEN2, "use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 20}),
    "Qwen3-8B": published(1000000, **QWEN3),
    "mistral, all defaults": {"transformers 5": {"model_type": "mistral", **SHAPE}},
    "qwen2, all defaults": {"transformers 5": {"model_type": "qwen2", **SHAPE}},
    "qwen3, all defaults": {"transformers 5": {"model_type": "qwen3", **SHAPE}},
    "qwen2, window by default": {"transformers 5": {
        "model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 1, **SHAPE}},
    "qwen3, layer types": {"transformers 5": {
        "model_type": "qwen3", "use_sliding_window": True, "sliding_window": 7, "attention_bias": True,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"], **SHAPE}},
}


def parsed(raw):
    raw = json.loads(json.dumps(raw))
    model_type = raw.pop("model_type")
    config = type(AutoConfig.for_model(model_type)).from_dict(raw)
    eos = config.eos_token_id
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    window = config.sliding_window
    layers = getattr(config, "layer_types", None) or ["sliding_attention" if window else "full_attention"
                                                      ] * config.num_hidden_layers
    slides = [kind == "sliding_attention" for kind in layers]
    with torch.device("meta"):  # what the family has, from transformers' own modules
        names = [name for name, _ in AutoModelForCausalLM.from_config(config).named_parameters()]
    has = {suffix: any(name.endswith(suffix) for name in names)
           for suffix in ("q_proj.bias", "v_proj.bias", "o_proj.bias", "gate_proj.bias", "q_norm.weight")}
    assert has["q_proj.bias"] == has["v_proj.bias"]
    return {
        **{key: getattr(config, key) for key in (
            "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "vocab_size", "max_position_embeddings", "rms_norm_eps",
            "tie_word_embeddings", "bos_token_id")},
        "head_dim": head_dim, "eos_token_ids": eos if isinstance(eos, list) else [] if eos is None else [eos],
        "qkv_bias": has["q_proj.bias"], "o_bias": has["o_proj.bias"], "mlp_bias": has["gate_proj.bias"],
        "qk_norm": has["q_norm.weight"],
        "sliding_window": window if any(slides) else None, "layer_slides": slides if any(slides) else [],
        "rope_theta": config.rope_parameters["rope_theta"],
        "rope_type": config.rope_parameters["rope_type"],
    }


def main():
    torch.set_num_threads(1)
    for name, keys in CASES.items():
        write_case(name, keys)
    (HERE / "configs.json").write_text(json.dumps({
        "generator": "tests/golden/families/generate.py",
        "versions": {name: importlib.metadata.version(name)
                     for name in ("transformers", "torch", "gguf", "safetensors")},
        "configs": [{"name": name, "spelling": spelling, "config": raw, "parsed": parsed(raw)}
                    for name, spellings in PUBLISHED.items() for spelling, raw in spellings.items()],
    }, indent=1) + "\n")


if __name__ == "__main__":
    main()
