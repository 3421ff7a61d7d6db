"""The 10,000 strings on which tokenizers are compared: a function of the index alone, by integer arithmetic, which
tests/model/tokenizer_strings.cc repeats."""

import json
import pathlib

MASK = (1 << 64) - 1
HERE = pathlib.Path(__file__).parent
LISTS = json.loads((HERE / "ingredients.json").read_text())


class SplitMix64:
    """Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014)."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % bound


def code_point(c):
    """The c-th Unicode scalar value: surrogates are left out."""
    return chr(c + 0x800 if c >= 0xD800 else c)


def part(random):
    def pick(name):
        return LISTS[name][random.below(len(LISTS[name]))]

    def many(bound, make):
        return "".join(make() for _ in range(1 + random.below(bound)))

    kind = random.below(20)
    if kind == 0:
        return many(9, lambda: chr(ord("a") + random.below(26)))
    if kind == 1:
        return many(4, lambda: chr(ord("A") + random.below(26)))
    if kind == 2:
        return " " * (1 + random.below(30))
    if kind == 3:
        return many(6, lambda: pick("spaces"))
    if kind == 4:
        return many(8, lambda: chr(ord("0") + random.below(10)))
    if kind == 5:
        return many(5, lambda: pick("digits"))
    if kind == 6:
        return many(3, lambda: code_point(random.below(0x110000 - 0x800)))
    if kind == 7:
        return many(4, lambda: code_point(random.below(0x3000)))
    if kind == 8:
        return many(3, lambda: code_point(0x10000 - 0x800 + random.below(0x10000)))
    if kind == 9:
        return many(4, lambda: code_point(0x3041 + random.below(0xD7A4 - 0x3041)))
    if kind == 10:
        return pick("bases") + many(4, lambda: pick("marks"))
    if kind == 11:
        return many(3, lambda: pick("emoji"))
    if kind == 12:
        return pick("code")
    if kind == 13:
        return pick("contractions")
    if kind == 14:
        return pick("specials")
    if kind == 15:
        return many(5, lambda: chr(33 + random.below(15)))
    if kind == 16:
        return pick("breaks")
    if kind == 17:
        return chr(random.below(0x80))
    return " " + pick("words")


def string(index):
    """String 0 is empty."""
    random = SplitMix64(index)
    return "".join(part(random) for _ in range(1 + random.below(13))) if index else ""


def strings(count=10000):
    return [string(index) for index in range(count)]
