#include "ssa/data/split_shares.h"

#include "ssa/data/data_name.h"

#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("a text is divided as --split says") {
  CHECK(SplitShares().text() == "90/5/5");
  CHECK(SplitShares::from_text("90/5/5") == SplitShares());
  for (const int64_t items : {20, 999, 12'345, 100'000'000}) {
    CHECK(SplitShares().ranges(items, "text", "bytes") == split_bytes_90_5_5(items, "text"));
  }
  const auto halves = SplitShares::from_text("99.5/0.25/0.25").ranges(4'000, "text", "tokens");
  CHECK(halves[0] == TokenRange{0, 3'980});
  CHECK(halves[1] == TokenRange{3'980, 3'990});
  CHECK(halves[2] == TokenRange{3'990, 4'000});
  const auto no_test = SplitShares::from_text("80/20/0").ranges(7, "text", "tokens");
  CHECK(no_test[0] == TokenRange{0, 5});
  CHECK(no_test[1] == TokenRange{5, 7});
  CHECK(no_test[2] == TokenRange{7, 7});
  const auto all = SplitShares::from_text("none").ranges(1, "text", "tokens");
  CHECK(all[0] == TokenRange{0, 1});
  CHECK(all[2].size() == 0);
  CHECK(SplitShares::from_text("100/0/0").text() == "none");
  CHECK(SplitShares::from_text("97.5/2.5/0").text() == "97.5/2.5/0");
}

TEST_CASE("a --split that makes no sense is a usage error that says what does") {
  for (const char* text : {"", "90", "90/10", "90/5/5/0", "90/5/4", "0/50/50", "-10/55/55", "a/b/c",
                           "90/5/5%", "nan/5/5", "90.00001/4.99999/5", "1e2/0/0", "None"}) {
    CAPTURE(text);
    CHECK(contains(error_of(ExitCode::usage, [&] { SplitShares::from_text(text); }), "90/5/5"));
  }
  const std::string error = error_of(
      ExitCode::data, [] { SplitShares::from_text("98/1/1").ranges(50, "'a.txt'", "tokens"); });
  CHECK(contains(error, "'a.txt' has 50 tokens"));
}

TEST_CASE("data are called by the published data set, the folder or what the config says") {
  CHECK(name_of_prepared("enwik8", "/data/prefix") == "enwik8");
  CHECK(name_of_prepared("bytes", "/data/books/") == "books");
  CHECK(name_of_prepared("words", "data/news") == "news");
  CHECK(name_of_prepared("imagenet", "/data/imagenette") == "imagenette");
  CHECK(settled_name("", "book.txt") == "book.txt");
  CHECK(settled_name("enwik8", "book.txt") == "book.txt");
  CHECK(settled_name("enwik8", "enwik8") == "enwik8");
  CHECK(settled_name("enwik8", "enwik8_first_4154064") == "enwik8");
  CHECK(settled_name("imagenet", "imagenet-100") == "imagenet-100");
  CHECK(settled_name("my novel", "book.txt") == "my novel");
}
