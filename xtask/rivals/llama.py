"""llama.cpp's quantisers with an importance matrix, and the divergence of GGUF files in its engine.

    llama.py importance FOLDER TEXT OUT                     mean squares of what every matrix of a model multiplies (needs torch, transformers)
    llama.py quantize BASE IMPORTANCE OUT PATTERN=TYPE..    the tensors of a GGUF in 32-bit floats by ggml_quantize_chunk
    llama.py divergence TOKENIZER TEXT OUT REFERENCE NAME=THEIRS=OURS..
                                                            Kullback-Leibler divergence of pairs of files from a reference, as a table

Texts are lines of JSON with a document each under `text`. Contexts are 1,024 tokens. The second and third need xllamacpp, whose wheel
holds the libraries of llama.cpp, and llama-cpp-py-sync, which declares their functions.
"""

import fnmatch
import importlib.metadata
import json
import os
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent.parent / "interop"))
import llama_cpp_engine  # noqa: E402

CONTEXT = 1024
# As many sequences of the text as `seedpress compress --calibration` takes, spread over it in the same way.
SEQUENCES = 32
# Names of a Llama's matrices in GGUF.
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def documents(tokenizer, text):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(tokenizer)
    with open(text) as lines:
        return [tokenizer.encode(json.loads(line)["text"], add_special_tokens=False).ids for line in lines]


def importance(folder, text, out):
    import torch
    import transformers

    stretches = [ids[at : at + CONTEXT] for ids in documents(f"{folder}/tokenizer.json", text) for at in range(0, len(ids) - CONTEXT + 1, CONTEXT)]
    count = min(SEQUENCES, len(stretches))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    sums = {}

    def hook(name):
        def see(_, inputs):
            rows = inputs[0].reshape(-1, inputs[0].shape[-1]).double()
            total, seen = sums.get(name, (0, 0))
            sums[name] = total + (rows * rows).sum(0), seen + len(rows)

        return see

    for name, module in model.named_modules():
        if name == "lm_head":
            module.register_forward_pre_hook(hook("token_embd.weight"))
        elif isinstance(module, torch.nn.Linear):
            _, _, layer, rest = name.split(".", 3)
            module.register_forward_pre_hook(hook(f"blk.{layer}.{NAMES[rest]}.weight"))
    with torch.no_grad():
        for at in range(count):
            model(torch.tensor([stretches[at * len(stretches) // count]]))
    np.savez(out, **{name: (total / seen).float().numpy() for name, (total, seen) in sums.items()})


def quantize(base, importance_file, out, *types):
    import ctypes

    import gguf

    function = ctypes.CDLL(llama_cpp_engine.path()).ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    matrix, reader, writer = np.load(importance_file), gguf.GGUFReader(base), gguf.GGUFWriter(out, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(field.name, field.contents())
        else:
            writer.add_key_value(field.name, field.contents(), field.types[0])
    rules = [rule.split("=") for rule in types]
    for tensor in reader.tensors:
        kind = next((kind for pattern, kind in rules if fnmatch.fnmatch(tensor.name, pattern)), None)
        if kind is None:
            writer.add_tensor(tensor.name, np.array(tensor.data))
            continue
        kind = gguf.GGMLQuantizationType[kind.upper()]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        values = np.ascontiguousarray(tensor.data, np.float32)
        rows, columns = values.shape
        blocks = np.zeros((rows, columns // block * size), np.uint8)
        weights = np.ascontiguousarray(matrix[tensor.name], np.float32)
        written = function(int(kind), values.ctypes.data, blocks.ctypes.data, 0, rows, columns, weights.ctypes.data)
        assert written == blocks.size, (tensor.name, written, blocks.size)
        writer.add_tensor(tensor.name, blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def log_probabilities(engine, tokens):
    scores = engine.logits(tokens)
    scores -= scores.max(-1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(-1, keepdims=True, dtype=np.float64)).astype(np.float32)
    return scores


def divergence(tokenizer, text, out, reference, *pairs):
    names, files = [pair.split("=")[0] for pair in pairs], [file for pair in pairs for file in pair.split("=")[1:]]
    engines = [llama_cpp_engine.Engine(file, CONTEXT, os.cpu_count(), repack=True) for file in (reference, *files)]
    texts = documents(tokenizer, text)
    # By document and file: predictions, sum of divergences in nats, equal likeliest tokens.
    found = np.zeros((len(texts), len(files), 3))
    for number, ids in enumerate(texts):
        for start in range(0, len(ids) - 1, CONTEXT - 1):
            window = ids[start : start + CONTEXT][:-1]
            if not window:
                continue
            true = log_probabilities(engines[0], window)
            share, top = np.exp(true), true.argmax(-1)
            for at, engine in enumerate(engines[1:]):
                made = log_probabilities(engine, window)
                found[number, at] += len(window), (share * (true - made)).sum(dtype=np.float64), (made.argmax(-1) == top).sum()
        total = found.sum(0)
        print(f"document {number + 1} of {len(texts)}:", *(f"{nats / count:.4f}" for count, nats, _ in total), flush=True)
    with open(out, "w") as file:
        file.write(table(names, files, found))


def table(names, files, found):
    """Means with 95 % intervals over documents drawn anew; a ratio is drawn with the same documents above and below."""
    draw = np.random.default_rng(1)
    draws = [draw.integers(0, len(found), len(found)) for _ in range(2000)]

    def told(of):
        low, high = np.quantile([of(found[drawn].sum(0)) for drawn in draws], [0.025, 0.975])
        return f"{of(found.sum(0)):.4f} [{low:.4f}, {high:.4f}]"

    lines = [
        "| types | bytes of each file | theirs, KL | ours, KL | ours / theirs | same token, theirs | ours |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for at, name in enumerate(names):
        theirs, ours = 2 * at, 2 * at + 1
        sizes = {os.path.getsize(files[file]) for file in (theirs, ours)}
        mean = lambda file: told(lambda sums: sums[file, 1] / sums[file, 0])
        ratio = told(lambda sums: sums[ours, 1] / sums[theirs, 1])
        same = [f"{found.sum(0)[file, 2] / found.sum(0)[file, 0]:.3f}" for file in (theirs, ours)]
        lines.append(f"| {name} | {' and '.join(f'{size:,}' for size in sorted(sizes))} | {mean(theirs)} | {mean(ours)} | {ratio} | {same[0]} | {same[1]} |")
    lines.append("")
    lines.append(f"{len(found)} documents, {int(found[:, 0, 0].sum()):,} predictions, nats a token; xllamacpp {importlib.metadata.version('xllamacpp')}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    {"importance": importance, "quantize": quantize, "divergence": divergence}[sys.argv[1]](*sys.argv[2:])
