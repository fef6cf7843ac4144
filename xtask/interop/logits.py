"""Logits of a model in an engine: python logits.py ENGINE MODEL OUT.npy

ENGINE is transformers (plain, compressed-tensors, GPTQ, AWQ by what config.json says), llama.cpp or mlx. The tokens are fixed. Prints a
line with the versions used."""

import sys

import numpy as np

TOKENS = [1, 5, 17, 300, 42, 511, 9, 9, 100, 256, 77, 3, 400, 21, 8, 130]


def of_transformers(folder):
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu").eval()
    with torch.no_grad():
        logits = model(torch.tensor([TOKENS])).logits[0].float().numpy()
    versions = [f"transformers {transformers.__version__}"]
    for package in ("compressed_tensors", "gptqmodel"):
        if package in sys.modules:
            versions.append(f"{package} {sys.modules[package].__version__}")
    return logits, ", ".join(versions)


def of_llama_cpp(file):
    import llama_cpp

    model = llama_cpp.Llama(file, n_ctx=256, logits_all=True, verbose=False, n_threads=2, flash_attn=False)
    model.eval(TOKENS)
    return np.array(model.scores[: len(TOKENS)]), f"llama-cpp-python {llama_cpp.__version__}"


def of_mlx(folder):
    import mlx.core as mx
    import mlx_lm
    from mlx_lm.utils import load_model
    from pathlib import Path

    mx.set_default_device(mx.cpu)
    model, _ = load_model(Path(folder))
    logits = model(mx.array([TOKENS]))[0].astype(mx.float32)
    return np.array(logits), f"mlx {mx.__version__}, mlx-lm {mlx_lm.__version__}"


if __name__ == "__main__":
    engine, model, out = sys.argv[1:]
    logits, versions = {"transformers": of_transformers, "llama.cpp": of_llama_cpp, "mlx": of_mlx}[engine](model)
    np.save(out, logits.astype(np.float32))
    print(versions)
