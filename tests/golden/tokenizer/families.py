"""Tokenizers of the families Llama, Mistral and Qwen in all their formats.

    python families.py train         trains the small ones (run once: the committed files are what the goldens belong to)
    python families.py small         writes their goldens
    python families.py real FOLDER   writes those of the real files in FOLDER, which CI does not have

Needs sentencepiece, protobuf, tiktoken, tokenizers and transformers (each golden says the versions). What is compared:
ids and texts as the format's own library gives them. For a tokenizer.model of SentencePiece, which alone finds no control
token in a text, the text between control tokens is the library's, as is the text of ids between them.
"""

import base64
import importlib
import importlib.metadata
import inspect
import io
import json
import pathlib
import re
import sys

import sentencepiece
import tiktoken
from make_goldens import STRINGS, lines, sha
from sentencepiece import sentencepiece_model_pb2 as proto
from strings import HERE, SplitMix64, strings
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre
from train import LLAMA3, MODULES, QWEN2, TEKKEN
from transformers.convert_slow_tokenizer import generate_merges

LIBRARIES = ["sentencepiece", "tiktoken", "tokenizers", "transformers"]
BLOCK = 10  # strings a digest


def text():
    """Fewer of the strings than train.py has: their characters alone would fill the vocabularies."""
    for name in MODULES.split():
        yield from inspect.getsource(importlib.import_module(name)).splitlines(keepends=True)
    yield from strings(200)


def write(name, content):
    versions = {library: importlib.metadata.version(library) for library in LIBRARIES}
    content = {"generator": "tests/golden/tokenizer/families.py", **versions, **content}
    (HERE / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n")


def golden(name, size, encode, decode, clear=40):
    ids = [encode(text) for text in STRINGS]
    joined = [",".join(map(str, line)) for line in ids]
    decoded = []
    for seed in range(1000):
        random = SplitMix64(seed)
        decoded.append(decode([random.below(size) for _ in range(12)]))
    back = [decode(line) for line in ids[:2000]]

    def digests(texts):
        return lines([sha("\x02".join(texts[i : i + BLOCK]))[:4] for i in range(0, len(texts), BLOCK)], 25)

    write(name, {
        "strings": len(STRINGS),
        "vocabulary_size": size,
        "block": BLOCK,
        "sha256": sha("\n".join(joined)),
        "digests": digests(joined),
        "decoded": digests(decoded),
        "decoded_back": digests(back),
        "clear": [{"text": STRINGS[i], "ids": joined[i]} for i in range(clear)],
    })
    print(name, size, sum(map(len, ids)), "ids")


# SentencePiece


class Model:
    """A tokenizer.model and what tokenizer_config.json adds."""

    def __init__(self, path, legacy=True, eos=False, added=()):
        self.model = proto.ModelProto()
        self.model.ParseFromString(pathlib.Path(path).read_bytes())
        self.legacy, self.eos = legacy, eos
        self.whole = self.processor(self.model.normalizer_spec.add_dummy_prefix)
        self.bare = self.processor(False)
        found = (proto.ModelProto.SentencePiece.CONTROL, proto.ModelProto.SentencePiece.UNKNOWN)
        self.special = {piece.piece: id for id, piece in enumerate(self.model.pieces) if piece.type in found}
        self.special |= {content: len(self.model.pieces) + i for i, content in enumerate(added)}
        self.unknown = self.whole.unk_id()
        self.size = len(self.model.pieces) + len(added)
        longest = sorted(self.special, key=len, reverse=True)
        self.pattern = re.compile("(" + "|".join(map(re.escape, longest)) + ")")

    def processor(self, dummy_prefix):
        model = proto.ModelProto()
        model.CopyFrom(self.model)
        model.normalizer_spec.add_dummy_prefix = dummy_prefix
        return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())

    def library(self, first):
        return self.whole if first or self.legacy else self.bare

    def encode(self, text):
        ids = [self.whole.bos_id()]
        for i, part in enumerate(self.pattern.split(text)):
            ids += [self.special[part]] if i % 2 else self.library(i == 0).encode(part)
        # At the start stands an empty part before a control token: the text after it is not the first.
        return ids + [self.whole.eos_id()] * self.eos

    def decode(self, ids):
        text, run, first = "", [], True
        contents = {id: content for content, id in self.special.items() if id != self.unknown}
        for id in ids + [None]:
            if id is not None and id not in contents:
                run.append(id)
                continue
            text += self.library(first).decode(run)
            if id is not None:
                text += contents[id]
            run, first = [], False
        return text

    def golden(self, name):
        golden(name, self.size, self.encode, self.decode)


def train_sentencepiece(name, edit=None, config=None, **options):
    out = io.BytesIO()
    options = dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
                   split_digits=True, character_coverage=0.98, allow_whitespace_only_pieces=True, num_threads=1,
                   minloglevel=2) | options
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(text()), model_writer=out, **options)
    model = proto.ModelProto()
    model.ParseFromString(out.getvalue())
    if edit:
        edit(model)
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config(model), indent=1) + "\n")


def some_unused(model):
    """Every fifth longer piece, so that both pieces that are left over and those on the way to others are among them."""
    normal = [piece for piece in model.pieces if piece.type == piece.NORMAL and len(piece.piece) > 1]
    for piece in normal[::5]:
        piece.type = piece.UNUSED


CONTROL = ["[INST]", "[/INST]", "[TOOL_CALLS]"]


def mistral_config(model):
    content = {0: "<unk>", 1: "<s>", 2: "</s>"} | {3 + i: token for i, token in enumerate(CONTROL)}
    content[len(model.pieces)] = "<|im_end|>"
    return {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "legacy": False, "add_bos_token": True, "add_eos_token": True,
            "added_tokens_decoder": {str(id): {"content": token, "special": True} for id, token in content.items()}}


# tokenizer.json


def save(name, tokenizer, config=None):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(
        json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n")
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config) + "\n")


def bos_template(tokenizer, bos):
    return processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1",
                                         special_tokens=[(bos, tokenizer.token_to_id(bos))])


def converted(path, legacy):
    """The tokenizer.json that transformers 4 made of a tokenizer.model (LlamaConverter)."""
    model = proto.ModelProto()
    model.ParseFromString(pathlib.Path(path).read_bytes())
    vocabulary = {piece.piece: id for id, piece in enumerate(model.pieces)}
    scores = {piece.piece: piece.score for piece in model.pieces}
    tokenizer = Tokenizer(models.BPE(vocabulary, generate_merges(vocabulary, scores), unk_token="<unk>", fuse_unk=True,
                                     byte_fallback=True))
    found = (proto.ModelProto.SentencePiece.CONTROL, proto.ModelProto.SentencePiece.UNKNOWN)
    tokenizer.add_special_tokens([AddedToken(piece.piece, special=True, normalized=False) for piece in model.pieces
                                  if piece.type in found])
    tokenizer.add_tokens([AddedToken(piece.piece, normalized=False) for piece in model.pieces if piece.type == piece.USER_DEFINED])
    if legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = bos_template(tokenizer, "<s>")
    return tokenizer


def byte_level(pattern, specials, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre.Sequence([pre.Split(Regex(pattern), "isolated"),
                                            pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(text(), trainers.BpeTrainer(vocab_size=700, special_tokens=specials, show_progress=False,
                                                              initial_alphabet=pre.ByteLevel.alphabet()))
    return tokenizer


def metaspace():
    """Words split before every space, unknown characters one <unk> each, of the bytes some only."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False, byte_fallback=True))
    tokenizer.pre_tokenizer = pre.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    bytes_of_latin = [f"<0x{byte:02X}>" for byte in [0xC2, 0xC3, *range(0x80, 0xC0)]]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>", "<s>", *bytes_of_latin], limit_alphabet=120,
                                  show_progress=False)
    tokenizer.train_from_iterator(text(), trainer)
    config = json.loads(tokenizer.to_str())
    config["added_tokens"] = config["added_tokens"][:2]
    return Tokenizer.from_str(json.dumps(config))


# tiktoken, as models/llama3/tokenizer.py of meta-llama/llama-models uses it


def llama3(path):
    ranks = {}
    for line in pathlib.Path(path).read_bytes().splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    named = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
             "<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>",
             "<|python_tag|>", "<|image|>"]
    special = named + [f"<|reserved_special_token_{2 + i}|>" for i in range(256 - len(named))]
    encoding = tiktoken.Encoding("llama3", pat_str=LLAMA3, mergeable_ranks=ranks,
                                 special_tokens={token: len(ranks) + i for i, token in enumerate(special)})

    def encode(text):
        return [len(ranks)] + encoding.encode(text, allowed_special="all")

    return encoding.n_vocab, encode, encoding.decode


def train_tiktoken(name):
    from tiktoken._educational import bpe_train

    ranks = bpe_train("".join(line for i, line in enumerate(text()) if i % 8 == 0), 556, LLAMA3, None)
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.model").write_text(
        "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in sorted(ranks.items(), key=lambda x: x[1])))


def train():
    train_sentencepiece("llama2-model", vocab_size=600)
    train_sentencepiece("mistral-model", vocab_size=620, control_symbols=CONTROL, user_defined_symbols=["[IMG]", "[IMG_END]", "▁zyx"],
                        config=mistral_config)
    rules = HERE / "rules.tsv"
    rules.write_text("".join(" ".join(f"{ord(c):X}" for c in source) + "\t" + " ".join(f"{ord(c):X}" for c in target) + "\n"
                             for source, target in [("ﬁ", "fi"), ("e\u0301", "é"), ("\u3000", " "), ("\t", " "), ("\n", " "),
                                                    ("\u200b", ""), ("½", "1/2"), ("Ａ", "A"), ("\r\n", " ")]))
    try:
        train_sentencepiece("charsmap-model", vocab_size=500, byte_fallback=False, normalization_rule_tsv=str(rules),
                            normalization_rule_name="", remove_extra_whitespaces=True, unk_surface=" ?? ", edit=some_unused,
                            user_defined_symbols=["<mask>", "zyxwv", "zyxwvut", "ﬁﬁ"])
    finally:
        rules.unlink()
    save("llama2-json", converted(HERE / "llama2-model/tokenizer.model", True))
    save("mistral-json", converted(HERE / "mistral-model/tokenizer.model", False), {"bos_token": "<s>", "eos_token": "</s>"})
    save("metaspace-json", metaspace())
    save("qwen2-json", byte_level(QWEN2, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], normalizers.NFC()),
         {"add_bos_token": False, "bos_token": None, "eos_token": "<|im_end|>"})
    tekken = byte_level(TEKKEN, ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"])
    tekken.model.ignore_merges = True
    tekken.post_processor = bos_template(tekken, "<s>")
    save("tekken-json", tekken)
    train_tiktoken("llama3-model")


def small():
    Model(HERE / "llama2-model/tokenizer.model").golden("llama2-model")
    Model(HERE / "mistral-model/tokenizer.model", legacy=False, eos=True, added=["<|im_end|>"]).golden("mistral-model")
    Model(HERE / "charsmap-model/tokenizer.model").golden("charsmap-model")
    for name in ["llama2-json", "mistral-json", "metaspace-json", "qwen2-json", "tekken-json"]:
        tokenizer = Tokenizer.from_file(str(HERE / name / "tokenizer.json"))
        golden(name, tokenizer.get_vocab_size(), lambda text: tokenizer.encode(text).ids,
               lambda ids: tokenizer.decode(ids, skip_special_tokens=False))
    golden("llama3-model", *llama3(HERE / "llama3-model/tokenizer.model"))


def real(folder):
    Model(folder / "llama2_tokenizer.model").golden("llama2")
    Model(folder / "mistral_tokenizer.model.v1").golden("mistral-v1")
    Model(folder / "mistral_tokenizer.model.v3").golden("mistral-v3")
    golden("llama3", *llama3(folder / "llama3_tokenizer.model"))


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train()
    elif sys.argv[1] == "small":
        small()
    else:
        real(pathlib.Path(sys.argv[2]))
