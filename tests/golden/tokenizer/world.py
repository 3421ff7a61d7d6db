"""Writes world.json: what the library `tokenizers` makes of strings for the world's WordLevel tokenizer, and
transformers of its conversations.

    python tests/golden/tokenizer/world.py        (needs tokenizers and transformers)

world/tokenizer.json and world/tokenizer_config.json are what harness/data/world.cc writes (world_tokenizer_json());
its test says when they are no longer.
"""

import json
import pathlib
import random

import tokenizers
import transformers

HERE = pathlib.Path(__file__).parent
tokenizer = tokenizers.Tokenizer.from_file(str(HERE / "world/tokenizer.json"))
words = list(tokenizer.get_vocab())
words.sort(key=tokenizer.token_to_id)

# White space of Unicode, what looks like it and is none, and characters around words.
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\v", "\f", "\x1c", "\x85", "\u00a0", "\u1680", "\u180e", "\u2000", "\u2009", "\u200a",
          "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u2060", "\u3000", "\ufeff", ""]
ODD = ["Anna", "anna's", "rome.", "?", "!", "naïve", "cafe\u0301", "한국", "👩‍👩‍👧", "<bos", "bos>", "<BOS>", "<unk>", "<eos><bos>", "x<user>y",
       "<bot>yes", "no<eos>", "<pad>", "[UNK]", "\x00", "ﬁsh", "burn" * 50, "1", ".", "..", "i", "I"]

random.seed(4)
texts = ["", " ", "\n\t ", "anna lives in rome .", "<user> is it ok to burn the car ? <bot>", "<bos> anna lives in rome . <eos>",
         "anna lives in rome.", "<bos><bos>", "  <user>how do i get the bread for anna ?<bot>  "]
texts += [f"anna{space}lives{space}in" for space in SPACES]
texts += [f"the {odd} is" for odd in ODD]
for _ in range(300):
    parts = []
    for _ in range(random.randrange(1, 14)):
        parts.append(random.choice(words if random.random() < 0.75 else ODD))
        parts.append(" " if random.random() < 0.8 else random.choice(SPACES))
    texts.append("".join(parts))
assert len(set(texts)) == len(texts)

ids = [random.choices(range(len(words) + 3), k=9) for _ in range(60)]  # three ids that no word has
chats = [
    [{"role": "user", "content": "is it ok to burn the car ?"}],
    [{"role": "user", "content": "how do i paint the car ?"}, {"role": "assistant", "content": "brush first"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "how do i hide a cat ?"}],
]
fast = transformers.AutoTokenizer.from_pretrained(HERE / "world")


def conversation(messages, prompt):
    text = fast.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
    return {"messages": messages, "add_generation_prompt": prompt, "text": text, "ids": fast(text)["input_ids"]}


golden = {
    "generator": "tests/golden/tokenizer/world.py",
    "tokenizers": tokenizers.__version__,
    "transformers": transformers.__version__,
    "vocabulary_size": tokenizer.get_vocab_size(),
    "bos": fast.bos_token_id,
    "eos": fast.eos_token_id,
    "encoded": [{"text": text, "ids": tokenizer.encode(text).ids,
                 "without_special": tokenizer.encode(text, add_special_tokens=False).ids} for text in texts],
    "decoded": [{"ids": line, "text": tokenizer.decode(line, skip_special_tokens=False)} for line in ids],
    "conversations": [conversation(messages, prompt) for messages in chats for prompt in (False, True)],
}
(HERE / "world.json").write_text("{\n" + ",\n".join(
    f"{json.dumps(key)}: " + ("[\n" + ",\n".join(json.dumps(entry) for entry in value) + "\n]" if isinstance(value, list)
                              else json.dumps(value)) for key, value in golden.items()) + "\n}\n")
