#include <fmt/format.h>

#include "ssa/report/numbers.h"

#include "report/html.h"
#include "report/sections.h"

namespace ssa::report {

namespace {

constexpr size_t kMostTextBytes = 6000;  // of the texts of a step

std::string_view about(SampleKind kind) {
  switch (kind) {
    case SampleKind::drawn_pictures:
      return "Drawn by the model during training, with dense attention: the latest large, those of "
             "earlier steps small. All steps of a run draw with the same random numbers, so that "
             "pictures in the same place show what the model has learned in between.";
    case SampleKind::training_pictures:
      return "Training pictures as the model sees them, augmented and mixed: the first ones after "
             "the given step. The latest are large, those of earlier steps small.";
    case SampleKind::drawn_texts:
      return "Continued by the model during training, with dense attention: the latest, and those "
             "of earlier steps folded. All steps of a run draw with the same random numbers, so "
             "that they show what the model has learned in between.";
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

std::string text_of(const SampleTexts& sample) {
  return fmt::format("<pre class=\"sample\" tabindex=\"0\">{}{}</pre>\n",
                     escape(cut(sample.text, kMostTextBytes)),
                     sample.text.size() > kMostTextBytes ? "\n…" : "");
}

/// The latest texts, and those before folded.
std::string texts_of(const Run& run, bool with_earlier) {
  const std::vector<SampleTexts>& texts = run.texts;
  std::string html =
      fmt::format("<h4>step {}</h4>\n{}", grouped(texts.back().step), text_of(texts.back()));
  for (size_t i = texts.size() - 1; with_earlier && i > 0; --i) {
    html += fmt::format("<details><summary>step {}</summary>\n{}</details>\n",
                        grouped(texts[i - 1].step), text_of(texts[i - 1]));
  }
  return html;
}

/// The samples of all runs of a kind below what they are; empty if there are none.
std::string samples_of_kind(const std::vector<Run>& runs, SampleKind kind) {
  const bool with_earlier = runs.size() <= kMostColumns;
  std::string html;
  for (const Run& run : runs) {
    const bool has_texts = kind == SampleKind::drawn_texts;
    if (traits_of(run.config.task).samples != kind) continue;
    if (has_texts ? run.texts.empty() : run.pictures.empty()) continue;
    html += fmt::format("<p class=\"legend\">{}</p>\n", run_chip(run)) +
            (has_texts ? texts_of(run, with_earlier) : pictures_of(run, with_earlier));
  }
  return html.empty() ? html : fmt::format("<p class=\"about\">{}</p>\n{}", about(kind), html);
}

}  // namespace

std::string picture_section(const std::vector<Run>& runs) {
  return section("pictures", "Samples",
                 samples_of_kind(runs, SampleKind::drawn_texts) +
                     samples_of_kind(runs, SampleKind::drawn_pictures) +
                     samples_of_kind(runs, SampleKind::training_pictures));
}

}  // namespace ssa::report
