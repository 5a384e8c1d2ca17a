#include <algorithm>

#include <fmt/format.h>

#include "ssa/config/differences.h"
#include "ssa/report/numbers.h"
#include "ssa/report/report.h"

#include "report/html.h"
#include "report/scores.h"
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

/// "byte_lm on enwik8 (95.4 MiB)"
std::string data_of(const Run& run) {
  std::string text(name(run.config.task));
  if (!run.config.data.name.empty()) text += " on " + run.config.data.name;
  if (run.start.data_bytes) {
    text += fmt::format(" ({})", bytes_text(static_cast<double>(*run.start.data_bytes)));
  }
  return text;
}

/// All but the scheme and the seed.
std::string description(const Run& run) {
  const Config& config = run.config;
  const std::string epochs =
      config.train.epochs > 0 ? fmt::format(" ({:.6g} epochs)", config.train.epochs) : "";
  return fmt::format("{}: {}; {} per step, {} steps{}, {}", data_of(run), model_of(run),
                     batch_of(run), grouped(config.train.steps), epochs,
                     name(config.train.precision));
}

/// "seed 1", "seeds 1, 2, 3"
std::string seeds_of(const std::vector<Run>& runs) {
  std::vector<uint64_t> seeds;
  for (const Run& run : runs) seeds.push_back(run.config.train.seed);
  std::ranges::sort(seeds);
  seeds.erase(std::unique(seeds.begin(), seeds.end()), seeds.end());
  return fmt::format("seed{} {}", seeds.size() == 1 ? "" : "s", fmt::join(seeds, ", "));
}

std::string unfinished(const Run& run) {
  const int64_t done = run.last_step();
  if (run.events.empty() || done >= run.config.train.steps) return {};
  return fmt::format("not finished: step {} of {}", grouped(done), grouped(run.config.train.steps));
}

/// "4 min 30 s", with what is to be known of it.
std::string training_of(const Run& run) {
  std::string text;
  for (const LoggedEvent& event : run.events) {
    if (event.elapsed_seconds) text = duration_text(event.elapsed_seconds);
  }
  const std::string state = unfinished(run);
  return text + (text.empty() || state.empty() ? "" : "; ") + state;
}

/// "cpu (avx512 kernels, …; 2 threads), 2 ranks". Older run folders do not say it.
std::string machine_of(const Run& run) {
  std::vector<std::string> parts;
  if (!run.start.device.empty()) parts.push_back(run.start.device);
  if (run.start.ranks.value_or(1) > 1) {
    parts.push_back(fmt::format("{} ranks", grouped(*run.start.ranks)));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

/// "started 2026-11-29", "started 2026-11-28 to 2026-11-29"
std::string dates_of(const std::vector<Run>& runs) {
  std::string first, last;
  for (const Run& run : runs) {
    const std::string& date = run.start.date;
    if (date.empty()) continue;
    if (first.empty() || date < first) first = date;
    if (date > last) last = date;
  }
  if (first.empty()) return {};
  return "started " + first + (first == last ? "" : " to " + last);
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
  const std::string& data = runs.front().config.data.name;
  const bool same_data =
      std::ranges::all_of(runs, [&](const Run& run) { return run.config.data.name == data; });
  if (same_data && !data.empty()) title += " on " + escape(data);
  if (runs.size() > kMostColumns) title += fmt::format(": {} runs", runs.size());
  return title;
}

/// Short facts under headings, side by side. Those without a text are left out.
class Facts {
 public:
  void add(std::string_view heading, const std::string& html) {
    if (html.empty()) return;
    facts_ += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", heading, html);
  }
  std::string html() const {
    return facts_.empty() ? "" : "<dl class=\"facts\">\n" + facts_ + "</dl>\n";
  }

 private:
  std::string facts_;
};

std::string soft(const std::string& text) {
  return text.empty() ? "" : fmt::format("<br><span class=\"about\">{}</span>", escape(text));
}

std::string facts_of(const Run& run) {
  Facts facts;
  facts.add("Scheme",
            fmt::format("<b>{}</b>{}", escape(run.scheme), soft(scheme_in_words(run.config))));
  if (const auto score = headline_score(run)) {
    facts.add("Best score",
              fmt::format("<b>{}</b> {}{}", significant(score->value),
                          traits_of(run.config.task).metric().name, soft(score->about)));
  }
  facts.add("Training", escape(training_of(run)));
  facts.add("Machine", escape(machine_of(run)) + soft(dates_of({run})));
  return facts.html();
}

/// Of runs that compare: which is best. The machine, if all share it.
std::string facts_of(const std::vector<Run>& runs, const CommonScore& score) {
  Facts facts;
  if (const auto best = score.best()) {
    facts.add("Best of the runs",
              fmt::format("<b>{}</b> {}<br>{}", significant(score.values[*best]),
                          escape(score.name), run_chip(runs[*best])));
  }
  const std::string machine = machine_of(runs.front());
  const bool shared =
      std::ranges::all_of(runs, [&](const Run& run) { return machine_of(run) == machine; });
  if (shared) facts.add("Machine", escape(machine) + soft(dates_of(runs)));
  return facts.html();
}

/// "0.284 ± 0.003 test bits per byte, renorm (of 3 seeds)"; of a single run its own best score.
std::string score_of(const std::vector<Run>& runs, const std::vector<size_t>& group,
                     const CommonScore& common) {
  if (group.size() == 1) {
    const auto score = headline_score(runs[group.front()]);
    if (!score) return {};
    return fmt::format("{} {} ({})", significant(score->value),
                       traits_of(runs[group.front()].config.task).metric().name, score->about);
  }
  const auto spread = spread_of(common, group);
  if (!spread) return {};
  return fmt::format("{} {} (of {} seed{})", to_text(*spread), common.name, spread->count,
                     spread->count == 1 ? "" : "s");
}

/// One entry for the runs of a style.
std::string entry(const std::vector<Run>& runs, const std::vector<size_t>& group, bool alike,
                  const CommonScore& common) {
  const Run& first = runs[group.front()];
  std::vector<std::string> parts;
  if (!alike) parts.push_back(description(first));
  parts.push_back(score_of(runs, group, common));
  for (const size_t i : group) {
    if (group.size() == 1) parts.push_back(training_of(runs[i]));
    if (group.size() > 1) parts.push_back(unfinished(runs[i]));
  }
  std::erase(parts, "");
  return fmt::format("{}<br>{}{}", group_chip(runs, group), escape(scheme_in_words(first.config)),
                     soft(fmt::format("{}", fmt::join(parts, "; "))));
}

/// What the runs share, and an entry for each, seeds put together.
std::string list_of(const std::vector<Run>& runs) {
  const std::string shared = description(runs.front());
  const bool alike =
      std::ranges::all_of(runs, [&](const Run& run) { return description(run) == shared; });
  std::string html;
  if (alike) html += fmt::format("<p class=\"about\">{}, {}</p>\n", escape(shared), seeds_of(runs));
  if (runs.size() == 1) return html + facts_of(runs.front());
  const CommonScore common = common_score(runs);
  html += facts_of(runs, common);
  std::vector<std::string> entries;
  for (const auto& group : style_groups(runs)) entries.push_back(entry(runs, group, alike, common));
  return html + bullet_list(entries, "runs");
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

std::string line_sample(size_t style) {
  return fmt::format(
      R"(<svg class="chip" viewBox="0 0 22 10" aria-hidden="true"><path class="line {}" )"
      R"(d="M1 5h20"/>{}</svg>)",
      color_class(style), marker(style, 11, 5));
}

namespace {

std::string name_of(const Run& run) {
  const std::string scheme =
      run.scheme == run.name ? "" : fmt::format(" <b>{}</b>", escape(run.scheme));
  return scheme + " " + escape(run.name);
}

}  // namespace

std::string run_chip(const Run& run) {
  return fmt::format(R"(<span class="run">{}{}</span>)", line_sample(run.style), name_of(run));
}

std::string group_chip(const std::vector<Run>& runs, const std::vector<size_t>& group) {
  std::string names = name_of(runs[group.front()]);
  for (size_t i = 1; i < group.size(); ++i) names += ", " + escape(runs[group[i]].name);
  return fmt::format(R"(<span class="run">{}{}</span>)", line_sample(runs[group.front()].style),
                     names);
}

std::string bullet_list(const std::vector<std::string>& items, std::string_view style) {
  constexpr size_t kShown = 24;
  if (items.empty()) return {};
  const auto list = [&](size_t begin, size_t end) {
    std::string html = fmt::format("<ul class=\"{}\">\n", style);
    for (size_t i = begin; i < end; ++i) html += "<li>" + items[i] + "</li>\n";
    return html + "</ul>\n";
  };
  const size_t shown = items.size() <= kShown + 1 ? items.size() : kShown;
  std::string html = list(0, shown);
  if (shown == items.size()) return html;
  return html + fmt::format("<details><summary>{} more</summary>\n{}</details>\n",
                            items.size() - shown, list(shown, items.size()));
}

std::string legend(const std::vector<Run>& runs, bool line_styles) {
  std::string html = R"(<p class="legend">)";
  for (const auto& group : style_groups(runs)) html += group_chip(runs, group) + "\n";
  html += "</p>\n";
  if (line_styles) {
    html += R"(<p class="legend"><span class="run style"><svg class="chip" viewBox="0 0 22 10" )"
            R"(aria-hidden="true"><path class="thin" d="M1 5h20"/></svg> training</span>)"
            R"( <span class="run style"><svg class="chip" viewBox="0 0 22 10" aria-hidden="true">)"
            R"(<path class="line" d="M1 5h20"/>)" +
            marker(kNoStyle, 11, 5) + "</svg> validation</span></p>\n";
  }
  return html;
}

std::string header_section(const std::vector<Run>& runs, const std::vector<std::string>& left_out) {
  std::string missing = missing_from(runs);
  if (!left_out.empty()) {
    missing += fmt::format(
        "<p class=\"missing\"><b>Left out</b>, without metrics and scores so far: {}</p>\n",
        escape(fmt::format("{}", fmt::join(left_out, ", "))));
  }
  return fmt::format("<header>\n<h1>{}</h1>\n{}{}</header>\n", title_of(runs), list_of(runs),
                     missing);
}

}  // namespace ssa::report
