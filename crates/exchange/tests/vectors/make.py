"""Writes the frozen files of this folder with the tools whose formats they are.

    pip install gguf numpy torch safetensors compressed-tensors mlx[cpu]
    python make.py

`X.expected.safetensors` holds what the tool itself reads from `X`. The files are committed: no test runs Python. Random numbers are
seeded, so the values come out the same; the bytes of zips hold dates and do not.
"""

import collections
import json
import os
import pickle
import sys

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(0)
torch.manual_seed(0)


def path(name):
    return os.path.join(HERE, name)


def expect(name, tensors):
    tensors = {key: torch.as_tensor(value).clone().contiguous() for key, value in tensors.items()}
    save_file(tensors, path(name + ".expected.safetensors"))


def gguf_types():
    """Random bytes in blocks of every type the package dequantises, whose scales happen to be finite."""
    writer = gguf.GGUFWriter(path("types.gguf"), "vectors")
    expected = {}
    types = gguf.quants._type_traits
    for kind in sorted(types):
        weights, size = gguf.GGML_QUANT_SIZES[kind]
        rows, blocks = 2, 1 if weights >= 128 else 3
        data = np.empty((rows, blocks, size), dtype=np.uint8)
        for row in range(rows):
            for block in range(blocks):
                while True:
                    candidate = rng.integers(0, 256, size=(1, size), dtype=np.uint8)
                    with np.errstate(all="ignore"):
                        values = gguf.dequantize(candidate, kind)
                    if np.isfinite(values).all():
                        break
                data[row, block] = candidate[0]
        data = data.reshape(rows, blocks * size)
        writer.add_tensor(kind.name.lower(), data, raw_dtype=kind)
        values = torch.from_numpy(gguf.dequantize(data, kind).astype(np.float32))
        expected[kind.name.lower()] = values.bfloat16() if kind.name == "BF16" else values
    for name, values in {
        "f32": rng.standard_normal((3, 5)).astype(np.float32),
        "f16": rng.standard_normal((2, 2, 3)).astype(np.float16),
        "i32": rng.integers(-9, 9, (4,), dtype=np.int32),
    }.items():
        writer.add_tensor(name, values)
        expected[name] = values
    writer.add_uint32("vectors.number", 7)
    writer.add_array("vectors.words", ["a", "b"])
    writer.add_array("vectors.many", list(range(100)))
    finish(writer)
    expect("types.gguf", expected)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def permute(weights, heads):
    """LlamaModel.permute of convert_hf_to_gguf.py."""
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def gguf_names():
    """A layer of a llama with experts, whose q and k llama.cpp permutes; and norms of Gemma, which it adds one to."""
    heads, key_heads, hidden, experts = 4, 2, 32, 3
    f32 = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    hf = {
        "model.embed_tokens.weight": f32(10, hidden),
        "model.norm.weight": f32(hidden),
        "lm_head.weight": f32(10, hidden),
        "model.layers.0.input_layernorm.weight": f32(hidden),
        "model.layers.0.self_attn.q_proj.weight": f32(hidden, hidden),
        "model.layers.0.self_attn.k_proj.weight": f32(hidden // 2, hidden),
        "model.layers.0.self_attn.v_proj.weight": f32(hidden // 2, hidden),
    }
    gate = f32(experts, 8, hidden)
    for expert in range(experts):
        hf[f"model.layers.0.block_sparse_moe.experts.{expert}.w1.weight"] = gate[expert]
    writer = gguf.GGUFWriter(path("llama.gguf"), "llama")
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_tensor("token_embd.weight", hf["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", hf["model.norm.weight"])
    writer.add_tensor("output.weight", hf["lm_head.weight"])
    writer.add_tensor("blk.0.attn_norm.weight", hf["model.layers.0.input_layernorm.weight"])
    writer.add_tensor("blk.0.attn_q.weight", permute(hf["model.layers.0.self_attn.q_proj.weight"], heads))
    writer.add_tensor("blk.0.attn_k.weight", permute(hf["model.layers.0.self_attn.k_proj.weight"], key_heads))
    writer.add_tensor("blk.0.attn_v.weight", hf["model.layers.0.self_attn.v_proj.weight"])
    writer.add_tensor("blk.0.ffn_gate_exps.weight", gate)
    finish(writer)
    expect("llama.gguf", hf)

    norm = f32(hidden).astype(np.float16).astype(np.float32)
    writer = gguf.GGUFWriter(path("gemma.gguf"), "gemma2")
    writer.add_tensor("blk.0.post_ffw_norm.weight", norm + 1)
    finish(writer)
    expect("gemma.gguf", {"model.layers.0.post_feedforward_layernorm.weight": (norm + 1) - 1})


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(3, 2)
        self.register_buffer("kept", torch.arange(3))
        self.register_buffer("fleeting", torch.arange(4), persistent=False)


def pytorch():
    base = torch.randn(6, 4)
    tied = torch.randn(3, 3, dtype=torch.float16)
    plain = collections.OrderedDict(
        whole=base,
        transposed=base.t(),
        view=base[2:, 1:3],
        scalar=torch.tensor(2.5),
        empty=torch.empty(0, 3),
        expanded=torch.tensor([[1.0], [2.0]]).expand(2, 3),
        parameter=torch.nn.Parameter(torch.randn(2, 2, dtype=torch.bfloat16)),
        tied=tied,
        tied_too=tied,
        ids=torch.arange(5),
        small=torch.tensor([1, -2], dtype=torch.int8),
        mask=torch.tensor([True, False]),
        double=torch.randn(3, dtype=torch.float64),
    )
    nested = {"state_dict": {"a": {"b": base}, "c": [base[0], base[1]]}, "epoch": 3, "optimizer": {"state": {0: base * 2}}}
    nested_flat = {"a.b": base, "c.0": base[0], "c.1": base[1]}
    for suffix, new in (("zip", True), ("legacy", False)):
        torch.save(plain, path(f"plain-{suffix}.pt"), _use_new_zipfile_serialization=new)
        expect(f"plain-{suffix}.pt", plain)
        torch.save(nested, path(f"nested-{suffix}.pt"), _use_new_zipfile_serialization=new)
        expect(f"nested-{suffix}.pt", nested_flat)
    exotic = {"f8": torch.randn(4).to(torch.float8_e4m3fn), "u16": torch.tensor([1, 65535], dtype=torch.uint16)}
    torch.save(exotic, path("exotic.pt"))
    expect("exotic.pt", exotic)
    module = Small()
    torch.save(module, path("module.pt"))
    expect("module.pt", module.state_dict())
    scripted = torch.jit.script(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU()))
    scripted.save(path("scripted.pt"))
    expect("scripted.pt", scripted.state_dict())


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


def evil():
    torch.save({"weight": torch.ones(2), "payload": Evil()}, path("evil.pt"))
    expect("evil.pt", {"weight": torch.ones(2)})
    with open(path("evil.pkl"), "wb") as file:
        pickle.dump(Evil(), file, protocol=2)


def numpy_files():
    arrays = {
        "plain": rng.standard_normal((3, 4)).astype(np.float32),
        "fortran": np.asfortranarray(rng.standard_normal((3, 4, 2)).astype(np.float32)),
        "half": rng.standard_normal(5).astype(np.float16),
        "big_endian": rng.standard_normal((2, 3)).astype(">f4"),
        "ids": np.arange(6).reshape(2, 3),
        "zeros": np.zeros((64, 64), dtype=np.float32),
        "scalar": np.float32(1.5),
    }
    native = {key: np.ascontiguousarray(value).astype(value.dtype.newbyteorder("=")) for key, value in arrays.items()}
    native["scalar"] = np.array(1.5, dtype=np.float32)
    np.savez(path("stored.npz"), **arrays)
    expect("stored.npz", native)
    np.savez_compressed(path("deflated.npz"), objects=np.array([{"a": 1}], dtype=object), words=np.array(["x"]), **arrays)
    expect("deflated.npz", native)
    np.save(path("array.npy"), arrays["fortran"])
    expect("array.npy", {"array": native["fortran"]})


def bits_of(codes, bits, axis):
    """Codes as little-endian words along an axis, each code's lowest bit first: one long string of bits."""
    codes = np.moveaxis(np.asarray(codes, dtype=np.uint64), axis, -1)
    string = (codes[..., None] >> np.arange(bits, dtype=np.uint64)) & 1
    string = string.reshape(*codes.shape[:-1], -1)
    words = (string.reshape(*string.shape[:-1], -1, 32) << np.arange(32, dtype=np.uint64)).sum(-1)
    return np.moveaxis(words.astype(np.uint32).view(np.int32), -1, axis)


def folder(name, tensors, expected, config):
    os.makedirs(path(name), exist_ok=True)
    tensors = {key: (value if torch.is_tensor(value) else torch.from_numpy(np.ascontiguousarray(value))) for key, value in tensors.items()}
    tensors["model.norm.weight"] = torch.ones(4, dtype=torch.bfloat16)
    expected["model.norm.weight"] = tensors["model.norm.weight"]
    save_file({key: value.contiguous() for key, value in tensors.items()}, path(name + "/model.safetensors"))
    with open(path(name + "/config.json"), "w") as file:
        json.dump(config, file, indent=1)
        file.write("\n")
    expect(name, expected)


def compressed_tensors_folder():
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    tensors, expected, groups = {}, {}, {}
    for bits, symmetric in ((4, True), (4, False), (3, True), (8, True), (5, False)):
        name = f"layer.{bits}{'s' if symmetric else 'a'}"
        out, inputs, group = 6, 64, 32
        low = -(1 << (bits - 1))
        codes = torch.randint(low, -low, (out, inputs), dtype=torch.int8)
        scale = torch.rand(out, inputs // group).to(torch.float16)
        zero = torch.zeros(out, inputs // group, dtype=torch.int8)
        tensors[name + ".weight_packed"] = pack_to_int32(codes, bits)
        tensors[name + ".weight_scale"] = scale
        tensors[name + ".weight_shape"] = torch.tensor([out, inputs])
        if not symmetric:
            zero = torch.randint(low, -low, zero.shape, dtype=torch.int8)
            tensors[name + ".weight_zero_point"] = pack_to_int32(zero, bits, packed_dim=0)
        spread = lambda x: x.float().repeat_interleave(group, dim=1)
        expected[name + ".weight"] = spread(scale) * (codes.float() - spread(zero))
        groups[f"group_{len(groups)}"] = {"targets": ["re:.*" + name], "weights": {"num_bits": bits, "symmetric": symmetric, "group_size": group}}
    # As versions of before 2026-05 packed three bits: ten codes in a word.
    codes = np.random.default_rng(1).integers(0, 8, (2, 96))
    padded = np.pad(codes, ((0, 0), (0, 4))).reshape(2, 10, 10)
    words = (padded.astype(np.uint32) << (3 * np.arange(10, dtype=np.uint32))).sum(-1, dtype=np.uint32).view(np.int32)
    tensors.update({"old.weight_packed": words, "old.weight_scale": np.float32([[0.5], [2]]), "old.weight_shape": np.int64([2, 96])})
    expected["old.weight"] = (codes.astype(np.float32) - 4) * np.float32([[0.5], [2]])
    folder("compressed-tensors", tensors, expected, {"quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": groups}})


def gptq_folders():
    for name, shift in (("gptq", 1), ("gptq_v2", 0)):
        tensors, expected = {}, {}
        for bits in (2, 3, 4, 8):
            out, inputs, group = 32, 64, 16
            codes = rng.integers(0, 1 << bits, (inputs, out))
            zeros = rng.integers(1, 1 << bits, (inputs // group, out))
            scales = rng.random((inputs // group, out)).astype(np.float16)
            order = np.arange(inputs, dtype=np.int32) // group
            if bits == 4:
                rng.shuffle(order)
            stem = f"layer.{bits}"
            tensors[stem + ".qweight"] = bits_of(codes, bits, 0)
            tensors[stem + ".qzeros"] = bits_of(zeros - shift, bits, 1)
            tensors[stem + ".scales"] = scales
            tensors[stem + ".g_idx"] = order
            expected[stem + ".weight"] = (scales.astype(np.float32)[order] * (codes - zeros[order]).astype(np.float32)).T
        folder(name, tensors, expected, {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 16, "checkpoint_format": name}})


def awq_folder():
    out, inputs, group = 16, 64, 32
    codes, zeros = rng.integers(0, 16, (inputs, out)), rng.integers(0, 16, (inputs // group, out))
    scales = rng.random((inputs // group, out)).astype(np.float16)
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    pack = lambda x: bits_of(x.reshape(x.shape[0], -1, 8)[:, :, order].reshape(x.shape), 4, 1)
    tensors = {"layer.qweight": pack(codes), "layer.qzeros": pack(zeros), "layer.scales": scales}
    spread = lambda x: np.repeat(x, group, axis=0)
    expected = {"layer.weight": (spread(scales.astype(np.float32)) * (codes - spread(zeros)).astype(np.float32)).T}
    folder("awq", tensors, expected, {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm", "zero_point": True}})


def mlx_folder():
    import mlx.core as mx

    tensors, expected, config = {}, {}, {"group_size": 64, "bits": 4}
    for bits in (2, 3, 4, 5, 6, 8):
        weights = mx.array(rng.standard_normal((4, 128)).astype(np.float32))
        packed, scales, biases = mx.quantize(weights, group_size=64, bits=bits)
        stem = f"layer.{bits}"
        tensors[stem + ".weight"] = torch.from_numpy(np.array(packed).view(np.int32)).view(torch.uint32)
        tensors[stem + ".scales"], tensors[stem + ".biases"] = np.array(scales), np.array(biases)
        expected[stem + ".weight"] = np.array(mx.dequantize(packed, scales, biases, group_size=64, bits=bits))
        config[stem] = {"group_size": 64, "bits": bits}
    folder("mlx", tensors, expected, {"quantization": config})


if __name__ == "__main__":
    parts = [gguf_types, gguf_names, pytorch, evil, numpy_files, compressed_tensors_folder, gptq_folders, awq_folder, mlx_folder]
    for part in parts:
        if len(sys.argv) < 2 or part.__name__ in sys.argv[1:]:
            part()
