#include "report/html.h"

#include <set>

#include <catch2/catch.hpp>

#include "report/report_test_support.h"

using namespace ssa::report;
using ssa::testing::contains;

TEST_CASE("escape leaves no markup") {
  CHECK(escape(R"(<b a="1" c='2'>&amp;</b>)") ==
        "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;&lt;/b&gt;");
  CHECK(escape("plain, naïve, 漢字, 😀\n\tindented") == "plain, naïve, 漢字, 😀\n\tindented");
}

TEST_CASE("escape replaces bytes that are not text") {
  CHECK(escape(std::string("a\0b", 3)) == "a\uFFFDb");
  CHECK(escape("\x1b[31mred\x7f") == "\uFFFD[31mred\uFFFD");
  CHECK(escape("\xff<") == "\uFFFD&lt;");
  CHECK(escape("\xc0\xaf") == "\uFFFD\uFFFD");            // overlong
  CHECK(escape("\xed\xa0\x80") == "\uFFFD\uFFFD\uFFFD");  // surrogate
  CHECK(escape("\xf4\x90\x80\x80").size() == 12);         // above U+10FFFF
  CHECK(escape("\xe6\xbc") == "\uFFFD\uFFFD");            // cut off
  CHECK(escape("\xe6<b>") == "\uFFFD&lt;b&gt;");          // swallows no tag
}

TEST_CASE("cut keeps whole characters") {
  CHECK(cut("abc", 3) == "abc");
  CHECK(cut("abcd", 3) == "abc");
  CHECK(cut("aé", 2) == "a");
  CHECK(cut("aé", 3) == "aé");
  CHECK(cut("a😀", 4) == "a");
  CHECK(cut("", 0).empty());
}

TEST_CASE("tables have heading cells in the first row and column") {
  const Table table{{{"key", "a", "b"}, {"x", "1", "2"}}, true};
  const std::string html = render(table);
  CHECK(contains(html, R"(<th scope="col">b</th>)"));
  CHECK(contains(html, R"(<th scope="row">x</th><td>1</td><td>2</td>)"));
  CHECK(ssa::testing::nesting_problem(html).empty());
  const Table turned = transposed(table);
  CHECK(turned.rows == decltype(turned.rows){{"key", "x"}, {"a", "1"}, {"b", "2"}});
  CHECK(turned.numbers);
}

TEST_CASE("the first 56 runs have a colour and a marker that no other has") {
  CHECK(color_class(0) == "c0");
  CHECK(color_class(7) == "c7");
  CHECK(color_class(8) == "c0");
  std::set<std::string> looks;
  for (size_t style = 0; style < 60; ++style) looks.insert(marker(style, 0, 0));
  CHECK(looks.size() == 56);
  CHECK(contains(marker(0, 1, 2, "<b>"), "<title>&lt;b&gt;</title>"));
}

TEST_CASE("bytes are written in 64 characters") {
  // The examples of RFC 4648, section 10, and bytes with the highest bit set.
  for (const auto& [bytes, text] :
       std::vector<std::pair<std::string, std::string>>{{"", ""},
                                                        {"f", "Zg=="},
                                                        {"fo", "Zm8="},
                                                        {"foo", "Zm9v"},
                                                        {"foobar", "Zm9vYmFy"},
                                                        {"\xff\xfe\xfd", "//79"},
                                                        {std::string("\0\xfb", 2), "APs="}}) {
    CHECK(base64(bytes) == text);
  }
}
