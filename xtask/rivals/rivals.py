"""Other people's quantisers on the tensors of the zoo.

usage: rivals.py FOLDER

FOLDER/<model>/weights.safetensors holds a model's tensors, inputs.safetensors the second moments of what they multiply, where they are known.
For each rival and model this writes FOLDER/<model>/<rival>.safetensors, what the rival's file decodes to, and <rival>.json: its file's
bytes, the bytes and times of each tensor, versions. A rival that cannot run is named in FOLDER/missing.json with the reason.

The rules are those of the matrix: tensors of rank 0 and 1 and those of fewer than 1024 weights are kept as they are and count. What is
not a rival's own file format is stored as packed arrays in one safetensors file, and decoded from them.
"""

import importlib.metadata
import json
import sys
import time
import traceback
import types
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
from safetensors.numpy import load, load_file, save, save_file

KEEP_BELOW = 1024
GROUP = 64
# Encodes are timed once, as in the matrix; decodes three times.
DECODES = 3


def keeps(tensor):
    return tensor.ndim <= 1 or tensor.size < KEEP_BELOW


def version(package):
    return f"{package} {importlib.metadata.version(package)}"


class Arrays:
    """A rival that makes arrays of each tensor: its file is one safetensors file of them."""

    calibrated = False

    def compress(self, tensors, inputs):
        arrays, told = {}, {}
        for name, tensor in tensors.items():
            start = time.perf_counter()
            parts = {"kept": tensor} if keeps(tensor) else self.encode(np.ascontiguousarray(tensor, np.float32), inputs.get(name))
            told[name] = {"bytes": sum(part.nbytes for part in parts.values()), "encode": time.perf_counter() - start}
            arrays |= {f"{name}|{part}": np.ascontiguousarray(array) for part, array in parts.items()}
        return save(arrays), told

    def decompress(self, file, tensors, told):
        arrays, decoded = load(file), {}
        for name, tensor in tensors.items():
            parts = {key.split("|")[1]: array for key, array in arrays.items() if key.split("|")[0] == name}
            times = []
            for _ in range(DECODES):
                start = time.perf_counter()
                decoded[name] = parts["kept"] if "kept" in parts else self.decode(parts, tensor.shape)
                times.append(time.perf_counter() - start)
            told[name]["decode"] = times
        return decoded


class Ggml(Arrays):
    """ggml's own quantisers in the library of the xllamacpp wheel; read back by the gguf package. Weights in the order of the tensor, in rows
    of 256, the last one filled with zeros."""

    def __init__(self, kind):
        import ctypes

        import gguf
        import xllamacpp

        self.id, self.name, self.options = kind.lower(), f"ggml:{kind.lower()}", {}
        self.kind, self.gguf = getattr(gguf.GGMLQuantizationType, kind), gguf
        self.program = f"{version('xllamacpp')}, {version('gguf')}"
        library = next(Path(xllamacpp.__file__).parent.glob("*.so"))
        self.quantize = ctypes.CDLL(str(library)).ggml_quantize_chunk
        self.quantize.restype = ctypes.c_size_t
        self.quantize.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]

    def encode(self, tensor, _):
        rows = np.zeros((-(-tensor.size // 256), 256), np.float32)
        rows.reshape(-1)[: tensor.size] = tensor.reshape(-1)
        block, size = self.gguf.GGML_QUANT_SIZES[self.kind]
        out = np.zeros(rows.size // block * size, np.uint8)
        written = self.quantize(int(self.kind), rows.ctypes.data, out.ctypes.data, 0, rows.shape[0], 256, None)
        if written != out.nbytes:
            raise ValueError(f"{written} bytes written, {out.nbytes} expected")
        return {"blocks": out}

    def decode(self, parts, shape):
        rows = parts["blocks"].reshape(-1, parts["blocks"].size // max(1, -(-int(np.prod(shape)) // 256)))
        return self.gguf.quants.dequantize(rows, self.kind).reshape(-1)[: int(np.prod(shape))].reshape(shape)


class Hqq(Arrays):
    """hqq's quantiser; scales and zeros as 16-bit floats, as its layers keep them."""

    def __init__(self, bits):
        import torch
        from hqq.core.quantize import Quantizer

        self.torch, self.quantizer, self.bits = torch, Quantizer, bits
        self.id, self.name, self.options = "hqq", f"hqq-python:bits={bits}", {"bits": bits, "group": GROUP}
        self.program = version("hqq")

    def group(self, count):
        # Its 2-bit packing takes groups by fours and loses the rest.
        return next(size for size in (GROUP, 32, 16, 8, 4, 2, 1) if count % (4 * size) == 0)

    def encode(self, tensor, _):
        group = self.group(tensor.size)
        codes, meta = self.quantizer.quantize(self.torch.from_numpy(tensor), nbits=self.bits, group_size=group, axis=1, device="cpu", compute_dtype=self.torch.float16)
        half = lambda values: values.to(self.torch.float16).numpy()
        return {"codes": codes.numpy(), "scale": half(meta["scale"]), "zero": half(meta["zero"])}

    def decode(self, parts, shape):
        torch = self.torch
        kind = self.quantizer.bit_to_packing[self.bits]
        count = int(np.prod(shape))
        meta = {"packing": kind, "unpack_view_dtype": self.quantizer.unpack_view_dtype[kind], "view_as_float": False, "group_size": self.group(count),
                "nbits": self.bits, "axis": 1, "shape": torch.Size((shape[0], count // shape[0])), "compute_dtype": torch.float32,
                "scale": torch.from_numpy(parts["scale"]).float(), "zero": torch.from_numpy(parts["zero"]).float()}
        return self.quantizer.dequantize(torch.from_numpy(parts["codes"]), meta).numpy().reshape(shape)


class Gptq(Arrays):
    """The GPTQ class of AutoGPTQ, asymmetric in groups; codes and zeros packed to their bits, scales as 16-bit floats. Tensors without
    known inputs get the identity, which is rounding to nearest."""

    calibrated = True

    def __init__(self, bits):
        import torch

        # The package's own start imports its models; the algorithm needs torch and the name of one class of transformers.
        stub = types.ModuleType("transformers")
        stub.Conv1D = type("Conv1D", (), {})
        stub.pytorch_utils = types.SimpleNamespace(Conv1D=stub.Conv1D)
        sys.modules.setdefault("transformers", stub)
        folder = Path(importlib.metadata.distribution("auto_gptq").locate_file("auto_gptq"))
        for name in ("auto_gptq", "auto_gptq.quantization"):
            package = types.ModuleType(name)
            package.__path__ = [str(folder if name == "auto_gptq" else folder / "quantization")]
            sys.modules.setdefault(name, package)
        from auto_gptq.quantization.gptq import GPTQ

        torch.cuda.synchronize = lambda *_: None
        self.torch, self.gptq, self.bits = torch, GPTQ, bits
        self.id, self.name, self.options = "gptq", f"auto-gptq:bits={bits}", {"bits": bits, "group": GROUP}
        self.program = version("auto_gptq")

    def encode(self, tensor, moments):
        torch = self.torch
        matrix = tensor.reshape(tensor.shape[0], -1)
        layer = torch.nn.Linear(matrix.shape[1], matrix.shape[0], bias=False)
        layer.weight.data = torch.from_numpy(matrix.copy())
        work = self.gptq(layer)
        work.quantizer.configure(self.bits, perchannel=True, sym=False, mse=False)
        known = moments is not None and moments.shape == (matrix.shape[1],) * 2
        work.H = torch.from_numpy(moments.astype(np.float32).copy()) if known else torch.eye(matrix.shape[1])
        work.nsamples = 1
        scale, zero, groups = work.fasterquant(group_size=GROUP)
        scale = scale.numpy().astype(np.float16)
        zero = zero.numpy().astype(np.uint8)
        wide = lambda values: values.astype(np.float32)[:, groups.numpy()]
        codes = np.clip(np.rint(layer.weight.data.numpy() / np.maximum(wide(scale), 1e-12) + wide(zero)), 0, 2**self.bits - 1).astype(np.uint8)
        return {"codes": pack(codes, self.bits), "zeros": pack(zero, self.bits), "scales": scale}

    def decode(self, parts, shape):
        rows = shape[0]
        columns = int(np.prod(shape)) // rows
        scale = parts["scales"].astype(np.float32)
        zero = unpack(parts["zeros"], self.bits, scale.size).reshape(scale.shape).astype(np.float32)
        groups = np.arange(columns) // GROUP
        codes = unpack(parts["codes"], self.bits, rows * columns).reshape(rows, columns)
        return ((codes - zero[:, groups]) * scale[:, groups]).astype(np.float32).reshape(shape)


class KMeans(Arrays):
    """scikit-learn's k-means on single weights: a codebook a tensor, as many levels as the bits allow."""

    def __init__(self, bits):
        from sklearn.cluster import KMeans as Clusters

        self.clusters, self.bits = Clusters, bits
        self.id, self.name, self.options = "k-means", f"scikit-learn-kmeans:bits={bits}", {"bits": bits}
        self.program = version("scikit-learn")

    def encode(self, tensor, _):
        values = tensor.reshape(-1, 1)
        draw = np.random.default_rng(0)
        some = values if len(values) <= 65536 else values[draw.choice(len(values), 65536, replace=False)]
        found = self.clusters(2**self.bits, n_init=1, random_state=0).fit(some)
        return {"codes": pack(found.predict(values).astype(np.uint8), self.bits), "centres": found.cluster_centers_.astype(np.float32).reshape(-1)}

    def decode(self, parts, shape):
        return parts["centres"][unpack(parts["codes"], self.bits, int(np.prod(shape)))].reshape(shape)


class ZipNn(Arrays):
    """ZipNN, lossless."""

    def __init__(self):
        from zipnn import ZipNN

        self.id, self.name, self.options, self.zipnn = "zipnn", "zipnn", {}, ZipNN
        self.program = version("zipnn")

    def encode(self, tensor, _):
        packer = self.zipnn(input_format="byte", bytearray_dtype="float32", threads=1)
        # It writes into what it reads.
        return {"stream": np.frombuffer(bytes(packer.compress(bytearray(tensor.tobytes()))), np.uint8)}

    def decode(self, parts, shape):
        packer = self.zipnn(input_format="byte", bytearray_dtype="float32", threads=1)
        return np.frombuffer(bytes(packer.decompress(parts["stream"].tobytes())), np.float32).reshape(shape)


class NnCodec:
    """NNCodec (ISO/IEC 15938-17) with its defaults (dependent quantisation, context coding): one bitstream a model, whose share of a tensor
    is that of a stream of its own."""

    calibrated = False

    def __init__(self, qp):
        from nncodec import nnc

        self.nnc, self.qp = nnc, qp
        self.id, self.name, self.options = "nncodec", f"nncodec:qp={qp}", {"qp": qp}
        self.program = version("nncodec")

    def stream(self, tensors):
        with redirect_stdout(StringIO()):
            made = self.nnc.compress(dict(tensors), bitstream_path="/dev/null", qp=self.qp, nonweight_qp=-75, use_dq=True, return_bitstream=True, verbose=False)
        return bytes(made if isinstance(made, (bytes, bytearray)) else made[0])

    def compress(self, tensors, inputs):
        # What the matrix keeps is not its to quantise: it travels beside the stream.
        coded = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items() if not keeps(tensor)}
        told = {name: {"bytes": tensor.nbytes, "encode": 0.0} for name, tensor in tensors.items()}
        for name, tensor in coded.items():
            start = time.perf_counter()
            told[name] = {"bytes": len(self.stream({name: tensor})), "encode": time.perf_counter() - start}
        arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items() if keeps(tensor)}
        return save(arrays | {"|stream": np.frombuffer(self.stream(coded), np.uint8)}), told

    def decompress(self, file, tensors, told):
        arrays = load(file)
        start = time.perf_counter()
        with redirect_stdout(StringIO()):
            decoded = self.nnc.decompress(bytearray(arrays.pop("|stream").tobytes()), verbose=False)
        seconds = time.perf_counter() - start
        weights = sum(tensor.size for tensor in decoded.values())
        for name in told:
            told[name]["decode"] = [seconds * decoded[name].size / weights] if name in decoded else [0.0]
        return {name: arrays.get(name, decoded.get(name)) for name in tensors}


def pack(codes, bits):
    planes = (codes.reshape(-1, 1) >> np.arange(bits - 1, -1, -1, dtype=np.uint8)) & 1
    return np.packbits(planes)


def unpack(packed, bits, count):
    planes = np.unpackbits(packed, count=count * bits).reshape(count, bits)
    return (planes.astype(np.int64) << np.arange(bits - 1, -1, -1)).sum(axis=1)


RIVALS = [
    *((Ggml, kind) for kind in ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "Q4_0", "IQ4_NL", "TQ1_0", "TQ2_0")),
    *((Hqq, bits) for bits in (2, 3, 4)),
    *((Gptq, bits) for bits in (2, 3, 4)),
    *((KMeans, bits) for bits in (2, 3, 4)),
    *((NnCodec, qp) for qp in (-16, -20, -24, -28)),
    (ZipNn,),
]

# Packages that were looked at and have no quantiser that runs here.
NOT_RUN = {
    "vptq": "the package on the index holds the decoder alone; its quantiser is a branch of its repository and needs CUDA",
    "gptqmodel": "it quantises whole transformers models, not layers; the same algorithm runs as the class of AutoGPTQ",
    "autoawq": "its search is written against whole transformers models on CUDA, not against layers",
}


def run(rival, folder):
    tensors = load_file(folder / "weights.safetensors")
    moments = folder / "inputs.safetensors"
    inputs = load_file(moments) if rival.calibrated and moments.exists() else {}
    file, told = rival.compress(tensors, inputs)
    decoded = rival.decompress(file, tensors, told)
    stem = rival.name.replace(":", "_").replace("=", "_")
    save_file({name: np.ascontiguousarray(decoded[name], np.float32) for name in tensors}, folder / f"{stem}.safetensors")
    facts = {"codec": rival.name, "codec_id": rival.id, "program": rival.program, "options": rival.options,
             "calibrated": rival.calibrated and bool(inputs), "bytes": len(file), "tensors": told}
    (folder / f"{stem}.json").write_text(json.dumps(facts, indent=1))
    bits = 8 * len(file) / sum(tensor.size for tensor in tensors.values())
    error = sum(float(((tensors[name] - decoded[name].astype(np.float64)) ** 2).sum()) for name in tensors)
    energy = sum(float((tensor.astype(np.float64) ** 2).sum()) for tensor in tensors.values())
    print(f"{folder.name} {rival.name}: {bits:.3f} bits, relative error {(error / energy) ** 0.5:.4f}", flush=True)


def main():
    folder = Path(sys.argv[1])
    missing = dict(NOT_RUN)
    for make, *arguments in RIVALS:
        for model in sorted(path.parent for path in folder.glob("*/weights.safetensors")):
            try:
                run(make(*arguments), model)
            except Exception as error:
                name = f"{make.__name__.lower()} {' '.join(map(str, arguments))} on {model.name}"
                missing[name] = f"{type(error).__name__}: {error}"
                traceback.print_exc()
    (folder / "missing.json").write_text(json.dumps(missing, indent=1))


if __name__ == "__main__":
    main()
