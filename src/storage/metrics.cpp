#include "ssa/storage/metrics.h"

#include <cmath>
#include <limits>
#include <string_view>

#include <nlohmann/json.hpp>

#include "ssa/core/error.h"

namespace ssa {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr uint64_t kMaxMetricsBytes = uint64_t{1} << 34;

/// Visits the optional fields in the order of the line; `metrics` stands after the loss, and the
/// numbers of layers, an object each, at the end.
template <class Event, class Visit, class VisitMetrics, class VisitLayers>
void visit_fields(Event& event, Visit&& visit, VisitMetrics&& visit_metrics,
                  VisitLayers&& visit_layers) {
  visit("loss", event.loss);
  visit_metrics(event.metrics);
  visit("mean_loss", event.mean_loss);
  visit("lr", event.lr);
  visit("grad_norm", event.grad_norm);
  visit("tokens", event.tokens);
  visit("tokens_per_second", event.tokens_per_second);
  visit("elapsed_seconds", event.elapsed_seconds);
  visit("peak_memory_bytes", event.peak_memory_bytes);
  visit("data_wait_seconds", event.data_wait_seconds);
  visit_layers("gradient_norms", event.gradient_norms);
  visit_layers("parameter_norms", event.parameter_norms);
}

ordered_json number(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
}
ordered_json number(int64_t value) { return value; }

void read_number(const json& value, std::optional<double>& result) {
  if (value.is_number()) result = value.get<double>();
  if (value.is_null()) result = std::numeric_limits<double>::quiet_NaN();
}
void read_number(const json& value, std::optional<int64_t>& result) {
  if (value.is_number_integer()) result = value.get<int64_t>();
}

/// The members of an object that are numbers. nlohmann::json sorts them by name.
void read_numbers(const json& object, std::vector<std::pair<std::string, double>>& result) {
  if (!object.is_object()) return;
  for (const auto& [key, value] : object.items()) {
    std::optional<double> found;
    read_number(value, found);
    if (found) result.emplace_back(key, *found);
  }
}

std::optional<MetricsEvent> parse_event(std::string_view line) {
  json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || !object.contains("step") || !object.contains("split") ||
      !object["step"].is_number_integer() || !object["split"].is_string()) {
    return std::nullopt;
  }
  MetricsEvent event;
  event.step = object["step"].get<int64_t>();
  event.split = object["split"].get<std::string>();
  object.erase("step");
  object.erase("split");
  const auto take = [&](const char* key, auto& field) {
    if (const auto found = object.find(key); found != object.end()) {
      read_number(*found, field);
      object.erase(found);
    }
  };
  const auto take_layers = [&](const char* key, auto& layers) {
    if (const auto found = object.find(key); found != object.end()) {
      read_numbers(*found, layers);
      object.erase(found);
    }
  };
  visit_fields(
      event, take, [](auto&) {}, take_layers);
  read_numbers(object, event.metrics);
  return event;
}

/// Calls visit(line, event) for each complete line that is an event.
template <class Visit>
void for_each_event(std::string_view text, Visit&& visit) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (const auto event = parse_event(line)) visit(line, *event);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

/// Removes events after `last_step` from the file. Returns the path.
const std::string& truncate_metrics(const std::string& path, int64_t last_step) {
  if (!path_exists(path)) return path;
  const std::string text = read_text_file(path, kMaxMetricsBytes);
  std::string kept;
  for_each_event(text, [&](std::string_view line, const MetricsEvent& event) {
    if (event.step <= last_step) kept.append(line).push_back('\n');
  });
  if (kept != text) write_file_atomically(path, kept);
  return path;
}

}  // namespace

std::string to_json_line(const MetricsEvent& event) {
  ordered_json line = {{"step", event.step}, {"split", event.split}};
  const auto put = [&](const char* key, const auto& field) {
    if (field) line[key] = number(*field);
  };
  const auto put_metrics = [&](const auto& metrics) {
    for (const auto& [key, value] : metrics) line[key] = number(value);
  };
  const auto put_layers = [&](const char* key, const auto& layers) {
    for (const auto& [layer, value] : layers) line[key][layer] = number(value);
  };
  visit_fields(event, put, put_metrics, put_layers);
  return line.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::vector<std::pair<std::string, double>> numbers(const MetricsEvent& event) {
  std::vector<std::pair<std::string, double>> result;
  const auto put = [&](const char* key, const auto& field) {
    if (field) result.emplace_back(key, static_cast<double>(*field));
  };
  const auto put_metrics = [&](const auto& metrics) {
    result.insert(result.end(), metrics.begin(), metrics.end());
  };
  const auto put_layers = [&](const char* key, const auto& layers) {
    for (const auto& [layer, value] : layers) {
      result.emplace_back(fmt::format("{}/{}", key, layer), value);
    }
  };
  visit_fields(event, put, put_metrics, put_layers);
  return result;
}

MetricsWriter::MetricsWriter(const std::string& path, int64_t last_step)
    : file_(truncate_metrics(path, last_step), OutputFile::Mode::append) {}

void MetricsWriter::write(const MetricsEvent& event) {
  const std::string line = to_json_line(event) + "\n";
  const bool was_torn = std::exchange(torn_, true);
  file_.write(was_torn ? "\n" + line : line);
  torn_ = false;
}

std::vector<MetricsEvent> read_metrics(const std::string& path) {
  const std::string text = read_text_file(path, kMaxMetricsBytes);
  std::vector<MetricsEvent> events;
  for_each_event(text,
                 [&](std::string_view, const MetricsEvent& event) { events.push_back(event); });
  return events;
}

const MetricsEvent* best_event(const std::vector<MetricsEvent>& events, std::string_view split,
                               std::string_view key, bool higher_is_better) {
  const MetricsEvent* best = nullptr;
  double best_value = 0;
  for (const MetricsEvent& event : events) {
    if (event.split != split) continue;
    for (const auto& [name, value] : numbers(event)) {
      if (name != key || !std::isfinite(value)) continue;
      if (best && (higher_is_better ? value <= best_value : value >= best_value)) continue;
      best = &event;
      best_value = value;
    }
  }
  return best;
}

}  // namespace ssa
