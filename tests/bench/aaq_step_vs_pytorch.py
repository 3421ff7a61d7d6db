"""Times AAQ's training step in the harness and in eager PyTorch, turn by turn, and writes results/aaq_step.md.

Called by aaq_step_vs_pytorch.sh. Each measurement is a process of its own; its first step is not counted.

The PyTorch side is the released algorithm in its straightforward form, written from methods.md sections 5 and 6: every
step runs teacher and base without gradients and keeps their logits over the whole vocabulary beside the student's (three
float32 copies, each with its softmax); the student's weights are rotated and scaled in its forward pass, with gradients
to R and S; blocks are checkpointed; fake quantization is the eager chain; R moves by geoopt's Adam on the Stiefel
manifold, S by torch's. It rotates in float32, where the released code uses float64.

Model: SmolLM2-135M-Instruct; its base is a copy with 5 % noise on every matrix, which costs what any other would. W4A4KV4, R
from the identity, so that both sides start from the same loss."""
import argparse
import array
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from perplexity_vs_transformers import ROOT, convert, default_model, measure, processor

TOP_K, PUSH_TOP_K, ALPHA = 1000, 500, 0.75
# Of the training when it was built, and again of the kernels since.
ASKED_TIME, ASKED_MEMORY = "0.75, then 0.7", "0.5, then 0.4"


def make_base(folder, base):
    import torch
    from safetensors.torch import load_file, save_file
    generator = torch.Generator().manual_seed(1)
    for dtype in ("float32", "bfloat16"):
        (base / dtype).mkdir(parents=True)
        state = load_file(folder / dtype / "model.safetensors")
        for name, tensor in state.items():
            if tensor.dim() == 2:
                noise = torch.randn(tensor.shape, generator=generator) * 0.05 * tensor.float().std()
                state[name] = (tensor.float() + noise).to(tensor.dtype)
        save_file(state, base / dtype / "model.safetensors", metadata={"format": "pt"})
        (base / dtype / "config.json").write_text((folder / dtype / "config.json").read_text())


def hadamard(n):
    """Orthonormal; n = 2^j, or 12 by Paley's first construction over GF(11)."""
    import torch
    if n == 12:
        squares = {i * i % 11 for i in range(1, 11)}
        h = torch.ones(12, 12)
        for i in range(11):
            h[i + 1, 0] = -1
            for j in range(11):
                h[i + 1, j + 1] = 1 if i == j or (j - i) % 11 in squares else -1
        assert torch.equal(h @ h.T, 12 * torch.eye(12))
        return h / math.sqrt(12)
    h = torch.ones(1, 1)
    while h.shape[0] < n:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)], 0)
    return h / math.sqrt(n)


class Round:
    @staticmethod
    def apply(x):
        return x + (x.round() - x).detach()


def fake_quantize(x, group=0):
    import torch
    shape, dtype = x.shape, x.dtype
    x = x.float()
    if group:
        x = x.reshape(*shape[:-1], -1, group)
    high = x.amax(-1, keepdim=True).clamp(min=1e-6)
    low = x.amin(-1, keepdim=True).clamp(max=0)
    scale = (high - low).clamp(min=1e-6) / 15
    zero = torch.round(-low / scale).detach()
    codes = torch.clamp(Round.apply(x / scale) + zero, 0, 15)
    return ((codes - zero) * scale).reshape(shape).to(dtype)


class Llama:
    """SmolLM2's forward pass; with `transform`, the student's."""

    def __init__(self, folder, dtype):
        import torch
        from safetensors.torch import load_file
        config = json.loads((pathlib.Path(folder) / "config.json").read_text())
        self.state = {k: v.to(dtype) for k, v in load_file(pathlib.Path(folder) / "model.safetensors").items()}
        self.dtype, self.layers = dtype, config["num_hidden_layers"]
        self.heads, self.kv = config["num_attention_heads"], config["num_key_value_heads"]
        self.d, self.f = config["hidden_size"], config["intermediate_size"]
        self.e, self.eps = self.d // self.heads, config["rms_norm_eps"]
        theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
        self.frequencies = theta ** (-torch.arange(0, self.e, 2).float() / self.e)
        self.h_e, self.h_small, self.h_large = (hadamard(n) for n in (self.e, 12, self.f // 12))

    def weight(self, layer, name):
        return self.state[f"model.layers.{layer}.{name}.weight"]

    def norm(self, x, gain=None):
        import torch
        wide = x.float()
        y = (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype)
        return y if gain is None else y * gain

    def online(self, x):
        y = x.reshape(*x.shape[:-1], 12, -1) @ self.h_large.to(x.dtype)
        return (self.h_small.to(x.dtype) @ y).reshape(x.shape)

    def rope(self, x):
        import torch
        angles = torch.arange(x.shape[2])[:, None] * self.frequencies
        cos, sin = (torch.cat([a, a], -1).to(x.dtype) for a in (angles.cos(), angles.sin()))
        first, second = x.chunk(2, -1)
        return x * cos + torch.cat([-second, first], -1) * sin

    def attention(self, h, wq, wk, wv, student):
        import torch
        b, t, _ = h.shape
        q, k, v = ((h @ w.T).view(b, t, -1, self.e).transpose(1, 2) for w in (wq, wk, wv))
        q, k = self.rope(q), self.rope(k)
        if student:
            h_e = self.h_e.to(q.dtype)
            q, k, v = q @ h_e, fake_quantize(k @ h_e), fake_quantize(v)
        k, v = (x.repeat_interleave(self.heads // self.kv, 1) for x in (k, v))
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).reshape(b, t, self.d)

    def plain_block(self, x, layer):
        import torch
        w = lambda name: self.weight(layer, name)
        h = self.norm(x, w("input_layernorm"))
        x = x + self.attention(h, *(w(f"self_attn.{n}_proj") for n in "qkv"), False) @ w("self_attn.o_proj").T
        h = self.norm(x, w("post_attention_layernorm"))
        return x + (torch.nn.functional.silu(h @ w("mlp.gate_proj").T) * (h @ w("mlp.up_proj").T)) @ w(
            "mlp.down_proj").T

    def student_block(self, x, layer, r, t):
        import torch
        w = lambda name: self.weight(layer, name).float()
        near = lambda name, gain, s: ((w(name) * gain) @ r) * s
        cast = lambda weight: weight.to(self.dtype)
        group = self.heads // self.kv
        gain = w("input_layernorm")
        s_qk = torch.cat([t["s_qk"], t["s_qk"]], -1)  # [kv, e], equal on RoPE's halves
        wq = near("self_attn.q_proj", gain, t["s_attn"]) / s_qk.repeat_interleave(group, 0).reshape(-1, 1)
        wk = near("self_attn.k_proj", gain, t["s_attn"]) * s_qk.reshape(-1, 1)
        wv = near("self_attn.v_proj", gain, t["s_attn"]) / t["s_ov"].reshape(-1, 1)
        wv = (t["r_ov"].mT @ wv.view(self.kv, self.e, -1)).reshape(-1, self.d)
        wo = w("self_attn.o_proj").view(self.d, self.kv, group, self.e) * t["s_ov"][:, None, :]
        wo = r.T @ (wo @ t["r_ov"]).reshape(self.d, self.d)
        h = fake_quantize((self.norm(x) / t["s_attn"]).to(self.dtype))
        mixed = fake_quantize(self.attention(h, cast(wq), cast(wk), cast(wv), True), self.e)
        x = x + mixed @ cast(wo).T
        gain = w("post_attention_layernorm")
        gate = near("mlp.gate_proj", gain, t["s_mlp"])
        up = near("mlp.up_proj", gain, t["s_mlp"]) / t["s_up"][:, None]
        down = r.T @ self.online(w("mlp.down_proj") * t["s_up"])
        h = fake_quantize((self.norm(x) / t["s_mlp"]).to(self.dtype))
        h = torch.nn.functional.silu(h @ cast(gate).T) * (h @ cast(up).T)
        return x + fake_quantize(self.online(h)) @ cast(down).T

    def logits(self, tokens, r=None, transforms=None):
        from torch.utils.checkpoint import checkpoint
        x = self.state["model.embed_tokens.weight"][tokens]
        if r is not None:
            x = (x.float() @ r).to(self.dtype)
        for layer in range(self.layers):
            if r is None:
                x = self.plain_block(x, layer)
            else:
                x = checkpoint(self.student_block, x, layer, r, transforms[layer], use_reentrant=False)
        gain, head = self.state["model.norm.weight"], self.state["model.embed_tokens.weight"]
        if r is None:
            return self.norm(x, gain) @ head.T
        return self.norm(x) @ ((head.float() * gain.float()) @ r).to(self.dtype).T


def loss_of(student, teacher, base):
    import torch
    log_q, log_ft, log_pt = (torch.log_softmax(x.float(), -1) for x in (student, teacher, base))
    top = teacher.topk(TOP_K, -1).indices
    different = (teacher.float() - base.float()).abs().topk(PUSH_TOP_K, -1).indices

    def divergence(log_p, where):
        p, q = log_p.gather(-1, where), log_q.gather(-1, where)
        return (p.exp() * (p - q)).sum(-1).mean()

    return divergence(log_ft, top) - ALPHA * divergence(log_pt, different)


def pytorch_side(folder, base_folder, dtype, threads, batch, length, steps, ids_file):
    import resource
    import time

    import geoopt
    import torch
    torch.set_num_threads(int(threads))
    batch, length, steps = int(batch), int(length), int(steps)
    ids = array.array("q")
    ids.frombytes(pathlib.Path(ids_file).read_bytes())
    tokens = torch.tensor(ids[:steps * batch * length]).view(steps, batch, length)
    kind = getattr(torch, dtype)
    student, teacher, base = Llama(folder, kind), Llama(folder, kind), Llama(base_folder, kind)
    stiefel = geoopt.CanonicalStiefel()
    r = geoopt.ManifoldParameter(torch.eye(student.d), manifold=stiefel)
    kv, e = student.kv, student.e
    transforms = [{
        "r_ov": geoopt.ManifoldParameter(torch.eye(e).repeat(kv, 1, 1), manifold=stiefel),
        **{name: torch.nn.Parameter(torch.ones(shape)) for name, shape in (
            ("s_attn", (student.d,)), ("s_mlp", (student.d,)), ("s_up", (student.f,)), ("s_ov", (kv, e)),
            ("s_qk", (kv, e // 2)))}} for _ in range(student.layers)]
    rotations = [r] + [t["r_ov"] for t in transforms]
    scales = [value for t in transforms for name, value in t.items() if name != "r_ov"]
    optimizers = [geoopt.optim.RiemannianAdam(rotations, lr=0.0169), torch.optim.Adam(scales, lr=0.0018)]
    first, start = None, None
    for step in range(steps):
        with torch.no_grad():
            teacher_logits, base_logits = teacher.logits(tokens[step]), base.logits(tokens[step])
        loss = loss_of(student.logits(tokens[step], r, transforms), teacher_logits, base_logits)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(rotations + scales, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        if step == 0:
            first, start = loss.item(), time.perf_counter()
    print(json.dumps({
        "seconds_per_step": (time.perf_counter() - start) / (steps - 1), "targets_seconds_per_step": 0,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, "loss": first}))


def main():
    if sys.argv[1] == "--pytorch-side":
        return pytorch_side(*sys.argv[2:])
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--out", default=ROOT / "results" / "aaq_step.md")
    arguments = parser.parse_args()
    batch, length = 2, 512

    import geoopt
    import torch
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        temporary = pathlib.Path(temporary)
        convert(default_model(), temporary)
        make_base(temporary, temporary / "base")
        generator = torch.Generator().manual_seed(0)
        ids_file = temporary / "ids"
        ids = torch.randint(0, 49152, (arguments.steps * batch * length,), generator=generator)
        ids_file.write_bytes(array.array("q", ids.tolist()).tobytes())
        for dtype in arguments.dtypes:
            results = {"harness": [], "pytorch": []}
            for _ in range(arguments.repeats):
                common = [temporary / dtype, temporary / "base" / dtype, dtype, arguments.threads, batch, length,
                          arguments.steps, ids_file]
                for side, command in (("harness", [arguments.bench]),
                                      ("pytorch", [sys.executable, __file__, "--pytorch-side"])):
                    results[side].append(measure(command + common, arguments.threads))
                    print(dtype, side, results[side][-1], file=sys.stderr, flush=True)
            for side, runs in results.items():
                rows.append((dtype, side, *(statistics.median(run[key] for run in runs) for key in (
                    "seconds_per_step", "targets_seconds_per_step", "peak_mb", "loss")),
                    " ".join(f"{run['seconds_per_step']:.2f}" for run in runs)))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True,
                            text=True).stdout.strip()
    lines = [
        "# AAQ's training step", "",
        f"SmolLM2-135M's shape, {batch} x {length} tokens, W4A4KV4 (weights unquantized while training), both sides with"
        f" checkpointed blocks, {arguments.threads} threads; medians of {arguments.repeats} turns (harness and eager PyTorch"
        f" alternate, {arguments.steps} steps each, the first not counted).", "",
        f"- {processor()}; torch {torch.__version__} on both sides; geoopt {geoopt.__version__}; harness commit {commit}.",
        f"- Command: `HARNESS_ORACLE_PYTHON=python3 bash tests/bench/aaq_step_vs_pytorch.sh --repeats {arguments.repeats}"
        f" --threads {arguments.threads} --steps {arguments.steps} --dtypes {' '.join(arguments.dtypes)}`. What the PyTorch"
        " side does stands in tests/bench/aaq_step_vs_pytorch.py.", "",
        "Targets: the harness runs teacher and base once over the calibration text, and every arm and epoch reuses what they"
        " said; PyTorch runs them in every step. \"With targets\" counts them once a batch, as a single arm of one epoch pays.",
        "",
        "| dtype | side | s / step | of each turn | targets, s / batch | peak MB | loss at step 1 |",
        "|---|---|---|---|---|---|---|"]
    for dtype, side, step, targets, peak, loss, turns in rows:
        lines.append(f"| {dtype} | {side} | {step:.2f} | {turns} | "
                     f"{f'{targets:.2f}' if side == 'harness' else 'in the step'} | {peak:.0f} | {loss:.4f} |")
    lines += ["", "| dtype | time ratio | with targets | asked for | memory ratio | asked for |", "|---|---|---|---|---|---|"]
    for ours, theirs in zip(rows[::2], rows[1::2]):
        lines.append(f"| {ours[0]} | {ours[2] / theirs[2]:.2f} | {(ours[2] + ours[3]) / theirs[2]:.2f} | {ASKED_TIME} | "
                     f"{ours[4] / theirs[4]:.2f} | {ASKED_MEMORY} |")
    pathlib.Path(arguments.out).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
