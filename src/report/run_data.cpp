#include "ssa/report/run_data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ssa/config/differences.h"
#include "ssa/config/eval_length.h"
#include "ssa/core/error.h"
#include "ssa/report/report.h"
#include "ssa/storage/file_io.h"
#include "ssa/storage/run_folder.h"
#include "ssa/tasks/analysis_json.h"
#include "ssa/tasks/task.h"

#include "report/event_thinner.h"

namespace ssa::report {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 26;
constexpr uint64_t kMaxSampleBytes = uint64_t{1} << 24;
constexpr size_t kMaxCurvePoints = 4096;
constexpr size_t kMaxSamples = 9;

std::optional<double> number(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  const double value = found->get<double>();
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

std::optional<int64_t> whole(const json& object, const char* key) {
  const std::optional<double> value = number(object, key);
  if (!value || std::abs(*value) > 9e15) return std::nullopt;
  return std::llround(*value);
}

std::string word(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::vector<std::string> words(const json& object, const char* key) {
  std::vector<std::string> list;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return list;
  for (const json& item : *found) {
    if (item.is_string()) list.push_back(item.get<std::string>());
  }
  return list;
}

std::vector<EnsemblePoint> read_curve(const json& object) {
  std::vector<EnsemblePoint> curve;
  const auto found = object.find("curve");
  if (found == object.end() || !found->is_array()) return curve;
  for (const json& item : *found) {
    if (!item.is_object()) continue;
    const auto samples = whole(item, "samples");
    const auto value = number(item, "value");
    if (!samples || *samples < 1 || !value) continue;
    curve.push_back({*samples, *value, number(item, "stderr"), number(item, "difference_stderr")});
    if (curve.size() == kMaxCurvePoints) break;
  }
  std::stable_sort(curve.begin(), curve.end(),
                   [](const auto& a, const auto& b) { return a.samples < b.samples; });
  return curve;
}

/// The numbers of an object by their keys.
std::vector<std::pair<std::string, double>> numbers(const json& object) {
  std::vector<std::pair<std::string, double>> found;
  for (const auto& [key, value] : object.items()) {
    if (const auto known = number(object, key.c_str())) found.emplace_back(key, *known);
  }
  return found;
}

void read_renorm(Evaluation& evaluation, const json& object) {
  const auto renorm = object.find("renorm"), difference = object.find("difference");
  if (renorm != object.end() && renorm->is_object()) evaluation.renorm = numbers(*renorm);
  if (difference != object.end() && difference->is_object()) {
    evaluation.difference = number(*difference, "value");
  }
}

/// Returns nothing if the text is not an evaluation.
std::optional<Evaluation> parse_evaluation(const std::string& file, const std::string& text) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return std::nullopt;
  Evaluation evaluation;
  evaluation.file = file;
  evaluation.mode = word(object, "mode");
  evaluation.split = word(object, "split");
  evaluation.weights = word(object, "weights");
  if (evaluation.mode.empty() || evaluation.split.empty()) return std::nullopt;
  evaluation.step = whole(object, "step");
  evaluation.samples = whole(object, "samples");
  evaluation.tokens = whole(object, "tokens");
  evaluation.split_tokens = whole(object, "split_tokens");
  evaluation.differences = words(object, "differences");
  evaluation.overrides = words(object, "overrides");
  evaluation.loss = number(object, "loss");
  evaluation.spread = number(object, "spread");
  evaluation.seconds = number(object, "seconds");
  evaluation.curve = read_curve(object);
  if (object.contains("analysis")) evaluation.analysis = tables_from_json(object["analysis"]);
  evaluation.metrics = numbers(object);
  read_renorm(evaluation, object);
  return evaluation;
}

/// Calls read(). An error becomes a remark about the file.
template <class Read>
void tolerate(Run& run, const std::string& file, Read&& read) {
  try {
    read();
  } catch (const Error& error) {
    run.missing.push_back(fmt::format("{} cannot be read: {}", file, error.what()));
  }
}

void read_evaluations(Run& run) {
  for (const std::string& file : list_directory(run.dir)) {
    if (!file.starts_with("eval-") || !file.ends_with(".json")) continue;
    tolerate(run, file, [&] {
      auto evaluation = parse_evaluation(file, read_text_file(run.dir + "/" + file, kMaxFileBytes));
      if (evaluation) {
        run.evaluations.push_back(*std::move(evaluation));
      } else {
        run.missing.push_back(file + " is damaged or no result of ssa-eval");
      }
    });
  }
  if (run.evaluations.empty()) {
    run.missing.push_back("no evaluation: `ssa-eval --run` adds renorm and ensemble scores");
  }
}

void read_config_changes(Run& run) {
  const std::string path = run.dir + "/config-changes.json";
  if (!path_exists(path)) return;
  const json list = json::parse(read_text_file(path, kMaxFileBytes), nullptr, false);
  if (!list.is_array()) {
    run.missing.push_back("config-changes.json is damaged");
    return;
  }
  for (const json& item : list) {
    const auto step = whole(item, "after_step");
    if (!step) continue;
    run.config_changes.push_back(
        {*step, word(item, "key"), word(item, "there"), word(item, "now")});
  }
}

void read_start(Run& run) {
  const std::string path = run.dir + "/start.json";
  if (!path_exists(path)) return;
  const json start = json::parse(read_text_file(path, kMaxFileBytes), nullptr, false);
  if (!start.is_object()) {
    run.missing.push_back("start.json is damaged");
    return;
  }
  run.start.date = word(start, "date").substr(0, 10);
  run.start.device = word(start, "device");
  run.start.ranks = whole(start, "ranks");
  if (const auto data = start.find("data"); data != start.end() && data->is_object()) {
    run.start.data_bytes = whole(*data, "bytes");
  }
}

/// Whether a text begins and ends as PNG files do. A browser decodes the rest.
bool is_whole_png(std::string_view text) {
  return text.starts_with("\x89PNG\r\n\x1a\n") && text.ends_with("IEND\xae\x42\x60\x82");
}

/// The samples of a kind that are shown: those of the last step, and of steps spread evenly over
/// those before.
std::vector<SampleFile> shown_samples(const std::string& run_dir, std::string_view suffix) {
  std::vector<SampleFile> files = list_samples(run_dir);
  std::erase_if(files, [&](const SampleFile& file) { return !file.path.ends_with(suffix); });
  const size_t count = std::min(files.size(), kMaxSamples);
  std::vector<SampleFile> shown;
  for (size_t i = 1; i <= count; ++i) shown.push_back(files[i * files.size() / count - 1]);
  return shown;
}

void read_texts(Run& run) {
  for (const SampleFile& file : shown_samples(run.dir, ".txt")) {
    tolerate(run, fmt::format("samples/step-{}.txt", file.step), [&] {
      run.texts.push_back({file.step, read_text_file(file.path, kMaxSampleBytes)});
    });
  }
}

void read_pictures(Run& run) {
  for (const SampleFile& file : shown_samples(run.dir, ".png")) {
    const std::string name = fmt::format("samples/step-{}.png", file.step);
    tolerate(run, name, [&] {
      std::string png = read_text_file(file.path, kMaxSampleBytes);
      if (is_whole_png(png)) {
        run.pictures.push_back({file.step, std::move(png)});
      } else {
        run.missing.push_back(name + " is damaged or no PNG");
      }
    });
  }
}

/// An event without a time gets that of the event before it: evaluations may lack one.
void read_events(Run& run, const std::string& path) {
  EventThinner thinner;
  std::optional<double> last;
  visit_metrics(path, [&](const MetricsEvent& event) {
    if (event.elapsed_seconds) last = event.elapsed_seconds;
    MetricsEvent timed = event;
    timed.elapsed_seconds = last;
    thinner.add(std::move(timed));
  });
  run.events = thinner.events();
}

Run load_run(const std::string& dir) {
  std::error_code ignored;
  if (!fs::is_directory(dir, ignored)) {
    throw ConfigError(
        "{}: there is no such run folder. Give the folder that ssa-train wrote to (--run-dir).",
        dir);
  }
  if (!path_exists(dir + "/config.yaml")) {
    throw ConfigError(
        "{}: no config.yaml in it nor in a folder in it, so it is neither a run folder nor one of "
        "a sweep. Give the folder that ssa-train wrote to (--run-dir).",
        dir);
  }
  Run run = planned_run(load_config(dir + "/config.yaml"));
  run.dir = dir;
  if (path_exists(dir + "/metrics.jsonl")) {
    tolerate(run, "metrics.jsonl", [&] { read_events(run, dir + "/metrics.jsonl"); });
    if (run.events.empty()) run.missing.push_back("metrics.jsonl has no events yet");
  } else {
    run.missing.push_back("no metrics.jsonl: no curves");
  }
  read_evaluations(run);
  tolerate(run, "config-changes.json", [&] { read_config_changes(run); });
  tolerate(run, "start.json", [&] { read_start(run); });
  tolerate(run, "samples", [&] {
    read_pictures(run);
    read_texts(run);
  });
  if (path_exists(dir + "/sample.txt")) {
    tolerate(run, "sample.txt",
             [&] { run.sample = read_text_file(dir + "/sample.txt", kMaxSampleBytes); });
  }
  return run;
}

std::string last_part(const std::string& dir) {
  std::error_code error;
  const fs::path path = fs::weakly_canonical(dir, error);
  const std::string name = (error ? fs::path(dir) : path).filename().string();
  return name.empty() ? dir : name;
}

void name_runs(std::vector<Run>& runs) {
  for (Run& run : runs) run.name = last_part(run.dir);
  for (Run& run : runs) {
    const auto same = [&](const Run& other) { return last_part(other.dir) == last_part(run.dir); };
    if (std::count_if(runs.begin(), runs.end(), same) > 1) run.name = run.dir;
  }
}

/// Runs that differ in the seed only, bookkeeping aside, share a style, unless all of them do.
void style_runs(std::vector<Run>& runs) {
  std::vector<Config> seen;
  for (Run& run : runs) {
    const Config config = with_defaults(run.config, [](std::string_view key) {
      return key == "train.seed" || is_bookkeeping(key);
    });
    run.style = static_cast<size_t>(std::ranges::find(seen, config) - seen.begin());
    if (run.style == seen.size()) seen.push_back(config);
  }
  if (seen.size() > 1) return;
  for (size_t i = 0; i < runs.size(); ++i) runs[i].style = i;
}

}  // namespace

Run planned_run(const Config& config) {
  Run run;
  run.config = config;
  run.scheme = scheme_name(config);
  run.finetune_start = finetune_start(config);
  tolerate(run, "task", [&] { run.terms_per_example = make_task(config)->terms_per_example(); });
  tolerate(run, "cost", [&] { run.cost = training_cost(config); });
  tolerate(run, "parameter count", [&] { run.parameters = parameter_count(config); });
  return run;
}

std::vector<const LoggedEvent*> Run::losses_of(std::string_view split) const {
  std::vector<const LoggedEvent*> result;
  for (const LoggedEvent& event : events) {
    if (event.split == split && event.loss) result.push_back(&event);
  }
  return result;
}

int64_t Run::last_step() const {
  int64_t last = 0;
  for (const MetricsEvent& event : events) last = std::max(last, event.step);
  return last;
}

const Evaluation* Run::evaluation(std::string_view mode, std::string_view split) const {
  const Evaluation* best = nullptr;
  const auto rank = [](const Evaluation& e) {
    return std::pair(e.step.value_or(-1), e.samples.value_or(0));
  };
  for (const Evaluation& candidate : evaluations) {
    if (candidate.mode != mode || candidate.split != split) continue;
    if (!candidate.differences.empty()) continue;
    if (!best || rank(candidate) > rank(*best)) best = &candidate;
  }
  return best;
}

double Run::terms_per_step() const {
  return static_cast<double>(config.train.batch_size) * static_cast<double>(terms_per_example);
}

std::optional<double> Run::overall_terms_per_second() const {
  std::optional<double> rate;
  for (const MetricsEvent& event : events) {
    if (event.split == "train" && event.tokens && event.elapsed_seconds &&
        *event.elapsed_seconds > 0) {
      rate = static_cast<double>(*event.tokens) / *event.elapsed_seconds;
    }
  }
  return rate;
}

std::optional<double> Run::peak_memory_bytes() const {
  std::optional<double> most;
  for (const MetricsEvent& event : events) {
    if (event.split != "train" || !event.peak_memory_bytes) continue;
    most = std::max(most.value_or(0), static_cast<double>(*event.peak_memory_bytes));
  }
  return most;
}

std::optional<double> Run::flop_until(double step) const {
  if (!cost) return std::nullopt;
  const double sampled = std::min(step, static_cast<double>(finetune_start));
  return terms_per_step() * (sampled * cost->forward_flop_per_token +
                             (step - sampled) * cost->dense_forward_flop_per_token);
}

std::optional<size_t> dense_partner(const std::vector<Config>& configs, const Config& config) {
  const auto may_differ = [](std::string_view key, int level) {
    if (key.starts_with("ssa.")) return true;
    if (level >= 1 && key == "train.seed") return true;
    return level >= 2 && (is_bookkeeping(key) || key.starts_with("eval.") || key == "data.path" ||
                          key == "train.eval_tokens");
  };
  for (int level = 0; level < 3; ++level) {
    const auto stripped = [&](const Config& other) {
      return with_defaults(other, [&](std::string_view key) { return may_differ(key, level); });
    };
    const Config wanted = stripped(config);
    for (size_t i = 0; i < configs.size(); ++i) {
      if (configs[i].ssa.kind == SsaKind::none && stripped(configs[i]) == wanted) return i;
    }
  }
  return std::nullopt;
}

bool is_comparable(const Evaluation& a, const Evaluation& b) {
  const auto same = [](const std::optional<int64_t>& x, const std::optional<int64_t>& y) {
    return !x || !y || *x == *y;
  };
  return a.split == b.split && same(a.step, b.step) && same(a.tokens, b.tokens);
}

namespace {

/// Whether a key decides what the validation scores, whatever the task. The name and the path of
/// the data are compared apart, and data.length stands in eval.length.
bool decides_validation(const std::string& key) {
  if (key == "data.name" || key == "data.path" || key == "data.length" || key == "data.augment") {
    return false;
  }
  return key.starts_with("data.") || key == "eval.length" || key == "eval.overlap" ||
         key == "train.eval_tokens";
}

Config with_window(Config config) {
  config.eval.length = eval_length(config).tokens;
  return config;
}

}  // namespace

bool is_comparable(const Run& a, const Run& b) {
  const Config &x = a.config, &y = b.config;
  const bool same_data = !x.data.name.empty() && !y.data.name.empty() ? x.data.name == y.data.name
                                                                      : x.data.path == y.data.path;
  if (x.task != y.task || !same_data) return false;
  const auto differences = config_differences(with_window(x), with_window(y));
  return std::none_of(differences.begin(), differences.end(),
                      [](const ConfigDifference& one) { return decides_validation(one.key); });
}

std::vector<Run> load_runs(const std::vector<std::string>& run_dirs) {
  if (run_dirs.empty()) throw ConfigError("no run folder given");
  std::vector<Run> runs;
  std::vector<fs::path> seen;
  for (const std::string& dir : find_runs(run_dirs)) {
    std::error_code error;
    const fs::path path = fs::weakly_canonical(dir, error);
    if (!error && std::find(seen.begin(), seen.end(), path) != seen.end()) continue;
    seen.push_back(path);
    runs.push_back(load_run(dir));
  }
  name_runs(runs);
  style_runs(runs);
  return runs;
}

std::vector<std::vector<size_t>> style_groups(const std::vector<Run>& runs) {
  std::vector<std::vector<size_t>> groups;
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto same = [&](const std::vector<size_t>& group) {
      return runs[group.front()].style == runs[i].style;
    };
    const auto group = std::ranges::find_if(groups, same);
    if (group == groups.end()) {
      groups.push_back({i});
    } else {
      group->push_back(i);
    }
  }
  return groups;
}

const Metric& common_metric(const std::vector<Run>& runs) {
  for (const Run& run : runs) {
    if (run.config.task != runs.front().config.task) return loss_metric();
  }
  return traits_of(runs.front().config.task).metric();
}

std::vector<Metric> common_metrics(const std::vector<Run>& runs) {
  const Metric& first = common_metric(runs);
  if (first.key == loss_metric().key) return {first};
  return traits_of(runs.front().config.task).metrics;
}

std::string_view common_rate(const std::vector<Run>& runs) {
  const std::string_view rate = traits_of(runs.front().config.task).rate;
  const auto same = [rate](const Run& run) { return traits_of(run.config.task).rate == rate; };
  return std::all_of(runs.begin(), runs.end(), same) ? rate : "terms";
}

std::string_view common_loss_unit(const std::vector<Run>& runs) {
  const auto unit = [](const Run& run) { return traits_of(run.config.task).loss_unit; };
  const std::string_view first = unit(runs.front());
  const auto same = [&](const Run& run) { return unit(run) == first; };
  return std::all_of(runs.begin(), runs.end(), same) ? first : "";
}

namespace {

/// The number of this key, or the one that follows from the loss.
std::optional<double> stored_or_derived(const Metric& metric,
                                        const std::vector<std::pair<std::string, double>>& stored,
                                        const std::optional<double>& loss) {
  for (const auto& [key, value] : stored) {
    if (key == metric.key) return value;
  }
  if (!loss || !metric.from_loss) return std::nullopt;
  return metric.from_loss(*loss);
}

}  // namespace

std::optional<double> value_of(const Metric& metric, const MetricsEvent& event) {
  return stored_or_derived(metric, event.metrics, event.loss);
}

std::optional<double> value_of(const Metric& metric, const Evaluation* evaluation) {
  if (!evaluation) return std::nullopt;
  return stored_or_derived(metric, evaluation->metrics, evaluation->loss);
}

const LoggedEvent* best_validation(const Run& run, const Metric& metric) {
  if (const auto* best = best_event(run.events, "valid", metric.key, metric.higher_is_better)) {
    return best;
  }
  if (!metric.from_loss) return nullptr;  // else it grows with the loss
  return best_event(run.events, "valid", loss_metric().key, false);
}

std::optional<double> last_value(const Run& run, std::string_view split, const Metric& metric) {
  const auto events = run.losses_of(split);
  return events.empty() ? std::nullopt : value_of(metric, *events.back());
}

}  // namespace ssa::report
