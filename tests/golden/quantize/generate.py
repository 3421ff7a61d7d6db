"""What transformers computes with the view that `harness quantize` writes of a run that quantizes weights only
(tests/golden/tiny, RTN W4A16 in groups of 16).

    python generate.py HARNESS        # the program; writes golden.json beside this file
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers

HERE = pathlib.Path(__file__).parent
TOKENS = [5, 6, 7, 20, 33, 8, 120, 64, 299, 2, 17, 45]

with tempfile.TemporaryDirectory() as folder:
    experiment = pathlib.Path(folder) / "view.toml"
    experiment.write_text(f"""
name = "view"
model = "{HERE.parent / 'tiny'}"
dtype = "fp32"
device = "cpu"
evals = ["perplexity"]
[[run]]
label = "RTN"
format = "w4a16g16"
methods = ["rtn"]
""")
    subprocess.run([sys.argv[1], "quantize", experiment, "--run", "RTN", "--out", f"{folder}/out", "--db",
                    f"{folder}/r.sqlite"], check=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(f"{folder}/out/fake-quantized", dtype=torch.float32)
    with torch.no_grad():
        logits = model(torch.tensor([TOKENS])).logits[0]

golden = {
    "generator": "tests/golden/quantize/generate.py",
    "transformers": transformers.__version__,
    "torch": torch.__version__,
    "tokens": TOKENS,
    # The last position's, and the sum of squares of all.
    "last": [round(x, 6) for x in logits[-1].tolist()],
    "squares": logits.double().square().sum().item(),
}
(HERE / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
