"""Golden codes and scales of GPTQ: AutoGPTQ 0.7.1's own GPTQ and Quantizer on given Hessians and weights.

    pip download auto-gptq==0.7.1 --no-deps --python-version 3.11 --only-binary :all:
    unzip auto_gptq-*.whl 'auto_gptq/quantization/*'
    python generate.py FOLDER      (FOLDER holds auto_gptq/; needs torch, transformers, safetensors;
                                    writes golden.safetensors and golden.json beside this file)

Only its two files are loaded: the package wants CUDA. It computes in float32 (Tensor.float); for this run that call
gives float64, so that codes compare one by one. Its groups take their scales from weights that are up to date only at
the start of one of its blocks of columns: with groups, its block size is set to the group. Its act_order with groups
regroups the columns in their new order, which our format does not: that pair is compared with static_groups only.
It takes static groups' scales from weights whose dead columns are already zero (row scales from the weight as it is):
methods.md takes both from the weight as it is, so with static groups those columns are zero in the weight given.
"""

import importlib.util
import json
import pathlib
import platform
import sys
import types

import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
torch.Tensor.float = torch.Tensor.double
torch.cuda.synchronize = lambda: None


def load(folder):
    package = types.ModuleType("auto_gptq_quantization")
    package.__path__ = [str(folder)]
    sys.modules[package.__name__] = package
    modules = {}
    for name in ("quantizer", "gptq"):
        spec = importlib.util.spec_from_file_location(f"{package.__name__}.{name}", folder / f"{name}.py")
        modules[name] = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = modules[name]
        spec.loader.exec_module(modules[name])
    return modules["gptq"].GPTQ


OUT, IN, DEAD = 12, 160, [7, 130]
CASES = [
    dict(bits=4, group=0, mse=False, act_order=False, static=False),
    dict(bits=4, group=0, mse=True, act_order=False, static=False),
    dict(bits=3, group=0, mse=True, act_order=True, static=False),
    dict(bits=4, group=32, mse=False, act_order=False, static=False),
    dict(bits=4, group=32, mse=True, act_order=False, static=False),
    dict(bits=4, group=32, mse=False, act_order=False, static=True),
    dict(bits=3, group=40, mse=True, act_order=True, static=True),
]


def main():
    GPTQ = load(pathlib.Path(sys.argv[1]) / "auto_gptq" / "quantization")
    generator = torch.Generator().manual_seed(1)
    # Features of very different size that depend on each other; two of them are always zero.
    mixing = torch.randn(IN, IN, generator=generator) / IN**0.5 + torch.eye(IN)
    inputs = torch.randn(400, IN, generator=generator) @ mixing
    inputs *= torch.exp(torch.randn(IN, generator=generator))
    inputs[:, DEAD] = 0
    hessian = (2 / 8 * inputs.T @ inputs).contiguous()
    weight = torch.randn(OUT, IN, generator=generator) / IN**0.5

    torch.set_default_dtype(torch.float64)
    tensors = {"hessian": hessian, "weight": weight}
    for index, case in enumerate(CASES):
        layer = torch.nn.Linear(IN, OUT, bias=False)
        layer.weight.data = weight.double()
        if case["static"]:
            layer.weight.data[:, DEAD] = 0
        gptq = GPTQ(layer)
        gptq.quantizer.configure(case["bits"], perchannel=True, sym=False, mse=case["mse"])
        gptq.H = hessian.double()
        gptq.nsamples = 1
        group = case["group"] or IN
        scales, zeros, _ = gptq.fasterquant(
            blocksize=case["group"] if case["group"] and not case["static"] else 128,
            group_size=case["group"] or -1, actorder=case["act_order"], static_groups=case["static"])
        steps = layer.weight.data / scales.repeat_interleave(group, 1)
        codes = steps + zeros.repeat_interleave(group, 1)
        assert (codes - codes.round()).abs().max() < 1e-6
        tensors[f"codes.{index}"] = codes.round().to(torch.uint8)
        tensors[f"scales.{index}"] = scales.double().contiguous()
        tensors[f"zeros.{index}"] = zeros.double().contiguous()
    here = pathlib.Path(__file__).parent
    save_file(tensors, here / "golden.safetensors")
    versions = {"auto_gptq": "0.7.1", "torch": torch.__version__, "python": platform.python_version()}
    (here / "golden.json").write_text(json.dumps({"versions": versions, "cases": CASES}, indent=1) + "\n")


main()
