"""Small models of every family with seeded random weights, as transformers saves them: python models.py FOLDER"""

import os
import sys

import torch
import transformers as t

SMALL = dict(
    vocab_size=512, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4,
    head_dim=32, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False,
)
EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=256)

FAMILIES = {
    "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**SMALL)),
    "qwen2": lambda: t.Qwen2ForCausalLM(t.Qwen2Config(**SMALL)),
    "qwen3": lambda: t.Qwen3ForCausalLM(t.Qwen3Config(**SMALL)),
    "gemma": lambda: t.GemmaForCausalLM(t.GemmaConfig(**{**SMALL, "tie_word_embeddings": True})),
    "gemma2": lambda: t.Gemma2ForCausalLM(t.Gemma2Config(**{**SMALL, "tie_word_embeddings": True, "query_pre_attn_scalar": 32})),
    "gemma3": lambda: t.Gemma3ForCausalLM(t.Gemma3TextConfig(**{**SMALL, "tie_word_embeddings": True, "query_pre_attn_scalar": 32, "num_hidden_layers": 6})),
    "qwen3_moe": lambda: t.Qwen3MoeForCausalLM(t.Qwen3MoeConfig(**SMALL, **EXPERTS, norm_topk_prob=True)),
    "mistral": lambda: t.MistralForCausalLM(t.MistralConfig(**SMALL, sliding_window=None)),
    "mixtral": lambda: t.MixtralForCausalLM(t.MixtralConfig(**SMALL, num_local_experts=4, num_experts_per_tok=2)),
    "qwen2_moe": lambda: t.Qwen2MoeForCausalLM(t.Qwen2MoeConfig(**SMALL, **EXPERTS, shared_expert_intermediate_size=256)),
    "olmo2": lambda: t.Olmo2ForCausalLM(t.Olmo2Config(**SMALL)),
    "starcoder2": lambda: t.Starcoder2ForCausalLM(t.Starcoder2Config(**SMALL)),
    "gpt_neox": lambda: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**{**{key: SMALL[key] for key in SMALL if key not in ("head_dim", "num_key_value_heads")}, "intermediate_size": 1024})),
    "phi3": lambda: t.Phi3ForCausalLM(t.Phi3Config(**SMALL)),
    "gpt2": lambda: t.GPT2LMHeadModel(t.GPT2Config(vocab_size=512, n_embd=256, n_head=8, n_layer=2, n_positions=256, bos_token_id=1, eos_token_id=2)),
}

if __name__ == "__main__":
    for name, make in FAMILIES.items():
        folder = os.path.join(sys.argv[1], name)
        if os.path.exists(os.path.join(folder, "config.json")):
            continue
        torch.manual_seed(7)
        model = make().float().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                # Larger than the default of .02, so that logits depend on every layer; norms keep their centre.
                if parameter.dim() > 1:
                    parameter.normal_(0, 0.08)
                else:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        model.save_pretrained(folder)
