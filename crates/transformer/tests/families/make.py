"""Makes the tiny checkpoints of this folder and what `transformers` answers on them.

    python -m venv venv && venv/bin/pip install torch transformers
    venv/bin/python crates/transformer/tests/families/make.py

Each folder holds `config.json` and `model.safetensors` as `save_pretrained` writes them, and `expected.safetensors`: token numbers
`tokens.N`, logits `logits.N` in f32 (encoders: last hidden states), and for mixtures of experts the experts that the router of layer L
chose for each token, `router.L.N`. Weights are drawn so that every part matters: products of order one, gains and biases well off one
and zero, attention peaked, contexts longer than windows and trained contexts. They are rounded to the stored type before the answers
are computed in f32.

Made with transformers 5.24.0 and torch 2.15.0.
"""

import json
import pathlib
import shutil
import sys

import torch
import transformers as tf
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
SMALL = dict(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40)
GROUPED = dict(SMALL, num_key_value_heads=2, max_position_embeddings=64, bos_token_id=0, eos_token_id=1, pad_token_id=None)
EXPERTS = dict(GROUPED, num_experts_per_tok=2, moe_intermediate_size=12, num_experts=6)


def rope(kind, base=500.0, **more):
    return dict(rope_type=kind, rope_theta=base, **more)


def cases():
    llama = lambda **more: tf.LlamaConfig(**{**GROUPED, **more})
    bf16, f16, f32 = torch.bfloat16, torch.float16, torch.float32
    yield "llama", llama(rms_norm_eps=1e-5), f16
    yield "llama-biases", llama(attention_bias=True, mlp_bias=True, head_dim=12, hidden_act="gelu"), bf16
    yield "llama-linear", llama(rope_parameters=rope("linear", factor=3.0)), bf16
    yield "llama-dynamic", llama(rope_parameters=rope("dynamic", factor=3.0), max_position_embeddings=16), bf16
    yield "llama-llama3", llama(
        tie_word_embeddings=True, head_dim=16,
        rope_parameters=rope("llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=24),
    ), bf16
    yield "llama-yarn", llama(
        head_dim=16, max_position_embeddings=64,
        rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=4.0, beta_slow=1.0),
    ), bf16
    yield "smollm2", llama(tie_word_embeddings=True, num_attention_heads=8, num_key_value_heads=2, rope_parameters=rope("default", 1e5)), bf16
    yield "mistral", tf.MistralConfig(**GROUPED, head_dim=12, sliding_window=7), bf16
    yield "mixtral", tf.MixtralConfig(**{**GROUPED, "intermediate_size": 20}, num_local_experts=4, num_experts_per_tok=2), bf16
    yield "qwen2", tf.Qwen2Config(**GROUPED, tie_word_embeddings=True), bf16
    yield "qwen2-window", tf.Qwen2Config(**GROUPED, use_sliding_window=True, sliding_window=6, max_window_layers=1), bf16
    yield "qwen2-moe", tf.Qwen2MoeConfig(**EXPERTS, shared_expert_intermediate_size=16), bf16
    yield "qwen3", tf.Qwen3Config(**GROUPED, head_dim=12, tie_word_embeddings=True), bf16
    yield "qwen3-moe", tf.Qwen3MoeConfig(**{**EXPERTS, "num_hidden_layers": 3}, head_dim=12, norm_topk_prob=True, mlp_only_layers=[1]), bf16
    yield "qwen3-moe-fused", tf.Qwen3MoeConfig(**EXPERTS, head_dim=12, norm_topk_prob=False), bf16
    yield "gemma", tf.GemmaConfig(**GROUPED, head_dim=12), bf16
    yield "gemma2", tf.Gemma2Config(
        **GROUPED, head_dim=12, query_pre_attn_scalar=20, sliding_window=6, final_logit_softcapping=4.0, attn_logit_softcapping=3.0
    ), bf16
    yield "gemma3", tf.Gemma3TextConfig(
        **{**GROUPED, "num_hidden_layers": 3}, head_dim=12, query_pre_attn_scalar=20, sliding_window=6,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={
            "sliding_attention": rope("default", 50.0),
            "full_attention": rope("linear", 2000.0, factor=2.0),
        },
    ), bf16
    yield "phi3", tf.Phi3Config(**GROUPED, sliding_window=9), bf16
    yield "phi3-long", tf.Phi3Config(
        **{**GROUPED, "max_position_embeddings": 64, "head_dim": 16, "hidden_size": 64, "intermediate_size": 24},
        original_max_position_embeddings=16,
        rope_parameters=rope("longrope", short_factor=[1.0, 1.1, 1.3], long_factor=[1.2, 2.0, 3.5],
                             partial_rotary_factor=0.4, original_max_position_embeddings=16),
    ), bf16
    yield "olmo2", tf.Olmo2Config(**GROUPED), bf16
    yield "starcoder2", tf.Starcoder2Config(**GROUPED, sliding_window=8, rope_parameters=rope("default", 1e3)), bf16
    yield "gpt2", tf.GPT2Config(vocab_size=64, n_positions=64, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1), f32
    neox = dict(SMALL, max_position_embeddings=64, rope_parameters=rope("default", 1e3, partial_rotary_factor=0.5))
    yield "gpt-neox", tf.GPTNeoXConfig(**neox), f16
    yield "gpt-neox-sequential", tf.GPTNeoXConfig(**neox, use_parallel_residual=False, attention_bias=False), f16
    yield "bert", tf.BertConfig(**SMALL, max_position_embeddings=64), f32


def draw(name, parameter, generator):
    normal = torch.randn(parameter.shape, generator=generator)
    if "norm" in name.lower() or ".ln_" in name:
        base = 0.0 if "bias" in name else 0.9
        return base + 0.3 * normal
    if "embed" in name or "wte" in name or "wpe" in name:
        return normal
    if parameter.dim() == 1:
        return 0.3 * normal
    fan_in = parameter.shape[-2] if "c_attn" in name or "c_proj" in name or "c_fc" in name else parameter.shape[-1]
    return 1.5 * normal / fan_in**0.5


def write(name, config, dtype):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(0)
    kind = tf.BertModel if config.model_type == "bert" else tf.AutoModelForCausalLM
    make = kind if kind is tf.BertModel else kind.from_config
    more = dict(add_pooling_layer=False) if kind is tf.BertModel else {}
    config._attn_implementation = "eager"
    model = make(config, **more).eval()
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    offset = 0.9 if config.model_type.startswith("gemma") else 0.0
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            values = draw(key, parameter, generator)
            if "norm" in key and "bias" not in key:
                values = values - offset
            if config.model_type.startswith("gemma") and "embed" in key:
                values = values / config.hidden_size**0.5
            parameter.copy_(values.to(dtype).float())
    model.tie_weights()
    chosen = {}
    for key, module in model.named_modules():
        if "Router" in type(module).__name__:
            layer = int(key.split(".")[2])
            module.register_forward_hook(lambda m, i, o, layer=layer: chosen.__setitem__(layer, o[2]))
    expected = {}
    for number, length in enumerate([40, 11]):
        tokens = torch.randint(2, 64, (1, length), generator=generator)
        with torch.no_grad():
            answer = model(input_ids=tokens)
        logits = answer.last_hidden_state if kind is tf.BertModel else answer.logits
        expected[f"tokens.{number}"] = tokens[0].to(torch.int32)
        expected[f"logits.{number}"] = logits[0].float().contiguous()
        for layer, indices in chosen.items():
            expected[f"router.{layer}.{number}"] = indices.to(torch.int32).contiguous()
    model.to(dtype)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if name.endswith("-fused"):
        state = {key: value.contiguous() for key, value in model.state_dict().items()}
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    save_file(expected, folder / "expected.safetensors")
    size = sum(file.stat().st_size for file in folder.iterdir())
    spread = expected["logits.0"].std().item()
    print(f"{name:22} {size / 1000:7.1f} kB  logits +-{spread:.2f}")


if __name__ == "__main__":
    for name, config, dtype in cases():
        if len(sys.argv) < 2 or name in sys.argv[1:]:
            write(name, config, dtype)
