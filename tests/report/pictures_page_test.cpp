#include <catch2/catch.hpp>

#include "ssa/report/report.h"

#include "report/report_test_support.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("a run of pictures is told in its own words") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", picture_config(4));
  const std::string page = render_report({dir});
  CHECK(cell(page, "validation bits per dimension") == "3.030");
  CHECK(cell(page, "sub-pixels per second, median") == "640");
  CHECK(contains(part(page, "loss"), "Bits per dimension against steps"));
  CHECK(contains(part(page, "speed"), "sub-pixels per second"));
  const std::string maps = part(page, "sources");
  CHECK(count(maps, "<figure>") == 2);  // of all targets, and around one
  CHECK(contains(maps, "Layer 2: 2 bands, σ\u00a00.25<"));
  CHECK(contains(maps, "Layer 2: around one target<"));
  CHECK(contains(maps, ">target row</text>"));
  CHECK(contains(maps, ">source column</text>"));
  CHECK(contains(maps, "row 3, column 2 may attend"));
  CHECK(part(page, "pictures").empty());
  check_self_contained(page);
}

TEST_CASE("plans of pictures of other sizes are shown apart") {
  const TempDir folder;
  const std::string small = make_run(folder, "a", picture_config(4));
  const std::string large = make_run(folder, "b", picture_config(8));
  CHECK(count(part(render_report({small, large}), "sources"), "<figure>") == 4);
  CHECK(contains(render_report({small, large}), "validated on different data"));
}

TEST_CASE("the last of the drawn pictures is shown large, some of those before small") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", picture_config(4));
  std::filesystem::create_directories(dir + "/samples");
  for (int step = 1; step <= 20; ++step) {
    write_bytes(fmt::format("{}/samples/step-{}.png", dir, 100 * step),
                "\x89PNG\r\n\x1a\n" + fmt::format("picture {}", step) + "IEND\xae\x42\x60\x82");
  }
  write_bytes(dir + "/samples/step-3000.png.partial", "being written");
  write_bytes(dir + "/samples/notes.txt", "no sample");
  const std::string page = render_report({dir});
  const std::string pictures = part(page, "pictures");
  const size_t strip = pictures.find("class=\"strip\"");
  CHECK(count(pictures, "<img") == 9);
  CHECK(count(pictures.substr(0, strip), "<img") == 1);
  CHECK(contains(pictures.substr(0, strip),
                 "base64,iVBORw0KGgpwaWN0dXJlIDIwSUVORK5CYII=\"><figcaption>step 2,000<"));
  CHECK(contains(pictures.substr(strip), "<figcaption>step 200<"));
  CHECK_FALSE(contains(pictures, "3,000"));
  check_self_contained(page);
}

TEST_CASE("drawn texts are shown, those of earlier steps folded") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  std::filesystem::create_directories(dir + "/samples");
  write_bytes(dir + "/samples/step-50.txt", "an early <text>\xff");
  write_bytes(dir + "/samples/step-1000.txt", "a late text");
  const std::string page = render_report({dir});
  const std::string samples = part(page, "pictures");
  CAPTURE(samples);
  CHECK(contains(samples, "Continued by the model during training"));
  const size_t folded = samples.find("<details><summary>step 50</summary>");
  REQUIRE(folded != std::string::npos);
  CHECK(contains(samples.substr(0, folded), "<h4>step 1,000</h4>"));
  CHECK(contains(samples.substr(0, folded), "a late text"));
  CHECK(contains(samples.substr(folded), "an early &lt;text&gt;\uFFFD"));
  check_self_contained(page);
}

TEST_CASE("training pictures are shown as such") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", classification_config());
  const std::string drawn = make_run(folder, "drawn", picture_config(4));
  for (const std::string& run : {dir, drawn}) {
    std::filesystem::create_directories(run + "/samples");
    write_bytes(run + "/samples/step-50.png", "\x89PNG\r\n\x1a\n one IEND\xae\x42\x60\x82");
  }
  const std::string seen = "Training pictures as the model sees them", own = "Drawn by the model";
  const std::string alone = part(render_report({dir}), "pictures");
  CHECK((contains(alone, seen) && !contains(alone, own)));
  CHECK(count(alone, "<img") == 1);
  const std::string both = part(render_report({dir, drawn}), "pictures");
  CHECK((contains(both, seen) && contains(both, own)));
  CHECK(count(both, "<img") == 2);
}

TEST_CASE("a damaged picture is named, and hides no other") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", picture_config(4));
  std::filesystem::create_directories(dir + "/samples/step-1.png");  // no file
  const std::string whole = "\x89PNG\r\n\x1a\n picture IEND\xae\x42\x60\x82";
  write_bytes(dir + "/samples/step-2.png", whole.substr(0, whole.size() - 1));
  write_bytes(dir + "/samples/step-3.png", "");
  write_bytes(dir + "/samples/step-4.png", whole);
  const std::string page = render_report({dir});
  CHECK(contains(page, "samples/step-1.png cannot be read"));
  CHECK(contains(page, "samples/step-2.png is damaged or no PNG"));
  CHECK(contains(page, "samples/step-3.png is damaged or no PNG"));
  CHECK(count(part(page, "pictures"), "<img") == 1);
}

TEST_CASE("a page about pictures speaks of pictures, and tells their sizes apart") {
  const TempDir folder;
  const auto pictures = [&](const std::string& name, int size) {
    return make_run(folder, name,
                    fmt::format("task: image_generation\n"
                                "model: {{layers: 1, width: 8, ffn_width: 16, heads: 2}}\n"
                                "data: {{name: tiny, path: d, image_size: {}}}\n"
                                "train: {{steps: 100, batch_size: 2}}\n",
                                size));
  };
  const std::string large = pictures("large", 8);
  CHECK(contains(render_report({large}, ""), "2 images of 192 sub-pixels per step, 100 steps"));
  const std::string text = make_run(folder, "text", tiny_config(kLocal));
  CHECK(contains(render_report({text}, ""), "2 sequences of 32 bytes per step, 100 steps"));
  CHECK(contains(render_report({large, pictures("same", 8)}, ""), "+0.00%"));
  CHECK(contains(render_report({large, pictures("small", 4)}, ""), "validated on different data"));
}
