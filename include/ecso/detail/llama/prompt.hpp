#pragma once

#include <ecso/core/image.hpp>
#include <ecso/core/media_type.hpp>
#include <ecso/detail/llama/handles.hpp>
#include <ecso/detail/llama/template.hpp>
#include <ecso/detail/llama/watch.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace ecso::detail {

/// A token of a prompt, or the tokens of an image (or of a part of it), which only go together.
struct PromptUnit {
  llama_token token = LLAMA_TOKEN_NULL;  ///< Null: an image.
  std::string image = {};                ///< What tells the image from others.
  std::size_t tokens = 1;
  llama_pos positions = 1;  ///< Steps that the model counts; of an image, may be fewer than its tokens.
  const mtmd_input_chunk* chunk = nullptr;

  /// Whether the model's state after both is the same.
  [[nodiscard]] bool is_same(const PromptUnit& other) const {
    return token == other.token && image == other.image && tokens == other.tokens && positions == other.positions;
  }
};

struct LlamaPrompt {
  std::vector<PromptUnit> units;
  LlamaHandle<mtmd_input_chunks> chunks;  // what the units point into

  [[nodiscard]] std::size_t tokens() const {
    std::size_t count = 0;
    for (const PromptUnit& unit : units) count += unit.tokens;
    return count;
  }
};

[[nodiscard]] inline std::vector<llama_token> llama_tokens(const llama_vocab& vocab, std::string_view text, bool add_special,
                                                           bool parse_special) {
  constexpr std::size_t room_for_special = 8;
  std::vector<llama_token> tokens(text.size() + room_for_special);
  const std::int32_t count = llama_tokenize(&vocab, text.data(), static_cast<std::int32_t>(text.size()), tokens.data(),
                                            static_cast<std::int32_t>(tokens.size()), add_special, parse_special);
  if (count < 0) throw Error{Errc::server_error, "libllama cannot tokenize a text"};
  tokens.resize(static_cast<std::size_t>(count));
  return tokens;
}

[[nodiscard]] inline std::vector<llama_token> control_tokens(const llama_vocab& vocab, std::string_view text) {
  std::vector<llama_token> tokens = llama_tokens(vocab, text, false, true);
  std::erase_if(tokens, [&](llama_token token) {
    const unsigned attributes = llama_vocab_get_attr(&vocab, token);
    return (attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) == 0;
  });
  return tokens;
}

/// Joins neighbouring texts, as a tokenizer reads the beginning of a text otherwise than its middle; but not where that would
/// make a control token of somebody's text, or of a template's text together with somebody's.
[[nodiscard]] inline std::vector<PromptPiece> join_texts(const llama_vocab& vocab, std::vector<PromptPiece> pieces) {
  std::vector<PromptPiece> joined;
  for (auto piece = pieces.begin(); piece != pieces.end();) {
    if (piece->image != nullptr) {
      joined.push_back(std::move(*piece++));
      continue;
    }
    const auto end = std::find_if(piece, pieces.end(), [](const PromptPiece& other) { return other.image != nullptr; });
    std::string text;
    std::vector<llama_token> wanted;
    for (auto other = piece; other != end; ++other) {
      text += other->text;
      if (!other->is_trusted) continue;
      const std::vector<llama_token> controls = control_tokens(vocab, other->text);
      wanted.insert(wanted.end(), controls.begin(), controls.end());
    }
    if (control_tokens(vocab, text) == wanted) {
      joined.push_back({.text = std::move(text), .is_trusted = true});
    } else {
      std::move(piece, end, std::back_inserter(joined));
    }
    piece = end;
  }
  std::erase_if(joined, [](const PromptPiece& piece) { return piece.image == nullptr && piece.text.empty(); });
  return joined;
}

/// @throws Error (bad_input) if libmtmd cannot decode it.
[[nodiscard]] inline LlamaHandle<mtmd_bitmap> llama_bitmap(const mtmd_context& eyes, const Image& image) {
  const auto fail = [&](std::string_view why) {
    throw Error{Errc::bad_input,
                fmt::format("the {} of {}x{} pixels {}", to_string(image.media_type()), image.width(), image.height(), why)};
  };
  if (image.media_type() == MediaType::webp) fail("is of a format that libmtmd does not decode itself");
  mtmd_helper_init_opt options = mtmd_helper_init_opt_default();
  // What libmtmd cannot decode, it gives to ffmpeg; no stranger's bytes start a program here.
  options.video_params.ffmpeg_bin_dir = "/dev/null";
  const std::string_view bytes = image.bytes();
  const mtmd_helper_bitmap_wrapper made =
      mtmd_helper_bitmap_init_from_buf(&eyes, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), false, options);
  LlamaHandle<mtmd_bitmap> bitmap{made.bitmap};
  const LlamaHandle<mtmd_helper_video> video{made.video_ctx};
  if (bitmap == nullptr || video != nullptr || mtmd_bitmap_is_audio(bitmap.get())) fail("cannot be decoded");
  mtmd_bitmap_set_id(bitmap.get(), std::string{image.sha256()}.c_str());
  return bitmap;
}

[[nodiscard]] inline LlamaHandle<mtmd_input_chunks> llama_chunks(const mtmd_context& eyes, const std::vector<PromptPiece>& pieces,
                                                                 const LlamaWatch& watch) {
  std::vector<LlamaHandle<mtmd_bitmap>> bitmaps;
  std::vector<mtmd_input_text> texts(pieces.size());
  std::vector<mtmd_input_part> parts(pieces.size());
  std::vector<const mtmd_input_part*> pointers;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    watch.check();
    if (pieces[i].image != nullptr) {
      bitmaps.push_back(llama_bitmap(eyes, *pieces[i].image));
      parts[i].bitmap = bitmaps.back().get();
    } else {
      texts[i] = {pieces[i].text.c_str(), pieces[i].text.size(), false, pieces[i].is_trusted};
      parts[i].text = &texts[i];
    }
    pointers.push_back(&parts[i]);
  }
  LlamaHandle<mtmd_input_chunks> chunks{mtmd_input_chunks_init()};
  const std::int32_t status = mtmd_tokenize_from_parts(&eyes, chunks.get(), pointers.data(), pointers.size(), true);
  if (status != 0) throw Error{Errc::bad_input, fmt::format("libmtmd cannot prepare the prompt's images (status {})", status)};
  return chunks;
}

/// Tokenizes the pieces of a prompt; control tokens come from the template's text alone.
/// @param eyes null: a model of text alone, and no piece is an image.
[[nodiscard]] inline LlamaPrompt llama_prompt(const llama_vocab& vocab, const mtmd_context* eyes, std::vector<PromptPiece> pieces,
                                              const LlamaWatch& watch) {
  pieces = join_texts(vocab, std::move(pieces));
  LlamaPrompt prompt;
  if (eyes == nullptr) {
    for (const PromptPiece& piece : pieces) {
      const bool is_first = &piece == &pieces.front();
      for (const llama_token token : llama_tokens(vocab, piece.text, is_first, piece.is_trusted))
        prompt.units.push_back({.token = token});
    }
    return prompt;
  }
  prompt.chunks = llama_chunks(*eyes, pieces, watch);
  for (std::size_t i = 0; i < mtmd_input_chunks_size(prompt.chunks.get()); ++i) {
    const mtmd_input_chunk* chunk = mtmd_input_chunks_get(prompt.chunks.get(), i);
    if (mtmd_input_chunk_get_type(chunk) == MTMD_INPUT_CHUNK_TYPE_TEXT) {
      std::size_t count = 0;
      const llama_token* tokens = mtmd_input_chunk_get_tokens_text(chunk, &count);
      for (std::size_t k = 0; k < count; ++k) prompt.units.push_back({.token = tokens[k]});
    } else {
      prompt.units.push_back({.image = mtmd_input_chunk_get_id(chunk),
                              .tokens = mtmd_input_chunk_get_n_tokens(chunk),
                              .positions = mtmd_input_chunk_get_n_pos(chunk),
                              .chunk = chunk});
    }
  }
  return prompt;
}

}  // namespace ecso::detail
