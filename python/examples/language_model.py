"""A language model, calibrated, compressed to 3 bits, evaluated, and written to a folder that can be pushed.

    python language_model.py HuggingFaceTB/SmolLM2-135M text.txt folder
"""

import sys

import torch
import transformers

import seedpress
import seedpress.transformers

name, text, folder = sys.argv[1:]
model = transformers.AutoModelForCausalLM.from_pretrained(name).eval()
tokenizer = transformers.AutoTokenizer.from_pretrained(name)
words = open(text, encoding="utf-8").read()
ids = tokenizer(words, return_tensors="pt").input_ids[0]

# The first half calibrates, the second is held out.
window = 512
known, held_out = ids[: len(ids) // 2], ids[len(ids) // 2 :]
with torch.no_grad(), seedpress.calibrate(model, cap=16) as stats:
    for start in range(0, min(len(known), 64 * window), window):
        model(known[None, start : start + window])

before = seedpress.transformers.evaluate(model, held_out, window=window)
codec = {"*lm_head*": "rtn:bits=8", "*embed*": "rtn:bits=8", "*": "trellis:bits=3,hessian=full"}
print(seedpress.transformers.save_pretrained(model, folder, codec, stats, tokenizer=tokenizer, base_model=name))

back = seedpress.transformers.from_pretrained(folder)
after = seedpress.transformers.evaluate(back, held_out, window=window)
print(f"perplexity {before['perplexity']:.3f} -> {after['perplexity']:.3f} over {after['tokens']:.0f} tokens")
