"""Writes the golden files of tests/model/{gguf,stored_linears}_test.cc: blocks of every GGUF type, and Linears as
GPTQ, AWQ, compressed-tensors and bitsandbytes store them, each with what its own library dequantizes.

    pip download auto-gptq==0.7.1 autoawq==0.2.7.post3 --no-deps --python-version 3.11 --only-binary :all:
    unzip both into FOLDER
    pip install gguf==0.19.0 compressed-tensors==0.20.0 bitsandbytes==0.50.2
    python generate.py FOLDER

From FOLDER only the files of the packed Linears are loaded: the packages want CUDA. What has no library that runs here
(GPTQ's gptq_v2 packing, AWQ's gemv on a CPU, g_idx of compressed-tensors, which dropped it, GGUF's Q8_K, which gguf
does not dequantize) follows the published layout in numpy; golden.json says so under "oracle".
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import pathlib
import sys
import types

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
torch.set_num_threads(1)
SHAPES = {"wide": (64, 96), "tall": (96, 64)}  # [out, in]


def digest(values):
    """SHA-256 of the values as float32, row-major, little-endian."""
    values = values.float().numpy() if isinstance(values, torch.Tensor) else values.astype(np.float32)
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


# --- GGUF ------------------------------------------------------------------------------------------------------------
def q8_k(raw):
    """ggml-common.h, block_q8_K: a float32 scale, 256 int8, 16 int16 sums."""
    return raw[:, :4].copy().view("<f4") * raw[:, 4:260].view(np.int8).astype(np.float32)


# Where the float16 scales of a block lie.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "TQ1_0": [52], "TQ2_0": [64], "IQ4_NL": [0], "IQ4_XS": [0],
          "IQ1_S": [0], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "IQ1_M": [],
          "MXFP4": [], "NVFP4": [], "Q8_K": []}


def random_blocks(name, count, random):
    """Blocks of random bytes, so that every code, sign and codebook entry may occur, with finite scales."""
    _, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    raw = random.integers(0, 256, (count, size), dtype=np.uint8)
    for at in HALVES[name]:
        raw[:, at + 1] &= 0xBF  # exponents below that of infinity; subnormals occur
        raw[0, at + 1] &= 0x80
    if name == "IQ1_M":
        raw[:, 55] &= 0xBF  # the top four bits of the scale
    if name == "MXFP4":
        raw[:, 0] %= 252  # products stay finite
        raw[:4, 0] = [0, 1, 2, 251]
    if name == "NVFP4":
        raw[0, :4] = [0, 0x7F, 1, 0x7E]
    if name == "Q8_K":
        raw[:, 3] &= 0xBF
    return raw


def dequantized(name, raw):
    with np.errstate(over="ignore"):  # IQ1 and TQ1 rely on numbers that wrap
        values = q8_k(raw) if name == "Q8_K" else gguf.dequantize(raw, gguf.GGMLQuantizationType[name])
    assert values.dtype == np.float32 and np.isfinite(values).all(), name
    return values


def block_goldens():
    random = np.random.default_rng(5)
    result = {}
    for name in HALVES:
        raw = random_blocks(name, 10, random)
        expected = dequantized(name, raw)
        result[name] = {"raw": raw.tobytes().hex(), "values": digest(expected),
                        "first": [float(v) for v in expected[1, :4]],
                        "oracle": "numpy" if name == "Q8_K" else "gguf"}
    return result


# --- Linears ---------------------------------------------------------------------------------------------------------
def weight(shape, seed, dtype=torch.float16):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=generator) * 0.05).to(dtype)


def integers(w, bits, group, symmetric, order=None):
    """Round-to-nearest codes of a weight: scales, zero points [out, groups] and the group of each input."""
    out, inputs = w.shape
    group = inputs if group == -1 else group
    columns = torch.arange(inputs) if order is None else order
    groups = torch.empty(inputs, dtype=torch.int32)
    groups[columns] = torch.arange(inputs, dtype=torch.int32) // group
    by_group = w.float()[:, columns].reshape(out, inputs // group, group)
    if symmetric:
        scales = 2 * by_group.abs().amax(-1) / (2**bits - 1)
        zeros = torch.full_like(scales, 2 ** (bits - 1))
    else:
        low, high = by_group.amin(-1).clamp(max=-1e-3), by_group.amax(-1).clamp(min=1e-3)
        scales = (high - low) / (2**bits - 1)
        zeros = torch.round(-low / scales).clamp(1, 2**bits - 1)  # 0 is what packing version 1 cannot store
    return scales.to(w.dtype), zeros, groups


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def multiplied(linear, inputs):
    """The matrix that a quantized Linear's forward pass multiplies by, transposed: its weight."""
    seen = []
    original = torch.matmul
    torch.matmul = lambda x, w: (seen.append(w), original(x, w))[1]
    try:
        linear(torch.eye(inputs, dtype=torch.float16))
    finally:
        torch.matmul = original
    return seen[0].t()


def gptq(folder, name, bits, group, symmetric, order=False, version="gptq"):
    QuantLinear = load(folder / "auto_gptq/nn_modules/qlinear/qlinear_cuda.py", "qlinear_cuda").QuantLinear
    tensors, digests = {}, {}
    for place, (out, inputs) in SHAPES.items():
        w = weight((out, inputs), bits + group)
        permutation = torch.randperm(inputs, generator=torch.Generator().manual_seed(1)) if order else None
        scales, zeros, g_idx = integers(w, bits, group, symmetric, permutation)
        source = torch.nn.Linear(inputs, out, bias=False, dtype=torch.float16)
        source.weight.data = w
        packed = QuantLinear(bits, group, inputs, out, bias=False, weight_dtype=torch.float16)
        packed.pack(source, scales.clone(), zeros.half().clone(), g_idx)
        packed.g_idx = g_idx
        packed.wf = packed.wf.to(torch.int32)
        digests[place] = digest(multiplied(packed, inputs))
        parts = {"qweight": packed.qweight, "qzeros": packed.qzeros, "scales": packed.scales, "g_idx": g_idx}
        if version == "gptq_v2":  # zero points as they are (GPTQModel, convert_gptq_v1_to_v2_format)
            parts["qzeros"] = dense(zeros.t().contiguous(), bits)
        tensors |= {f"{name}.{place}.{part}": tensor.contiguous() for part, tensor in parts.items()}
    config = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": order, "sym": symmetric}
    if version != "gptq":
        config["checkpoint_format"] = version
    return tensors, {"config": config, "digests": digests, "dtype": "float16",
                     "oracle": "auto-gptq" if version == "gptq" else "auto-gptq, zero points packed in numpy"}


def dense(values, bits):
    """Rows of integers, one after the other without gaps, in little-endian words."""
    bit = (values.to(torch.int64).numpy()[:, :, None] >> np.arange(bits)) & 1
    packed = np.packbits(bit.reshape(len(values), -1).astype(np.uint8), axis=1, bitorder="little")
    return torch.from_numpy(packed.view("<i4").copy())


def awq(folder, name, version):
    sys.path.insert(0, str(folder))
    for stub in ("awq", "awq.utils", "awq.modules", "awq.modules.linear"):
        package = types.ModuleType(stub)
        package.__path__ = [str(folder / stub.replace(".", "/"))]
        sys.modules[stub] = package
    from awq.modules.linear import gemm, gemv
    from awq.utils.packing_utils import dequantize_gemm
    tensors, digests = {}, {}
    for place, (out, inputs) in SHAPES.items():
        w = weight((out, inputs), 7)
        scales, zeros, _ = integers(w, 4, 32, False)
        source = torch.nn.Linear(inputs, out, bias=False, dtype=torch.float16)
        source.weight.data = w
        if version == "gemm":
            packed = gemm.WQLinear_GEMM.from_linear(source, 4, 32, scales=scales.t().contiguous(),
                                                    zeros=zeros.t().contiguous().half())
            values = dequantize_gemm(packed.qweight, packed.qzeros, packed.scales, 4, 32).t()
        else:
            packed = gemv.WQLinear_GEMV.from_linear(source, 4, 32, scales=scales, zeros=zeros.half())
            codes, zero_codes = (torch.stack([x >> 4 * i & 15 for i in range(8)], -1).flatten(1)
                                 for x in (packed.qweight, packed.qzeros))
            groups = torch.arange(inputs) // 32  # rows of zero points and scales are padded
            values = (codes - zero_codes[:, groups]) * packed.scales[:, groups]
        digests[place] = digest(values)
        for part in ("qweight", "qzeros", "scales"):
            tensors[f"{name}.{place}.{part}"] = getattr(packed, part).contiguous()
    config = {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": version}
    return tensors, {"config": config, "digests": digests, "dtype": "float16",
                     "oracle": "autoawq" if version == "gemm" else "autoawq packs, numpy dequantizes"}


def compressed(name, format, activations=False, g_idx=False, dtype=torch.bfloat16, **arguments):
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    arguments = QuantizationArgs(**arguments)
    scheme = QuantizationScheme(targets=["Linear"], weights=arguments)
    compressor = BaseCompressor.get_value_from_registry(format)
    tensors, digests = {}, {}
    for place, (out, inputs) in SHAPES.items():
        w = weight((out, inputs), 11, dtype)
        zeros = None
        strategy = getattr(arguments.strategy, "value", arguments.strategy)
        kind = getattr(arguments.type, "value", arguments.type)
        if kind == "float":
            if strategy == "block":
                rows, columns = arguments.block_structure
                blocks = w.abs().reshape(out // rows, rows, inputs // columns, columns)
                most = blocks.amax((1, 3))
            else:
                most = w.abs().max().reshape(1) if strategy == "tensor" else w.abs().amax(1, keepdim=True)
            scales = (most.float() / 448).to(dtype)
        else:
            group = arguments.group_size if strategy == "group" else -1
            scales, zeros, _ = integers(w, arguments.num_bits, group, arguments.symmetric)
            zeros = (zeros - 2 ** (arguments.num_bits - 1)).to(torch.int8)
            if strategy == "tensor":
                scales, zeros = scales.max().reshape(1), zeros[:1, 0]
        state = {"weight": w, "weight_scale": scales}
        if zeros is not None and not arguments.symmetric:
            state["weight_zero_point"] = zeros
        state = {part: tensor.contiguous() for part, tensor in compressor.compress(state, scheme).items()}
        values = compressor.decompress(state, scheme)["weight"]
        if g_idx:  # compressed-tensors before 0.16: codes in the inputs' order, the group of each in weight_g_idx
            order = torch.randperm(inputs, generator=torch.Generator().manual_seed(2))
            groups = torch.empty(inputs, dtype=torch.int32)
            groups[order] = torch.arange(inputs, dtype=torch.int32) // arguments.group_size
            state["weight_g_idx"] = groups
            from compressed_tensors.compressors.pack_quantized import unpack_from_int32
            codes = unpack_from_int32(state["weight_packed"], arguments.num_bits, w.shape)
            values = codes.to(dtype) * scales[:, groups.long()]
        digests[place] = digest(values)
        tensors |= {f"{name}.{place}.{part}": tensor for part, tensor in state.items()}
        if activations:
            tensors[f"{name}.{place}.input_scale"] = torch.tensor([0.5], dtype=dtype)
    group = {"targets": ["Linear"], "weights": arguments.model_dump(mode="json", exclude={"zp_dtype", "scale_dtype"})}
    if activations:
        group["input_activations"] = {"num_bits": 8, "type": getattr(arguments.type, "value", arguments.type), "dynamic": False}
    config = {"quant_method": "compressed-tensors", "format": format, "config_groups": {"group_0": group},
              "ignore": ["lm_head"], "quantization_status": "compressed"}
    return tensors, {"config": config, "digests": digests, "dtype": str(dtype).removeprefix("torch."),
                     "oracle": "compressed-tensors" + (", groups in torch" if g_idx else "")}


def bitsandbytes(name, kind, nested, dtype):
    import bitsandbytes.functional as F
    from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
    tensors, digests = {}, {}
    for place, shape in SHAPES.items():
        w = weight(shape, 13, dtype)
        codes, state = F.quantize_4bit(w, quant_type=kind, blocksize=64, compress_statistics=nested)
        # As read back from a file; float32 arithmetic as on a GPU (the CPU's kernel for bfloat16 rounds otherwise).
        state = F.QuantState.from_dict(state.as_dict(packed=True), device="cpu")
        absmax = state.absmax
        if nested:
            absmax = F.dequantize_blockwise(state.absmax, state.state2) + state.offset
        table = state.code
        digests[place] = digest(_dequantize_4bit_compute(codes.reshape(-1), absmax.float(), table, state.blocksize,
                                                         state.shape, dtype))
        tensors[f"{name}.{place}.weight"] = codes
        tensors |= {f"{name}.{place}.weight.{part}": tensor for part, tensor in state.as_dict(packed=True).items()}
    config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False,
              "bnb_4bit_quant_type": kind, "bnb_4bit_use_double_quant": nested}
    return tensors, {"config": config, "digests": digests, "dtype": str(dtype).removeprefix("torch."),
                     "oracle": "bitsandbytes"}


def linear_goldens(folder):
    int4 = dict(num_bits=4, type="int")
    made = {
        "gptq int4 g32": gptq(folder, "gptq int4 g32", 4, 32, False),
        "gptq int4 g32 act_order": gptq(folder, "gptq int4 g32 act_order", 4, 32, False, order=True),
        "gptq int4 symmetric channel": gptq(folder, "gptq int4 symmetric channel", 4, -1, True),
        "gptq int8 g32 symmetric": gptq(folder, "gptq int8 g32 symmetric", 8, 32, True),
        "gptq int8 g32": gptq(folder, "gptq int8 g32", 8, 32, False),
        "gptq int3 g32": gptq(folder, "gptq int3 g32", 3, 32, False),
        "gptq int2 g16 act_order": gptq(folder, "gptq int2 g16 act_order", 2, 16, False, order=True),
        "gptq_v2 int4 g32": gptq(folder, "gptq_v2 int4 g32", 4, 32, False, version="gptq_v2"),
        "gptq_v2 int3 g32": gptq(folder, "gptq_v2 int3 g32", 3, 32, False, version="gptq_v2"),
        "awq gemm": awq(folder, "awq gemm", "gemm"),
        "awq gemv": awq(folder, "awq gemv", "gemv"),
        "ct int4 g32": compressed("ct int4 g32", "pack-quantized", **int4, strategy="group", group_size=32),
        "ct int4 g16 asymmetric": compressed("ct int4 g16 asymmetric", "pack-quantized", **int4, symmetric=False,
                                             strategy="group", group_size=16, dtype=torch.float16),
        "ct int4 channel": compressed("ct int4 channel", "pack-quantized", **int4, strategy="channel"),
        "ct int4 g32 g_idx": compressed("ct int4 g32 g_idx", "pack-quantized", g_idx=True, **int4, strategy="group",
                                        group_size=32),
        "ct int3 asymmetric channel": compressed("ct int3 asymmetric channel", "pack-quantized", num_bits=3, type="int",
                                                 symmetric=False, strategy="channel"),
        "ct int8 packed": compressed("ct int8 packed", "pack-quantized", num_bits=8, type="int", strategy="group",
                                     group_size=32),
        "ct int8 channel": compressed("ct int8 channel", "int-quantized", activations=True, num_bits=8, type="int",
                                      strategy="channel"),
        "ct int8 asymmetric channel": compressed("ct int8 asymmetric channel", "int-quantized", num_bits=8, type="int",
                                                 symmetric=False, strategy="channel", dtype=torch.float16),
        "ct int8 tensor": compressed("ct int8 tensor", "naive-quantized", num_bits=8, type="int", strategy="tensor"),
        "ct fp8 tensor": compressed("ct fp8 tensor", "float-quantized", activations=True, num_bits=8, type="float",
                                    strategy="tensor"),
        "ct fp8 channel": compressed("ct fp8 channel", "float-quantized", num_bits=8, type="float", strategy="channel"),
        "ct fp8 block": compressed("ct fp8 block", "float-quantized", num_bits=8, type="float", strategy="block",
                                   block_structure=[32, 16], dtype=torch.float32),
        "bnb nf4": bitsandbytes("bnb nf4", "nf4", False, torch.float16),
        "bnb nf4 nested": bitsandbytes("bnb nf4 nested", "nf4", True, torch.bfloat16),
        "bnb fp4": bitsandbytes("bnb fp4", "fp4", False, torch.float32),
    }
    save_file({name: tensor.contiguous() for tensors, _ in made.values() for name, tensor in tensors.items()},
              HERE / "linears.safetensors")
    return {name: entry for name, (_, entry) in made.items()}


def main():
    folder = pathlib.Path(sys.argv[1])
    golden = {
        "generator": "tests/golden/formats/generate.py",
        "versions": {name: importlib.metadata.version(name)
                     for name in ("gguf", "compressed-tensors", "bitsandbytes", "torch", "numpy", "safetensors")}
        | {"auto-gptq": "0.7.1", "autoawq": "0.2.7.post3"},
        "blocks": block_goldens(),
        "linears": linear_goldens(folder),
    }
    (HERE / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
