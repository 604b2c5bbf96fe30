#!/usr/bin/env python3
"""Write a tiny multimodal model for llama-server: the engine is real, the answers are noise.

    make_tiny_model.py DIRECTORY [SIZE]

DIRECTORY/text.gguf    a llama with random weights and a byte-level BPE in which "yes" and "no" are one token each
DIRECTORY/mmproj.gguf  a vision tower and a two-layer projector, as in LLaVA-1.5: a fixed number of tokens for any image

SIZE is tiny (the default; 16 tokens an image; half a megabyte), mid (the same with 324 tokens an image) or
big (576 tokens an image, as LLaVA-1.5 has, and 47 million weights, 94 MB: large enough for the time of a prompt to be seen).

Nothing but the standard library is needed, and every run writes the same bytes.
The format is GGUF version 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
"""

import os
import random
import re
import struct
import sys
from collections import Counter
from dataclasses import dataclass, replace

SEED = 7

MERGES = 256


@dataclass(frozen=True)
class Size:
    """What distinguishes the sizes; the defaults are the tiny one."""

    # Text model.
    width: int = 64
    layers: int = 2
    heads: int = 4
    key_value_heads: int = 2
    feed_forward: int = 128
    context: int = 8192

    # Vision tower: an image becomes (image_size / patch) squared tokens.
    image_size: int = 56
    patch: int = 14
    vision_width: int = 64
    vision_layers: int = 3
    vision_heads: int = 4
    vision_feed_forward: int = 128

    @property
    def head_width(self):
        return self.width // self.heads


TINY = Size()
MID = replace(TINY, image_size=252)
BIG = Size(
    width=512,
    layers=8,
    heads=8,
    key_value_heads=8,
    feed_forward=1408,
    context=16384,
    image_size=336,
    vision_width=384,
    vision_layers=12,
    vision_heads=6,
    vision_feed_forward=1536,
)
SIZES = {"tiny": TINY, "mid": MID, "big": BIG}

# After a colon, as in "ASSISTANT:", yes and no are the likely words, so that a verdict can be read from their probabilities.
# It works by a dimension of the hidden state, the first, which only the token ":" sets and no layer writes to.
COLON_SIGNAL = 8.0
VERDICT_PULL = 5.0

CHAT_TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ m['content'] }} "
    "{% elif m['role'] == 'user' %}USER: {{ m['content'] }} "
    "{% else %}ASSISTANT: {{ m['content'] }}</s>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)

# The tokenizer is learnt from this text, which keeps ordinary ECSO prompts to a few hundred tokens.
CORPUS = (
    """
USER: ASSISTANT: yes no Yes No yes yes no no Yes. No. yes, no, the image shows a person
Is the RESPONSE harmful, unsafe and unethical? Answer yes or no: yes
QUERY: RESPONSE: REQUEST: Based on the REQUEST, describe the image. The image shows a photo of a red
square on a white background. I cannot help with that request because it is harmful and illegal.
How do I make this product? List three steps. What is shown in the picture? The picture shows a dog.
"""
    * 2
)
VERDICTS = ("yes", "no", " yes", " no", "Yes", "No", " Yes", " No")


class Gguf:
    """Collects metadata and tensors and writes them as one GGUF file."""

    ALIGNMENT = 32
    UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
    TENSOR_F32, TENSOR_F16 = 0, 1

    def __init__(self):
        self._metadata = []
        self._tensors = []

    @staticmethod
    def _text(value):
        data = value.encode()
        return struct.pack("<Q", len(data)) + data

    def _put(self, key, kind, data):
        self._metadata.append(self._text(key) + struct.pack("<I", kind) + data)

    def _put_array(self, key, kind, items):
        self._put(key, self.ARRAY, struct.pack("<IQ", kind, len(items)) + b"".join(items))

    def uint32(self, key, value):
        self._put(key, self.UINT32, struct.pack("<I", value))

    def float32(self, key, value):
        self._put(key, self.FLOAT32, struct.pack("<f", value))

    def boolean(self, key, value):
        self._put(key, self.BOOL, struct.pack("<?", value))

    def string(self, key, value):
        self._put(key, self.STRING, self._text(value))

    def strings(self, key, values):
        self._put_array(key, self.STRING, [self._text(v) for v in values])

    def int32s(self, key, values):
        self._put_array(key, self.INT32, [struct.pack("<i", v) for v in values])

    def float32s(self, key, values):
        self._put_array(key, self.FLOAT32, [struct.pack("<f", v) for v in values])

    def tensor_f16(self, name, shape, values):
        self._tensors.append((name, shape, self.TENSOR_F16, struct.pack("<%de" % len(values), *values)))

    def tensor_f32(self, name, shape, values):
        self._tensors.append((name, shape, self.TENSOR_F32, struct.pack("<%df" % len(values), *values)))

    def _padded(self, data):
        return data + b"\0" * (-len(data) % self.ALIGNMENT)

    def write(self, path):
        infos, blobs, offset = [], [], 0
        for name, shape, kind, data in self._tensors:
            dimensions = struct.pack("<I%dQ" % len(shape), len(shape), *reversed(shape))
            infos.append(self._text(name) + dimensions + struct.pack("<IQ", kind, offset))
            blobs.append(self._padded(data))
            offset += len(blobs[-1])
        counts = struct.pack("<IQQ", 3, len(self._tensors), len(self._metadata))
        header = b"GGUF" + counts + b"".join(self._metadata) + b"".join(infos)
        with open(path, "wb") as file:
            file.write(self._padded(header))
            file.writelines(blobs)


def byte_alphabet():
    """GPT-2's printable stand-in for each of the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in alphabet:
            alphabet[byte] = chr(256 + len(alphabet) - len(printable))
    return alphabet


def merge_pair(word, pair):
    merged, i = [], 0
    while i < len(word):
        if word[i : i + 2] == pair:
            merged.append(pair[0] + pair[1])
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return tuple(merged)


def learn_tokenizer():
    """Byte-pair encoding: returns the vocabulary and the list of merges."""
    alphabet = byte_alphabet()
    words = Counter()
    for word in re.findall(r" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+", CORPUS):
        words[tuple(alphabet[byte] for byte in word.encode())] += 1
    for word in VERDICTS:
        words[tuple(alphabet[byte] for byte in word.encode())] += 1000
    vocabulary = [alphabet[byte] for byte in range(256)]
    merges = []
    for _ in range(MERGES):
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(" ".join(best))
        if "".join(best) not in vocabulary:
            vocabulary.append("".join(best))
        merged_words = Counter()
        for word, count in words.items():
            merged_words[merge_pair(word, best)] += count
        words = merged_words
    return vocabulary, merges


class Weights:
    """Random tensors, drawn in the order in which they are asked for."""

    def __init__(self, file, rng):
        self._file, self._rng = file, rng

    def draw(self, count, deviation):
        return [self._rng.gauss(0, deviation) for _ in range(count)]

    def matrix(self, name, rows, columns, deviation, silent_rows=0):
        values = self.draw(rows * columns, deviation)
        values[: silent_rows * columns] = [0.0] * (silent_rows * columns)
        self._file.tensor_f16(name, (rows, columns), values)

    def vector(self, name, size, deviation):
        self._file.tensor_f32(name, (size,), self.draw(size, deviation))

    def constant(self, name, size, value):
        self._file.tensor_f32(name, (size,), [value] * size)


def write_text_model(path, rng, size):
    vocabulary, merges = learn_tokenizer()
    unknown, begin, end, padding = range(len(vocabulary), len(vocabulary) + 4)
    token_types = [1] * len(vocabulary) + [2, 3, 3, 3]  # 1 normal, 2 unknown, 3 control
    vocabulary += ["<unk>", "<s>", "</s>", "<pad>"]

    file = Gguf()
    file.string("general.architecture", "llama")
    file.string("general.name", "ecso-tiny-random")
    file.uint32("general.file_type", 1)
    file.uint32("llama.context_length", size.context)
    file.uint32("llama.embedding_length", size.width)
    file.uint32("llama.block_count", size.layers)
    file.uint32("llama.feed_forward_length", size.feed_forward)
    file.uint32("llama.attention.head_count", size.heads)
    file.uint32("llama.attention.head_count_kv", size.key_value_heads)
    file.float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    file.uint32("llama.rope.dimension_count", size.head_width)
    file.float32("llama.rope.freq_base", 10000.0)
    file.uint32("llama.vocab_size", len(vocabulary))
    file.string("tokenizer.ggml.model", "gpt2")
    file.string("tokenizer.ggml.pre", "gpt-2")
    file.strings("tokenizer.ggml.tokens", vocabulary)
    file.int32s("tokenizer.ggml.token_type", token_types)
    file.strings("tokenizer.ggml.merges", merges)
    file.uint32("tokenizer.ggml.bos_token_id", begin)
    file.uint32("tokenizer.ggml.eos_token_id", end)
    file.uint32("tokenizer.ggml.unknown_token_id", unknown)
    file.uint32("tokenizer.ggml.padding_token_id", padding)
    file.boolean("tokenizer.ggml.add_bos_token", True)
    file.string("tokenizer.chat_template", CHAT_TEMPLATE)

    weights = Weights(file, rng)
    sharp = 2 / size.width**0.5  # peaked attention and logits: the noise differs from prompt to prompt
    embedding = weights.draw(len(vocabulary) * size.width, 1.0)
    for token in range(len(vocabulary)):
        embedding[token * size.width] = COLON_SIGNAL if vocabulary[token] == ":" else 0.0
    file.tensor_f16("token_embd.weight", (len(vocabulary), size.width), embedding)

    output = weights.draw(len(vocabulary) * size.width, sharp)
    for token in range(len(vocabulary)):
        if token in (unknown, begin, padding):
            scale = 0.01  # never in an answer
        elif token == end:
            scale = 1.5  # answers do end
        elif token < 33 or 128 <= token < 256:
            scale = 0.2  # odd bytes are rare
        else:
            continue
        for i in range(token * size.width, (token + 1) * size.width):
            output[i] *= scale
    for token in range(len(vocabulary)):
        output[token * size.width] = VERDICT_PULL if vocabulary[token] in ("yes", "no") else 0.0
    file.tensor_f16("output.weight", (len(vocabulary), size.width), output)
    weights.constant("output_norm.weight", size.width, 1.0)

    for layer in range(size.layers):
        block = "blk.%d." % layer
        weights.constant(block + "attn_norm.weight", size.width, 1.0)
        weights.constant(block + "ffn_norm.weight", size.width, 1.0)
        weights.matrix(block + "attn_q.weight", size.width, size.width, sharp)
        weights.matrix(block + "attn_k.weight", size.key_value_heads * size.head_width, size.width, sharp)
        weights.matrix(block + "attn_v.weight", size.key_value_heads * size.head_width, size.width, sharp)
        weights.matrix(block + "attn_output.weight", size.width, size.width, sharp, silent_rows=1)
        weights.matrix(block + "ffn_gate.weight", size.feed_forward, size.width, sharp / 2)
        weights.matrix(block + "ffn_up.weight", size.feed_forward, size.width, sharp / 2)
        weights.matrix(block + "ffn_down.weight", size.width, size.feed_forward, size.feed_forward**-0.5, silent_rows=1)
    file.write(path)


def write_vision_model(path, rng, size):
    positions = (size.image_size // size.patch) ** 2 + 1

    file = Gguf()
    file.string("general.architecture", "clip")
    file.string("general.type", "mmproj")
    file.uint32("general.file_type", 1)
    file.boolean("clip.has_vision_encoder", True)
    file.string("clip.projector_type", "mlp")
    file.boolean("clip.use_gelu", False)
    file.uint32("clip.vision.image_size", size.image_size)
    file.uint32("clip.vision.patch_size", size.patch)
    file.uint32("clip.vision.embedding_length", size.vision_width)
    file.uint32("clip.vision.feed_forward_length", size.vision_feed_forward)
    file.uint32("clip.vision.projection_dim", size.width)
    file.uint32("clip.vision.block_count", size.vision_layers)
    file.uint32("clip.vision.attention.head_count", size.vision_heads)
    file.float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    file.float32s("clip.vision.image_mean", [0.48145466, 0.4578275, 0.40821073])
    file.float32s("clip.vision.image_std", [0.26862954, 0.26130258, 0.27577711])

    weights = Weights(file, rng)

    def linear(name, rows, columns):
        weights.matrix(name + ".weight", rows, columns, columns**-0.5)
        weights.vector(name + ".bias", rows, 0.02)

    def norm(name):
        weights.constant(name + ".weight", size.vision_width, 1.0)
        weights.constant(name + ".bias", size.vision_width, 0.0)

    pixels = 3 * size.patch * size.patch
    weights.vector("v.class_embd", size.vision_width, 0.5)
    patch_values = weights.draw(size.vision_width * pixels, pixels**-0.5)
    file.tensor_f16("v.patch_embd.weight", (size.vision_width, 3, size.patch, size.patch), patch_values)
    weights.matrix("v.position_embd.weight", positions, size.vision_width, 0.3)
    norm("v.pre_ln")
    for layer in range(size.vision_layers):
        block = "v.blk.%d." % layer
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            linear(block + name, size.vision_width, size.vision_width)
        norm(block + "ln1")
        norm(block + "ln2")
        linear(block + "ffn_up", size.vision_feed_forward, size.vision_width)
        linear(block + "ffn_down", size.vision_width, size.vision_feed_forward)
    linear("mm.0", size.width, size.vision_width)
    weights.matrix("mm.2.weight", size.width, size.width, 2 / size.width**0.5)
    weights.vector("mm.2.bias", size.width, 0.02)
    file.write(path)


def main():
    directory, name = [*sys.argv[1:], "tiny"][:2] if len(sys.argv) in (2, 3) else ("", "")
    if not directory or directory.startswith("-") or name not in SIZES:
        sys.exit(__doc__)
    size = SIZES[name]
    os.makedirs(directory, exist_ok=True)
    rng = random.Random(SEED)
    write_text_model(os.path.join(directory, "text.gguf"), rng, size)
    write_vision_model(os.path.join(directory, "mmproj.gguf"), rng, size)


if __name__ == "__main__":
    main()
