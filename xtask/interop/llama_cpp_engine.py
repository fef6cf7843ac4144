"""llama.cpp's own library out of the wheel of xllamacpp, by the declarations of llama-cpp-py-sync of the same build."""

import functools
import glob
import importlib.util
import os

import numpy as np


def path():
    """The file of the library."""
    return glob.glob(os.path.join(os.path.dirname(importlib.util.find_spec("xllamacpp").origin), "*.so"))[0]


@functools.cache
def library():
    """Its functions, how to name their types, what it says of errors, and the function that hears it, which must not go away."""
    from llama_cpp_py_sync import _cffi_bindings

    ffi = _cffi_bindings.get_ffi()
    functions = ffi.dlopen(path())
    errors = []

    @ffi.callback("void(enum ggml_log_level, const char *, void *)")
    def log(level, text, _):
        if level == 4:
            errors.append(ffi.string(text).decode().strip())

    functions.llama_log_set(log, ffi.NULL)
    functions.llama_backend_init()
    return functions, ffi, errors, log


class Engine:
    """A GGUF file, for contexts of so many tokens at most. Without `repack` weights are not laid out anew for this processor: the plain
    kernels."""

    def __init__(self, file, context, threads, repack):
        self.functions, self.ffi, errors, _ = library()
        errors.clear()
        functions, options = self.functions, self.functions.llama_model_default_params()
        options.n_gpu_layers = 0
        options.use_extra_bufts = repack
        self.model = functions.llama_model_load_from_file(file.encode(), options)
        if self.model == self.ffi.NULL:
            raise RuntimeError("; ".join(errors[:1] or ["does not load"]))
        options = functions.llama_context_default_params()
        options.n_ctx = options.n_batch = options.n_ubatch = max(256, context)
        options.n_threads = options.n_threads_batch = threads
        options.n_outputs_max = context
        # Keys and values as 32-bit floats, attention as it is written.
        options.type_k = options.type_v = options.flash_attn_type = 0
        self.context = functions.llama_init_from_model(self.model, options)
        self.batch = functions.llama_batch_init(context, 0, 1)
        self.width = functions.llama_vocab_n_tokens(functions.llama_model_get_vocab(self.model))

    def logits(self, tokens):
        """A row for every token, of a sequence that begins here."""
        functions, batch = self.functions, self.batch
        functions.llama_memory_clear(functions.llama_get_memory(self.context), True)
        for at, token in enumerate(tokens):
            batch.token[at], batch.pos[at], batch.n_seq_id[at], batch.logits[at] = token, at, 1, 1
            batch.seq_id[at][0] = 0
        batch.n_tokens = len(tokens)
        if functions.llama_decode(self.context, batch) != 0:
            raise RuntimeError("does not compute")
        buffer = self.ffi.buffer(functions.llama_get_logits(self.context), 4 * self.width * len(tokens))
        return np.frombuffer(buffer, np.float32).reshape(len(tokens), self.width).copy()

    def close(self):
        self.functions.llama_batch_free(self.batch)
        self.functions.llama_free(self.context)
        self.functions.llama_model_free(self.model)
