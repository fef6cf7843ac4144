"""Logits of models in engines: python logits.py JOBS

A line of JOBS is ENGINE, MODEL, OUT and tokens with tabs between; ENGINE is one of those in ENGINES. OUT gets 32-bit floats, a row for every
token. Prints a line for every job: `ok` and the versions used, or `failed` and why."""

import contextlib
import glob
import importlib.metadata
import importlib.util
import json
import os
import sys

import numpy as np


def versions(*packages):
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)


def run(model, tokens):
    import torch

    with torch.no_grad():
        return model.eval()(torch.tensor([tokens])).logits[0].float().numpy()


def of_transformers(folder, tokens, **more):
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu", **more)
    packages = ["transformers"] + (["compressed-tensors"] if "compressed_tensors" in sys.modules else [])
    return run(model, tokens), versions(*packages)


def of_transformers_dequantized(folder, tokens):
    from transformers import CompressedTensorsConfig

    return of_transformers(folder, tokens, quantization_config=CompressedTensorsConfig(dequantize=True))


def module_of(package, path):
    """A file of a package, without the package's own start, which asks for old versions of others."""
    folder = os.path.dirname(importlib.util.find_spec(package).origin)
    spec = importlib.util.spec_from_file_location(os.path.basename(path), os.path.join(folder, path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stored(folder):
    """Every tensor of a folder."""
    from safetensors.torch import load_file

    tensors = {}
    for path in glob.glob(os.path.join(folder, "*.safetensors")):
        tensors.update(load_file(path))
    return tensors


def with_weights(folder, tokens, weight_of):
    """The model of a folder whose packed matrices `weight_of(parts, config)` turns into weights."""
    import transformers

    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    packing = config.pop("quantization_config")
    state = stored(folder)
    for name in [name for name in state if name.endswith(".qweight")]:
        stem = name.removesuffix(".qweight")
        parts = {part: state.pop(f"{stem}.{part}") for part in ("qweight", "qzeros", "scales", "g_idx") if f"{stem}.{part}" in state}
        state[f"{stem}.weight"] = weight_of(parts, packing).float()
    kind = config.pop("model_type")
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(kind, **config)).float()
    lacking, unknown = model.load_state_dict(state, strict=False)
    assert not unknown and all("lm_head" in name for name in lacking), (lacking, unknown)
    return run(model, tokens)


def of_auto_gptq(folder, tokens):
    import torch

    linear = module_of("auto_gptq", "nn_modules/qlinear/qlinear_cuda_old.py").QuantLinear

    def weight_of(parts, packing):
        inputs, outputs = len(parts["g_idx"]), parts["scales"].shape[1]
        layer = linear(packing["bits"], packing["group_size"], inputs, outputs, False, weight_dtype=torch.float32)
        layer.qweight, layer.qzeros, layer.scales = parts["qweight"], parts["qzeros"], parts["scales"].float()
        # Its forward pass of the unit vectors: its own weights.
        return layer(torch.eye(inputs)).T.contiguous()

    return with_weights(folder, tokens, weight_of), versions("auto-gptq", "transformers")


def of_gptqmodel(folder, tokens):
    import torch
    from gptqmodel import BACKEND, GPTQModel

    if not os.path.exists(os.path.join(folder, "tokenizer.json")):
        # It asks for one, and the small models have none.
        from tokenizers import Tokenizer, models
        from transformers import PreTrainedTokenizerFast

        words = Tokenizer(models.WordLevel({str(word): word for word in range(8)}, unk_token="0"))
        PreTrainedTokenizerFast(tokenizer_object=words, unk_token="0", pad_token="0", bos_token="1", eos_token="2").save_pretrained(folder)
    # Its portable kernel asks for 16 bits at the start; widened after that it computes in 32, and what is not packed is read anew.
    with contextlib.redirect_stdout(sys.stderr):
        model = GPTQModel.load(folder, device="cpu", backend=BACKEND.TORCH, dtype=torch.float16).model.float()
    model.load_state_dict({name: tensor.float() for name, tensor in stored(folder).items() if tensor.dtype.is_floating_point}, strict=False)
    return run(model, tokens), versions("gptqmodel", "transformers")


def of_transformers_gptq(folder, tokens):
    import torch
    import transformers

    # Its kernels compute in 16 bits.
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16, device_map="cpu")
    return run(model, tokens), versions("transformers", "optimum", "gptqmodel")


def of_auto_awq(folder, tokens):
    dequantize = module_of("awq", "utils/packing_utils.py").dequantize_gemm

    def weight_of(parts, packing):
        return dequantize(parts["qweight"], parts["qzeros"], parts["scales"].float(), packing["bits"], packing["group_size"]).T.contiguous()

    return with_weights(folder, tokens, weight_of), versions("autoawq", "transformers")


def of_llama_cpp(file, tokens):
    from llama_cpp_engine import Engine

    engine = Engine(file, len(tokens), threads=2, repack=False)
    logits = engine.logits(tokens)
    engine.close()
    return logits, versions("xllamacpp")


def of_mlx(folder, tokens):
    from pathlib import Path

    import mlx.core as mx
    from mlx_lm.utils import load_model

    mx.set_default_device(mx.cpu)
    model, _ = load_model(Path(folder))
    return np.array(model(mx.array([tokens]))[0].astype(mx.float32)), versions("mlx", "mlx-lm")


ENGINES = {
    "transformers": of_transformers,
    "transformers-dequantized": of_transformers_dequantized,
    "auto-gptq": of_auto_gptq,
    "gptqmodel": of_gptqmodel,
    "transformers-gptq": of_transformers_gptq,
    "auto-awq": of_auto_awq,
    "llama.cpp": of_llama_cpp,
    "mlx": of_mlx,
}

if __name__ == "__main__":
    for line in open(sys.argv[1]):
        engine, model, out, tokens = line.rstrip("\n").split("\t")
        try:
            logits, used = ENGINES[engine](model, [int(token) for token in tokens.split()])
            logits.astype(np.float32).tofile(out)
            print("ok", used, flush=True)
        except Exception as error:
            said = str(error).strip().splitlines()
            print("failed", type(error).__name__, said[-1] if said else "", flush=True)
