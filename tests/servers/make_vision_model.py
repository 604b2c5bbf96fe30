"""Makes a vision model without a download: the text model of a GGUF file behind a tiny CLIP of random weights.

make_vision_model.py GGUF DIRECTORY: afterwards DIRECTORY/vllm and DIRECTORY/transformers have it, as each of the two reads it.
"""

import os
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPVisionConfig,
    GgufConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

IMAGE = "<image>"
PATCHES = 16
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{% if part['type'] in ['image', 'image_url'] %}{{ '<image>\\n' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

gguf, out = sys.argv[1:3]
folder, file = os.path.split(os.path.realpath(gguf))
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
text = AutoModelForCausalLM.from_pretrained(
    folder, gguf_file=file, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
)
tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
tokenizer.chat_template = TEMPLATE
image_id = tokenizer.convert_tokens_to_ids(IMAGE)
if image_id >= text.config.vocab_size:
    text.resize_token_embeddings(image_id + 1)
eyes = CLIPVisionConfig(
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=2,
    image_size=56,
    patch_size=14,
    projection_dim=64,
)
config = LlavaConfig(
    vision_config=eyes,
    text_config=text.config,
    image_token_index=image_id,
    vision_feature_select_strategy="default",
    image_seq_length=PATCHES,
)
torch.manual_seed(0)
model = LlavaForConditionalGeneration(config).to(torch.bfloat16)
model.model.language_model.load_state_dict(text.model.state_dict())
model.lm_head.load_state_dict(text.lm_head.state_dict())

ready = os.path.join(out, "transformers")
model.save_pretrained(ready)
LlavaProcessor(
    image_processor=CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}),
    tokenizer=tokenizer,
    patch_size=14,
    vision_feature_select_strategy="default",
    image_token=IMAGE,
    num_additional_image_tokens=1,
    chat_template=TEMPLATE,
).save_pretrained(ready)

# vLLM has another name for the same tensors.
for_vllm = os.path.join(out, "vllm")
shutil.copytree(ready, for_vllm, dirs_exist_ok=True)
weights = os.path.join(for_vllm, "model.safetensors")


def renamed(name):
    is_old = "vision_tower." in name and "vision_model" not in name
    return name.replace("vision_tower.", "vision_tower.vision_model.") if is_old else name


tensors = {renamed(name): tensor.contiguous() for name, tensor in load_file(weights).items()}
save_file(tensors, weights, metadata={"format": "pt"})
