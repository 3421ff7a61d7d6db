#!/usr/bin/env python3
"""Makes the tiny checkpoint on which the runner and the command line are tested: a LLaMA with random weights and a
byte-level BPE tokenizer trained on the text below. Nothing about it is a reference; it only has to be complete.

    python tests/golden/tiny/generate.py
"""
import json
import pathlib

import tokenizers
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

folder = pathlib.Path(__file__).parent
text = (
    "The harness measures what quantization does to a model. A quantized model speaks the same language, "
    "only a little worse; whether it still refuses what it should refuse is another question. "
)

tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train_from_iterator(
    [text],
    trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    ),
)
tokenizer.save(str(folder / "tokenizer.json"), pretty=False)

config = transformers.LlamaConfig(
    vocab_size=tokenizer.get_vocab_size(),
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    tie_word_embeddings=True,
)
torch.manual_seed(0)
model = transformers.LlamaForCausalLM(config)
with torch.no_grad():
    for parameter in model.parameters():
        if parameter.dim() == 2:
            parameter.copy_(torch.randn_like(parameter) * 0.3)
model.save_pretrained(folder)
(folder / "generation_config.json").unlink(missing_ok=True)
(folder / "versions.json").write_text(
    json.dumps(
        {
            "generator": "tests/golden/tiny/generate.py",
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
        indent=1,
    )
    + "\n"
)
