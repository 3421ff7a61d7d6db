#!/usr/bin/env python3
"""Writes smollm2.json beside this script: transformers' greedy continuations of 100 prompts by
SmolLM2-135M-Instruct's GGUF file in float32, one prompt at a time, 64 tokens each.

    python3 generate.py SMOLLM2.gguf          about 8 minutes on one core

For each prompt: the text (chat: the messages), its ids, the ids that follow, and the first position at which the two
best logits lie within 1e-3 (from there on another program may rightly go another way), or null."""
import json
import pathlib
import sys

import tokenizers
import torch
import transformers
from tokenizers import pre_tokenizers

HERE = pathlib.Path(__file__).resolve().parent
NEW_TOKENS, NEAR = 64, 1e-3

# Written for this test. A line each; kinds are interleaved below.
QUESTIONS = """\
What is the capital of Italy?
Explain photosynthesis to a child.
Write a haiku about autumn leaves.
How many days are there in a leap year, and why?
Give me three tips for learning a new language.
What is the difference between a comet and an asteroid?
Summarize the water cycle in two sentences.
Suggest a name for a bakery and explain your choice.
Translate "good morning" into Spanish and French.
Why is the sky blue?
Write a short thank-you note to a teacher.
List five fruits that grow on trees.
What is 17 plus 25?
Describe how to make a paper airplane.
What does a librarian do?
Write a polite e-mail that asks for a meeting on Tuesday at 10:30.
Compare tea and coffee in one paragraph.
How do bees make honey?
What is the largest planet in our solar system?
Write the first line of a story about a lighthouse.
Name three inventions of the 19th century.
How do I boil an egg?
What are the primary colors?
Explain what a variable is in programming.
Give a synonym for "happy" and use it in a sentence.
What should I pack for a day at the beach?
Who wrote Romeo and Juliet?
How does a bicycle stay upright?
Write a riddle whose answer is "shadow".
What is the boiling point of water at sea level?
Tell me a fun fact about octopuses.
Plan a simple dinner for four people.
What is a prime number? Give 4 examples.
How can I remember names better?
Explain the rules of tic-tac-toe.
What causes the tides?
Write a rhyme with the words "moon" and "spoon".
What is an ecosystem?
How old is the Earth, roughly?
Describe the taste of a lemon.""".splitlines()
TEXTS = """\
The river begins in a shallow lake between two ranges of hills.
Once upon a time, in a village by the sea,
In 1969, the first humans landed on
The main ingredients of bread are
The museum opens at nine o'clock and
Scientists have recently discovered that
My favourite season is winter because
Dear Sir or Madam,\\n\\nI am writing to
The train left the station at 7:45 and
"Where are you going?" asked the fox.
A good friend is someone who
The recipe calls for 250 g of flour, 3 eggs and
Chapter 1\\n\\nIt was a quiet morning when
The history of the bicycle starts with
To be or not to be,
Mount Everest is the highest mountain in
The cat sat on the windowsill and watched
Computers store information as
The three states of matter are
Music is often described as
In the middle of the desert stood
The economy of the island depends on
Birds migrate in autumn because
The recipe for a happy life:\\n1.
Question: What is the sum of 12 and 30?\\nAnswer:
English: The house is red.\\nFrench:
The quick brown fox jumps over
Gardening tips for spring:\\n-
La ville de Paris est
Ein kleiner Hund lief durch""".splitlines()
CODE = """\
def fibonacci(n):\\n
# Read a file and count its lines\\n
for (int i = 0; i < 10; ++i) {
SELECT name, age FROM users WHERE
import numpy as np\\n\\ndef mean(values):\\n
<html>\\n<head>\\n<title>
class Stack:\\n    def __init__(self):\\n
#include <stdio.h>\\n\\nint main(void) {\\n
{"name": "Ada", "born": 1815, "
function add(a, b) {\\n  return""".splitlines()
SYSTEMS = ["You are a pirate who answers in short sentences.", "Answer in one word.",
           "You are a patient mathematics teacher.", "Reply only in rhymes.", "You are a travel guide."]


def prompts():
    turns = lambda question: [{"role": "user", "content": question}]
    chats = [turns(q) for q in QUESTIONS]
    chats += [[{"role": "system", "content": SYSTEMS[i % 5]}] + turns(QUESTIONS[(7 * i + 3) % 40]) for i in range(10)]
    chats += [turns(QUESTIONS[(3 * i + 1) % 40]) + [{"role": "assistant", "content": "Let me think about that."}] +
              turns(f"Please answer in {i + 2} words.") for i in range(10)]
    texts = [t.replace("\\n", "\n") for t in TEXTS + CODE]
    assert len(chats) == 60 and len(texts) == 40
    for i in range(20):  # three chats and two texts at a time, of every part of the lists
        for j in range(3):
            yield {"chat": chats[i + 20 * j]}
        for j in range(2):
            yield {"text": texts[i + 20 * j]}


@torch.no_grad()
def greedy(model, ids):
    """The tokens and the gap between the two best logits at each."""
    tokens, gaps, past, step = [], [], None, torch.tensor([ids])
    while len(tokens) < NEW_TOKENS:
        out = model(step, past_key_values=past, use_cache=True)
        best = out.logits[0, -1].topk(2)
        tokens.append(best.indices[0].item())
        gaps.append((best.values[0] - best.values[1]).item())
        past, step = out.past_key_values, best.indices[:1][None]
        if tokens[-1] == model.config.eos_token_id:
            break
    return tokens, gaps


def main(path):
    torch.set_num_threads(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    # transformers forgets the digits when it converts a GGUF vocabulary; the published tokenizer.json has them.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    model = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    assert model.config.eos_token_id == tokenizer.eos_token_id == 2
    rows = []
    for i, prompt in enumerate(prompts()):
        text = prompt["text"] if "text" in prompt else tokenizer.apply_chat_template(
            prompt["chat"], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        tokens, gaps = greedy(model, ids)
        if i < 5:  # the same as generate() itself
            whole = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), do_sample=False,
                                   max_new_tokens=NEW_TOKENS, pad_token_id=2)[0, len(ids):].tolist()
            assert whole == tokens, (whole, tokens)
        near = next((k for k, gap in enumerate(gaps) if gap < NEAR), None)
        rows.append({**prompt, "ids": ids, "tokens": tokens, "near": near})
    assert len(rows) == 100
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    head = json.dumps({"generator": "tests/golden/generate/generate.py", "torch": torch.__version__,
                       "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
                       "model": path.name, "new_tokens": NEW_TOKENS, "near": NEAR})
    (HERE / "smollm2.json").write_text(f'{head[:-1]}, "prompts": [\n{lines}\n]}}\n')
    print(sum(row["near"] is not None for row in rows), "prompts have a near pair")


main(pathlib.Path(sys.argv[1]).resolve())
