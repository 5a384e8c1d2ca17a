#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "support/files.h"
#include "support/text.h"

namespace ssa::testing {

inline const std::string kLocal = "kind: local, layers: 1, windows: 4, sigma: 0.1";

/// config.yaml of a tiny model; `ssa` is the content of its ssa section.
inline std::string tiny_config(const std::string& ssa, const std::string& data_name = "tiny") {
  return fmt::format(
      "task: byte_lm\nmodel: {{layers: 2, width: 8, ffn_width: 16, heads: 2}}\n"
      "ssa: {{{}}}\ndata: {{name: '{}', path: d, length: 32}}\n"
      "train: {{steps: 100, batch_size: 2}}\n",
      ssa, data_name);
}

/// The same for pictures of `side` pixels, with two bands in both layers.
inline std::string picture_config(int side) {
  return fmt::format(
      "task: image_generation\n"
      "model: {{layers: 2, width: 8, ffn_width: 16, heads: 2, position: relative_2d}}\n"
      "ssa: {{kind: local, windows: 2, sigma: 0.25}}\ndata: {{path: d, image_size: {}}}\n"
      "train: {{steps: 100, batch_size: 2}}\n",
      side);
}

/// The same for classifying pictures, for 10 epochs in 100 steps.
inline std::string classification_config() {
  return "task: image_classification\n"
         "model: {swin: {embed_width: 8, depths: [2, 2], heads: [1, 2], window: 4, patch: 2}}\n"
         "ssa: {kind: none}\n"
         "data: {name: imagenet, path: d, image_size: 32, resize: 32, classes: 10}\n"
         "train: {epochs: 10, steps: 100, batch_size: 2}\n";
}

inline std::string metrics_line(int step, const std::string& split, double loss) {
  return fmt::format(
      "{{\"step\":{},\"split\":\"{}\",\"loss\":{},\"tokens_per_second\":640,"
      "\"elapsed_seconds\":{},\"peak_memory_bytes\":1048576}}\n",
      step, split, loss, step * 0.1);
}

/// Makes a run folder with a training curve from 3 to 2 nats, and validation at steps 50 and 100.
inline std::string make_run(const TempDir& folder, const std::string& name,
                            const std::string& config) {
  const std::string dir = folder.path() + "/" + name;
  std::filesystem::create_directories(dir);
  write_bytes(dir + "/config.yaml", config);
  std::string metrics;
  for (int step = 1; step <= 100; ++step) {
    metrics += metrics_line(step, "train", 3 - step * 0.01);
    if (step % 50 == 0) metrics += metrics_line(step, "valid", 3.1 - step * 0.01);
  }
  write_bytes(dir + "/metrics.jsonl", metrics);
  return dir;
}

inline void add_evaluations(const std::string& dir) {
  write_bytes(
      dir + "/eval-renorm-valid.json",
      R"({"mode":"renorm","split":"valid","samples":1,"step":100,"tokens":500,"loss":2.125,)"
      R"("bits_per_byte":3.0657,"curve":[],"seconds":1})");
  write_bytes(dir + "/eval-ensemble-valid.json",
              R"({"mode":"ensemble","split":"valid","samples":3,"step":100,"tokens":500,)"
              R"("loss":2.0625,"bits_per_byte":2.9756,"spread":0.0125,"seconds":3,"curve":[)"
              R"({"samples":1,"value":3.1,"stderr":0.02},{"samples":2,"value":3.0,"stderr":0.01},)"
              R"({"samples":3,"value":2.9756,"stderr":0.01}]})");
}

/// The cell after a heading in the summary of a single run.
inline std::string cell(const std::string& page, const std::string& heading) {
  const std::string before = ">" + heading + "</th><td>";
  const size_t begin = page.find(before);
  if (begin == std::string::npos) return "(no such row)";
  const size_t value = begin + before.size();
  return page.substr(value, page.find("</td>", value) - value);
}

inline size_t count(std::string_view text, std::string_view part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) {
    ++found;
  }
  return found;
}

/// The first problem with the nesting of an HTML text's elements; empty if there is none. Knows the
/// void elements used here and self-closing SVG elements.
inline std::string nesting_problem(std::string_view html) {
  std::vector<std::string> open;
  for (size_t at = 0; (at = html.find('<', at)) != std::string_view::npos;) {
    const size_t end = html.find('>', at);
    if (end == std::string_view::npos) return "a tag does not end";
    const std::string_view tag = html.substr(at + 1, end - at - 1);
    at = end + 1;
    if (tag.starts_with('!')) continue;
    const bool closing = tag.starts_with('/');
    const std::string_view rest = closing ? tag.substr(1) : tag;
    const std::string name(rest.substr(0, rest.find_first_of(" \n/")));
    if (name.empty()) return fmt::format("a stray < before '{}'", tag);
    if (count(tag, "\"") % 2 != 0) return fmt::format("an open quote in '{}'", tag);
    if (closing) {
      if (open.empty() || open.back() != name) return fmt::format("'{}' closes nothing", tag);
      open.pop_back();
    } else if (!tag.ends_with('/') && name != "meta" && name != "br" && name != "img") {
      open.push_back(name);
    }
  }
  return open.empty() ? "" : open.back() + " is not closed";
}

/// The part of a page from a heading to the end of its section; empty if there is none.
inline std::string part(const std::string& page, const std::string& id) {
  const size_t begin = page.find("<section id=\"" + id + "\">");
  if (begin == std::string::npos) return {};
  return page.substr(begin, page.find("</section>", begin) - begin);
}

/// A page holds all it needs, and is well formed.
inline void check_self_contained(const std::string& page) {
  CHECK(nesting_problem(page).empty());
  for (const char* outside : {"http:", "https:", "url(", "@import", "<script"}) {
    INFO(outside);
    CHECK_FALSE(contains(page, outside));
  }
  CHECK(count(page, "href=") == count(page, "href=\"#"));  // to its own sections
  CHECK(count(page, "src=") == count(page, "src=\"data:image/png;base64,"));
  CHECK_FALSE(contains(page, ">nan"));
}

}  // namespace ssa::testing
