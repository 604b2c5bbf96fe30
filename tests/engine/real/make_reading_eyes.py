#!/usr/bin/env python3
"""Give a real text model eyes that read: a projector for llama-server, and pictures with writing for it.

    make_reading_eyes.py MODEL.gguf WRITINGS DIRECTORY

WRITINGS                 a line `NAME: TEXT` for each picture; other lines start with "#"
DIRECTORY/eyes.gguf      the projector: it knows the model's tokens that TEXT is made of, and no others
DIRECTORY/NAME.png       the picture: one token of the model in each of 8x8 cells, as people would read it too

No trained vision tower is needed. A cell's picture is compared with that of each token, which is one convolution; what differs
by nothing wakes one neuron, which gives the text model its own embedding of the token. Nothing is random or learnt, so every run
writes the same bytes. Only the standard library is needed, and the writer of GGUF files beside this folder.
"""

import itertools
import os
import re
import struct
import sys
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), ".."))
from make_tiny_model import Gguf, byte_alphabet, merge_pair  # noqa: E402

CELL, GRID = 56, 8
WAKE = 16.0  # what a neuron gives for its own token, and how far below zero it is for the most alike of the others

# Capitals of 5x7; lower case is drawn as small capitals.
GLYPH_WIDTH, GLYPH_HEIGHT = 5, 7
GLYPHS = {}
for letters, art in (
    (
        "ABCDEFGHIJKLM",
        """
.###. ####. .#### ####. ##### ##### .#### #...# .###. ..### #...# #.... #...#
#...# #...# #.... #...# #.... #.... #.... #...# ..#.. ...#. #..#. #.... ##.##
#...# #...# #.... #...# #.... #.... #.... #...# ..#.. ...#. #.#.. #.... #.#.#
##### ####. #.... #...# ####. ####. #..## ##### ..#.. ...#. ##... #.... #.#.#
#...# #...# #.... #...# #.... #.... #...# #...# ..#.. ...#. #.#.. #.... #...#
#...# #...# #.... #...# #.... #.... #...# #...# ..#.. #..#. #..#. #.... #...#
#...# ####. .#### ####. ##### #.... .#### #...# .###. .##.. #...# ##### #...#
""",
    ),
    (
        "NOPQRSTUVWXYZ",
        """
#...# .###. ####. .###. ####. .#### ##### #...# #...# #...# #...# #...# #####
##..# #...# #...# #...# #...# #.... ..#.. #...# #...# #...# #...# #...# ....#
#.#.# #...# #...# #...# #...# #.... ..#.. #...# #...# #...# .#.#. .#.#. ...#.
#.#.# #...# ####. #...# ####. .###. ..#.. #...# #...# #.#.# ..#.. ..#.. ..#..
#..## #...# #.... #.#.# #.#.. ....# ..#.. #...# .#.#. #.#.# .#.#. ..#.. .#...
#...# #...# #.... #..#. #..#. ....# ..#.. #...# .#.#. ##.## #...# ..#.. #....
#...# .###. #.... .##.# #...# ####. ..#.. .###. ..#.. #...# #...# ..#.. #####
""",
    ),
    (
        "0123456789",
        """
.###. ..#.. .###. ####. ...#. ##### .###. ##### .###. .###.
#..## .##.. #...# ....# ..##. #.... #.... ....# #...# #...#
#.#.# ..#.. ....# ....# .#.#. ####. #.... ...#. #...# #...#
#.#.# ..#.. ..##. .###. #..#. ....# ####. ..#.. .###. .####
#.#.# ..#.. .#... ....# ##### ....# #...# .#... #...# ....#
##..# ..#.. #.... ....# ...#. #...# #...# .#... #...# ....#
.###. .###. ##### ####. ...#. .###. .###. .#... .###. .###.
""",
    ),
    (
        ".,:;?!'\"-()[]/",
        """
..... ..... ..... ..... .###. ..#.. ..#.. .#.#. ..... ...#. .#... .###. .###. ....#
..... ..... ..... ..... #...# ..#.. ..#.. .#.#. ..... ..#.. ..#.. .#... ...#. ....#
..... ..... .##.. .##.. ....# ..#.. .#... #.#.. ..... .#... ...#. .#... ...#. ...#.
..... ..... .##.. .##.. ..##. ..#.. ..... ..... ##### .#... ...#. .#... ...#. ..#..
..... ..... ..... ..... ..#.. ..#.. ..... ..... ..... .#... ...#. .#... ...#. .#...
.##.. ..#.. .##.. ..#.. ..... ..... ..... ..... ..... ..#.. ..#.. .#... ...#. #....
.##.. .##.. .##.. .##.. ..#.. ..#.. ..... ..... ..... ...#. .#... .###. .###. #....
""",
    ),
):
    lines = [line.split() for line in art.split("\n") if line]
    for index, letter in enumerate(letters):
        GLYPHS[letter] = [line[index] for line in lines]
SMALL_CAPITAL_ROWS = (0, 2, 3, 4, 6)


def glyph(letter):
    if letter.islower():
        tall = GLYPHS[letter.upper()]
        small = [tall[row] for row in SMALL_CAPITAL_ROWS]
        return ["." * GLYPH_WIDTH] * (GLYPH_HEIGHT - len(small)) + small
    if letter not in GLYPHS:
        sys.exit("make_reading_eyes.py: the font has no %r" % letter)
    return GLYPHS[letter]


def cell_rows(piece):
    """The picture of a token: rows of '#' (ink) and '.'. A token that begins a word stands in the middle, others at the left."""
    rows = [["."] * CELL for _ in range(CELL)]
    word = piece.strip()
    advance, line_height = GLYPH_WIDTH + 1, GLYPH_HEIGHT + 2
    scale = next((s for s in (3, 2) if len(word) * advance * s <= CELL), 1)
    most = CELL // (advance * scale)
    pieces_of_word = [word[i : i + most] for i in range(0, len(word), most)]
    top = (CELL - len(pieces_of_word) * line_height * scale) // 2
    for number, part in enumerate(pieces_of_word):
        left = (CELL - len(part) * advance * scale) // 2 if piece.startswith(" ") else 0
        for at, letter in enumerate(part):
            for y, row in enumerate(glyph(letter)):
                for x, ink in enumerate(row):
                    if ink != "#":
                        continue
                    for dy, dx in itertools.product(range(scale), repeat=2):
                        rows[top + (number * line_height + y) * scale + dy][left + (at * advance + x) * scale + dx] = "#"
    return ["".join(row) for row in rows]


def bits(rows):
    return int("".join(rows).replace("#", "1").replace(".", "0"), 2)


class TextModel:
    """What is needed of a GGUF file: its tokenizer (byte-level BPE) and rows of its token embedding."""

    SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def __init__(self, path):
        self._file = open(path, "rb")
        if self._file.read(4) != b"GGUF":
            sys.exit("make_reading_eyes.py: %s is not a GGUF file" % path)
        _, tensors, entries = self._take("IQQ")
        facts = {}
        for _ in range(entries):
            key = self._text()
            facts[key] = self._value(*self._take("I"))
        self._tensors = {}
        for _ in range(tensors):
            name, (dimensions,) = self._text(), self._take("I")
            shape = self._take("%dQ" % dimensions)
            self._tensors[name] = (shape, *self._take("IQ"))
        alignment = facts.get("general.alignment", 32)
        self._data = (self._file.tell() + alignment - 1) // alignment * alignment
        if facts["tokenizer.ggml.model"] != "gpt2":
            sys.exit("make_reading_eyes.py: the model's tokenizer is not a byte-level BPE")
        self._ids = {token: number for number, token in enumerate(facts["tokenizer.ggml.tokens"])}
        self._ranks = {merge: rank for rank, merge in enumerate(facts["tokenizer.ggml.merges"])}
        self._alphabet = byte_alphabet()

    def _take(self, form):
        return struct.unpack("<" + form, self._file.read(struct.calcsize("<" + form)))

    def _text(self):
        return self._file.read(self._take("Q")[0]).decode("utf-8", "replace")

    def _value(self, kind):
        if kind == Gguf.STRING:
            return self._text()
        if kind == Gguf.ARRAY:
            item, count = self._take("IQ")
            return [self._value(item) for _ in range(count)]
        return self._take(self.SCALARS[kind])[0]

    def tokens(self, text):
        """The tokens of an English text, as (number, piece)."""
        found = []
        for word in re.findall(r" ?[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]+|\s+", text):
            parts = tuple(self._alphabet[byte] for byte in word.encode())
            while len(parts) > 1:
                pairs = [pair for pair in zip(parts, parts[1:]) if " ".join(pair) in self._ranks]
                if not pairs:
                    break
                parts = merge_pair(parts, min(pairs, key=lambda pair: self._ranks[" ".join(pair)]))
            found += [(self._ids[part], part.replace(self._alphabet[32], " ")) for part in parts]
        return found

    def embedding(self, token):
        (width, _), kind, offset = self._tensors["token_embd.weight"]
        if kind not in QUANTIZATIONS:
            sys.exit("make_reading_eyes.py: the embedding's type %d is not known here" % kind)
        of_a_block, size, read = QUANTIZATIONS[kind]
        row = width // of_a_block * size
        self._file.seek(self._data + offset + token * row)
        data = self._file.read(row)
        return [x for at in range(0, row, size) for x in read(data[at : at + size])]


# How a block of numbers is stored (ggml's names): https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c


def read_q5_0(block):
    scale, high = struct.unpack_from("<eI", block)
    low = block[6:22]
    values = [(byte & 15) for byte in low] + [(byte >> 4) for byte in low]
    return [scale * ((value | (high >> i & 1) << 4) - 16) for i, value in enumerate(values)]


def read_q8_0(block):
    scale, *values = struct.unpack("<e32b", block)
    return [scale * value for value in values]


def read_q4_k(block):
    scale, least = struct.unpack_from("<ee", block)
    packed, nibbles = block[4:16], block[16:144]
    values = []
    for part in range(8):
        if part < 4:
            s, m = packed[part] & 63, packed[part + 4] & 63
        else:
            s = packed[part + 4] & 15 | packed[part - 4] >> 6 << 4
            m = packed[part + 4] >> 4 | packed[part] >> 6 << 4
        of_part = nibbles[part // 2 * 32 : part // 2 * 32 + 32]
        values += [scale * s * (byte >> 4 if part % 2 else byte & 15) - least * m for byte in of_part]
    return values


# By type: the numbers of a block, its bytes, and how to read it.
QUANTIZATIONS = {
    0: (1, 4, lambda block: struct.unpack("<f", block)),
    1: (1, 2, lambda block: struct.unpack("<e", block)),
    6: (32, 22, read_q5_0),
    8: (32, 34, read_q8_0),
    12: (256, 144, read_q4_k),
}


def write_eyes(path, pictures, embeddings):
    """The projector that turns each picture of `pictures` (rows of a cell) into the embedding of the same place."""
    seen = [bits(rows) for rows in pictures]
    least = min(bin(a ^ b).count("1") for a, b in itertools.combinations(seen, 2))
    if least == 0:
        sys.exit("make_reading_eyes.py: two tokens look the same")
    count, width = len(pictures), len(embeddings[0])
    hidden = (count + 31) // 32 * 32
    pixels = 3 * CELL * CELL
    spare = [0.0] * (hidden - count)

    file = Gguf()
    file.string("general.architecture", "clip")
    file.string("general.type", "mmproj")
    file.uint32("general.file_type", 1)
    file.boolean("clip.has_vision_encoder", True)
    file.string("clip.projector_type", "mlp")
    file.boolean("clip.use_gelu", True)
    for key, value in (
        ("image_size", CELL * GRID),
        ("patch_size", CELL),
        ("embedding_length", hidden),
        ("feed_forward_length", hidden),
        ("projection_dim", width),
        ("block_count", 1),
        ("attention.head_count", 8),
    ):
        file.uint32("clip.vision." + key, value)
    file.float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    file.float32s("clip.vision.image_mean", [0.5] * 3)
    file.float32s("clip.vision.image_std", [0.5] * 3)

    # Paper is +1 and ink -1, in picture and template alike: their product sums up to `pixels`, less 6 for each pixel that differs,
    # and the position's share takes `pixels` off.
    templates = []
    for rows in pictures:
        one_colour = [-1.0 if pixel == "#" else 1.0 for row in rows for pixel in row]
        templates += one_colour * 3
    templates += [0.0] * (pixels * len(spare))
    file.tensor_f16("v.patch_embd.weight", (hidden, 3, CELL, CELL), templates)
    file.tensor_f32("v.class_embd", (hidden,), [0.0] * hidden)
    file.tensor_f32(
        "v.position_embd.weight",
        (GRID * GRID + 1, hidden),
        [0.0] * hidden + [-float(pixels)] * (hidden * GRID * GRID),
    )

    # A block that adds nothing.
    block = "v.blk.0."
    for name in ("attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down"):
        file.tensor_f16(block + name + ".weight", (hidden, hidden), [0.0] * hidden * hidden)
        file.tensor_f32(block + name + ".bias", (hidden,), [0.0] * hidden)
    for name in ("ln1", "ln2"):
        file.tensor_f32(block + name + ".weight", (hidden,), [1.0] * hidden)
        file.tensor_f32(block + name + ".bias", (hidden,), [0.0] * hidden)

    slope = 2 * WAKE / (6 * least)
    diagonal = [0.0] * hidden * hidden
    for i in range(hidden):
        diagonal[i * hidden + i] = slope
    file.tensor_f16("mm.0.weight", (hidden, hidden), diagonal)
    file.tensor_f32("mm.0.bias", (hidden,), [WAKE] * hidden)
    by_dimension = [x / WAKE for i in range(width) for x in [e[i] for e in embeddings] + spare]
    file.tensor_f32("mm.2.weight", (width, hidden), by_dimension)
    file.tensor_f32("mm.2.bias", (width,), [0.0] * width)
    file.write(path)
    return least


def write_png(path, rows):
    """A grey picture of rows of '#' and '.' (https://www.w3.org/TR/png/)."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = b"".join(b"\0" + bytes(0 if pixel == "#" else 255 for pixel in row) for row in rows)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.write(chunk(b"IHDR", struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)))
        file.write(chunk(b"IDAT", zlib.compress(pixels, 9)))
        file.write(chunk(b"IEND", b""))


def read_writings(path):
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    return dict(line.split(": ", 1) for line in lines)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    model = TextModel(sys.argv[1])
    writings = {name: model.tokens(text) for name, text in read_writings(sys.argv[2]).items()}
    directory = sys.argv[3]
    os.makedirs(directory, exist_ok=True)

    blank = model.tokens("\n")[0][0]
    vocabulary = {token: piece for tokens in writings.values() for token, piece in tokens}
    vocabulary.pop(blank, None)
    pictures = {token: cell_rows(piece) for token, piece in sorted(vocabulary.items())}
    pictures[blank] = cell_rows("")
    least = write_eyes(os.path.join(directory, "eyes.gguf"), list(pictures.values()), [model.embedding(t) for t in pictures])

    for name, tokens in writings.items():
        if len(tokens) > GRID * GRID:
            sys.exit("make_reading_eyes.py: %s has %d tokens, and a picture has room for %d" % (name, len(tokens), GRID * GRID))
        cells = [pictures[token] for token, _ in tokens] + [pictures[blank]] * (GRID * GRID - len(tokens))
        rows = []
        for at in range(0, GRID * GRID, GRID):
            rows += ["".join(parts) for parts in zip(*cells[at : at + GRID])]
        write_png(os.path.join(directory, name + ".png"), rows)
    print("eyes for %d tokens, which differ by %d pixels at least; %d pictures" % (len(pictures), least, len(writings)))


if __name__ == "__main__":
    main()
