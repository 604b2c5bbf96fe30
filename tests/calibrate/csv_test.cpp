#include <ecso/calibrate/csv.hpp>

#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

namespace csv_test {

namespace {

using namespace ecso;
using Catch::Matchers::ContainsSubstring;

std::vector<std::vector<std::string>> read(std::string_view text) {
  CsvReader reader{text};
  std::vector<std::vector<std::string>> records;
  while (auto record = reader.next()) records.push_back(record->fields);
  return records;
}

using Records = std::vector<std::vector<std::string>>;

}  // namespace

TEST_CASE("CSV is read as RFC 4180 has it", "[calibrate][csv]") {
  CHECK(read("") == Records{});
  CHECK(read("aaa,bbb,ccc\r\nzzz,yyy,xxx\r\n") == Records{{"aaa", "bbb", "ccc"}, {"zzz", "yyy", "xxx"}});
  CHECK(read("aaa,bbb\nzzz,yyy") == Records{{"aaa", "bbb"}, {"zzz", "yyy"}});
  CHECK(read("\"aaa\",\"b \r\nbb\",\"c,c\"\n") == Records{{"aaa", "b \r\nbb", "c,c"}});
  CHECK(read("\"b\"\"bb\",\"\"\n") == Records{{"b\"bb", ""}});
  CHECK(read(",\n a , b\n") == Records{{"", ""}, {" a ", " b"}});
  CHECK(read("\n\na\n\n\r\nb\n") == Records{{"a"}, {"b"}});
  CHECK(read("\"\"\"\"\"\"") == Records{{"\"\""}});
}

TEST_CASE("a record knows the line on which it begins", "[calibrate][csv]") {
  CsvReader reader{"a,\"1\n2\n3\"\n\nb,c\n"};
  CHECK(reader.next()->line == 1);
  CHECK(reader.next()->line == 5);
  CHECK_FALSE(reader.next());
}

TEST_CASE("what is no CSV is refused by its line", "[calibrate][csv]") {
  CHECK_THROWS_WITH(read("a\nb,\"c\nd"), ContainsSubstring("line 2: a quoted field that begins here has no end"));
  CHECK_THROWS_WITH(read("a\nb\"c"), ContainsSubstring("line 2: a quotation mark inside a field"));
  CHECK_THROWS_WITH(read("\"a\" ,b"), ContainsSubstring("line 1: text behind the end of a quoted field"));
  CHECK_THROWS_WITH(read("a\rb"), ContainsSubstring("line 1: a carriage return without a line feed"));
  CHECK_THROWS_WITH(read("\"a\"\rb"), ContainsSubstring("a carriage return without a line feed"));
}

}  // namespace csv_test
