#include "query.hpp"

#include "files.hpp"

#include <ecso/backend/simulated.hpp>
#include <ecso/error.hpp>

#include <unistd.h>

#include <istream>

namespace ecso::command {

Image read_image(const std::string& file) {
  if (file.starts_with("http://") || file.starts_with("https://")) {
    throw Error{Errc::bad_input, "--image: a URL is never fetched; download the image and name the file"};
  }
  if (file.starts_with("data:")) throw Error{Errc::bad_input, "--image: a data URI is not taken here; name a file"};
  if (file.empty()) throw Error{Errc::bad_input, "--image: the name of the file is empty"};
  return Image::from_file(file);
}

std::string read_query(const std::string& text_or_dash, std::size_t max_bytes, const std::stop_token& stop) {
  if (text_or_dash != "-") return text_or_dash;
  FdInput input{STDIN_FILENO, stop};
  std::istream in{&input};
  std::string text(max_bytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stop.stop_requested()) throw Error{Errc::cancelled, "interrupted while reading the query"};
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

void SimulationNotice::look_at(const StepRecord& record) {
  if (!is_due(record)) return;
  const std::size_t columns = terminal_.is_terminal ? terminal_.columns : simulation_notice.size();
  out_ << (terminal_.color ? "\033[1;33m" : "") << wrap(simulation_notice, "", columns) << (terminal_.color ? "\033[0m" : "");
  is_said_ = true;
}

}  // namespace ecso::command
