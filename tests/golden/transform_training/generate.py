"""Golden values for what transforms are trained with, in float64 unless said.

    python generate.py     (torch, geoopt, safetensors; writes golden.safetensors and golden.json beside this file)

- 20 steps of geoopt's RiemannianAdam on its canonical Stiefel manifold, step by step (float64 and float32; without and with
  its periodic stabilisation), and of torch.optim.Adam;
- the gradient of fake quantization, by autograd through the formulas of methods.md section 2 with rounding replaced by
  one that passes gradients, the zero point detached;
- losses and gradients of OSTQuant (top-k KL), of AAQ in both variants, and of the ablations, by autograd from the
  definitions of methods.md section 6: `released` is the released code's contrastive_kl_exp0_K, whose probabilities are
  taken from the softmax over the whole vocabulary and gathered.
"""

import json
import pathlib
import platform

import geoopt
import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
tensors = {}


def stiefel():
    generator = torch.Generator().manual_seed(1)
    shape, steps, lr = (2, 3, 6, 6), 20, 0.0169
    start = torch.linalg.qr(torch.randn(shape, generator=generator, dtype=torch.float64))[0].contiguous()
    target = torch.linalg.qr(torch.randn(shape, generator=generator, dtype=torch.float64))[0]
    weight = torch.rand(shape, generator=generator, dtype=torch.float64)
    tensors["stiefel.start"], tensors["stiefel.target"], tensors["stiefel.weight"] = start, target.contiguous(), weight
    for dtype in (torch.float64, torch.float32):
        for stabilize in (None, 5):
            point = geoopt.ManifoldParameter(start.to(dtype).clone(), manifold=geoopt.CanonicalStiefel())
            optimizer = geoopt.optim.RiemannianAdam([point], lr=lr, betas=(0.9, 0.999), stabilize=stabilize)
            points, momenta = [], []
            for step in range(steps if stabilize is None else 5):
                optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
                optimizer.zero_grad()
                (weight.to(dtype) * (point - target.to(dtype)) ** 4).sum().backward()
                optimizer.step()
                points.append(point.detach().clone().as_subclass(torch.Tensor))
                momenta.append(optimizer.state[point]["exp_avg"].clone().as_subclass(torch.Tensor))
            name = f"stiefel.{'f64' if dtype == torch.float64 else 'f32'}{'.stabilized' if stabilize else ''}"
            tensors[name + ".points"] = torch.stack(points)
            tensors[name + ".momenta"] = torch.stack(momenta)
    scale = torch.nn.Parameter(torch.ones(7, dtype=torch.float64))
    optimizer = torch.optim.Adam([scale], lr=0.0018)
    values = []
    for step in range(steps):
        optimizer.zero_grad()
        ((scale - torch.arange(7, dtype=torch.float64)) ** 2 * scale).sum().backward()
        optimizer.step()
        values.append(scale.detach().clone())
    tensors["adam.values"] = torch.stack(values)


class Round(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.round()

    @staticmethod
    def backward(context, gradient):
        return gradient


def quantized(x, bits, group, symmetric, clip, weight):
    shape, x = x.shape, x.reshape(-1, group or x.shape[-1])
    high, low = clip * x.amax(-1, True), clip * x.amin(-1, True)
    if not symmetric:
        levels = 2**bits - 1
        bottom = low.clamp(max=0)
        scale = (high.clamp(min=1e-6) - bottom).clamp(min=1e-6) / levels
        zero = (-bottom / scale).round().detach()
        y = ((Round.apply(x / scale) + zero).clamp(0, levels) - zero) * scale
    else:
        half = 2 ** (bits - 1)
        if weight:
            scale = torch.maximum(high.clamp(min=1e-6) / (half - 1), low.clamp(max=0) / -half)
        else:
            scale = x.abs().amax(-1, True) * clip / (half - 1)
            scale = torch.where(scale == 0, torch.ones_like(scale), scale)
        y = Round.apply(x / scale).clamp(-half, half - 1) * scale
    return y.reshape(shape)


QUANTIZERS = [
    dict(bits=4, group=0, symmetric=False, clip=1.0, weight=False),
    dict(bits=3, group=8, symmetric=False, clip=0.9, weight=False),
    dict(bits=4, group=8, symmetric=True, clip=0.9, weight=False),
    dict(bits=2, group=0, symmetric=True, clip=1.0, weight=False),
    dict(bits=4, group=0, symmetric=True, clip=1.0, weight=True),
    dict(bits=3, group=8, symmetric=False, clip=1.0, weight=True),
]


def quantizers():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(12, 24, generator=generator, dtype=torch.float64)
    x[1] = x[1].abs() + 0.5  # no value below 0: the least is 0, which no value reaches
    x[2] = -x[2].abs() - 0.5
    x[3, 4] = x[3, 9] = x[3, 11] = 3.5  # ties of the largest, of the least, and of the largest magnitude
    x[4, 0] = x[4, 23] = -4.25
    x[5, 1], x[5, 20] = 5.0, -5.0
    x[6, :8] = 0
    gradient = torch.randn(12, 24, generator=generator, dtype=torch.float64)
    tensors["quantizer.x"], tensors["quantizer.gradient"] = x, gradient
    for index, case in enumerate(QUANTIZERS):
        leaf = x.clone().requires_grad_()
        quantized(leaf, **case).backward(gradient)
        tensors[f"quantizer.{index}"] = leaf.grad


def subset_kl(p_logits, q_logits, indices, renormalise):
    if renormalise:
        log_p = p_logits.gather(-1, indices).log_softmax(-1)
        log_q = q_logits.gather(-1, indices).log_softmax(-1)
    else:
        log_p = p_logits.log_softmax(-1).gather(-1, indices)
        log_q = q_logits.log_softmax(-1).gather(-1, indices)
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()


LOSSES = [
    dict(name="ostquant", top_k=9, renormalise=False, alpha=0.0, push_top_k=0, subset="probability"),
    dict(name="ostquant renormalised", top_k=9, renormalise=True, alpha=0.0, push_top_k=0, subset="probability"),
    dict(name="aaq paper", top_k=9, renormalise=True, alpha=0.75, push_top_k=5, subset="probability"),
    dict(name="aaq released", top_k=12, renormalise=False, alpha=0.5, push_top_k=6, subset="logit"),
    dict(name="contrastive_kl_top", top_k=9, renormalise=False, alpha=0.1, push_top_k=7, subset="base"),
    dict(name="contrastive_kl", top_k=0, renormalise=False, alpha=1.0, push_top_k=0, subset="base"),
]


def losses():
    generator = torch.Generator().manual_seed(3)
    positions, vocabulary = 14, 40
    teacher = 2 * torch.randn(positions, vocabulary, generator=generator, dtype=torch.float64)
    base = teacher + torch.randn(positions, vocabulary, generator=generator, dtype=torch.float64)
    student = teacher + 0.5 * torch.randn(positions, vocabulary, generator=generator, dtype=torch.float64)
    tensors["loss.teacher"], tensors["loss.base"], tensors["loss.student"] = teacher, base, student
    values = []
    for index, case in enumerate(LOSSES):
        leaf = student.clone().requires_grad_()
        top = teacher.topk(case["top_k"] or vocabulary, -1).indices
        loss = subset_kl(teacher, leaf, top, case["renormalise"])
        pull = push = loss
        if case["alpha"]:
            difference = {
                "probability": (teacher.softmax(-1) - base.softmax(-1)).abs(),
                "logit": (teacher - base).abs(),
                "base": base.softmax(-1),
            }[case["subset"]]
            push_indices = difference.topk(case["push_top_k"] or vocabulary, -1).indices
            push = subset_kl(base, leaf, push_indices, case["renormalise"])
            loss = pull - case["alpha"] * push
            if case["push_top_k"]:
                tensors[f"loss.{index}.push_indices"] = push_indices.sort(-1).values
        loss.backward()
        values.append(dict(total=loss.item(), pull=pull.item(), push=push.item() if case["alpha"] else 0.0))
        tensors[f"loss.{index}.gradient"] = leaf.grad
    leaf = student.clone().requires_grad_()
    targets = torch.randint(vocabulary, (positions,), generator=generator)
    loss = torch.nn.functional.cross_entropy(leaf, targets)
    loss.backward()
    tensors["cross_entropy.targets"], tensors["cross_entropy.gradient"] = targets, leaf.grad
    return values, loss.item()


stiefel()
quantizers()
values, cross_entropy = losses()
here = pathlib.Path(__file__).parent
save_file(tensors, here / "golden.safetensors")
versions = {"torch": torch.__version__, "geoopt": geoopt.__version__, "python": platform.python_version()}
(here / "golden.json").write_text(json.dumps({
    "versions": versions, "quantizers": QUANTIZERS,
    "losses": [case | value for case, value in zip(LOSSES, values)], "cross_entropy": cross_entropy}, indent=1) + "\n")
