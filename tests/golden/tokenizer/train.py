"""Trains the small tokenizers of the tests and writes each as <name>/tokenizer.json. Run once: the committed files are
what the goldens belong to. Their text is the source of a few modules of Python's standard library and the test
strings themselves."""

import importlib
import inspect
import json
import pathlib

from strings import HERE, strings
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre

MODULES = "argparse ast bisect csv datetime difflib email.message fractions heapq json.decoder logging statistics string textwrap"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?"
          r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")


def text():
    for name in MODULES.split():
        yield from inspect.getsource(importlib.import_module(name)).splitlines(keepends=True)
    yield from strings(3000)


def train(name, pre_tokenizer, specials, normalizer=None, post=None, size=900, pairs=True, edit=None, added=()):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, show_progress=False,
                                  initial_alphabet=pre.ByteLevel.alphabet())
    tokenizer.train_from_iterator(text(), trainer)
    tokenizer.add_tokens(list(added))
    if post:
        tokenizer.post_processor = post(tokenizer)
    config = json.loads(tokenizer.to_str())
    if not pairs:  # as files of tokenizers before 0.20 have them
        config["model"]["merges"] = [" ".join(pair) for pair in config["model"]["merges"]]
    if edit:
        edit(config)
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(config, ensure_ascii=False, separators=(",", ":")) + "\n")


def llama3_edit(config):
    """Words that no merge can make: ignore_merges finds them all the same."""
    model = config["model"]
    model["ignore_merges"] = True
    size = max(list(model["vocab"].values()) + [t["id"] for t in config["added_tokens"]])
    for i, word in enumerate(["Ġzyxwv", "ĠPythonic", "ĠWorldĠ", "naÃ¯ve"]):
        model["vocab"][word] = size + 1 + i


def main():
    digits = pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)])
    train("gpt2-small", pre.ByteLevel(add_prefix_space=False), ["<|endoftext|>"], pairs=False,
          post=lambda t: processors.ByteLevel(trim_offsets=False))
    runs = [AddedToken(" " * n, normalized=True, special=False) for n in range(24, 1, -1)]
    train("gpt-neox-small", pre.ByteLevel(add_prefix_space=False), ["<|endoftext|>", "<|padding|>"], normalizers.NFC(),
          post=lambda t: processors.ByteLevel(trim_offsets=True), pairs=False,
          added=runs + [AddedToken("|||IP_ADDRESS|||", normalized=True, special=False)])
    train("smollm2-small", digits, ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<reponame>", "<file_sep>",
                                    "<filename>", "<gh_stars>", "<issue_start>", "<issue_comment>", "<issue_closed>",
                                    "<jupyter_start>", "<jupyter_text>", "<jupyter_code>", "<jupyter_output>",
                                    "<jupyter_script>", "<empty_output>"])
    split = pre.Sequence([pre.Split(Regex(LLAMA3), "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    train("llama3-small", split, ["<|begin_of_text|>", "<|end_of_text|>"], edit=llama3_edit,
          post=lambda t: processors.Sequence([
              processors.ByteLevel(trim_offsets=False),
              processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                                            special_tokens=[("<|begin_of_text|>", t.token_to_id("<|begin_of_text|>"))])]))
    (HERE / "llama3-small" / "tokenizer_config.json").write_text(json.dumps(
        {"bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|end_of_text|>", "special": True}}) + "\n")
    # Every flag of added tokens, and a normaliser of many steps.
    train("flags-small", pre.Sequence([pre.Split(Regex(r"\d+|\w+"), "merged_with_next"), pre.ByteLevel(add_prefix_space=True)]),
          ["[UNK]", "<s>", "</s>"],
          normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(),
                                normalizers.Replace("''", '"'), normalizers.Replace(Regex(r"\s*,+"), ","),
                                normalizers.Strip(), normalizers.Prepend("_")]),
          post=lambda t: processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> $B </s>",
                                                       special_tokens=[("<s>", 1), ("</s>", 2)]),
          added=[AddedToken("<mask>", lstrip=True, rstrip=True, special=True, normalized=False),
                 AddedToken("LEFT", lstrip=True, normalized=False), AddedToken("RIGHT", rstrip=True, normalized=False),
                 AddedToken("Single", single_word=True, normalized=True), AddedToken("tét", normalized=True),
                 AddedToken("the", normalized=False, single_word=True)])


if __name__ == "__main__":
    main()
