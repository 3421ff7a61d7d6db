"""Goldens of the trainer, from transformers and torch on the checkpoint tests/golden/tiny.

  python tests/golden/train/generate.py gradients   writes gradients.safetensors and training.json
  python tests/golden/train/generate.py saved       reads the folder saved/, which the harness wrote
      (HARNESS_WRITE_GOLDEN=1 train_test --gtest_filter='*SavedFolder*'), writes saved.json

Gradients and training run in float64 (but for transformers' norms and rotary angles, which are float32 always), so
that what differs in a test is the harness's rounding.
"""
import json
import pathlib
import sys

import safetensors.torch
import tokenizers
import torch
import transformers

HERE = pathlib.Path(__file__).parent
TINY = HERE.parent / "tiny"
VERSIONS = {"torch": torch.__version__, "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__, "generator": "tests/golden/train/generate.py"}


def example():
    """Four sequences of 24 tokens; every third position, and the whole first half of row 1, without a target."""
    generator = torch.Generator().manual_seed(5)
    text = torch.randint(3, 300, (4, 25), generator=generator)
    tokens, targets = text[:, :-1].clone(), text[:, 1:].clone()
    targets[:, ::3] = -100
    targets[1, :12] = -100
    return tokens, targets


def loss_of(model, tokens, targets):
    logits = model(tokens).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)


def load():
    return transformers.LlamaForCausalLM.from_pretrained(TINY, dtype=torch.float64)


def gradients():
    tokens, targets = example()
    model = load()
    loss = loss_of(model, tokens, targets)
    loss.backward()
    safetensors.torch.save_file(
        {name: p.grad.float().contiguous() for name, p in model.named_parameters()},
        HERE / "gradients.safetensors", metadata={"format": "pt"})

    # Five steps of AdamW with what the options can say: two groups, decay, clipping, warm-up then cosine.
    model = load()
    options = dict(lr=1e-2, betas=(0.9, 0.95), eps=1e-8)
    embedding = [p for n, p in model.named_parameters() if n == "model.embed_tokens.weight"]
    norms = [p for n, p in model.named_parameters() if n.endswith("norm.weight")]
    rest = [p for n, p in model.named_parameters()
            if n != "model.embed_tokens.weight" and not n.endswith("norm.weight")]
    optimizer = torch.optim.AdamW([
        {"params": embedding, "factor": 8.0, "weight_decay": 0.1},
        {"params": norms, "factor": 1.0, "weight_decay": 0.0},
        {"params": rest, "factor": 1.0, "weight_decay": 0.1}], **options)
    losses, norms_seen = [], []
    steps, warmup, final = 5, 2, 0.1
    for step in range(steps):
        lr = options["lr"]
        if step < warmup:
            lr *= (step + 1) / warmup
        else:
            done = torch.tensor((step - warmup) / (steps - 1 - warmup), dtype=torch.float64)
            lr *= final + (1 - final) * 0.5 * (1 + torch.cos(torch.pi * done).item())
        for group in optimizer.param_groups:
            group["lr"] = lr * group["factor"]
        optimizer.zero_grad()
        loss = loss_of(model, tokens, targets)
        loss.backward()
        norms_seen.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5).item())
        optimizer.step()
        losses.append(loss.item())
    sums = {name: [p.sum().item(), p.abs().sum().item()] for name, p in model.named_parameters()}
    (HERE / "training.json").write_text(json.dumps({
        "versions": VERSIONS, "tokens": tokens.tolist(), "targets": targets.tolist(),
        "losses": losses, "gradient_norms": norms_seen, "sums_and_absolute_sums": sums}, indent=1) + "\n")


def saved():
    folder = HERE / "saved"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    ids = torch.arange(3, 27).unsqueeze(0) * 7 % 300
    with torch.no_grad():
        logits = model(ids).logits[0]
    messages = [{"role": "user", "content": "hello"}]
    (HERE / "saved.json").write_text(json.dumps({
        "versions": VERSIONS, "class": type(model).__name__, "tokens": ids[0].tolist(),
        "text": "hello", "ids": tokenizer("hello")["input_ids"],
        "chat": tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True),
        "bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token,
        "eos_token_id": model.generation_config.eos_token_id,
        "logits": [[round(x, 6) for x in row] for row in logits.tolist()]}) + "\n")


{"gradients": gradients, "saved": saved}[sys.argv[1]]()
