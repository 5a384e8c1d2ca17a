// The table of contents. It is made from the sections themselves, so that none can be missing.

#include <fmt/format.h>

#include "report/sections.h"

namespace ssa::report {

namespace {

constexpr size_t kFewSections = 4;
constexpr std::string_view kBeforeId = "<section id=\"", kBeforeTitle = "\">\n<h2>",
                           kAfterTitle = "</h2>";

}  // namespace

std::string contents_of(const std::string& page) {
  std::string links;
  size_t sections = 0;
  for (size_t at = 0; (at = page.find(kBeforeId, at)) != std::string::npos; ++sections) {
    const size_t id = at + kBeforeId.size();
    const size_t id_end = page.find(kBeforeTitle, id), title = id_end + kBeforeTitle.size();
    if (id_end == std::string::npos) break;
    at = page.find(kAfterTitle, title);
    links += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", page.substr(id, id_end - id),
                         page.substr(title, at - title));
  }
  if (sections < kFewSections) return {};
  // Beside the page where it is wide, else folded above it.
  return fmt::format(
      "<nav class=\"beside\" aria-label=\"Contents\">\n<ul>\n{0}</ul>\n</nav>\n"
      "<nav class=\"above\" aria-label=\"Contents\">\n<details><summary>Contents</summary>\n"
      "<ul>\n{0}</ul></details>\n</nav>\n",
      links);
}

}  // namespace ssa::report
