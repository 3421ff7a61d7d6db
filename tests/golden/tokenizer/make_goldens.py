"""Writes <name>.json, what the library `tokenizers` makes of the 10,000 strings, for each tokenizer, and parts.json for
normalisers and pre-tokenizers alone.

    python make_goldens.py SMOLLM2.gguf [FOLDER-OF-REAL-TOKENIZERS]

Needs tokenizers 0.23.3 and gguf. The folder, for two goldens that CI cannot test: gpt2_encoder.json and gpt2_vocab.bpe
(OpenAI's files), gpt-neox_tokenizer.json (EleutherAI's).
"""

import hashlib
import json
import pathlib
import sys

import gguf
import tokenizers
from strings import HERE, SplitMix64, code_point, strings
from train import TEKKEN
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre

STRINGS = strings()
CASES = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}]+|\p{P}+|\p{S}|[\S]?"
SMALL = ["gpt2-small", "gpt-neox-small", "smollm2-small", "llama3-small", "flags-small"]


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def lines(digests, width):
    """Short digests, several a line."""
    return ["".join(digests[i : i + width]) for i in range(0, len(digests), width)]


def byte_level(vocabulary, merges, specials, pre_tokenizer):
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    return tokenizer


def smollm2(path):
    """Its tokenizer.json is these parts around the same vocabulary and merges."""
    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    specials = [t for t, kind in zip(tokens, types) if kind == gguf.TokenType.CONTROL]
    return byte_level({t: i for i, t in enumerate(tokens)}, merges, specials,
                      pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)]))


def gpt2(folder):
    merges = [tuple(line.split(" ")) for line in (folder / "gpt2_vocab.bpe").read_text().split("\n")[1:-1]]
    return byte_level(json.loads((folder / "gpt2_encoder.json").read_text()), merges, ["<|endoftext|>"],
                      pre.ByteLevel(add_prefix_space=False))


def write(name, content):
    content = {"generator": "tests/golden/tokenizer/make_goldens.py", "tokenizers": tokenizers.__version__, **content}
    (HERE / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n")


def golden(name, tokenizer, clear):
    ids = [tokenizer.encode(text, add_special_tokens=True).ids for text in STRINGS]
    joined = [",".join(map(str, line)) for line in ids]
    decoded = []
    size = tokenizer.get_vocab_size()
    for seed in range(1000):
        random = SplitMix64(seed)
        decoded.append(tokenizer.decode([random.below(size) for _ in range(12)], skip_special_tokens=False))
    write(name, {
        "strings": len(STRINGS),
        "vocabulary_size": size,
        "sha256": sha("\n".join(joined)),
        "digests": lines([sha(text)[:4] for text in joined], 25),
        "decoded": lines([sha(text)[:4] for text in decoded], 25),
        "decoded_back": lines([sha(tokenizer.decode(line, skip_special_tokens=False))[:4] for line in ids[:2000]], 25),
        "clear": [{"text": STRINGS[i], "ids": joined[i]} for i in range(clear)],
    })


def sweep():
    """Every Unicode scalar value, once at the start of a word, once among letters, once at a digit."""
    points = [code_point(c) for c in range(0x110000 - 0x800)]
    return ["".join(f"a{c} {c}1{c}" for c in points[i : i + 64]) for i in range(0, len(points), 64)]


def parts():
    cases = []
    llama3 = json.loads((HERE / "llama3-small/tokenizer.json").read_text())["pre_tokenizer"]["pretokenizers"][0]
    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    splits = [pre.Split(Regex(pattern), behavior, invert) for behavior in behaviors for invert in (False, True)
              for pattern in (r"\p{N}+", r"[^\s\w]|\S\d")]
    splits += [pre.Split(".", behavior) for behavior in behaviors] + [pre.Split("a-b", "isolated")]
    splits += [pre.Split(Regex(pattern), "isolated") for pattern in (
        llama3["pattern"]["Regex"], CASES,
        r"^\s|\n$|.x", r"\P{L}+", r"[\S]{2,3}|\D\W", r"x*")]
    splits += [pre.Digits(individual_digits=True), pre.Digits(individual_digits=False), pre.ByteLevel(add_prefix_space=True),
               pre.ByteLevel(add_prefix_space=False), pre.ByteLevel(add_prefix_space=False, use_regex=False)]
    norms = [getattr(normalizers, form)() for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents")]
    norms += [normalizers.Strip(left, right) for left in (False, True) for right in (False, True)]
    norms += [normalizers.Replace(" ", "▁"), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Prepend("▁"),
              normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])]
    splits += [pre.Metaspace("_", scheme, split) for scheme in ("never", "first", "always") for split in (False, True)]
    tekken = pre.Split(Regex(TEKKEN), "isolated")
    splits.append(tekken)
    # The Unicode tables show in these; the other patterns only take time.
    swept = [str(step.__getstate__()) for step in norms[:6] + [
        pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False),
        pre.Split(Regex(llama3["pattern"]["Regex"]), "isolated"), pre.Split(Regex(r"[^\s\w]|\S\d"), "isolated"),
        pre.Split(Regex(CASES), "isolated"), tekken]]
    whole = sweep()
    for step in norms + splits:
        config = json.loads(step.__getstate__())
        normalizer = isinstance(step, normalizers.Normalizer)

        def run(text):
            if normalizer:
                return step.normalize_str(text)
            return "\x01".join(piece for piece, _ in step.pre_tokenize_str(text)) if text else ""

        def blocks(texts, size):
            outputs = [run(text) for text in texts]
            return lines([sha("\x02".join(outputs[i : i + size]))[:6] for i in range(0, len(outputs), size)], 16)

        cases.append({"kind": "normalizer" if normalizer else "pre_tokenizer", "config": config,
                      "strings": blocks(STRINGS, 100), "sweep": blocks(whole, 64) if str(step.__getstate__()) in swept else []})
    write("parts", {"cases": cases})


def main():
    golden("smollm2", smollm2(sys.argv[1]), 300)
    for name in SMALL:
        golden(name, Tokenizer.from_file(str(HERE / name / "tokenizer.json")), 40)
    parts()
    if len(sys.argv) > 2:
        folder = pathlib.Path(sys.argv[2])
        golden("gpt2", gpt2(folder), 40)
        golden("gpt-neox", Tokenizer.from_file(str(folder / "gpt-neox_tokenizer.json")), 40)


if __name__ == "__main__":
    main()
