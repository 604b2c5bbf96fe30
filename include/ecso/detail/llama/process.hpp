#pragma once

#include <llama.h>
#include <mtmd-helper.h>

#include <mutex>
#include <string>
#include <string_view>

namespace ecso::detail {

/// The first error that libllama, libmtmd or ggml logged in this thread since it was cleared; empty where the log is not ours.
[[nodiscard]] inline std::string& llama_logged_error() {
  thread_local std::string error;
  return error;
}

/// Drops the log but for the first error, which is the one that tells why something failed.
inline void drop_llama_log(ggml_log_level level, const char* text, void*) {
  std::string& error = llama_logged_error();
  if (level != GGML_LOG_LEVEL_ERROR || !error.empty()) return;
  constexpr std::size_t max_size = 300;
  error = std::string_view{text}.substr(0, max_size);
  error.erase(error.find_last_not_of(" \t\r\n") + 1);
}

/// Silences the log, which is one for the whole process. Once; a log that the program sets later is left alone.
inline void silence_llama_log() {
  static std::once_flag once;
  std::call_once(once, [] {
    llama_log_set(drop_llama_log, nullptr);
    mtmd_helper_log_set(drop_llama_log, nullptr);
  });
}

/// Loads what computes: ggml's CPU and GPU code, which distributions ship as plug-ins. Once.
inline void load_llama_devices() {
  static std::once_flag once;
  std::call_once(once, [] {
    llama_backend_init();
    if (ggml_backend_reg_count() == 0) ggml_backend_load_all();
  });
}

}  // namespace ecso::detail
