#include <ecso/calibrate/labelled_items.hpp>

#include <string>
#include <string_view>

#include "support/catch.hpp"

namespace labelled_items_test {

namespace {

using namespace ecso;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Equals;

std::string why_not(std::string_view text) {
  try {
    static_cast<void>(labelled_items(text));
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_input);
    return error.message();
  }
  return "it was read";
}

const std::string good = R"({"query":"q","answer":"a","harmful":true})"
                         "\n"
                         R"({"query":"q","answer":"b","harmful":false})"
                         "\n";

}  // namespace

TEST_CASE("items of one's own are read from JSON lines", "[calibrate][items]") {
  const LabelledItems read = labelled_items(
      "\xEF\xBB\xBF\n"
      R"({"id":"x","query":"q1","answer":"a1","harmful":true,"image":"cat.png","language":"en","kind":"k"})"
      "\r\n\n"
      R"({"id":7,"query":"q2","answer":"a2","harmful":0,"image":null})"
      "\n"
      R"({"query":"q3","answer":"a3","harmful":false})");
  REQUIRE(read.items.size() == 3);
  CHECK(read.layout == ItemLayout::ecso);
  CHECK(read.left_out == 0);
  CHECK(read.items[0] == LabelledItem{"x", "q1", "a1", true, "cat.png", 2});
  CHECK(read.items[1] == LabelledItem{"7", "q2", "a2", false, "", 4});
  CHECK(read.items[2] == LabelledItem{"line 5", "q3", "a3", false, "", 5});
}

TEST_CASE("items of one's own are read from CSV", "[calibrate][items]") {
  const LabelledItems read = labelled_items("answer,harmful,query,id\r\n\"a, \"\"1\"\"\nand more\",TRUE,q1,x\r\na2,0,q2,\r\n");
  REQUIRE(read.items.size() == 2);
  CHECK(read.items[0] == LabelledItem{"x", "q1", "a, \"1\"\nand more", true, "", 2});
  CHECK(read.items[1] == LabelledItem{"line 4", "q2", "a2", false, "", 4});
}

TEST_CASE("BeaverTails says what is safe, so its label is turned round", "[calibrate][items]") {
  const LabelledItems read =
      labelled_items(R"({"prompt":"p1","response":"r1","category":{"animal_abuse":false,"violence":true},"is_safe":false})"
                     "\n"
                     R"({"prompt":"p2","response":"r2","category":{"animal_abuse":false,"violence":false},"is_safe":true})"
                     "\n"
                     R"({"prompt":"p3","response":"","category":{},"is_safe":true})"
                     "\n");
  CHECK(read.layout == ItemLayout::beavertails);
  CHECK(read.left_out == 1);
  REQUIRE(read.items.size() == 2);
  CHECK(read.items[0] == LabelledItem{"line 1", "p1", "r1", true, "", 1});
  CHECK(read.items[1] == LabelledItem{"line 2", "p2", "r2", false, "", 2});
  CHECK(labelled_items("prompt,response,is_safe\np,r,False\np,s,True\n").items[0].harmful);
}

TEST_CASE("XSTest's completions are harmful where an unsafe prompt was complied with", "[calibrate][items]") {
  const LabelledItems read = labelled_items(
      "id,type,prompt,completion,annotation_1,annotation_2,agreement,final_label\n"
      "v2-1,homonyms,p1,\"c1\n\nmore\",1_full_compliance,1_full_compliance,TRUE,1_full_compliance\n"
      "v2-2,contrast_homonyms,p2,c2,1_full_compliance,1_full_compliance,TRUE,1_full_compliance\n"
      "v2-3,contrast_homonyms,p3,c3,2_full_refusal,2_full_refusal,TRUE,2_full_refusal\n"
      "v2-4,contrast_homonyms,p4,c4,3_partial_refusal,2_full_refusal,FALSE,3_partial_refusal\n"
      "v2-5,homonyms,p5,c5,2_full_refusal,2_full_refusal,TRUE,2_full_refusal\n");
  CHECK(read.layout == ItemLayout::xstest);
  CHECK(read.left_out == 1);
  REQUIRE(read.items.size() == 4);
  CHECK_FALSE(read.items[0].harmful);
  CHECK(read.items[0].answer == "c1\n\nmore");
  CHECK(read.items[1].harmful);
  CHECK_FALSE(read.items[2].harmful);
  CHECK(read.items[2].line == 6);
  CHECK_FALSE(read.items[3].harmful);
  const LabelledItems labelled =
      labelled_items("prompt,label,completion,final_label\np,unsafe,c,1_full_compliance\nq,safe,d,1_full_compliance\n");
  CHECK(labelled.items[0].harmful);
  CHECK_FALSE(labelled.items[1].harmful);
}

TEST_CASE("a file without both kinds cannot be calibrated on", "[calibrate][items]") {
  CHECK_THAT(why_not(""), Equals("it has no items"));
  CHECK_THAT(why_not("\n  \n"), Equals("it has no items"));
  CHECK_THAT(why_not("query,answer,harmful\n"), Equals("it has no items"));
  CHECK_THAT(why_not(R"({"query":"q","answer":"a","harmful":true})"),
             Equals("all of its 1 items are harmful; a calibration needs both kinds"));
  CHECK_THAT(why_not("query,answer,harmful\nq,a,0\nq,b,0\n"), ContainsSubstring("all of its 2 items are benign"));
}

TEST_CASE("a label that is neither true nor false is refused by its line", "[calibrate][items]") {
  for (const char* label : {"\"yes\"", "null", "0.7", "[]", "{}", "2", "-1"}) {
    INFO(label);
    CHECK_THAT(why_not(good + R"({"query":"q","answer":"a","harmful":)" + label + "}\n"),
               ContainsSubstring("line 3: harmful: must be true or false"));
  }
  CHECK_THAT(why_not(R"({"query":"q","answer":"a","harmful":"true"})"), ContainsSubstring("without quotation marks"));
  for (const char* label : {"yes", "", "2", "harmful", "tru e"})
    CHECK_THAT(why_not(std::string{"query,answer,harmful\nq,a,1\nq,b,"} + label + "\n"),
               ContainsSubstring("line 3: harmful: must be true or false, or 1 or 0"));
  CHECK_THAT(why_not(R"({"prompt":"p","response":"r","is_safe":"safe"})"), ContainsSubstring("line 1: is_safe: must be"));
  CHECK_THAT(why_not("prompt,completion,final_label,type\np,c,maybe,homonyms\n"),
             ContainsSubstring("line 2: final_label: must be"));
  CHECK_THAT(why_not("prompt,completion,final_label,label\np,c,1_full_compliance,bad\n"),
             ContainsSubstring("line 2: label: must be safe or unsafe"));
  CHECK_THAT(why_not("prompt,completion,final_label\np,c,1_full_compliance\n"), ContainsSubstring("line 2: type: missing"));
}

TEST_CASE("columns that are unknown, missing or there twice are named", "[calibrate][items]") {
  CHECK_THAT(why_not("query,answer,harmful,hamrful\n"),
             ContainsSubstring("line 1: hamrful: unknown column; ecso's layout has query"));
  CHECK_THAT(why_not("query,answer,harmful,query\n"), Equals("line 1: query: the column stands there twice"));
  CHECK_THAT(why_not("query,answer\nq,a\n"), ContainsSubstring("line 1: harmful: missing"));
  CHECK_THAT(why_not("id,prompt,type,label,focus,note\n1,p,homonyms,safe,kill,\n"), ContainsSubstring("prompts but no answers"));
  CHECK_THAT(why_not("a,b,c\n1,2,3\n"), ContainsSubstring("line 1: no known columns"));
  CHECK_THAT(why_not("query;answer;harmful\nq;a;1\n"), ContainsSubstring("fields are parted by commas"));
  CHECK_THAT(why_not(good + R"({"query":"q","answer":"a","harmful":true,"label":1})"),
             ContainsSubstring("line 3: label: unknown column"));
  CHECK_THAT(why_not(good + R"({"query":"q","answer":"a","harmful":true,"query":"r"})"),
             Equals("line 3: query: the key stands there twice"));
  CHECK_THAT(why_not(good + R"({"prompt":"p","response":"r","is_safe":true})"),
             Equals("line 3: its layout is BeaverTails's, that of the lines before ecso's"));
  CHECK_THAT(why_not("query,answer,harmful\nq,a\n"), Equals("line 2: 2 fields, but the first line names 3 columns"));
}

TEST_CASE("texts that are missing, empty or no texts are refused by their line", "[calibrate][items]") {
  CHECK_THAT(why_not(good + R"({"query":" ","answer":"a","harmful":true})"), Equals("line 3: query: it is empty"));
  CHECK_THAT(why_not(good + R"({"query":"q","answer":"","harmful":true})"), Equals("line 3: answer: it is empty"));
  CHECK_THAT(why_not(good + R"({"query":7,"answer":"a","harmful":true})"), Equals("line 3: query: must be a string"));
  CHECK_THAT(why_not("{\"id\":\"x\",\"query\":\"q\",\"answer\":\"a\",\"harmful\":true}\n\n"
                     "{\"id\":\"x\",\"query\":\"q\",\"answer\":\"a\",\"harmful\":false}\n"),
             Equals("line 3: the id \"x\" stands on line 1 already"));
}

TEST_CASE("files that are something else are refused with what to do", "[calibrate][items]") {
  CHECK_THAT(why_not(good + "{\"query\":\n"), ContainsSubstring("line 3: not JSON at byte"));
  CHECK_THAT(why_not(good + "[1]\n"), Equals("line 3: not an object"));
  CHECK_THAT(why_not("[" + good + "]"), ContainsSubstring("line 1: a JSON array; write one object a line"));
  CHECK_THAT(why_not(good + "{\"query\":\"\xFF\"}\n"), Equals("line 3: not UTF-8"));
  CHECK_THAT(why_not("\x1F\x8B\x08"), ContainsSubstring("packed by gzip"));
  CHECK_THAT(why_not("\xFD"
                     "7zXZ"),
             ContainsSubstring("packed by xz"));
  CHECK_THAT(why_not("PAR1"), ContainsSubstring("Parquet"));
  CHECK_THAT(why_not("PK\x03\x04"), ContainsSubstring("workbook"));
  CHECK_THAT(why_not(std::string("\xFF\xFE{\0", 4)), Equals("line 1: not UTF-8"));
  CHECK_THAT(why_not(std::string(max_item_file_bytes + 1, ' ')), ContainsSubstring("longer than 268435456 bytes"));
  std::string deep = R"({"prompt":"p","response":"r","is_safe":true,"category":)";
  deep.append(100, '[').append(100, ']').append("}");
  CHECK_THAT(why_not(deep), Equals("line 1: JSON is nested too deep"));
}

}  // namespace labelled_items_test
