#include <fmt/format.h>

#include "ssa/report/numbers.h"

#include "report/html.h"
#include "report/sections.h"

namespace ssa::report {

namespace {

std::string_view about(SampleKind kind) {
  switch (kind) {
    case SampleKind::drawn_pictures:
      return "Drawn by the model during training, with dense attention: the latest large, those of "
             "earlier steps small. All steps of a run draw with the same random numbers, so that "
             "pictures in the same place show what the model has learned in between.";
    case SampleKind::training_pictures:
      return "Training pictures as the model sees them, augmented and mixed: the first ones after "
             "the given step. The latest are large, those of earlier steps small.";
    case SampleKind::none:
      break;
  }
  return {};
}

/// Pictures are part of the page, so that it needs no other file.
std::string figure(const SamplePicture& picture) {
  const std::string step = grouped(picture.step);
  return fmt::format(
      "<figure><img alt=\"Pictures of step {0}\" src=\"data:image/png;base64,{1}\">"
      "<figcaption>step {0}</figcaption></figure>\n",
      step, base64(picture.png));
}

/// The latest pictures large, and those before in a strip.
std::string pictures_of(const Run& run, bool with_earlier) {
  std::string html = "<div class=\"pictures\">\n<div class=\"latest\">\n" +
                     figure(run.pictures.back()) + "</div>\n";
  if (with_earlier && run.pictures.size() > 1) {
    html += "<div class=\"strip\">\n";
    for (size_t i = 0; i + 1 < run.pictures.size(); ++i) html += figure(run.pictures[i]);
    html += "</div>\n";
  }
  return html + "</div>\n";
}

/// The pictures of all runs of a kind below what they are; empty if there are none.
std::string pictures_of_kind(const std::vector<Run>& runs, SampleKind kind) {
  std::string html;
  for (size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].pictures.empty() || traits_of(runs[i].config.task).samples != kind) continue;
    html += fmt::format("<p class=\"legend\">{}</p>\n", run_chip(runs[i], i)) +
            pictures_of(runs[i], runs.size() <= kMostColumns);
  }
  return html.empty() ? html : fmt::format("<p class=\"about\">{}</p>\n{}", about(kind), html);
}

}  // namespace

std::string picture_section(const std::vector<Run>& runs) {
  return section("pictures", "Samples",
                 pictures_of_kind(runs, SampleKind::drawn_pictures) +
                     pictures_of_kind(runs, SampleKind::training_pictures));
}

}  // namespace ssa::report
