#include <algorithm>

#include <fmt/format.h>

#include "ssa/config/differences.h"
#include "ssa/report/numbers.h"

#include "report/html.h"
#include "report/sections.h"

namespace ssa::report {

namespace {

/// "16 sequences of 1,024 tokens", "64 graphs".
std::string batch_of(const Run& run) {
  const TaskTraits& traits = traits_of(run.config.task);
  std::string batch = fmt::format("{} {}", grouped(run.config.train.batch_size), traits.examples);
  if (traits.terms == traits.examples) return batch;
  return fmt::format("{} of {} {}", batch, grouped(run.terms_per_example), traits.terms);
}

/// "6 layers, width 256, 8 heads". The layers of some models are not alike.
std::string model_of(const Run& run) {
  const ModelConfig& model = run.config.model;
  if (value_of_key(run.config, "model.layers")) {
    return fmt::format("{} layers, width {}, {} heads", model.layers, model.width, model.heads);
  }
  return run.parameters ? with_prefix(static_cast<double>(*run.parameters)) + " parameters"
                        : std::string("parameters not counted");
}

std::string description(const Run& run) {
  const Config& config = run.config;
  const std::string data = config.data.name.empty() ? "" : " on " + config.data.name;
  const std::string epochs =
      config.train.epochs > 0 ? fmt::format(" ({:.6g} epochs)", config.train.epochs) : "";
  return fmt::format("{}{}: {}; {} per step, {} steps{}, {}, seed {}", name(config.task), data,
                     model_of(run), batch_of(run), grouped(config.train.steps), epochs,
                     name(config.train.precision), config.train.seed);
}

std::string unfinished(const Run& run) {
  const int64_t done = run.last_step();
  if (run.events.empty() || done >= run.config.train.steps) return {};
  return fmt::format("not finished: step {} of {}", grouped(done), grouped(run.config.train.steps));
}

std::string title_of(const std::vector<Run>& runs) {
  std::vector<std::string> schemes;
  for (const Run& run : runs) {
    if (std::find(schemes.begin(), schemes.end(), run.scheme) == schemes.end()) {
      schemes.push_back(run.scheme);
    }
  }
  std::string title;
  for (size_t i = 0; i < schemes.size() && i < kMostColumns; ++i) {
    title += (i > 0 ? ", " : "") + escape(schemes[i]);
  }
  if (schemes.size() > kMostColumns) title += ", …";
  if (runs.size() > kMostColumns) title += fmt::format(": {} runs", runs.size());
  return title;
}

/// One line per run, below the description that all share or each with its own.
std::string list_of(const std::vector<Run>& runs) {
  const std::string shared = description(runs.front());
  const bool alike = std::all_of(runs.begin(), runs.end(),
                                 [&](const Run& run) { return description(run) == shared; });
  std::string html;
  if (alike) html += fmt::format("<p class=\"about\">{}</p>\n", escape(shared));
  const bool done =
      std::all_of(runs.begin(), runs.end(), [](const Run& run) { return unfinished(run).empty(); });
  if (alike && done && runs.size() > kMostColumns) return html + legend(runs, false);
  html += "<ul class=\"runs scroll-list\">\n";
  for (size_t i = 0; i < runs.size(); ++i) {
    std::string about = alike ? "" : description(runs[i]);
    const std::string state = unfinished(runs[i]);
    if (!state.empty()) about += (about.empty() ? "" : "; ") + state;
    html += fmt::format("<li>{}", run_chip(runs[i], i));
    if (!about.empty()) html += fmt::format("<br><span class=\"about\">{}</span>", escape(about));
    html += "</li>\n";
  }
  return html + "</ul>\n";
}

/// Every remark once, with the runs that it applies to.
std::string missing_from(const std::vector<Run>& runs) {
  std::vector<std::pair<std::string, std::vector<std::string>>> remarks;
  for (const Run& run : runs) {
    for (const std::string& what : run.missing) {
      auto found = std::find_if(remarks.begin(), remarks.end(),
                                [&](const auto& remark) { return remark.first == what; });
      if (found == remarks.end()) found = remarks.insert(found, {what, {}});
      found->second.push_back(run.name);
    }
  }
  std::string html;
  for (const auto& [what, names] : remarks) {
    const std::string who = names.size() > kMostColumns
                                ? fmt::format("{} of {} runs", names.size(), runs.size())
                                : fmt::format("{}", fmt::join(names, ", "));
    html += fmt::format("<li><b>{}</b>: {}</li>\n", escape(who), escape(what));
  }
  return html.empty() ? html : "<ul class=\"missing\">\n" + html + "</ul>\n";
}

}  // namespace

std::string section(const std::string& id, const std::string& title, const std::string& body) {
  if (body.empty()) return {};
  return fmt::format("<section id=\"{}\">\n<h2>{}</h2>\n{}</section>\n", id, title, body);
}

std::string run_chip(const Run& run, size_t index) {
  const std::string scheme =
      run.scheme == run.name ? "" : fmt::format(" <b>{}</b>", escape(run.scheme));
  return fmt::format(
      R"(<span class="run"><svg class="chip" viewBox="0 0 22 10" aria-hidden="true">)"
      R"(<path class="line {}" d="M1 5h20"/></svg>{} {}</span>)",
      color_class(index), scheme, escape(run.name));
}

std::string legend(const std::vector<Run>& runs, bool line_styles) {
  std::string html = R"(<p class="legend">)";
  for (size_t i = 0; i < runs.size(); ++i) html += run_chip(runs[i], i) + "\n";
  html += "</p>\n";
  if (line_styles) {
    html += R"(<p class="legend"><span class="run style"><svg class="chip" viewBox="0 0 22 10" )"
            R"(aria-hidden="true"><path class="thin" d="M1 5h20"/></svg> training</span>)"
            R"( <span class="run style"><svg class="chip" viewBox="0 0 22 10" aria-hidden="true">)"
            R"(<path class="line" d="M1 5h20"/><circle class="dot" cx="11" cy="5" r="3"/></svg>)"
            R"( validation</span></p>)"
            "\n";
  }
  return html;
}

std::string header_section(const std::vector<Run>& runs) {
  return fmt::format("<header>\n<h1>{}</h1>\n{}{}</header>\n", title_of(runs), list_of(runs),
                     missing_from(runs));
}

}  // namespace ssa::report
