#!/usr/bin/env python3
"""Writes results/families.md: what the family tests measured.

    OMP_NUM_THREADS=1 build/release/tests/model/llama_test --gtest_filter='*Famil*' --gtest_output=json:families.json
    python3 tests/model/families_table.py families.json > results/families.md"""
import json
import pathlib
import sys

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden/families"
CASES = {  # case: (family, what it has)
    "llama31": ("Llama 3.1", "llama3 rope scaling, factor 8, original context 8192, theta 500,000"),
    "llama32": ("Llama 3.2", "llama3 rope scaling, factor 32, original context 8192, tied embeddings"),
    "mistral_window": ("Mistral v0.1", "sliding window of 16 in all layers"),
    "mistral_long": ("Mistral v0.1", "sliding window of 600 over 1536 tokens"),
    "mistral_full": ("Mistral v0.2, v0.3", "sliding_window null, theta 1,000,000"),
    "qwen2": ("Qwen 2, 2.5", "biases of q, k and v, tied embeddings"),
    "qwen2_window": ("Qwen 2", "use_sliding_window: window of 12 from layer max_window_layers = 1 on"),
    "qwen2_yarn": ("Qwen 2.5", "yarn as its long context has it: factor 4, original context 32,768"),
    "qwen2_yarn_keys": ("Qwen 2.5", "yarn with beta_fast, beta_slow, attention_factor, truncate"),
    "qwen3": ("Qwen 3", "norms of q and k, head_dim that does not follow from hidden_size, tied embeddings"),
    "qwen3_window": ("Qwen 3", "attention_bias, layer_types: layer 0 slides, window of 10"),
}


def main():
    found, without, in_gguf = {}, {}, {}
    for suite in json.load(open(sys.argv[1]))["testsuites"]:
        for test in suite["testsuite"]:
            assert "failures" not in test, test["name"]
            if "max_difference" not in test:
                continue
            name = test["name"].split("/")[-1]
            if suite["name"].endswith("FamilyWithout"):
                case, feature = name.split("_without_")
                without.setdefault(case, []).append(f"{feature.replace('_', ' ')} {test['max_difference']}")
            else:
                (in_gguf if suite["name"].endswith("InGguf") else found)[name] = test["max_difference"]
    assert set(found) == set(CASES) == set(without), (found, without)
    versions = json.loads((GOLDEN / "configs.json").read_text())["versions"]
    print(f"""# Families against transformers

Largest absolute difference of float32 logits to those of transformers {versions['transformers']} (torch \
{versions['torch']}), on tiny random
checkpoints (`tests/golden/families`, `generate.py` beside them) whose logits have a standard deviation of 2 to 5. The
limit of the tests is 1e-4; with a feature switched off or changed, the difference must be above 1e-2.

| family | what the checkpoint has | max difference | the same, as GGUF | without |
|---|---|---|---|---|""")
    for case, (family, what) in CASES.items():
        print(f"| {family} | {what} | {found[case]} | {in_gguf.get(case, '–')} | {', '.join(without[case])} |")
    print("""
The same tests hold the passes with a KV cache to those over whole sequences (prompts shorter and longer than the
window), write each checkpoint and read it back, and compare the config of 13 published or minimal config.json files
(21 with both spellings) with what transformers reads in them. Llama's other features (tying, grouped queries, head_dim, epsilon, theta, linear
scaling, biases) are in `tests/golden/llama`, each also switched off once.

GGUF does not record Mistral v0.1's window (llama.cpp's converter writes it as `llama`), so from a GGUF file its attention
sees the whole context: the same up to 4096 tokens.

    OMP_NUM_THREADS=1 build/ci/tests/model/llama_test --gtest_filter='*Famil*' --gtest_output=json:families.json
    python3 tests/model/families_table.py families.json > results/families.md""")


main()
