#include "ssa/storage/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ssa/core/error.h"

namespace ssa {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kChunk = size_t{1} << 20;
constexpr size_t kLongestLine = size_t{1} << 20;  // what is longer is no event

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

/// A value of a line, as far as an event can take it over.
struct LineValue {
  enum class Kind { whole, real, null, other };
  Kind kind = Kind::other;
  int64_t whole = 0;
  double real = 0;  ///< of whole numbers too
};

void assign(const LineValue& value, std::optional<double>& field) {
  field.reset();
  if (value.kind == LineValue::Kind::null) field = std::numeric_limits<double>::quiet_NaN();
  if (value.kind == LineValue::Kind::whole || value.kind == LineValue::Kind::real) {
    field = value.real;
  }
}
void assign(const LineValue& value, std::optional<int64_t>& field) {
  field.reset();
  if (value.kind == LineValue::Kind::whole) field = value.whole;
}

/// Makes events of lines. Those that to_json_line() writes are read directly, which takes a third
/// of the time: there may be millions. Of other lines the JSON parser's values are taken one by
/// one.
class EventReader final : public nlohmann::json_sax<json> {
 public:
  /// The event of a line, valid until the next call. Null: the line is no event.
  const MetricsEvent* read(std::string_view line) {
    clear();
    if (!read_plain(line)) {
      clear();
      if (!json::sax_parse(line.begin(), line.end(), this)) return nullptr;
    }
    return is_object_ && has_step_ && has_split_ ? &event_ : nullptr;
  }

  bool null() override { return take({LineValue::Kind::null}); }
  bool boolean(bool) override { return take({}); }
  bool number_integer(number_integer_t value) override {
    return take({LineValue::Kind::whole, value, static_cast<double>(value)});
  }
  bool number_unsigned(number_unsigned_t value) override {
    return take({LineValue::Kind::whole, static_cast<int64_t>(value), static_cast<double>(value)});
  }
  bool number_float(number_float_t value, const string_t&) override {
    return take({LineValue::Kind::real, 0, value});
  }
  bool string(string_t& value) override {
    if (depth_ != 1 || key_ != "split") return take({});
    event_.split = value;
    return has_split_ = true;
  }
  bool binary(binary_t&) override { return take({}); }
  bool key(string_t& name) override {
    if (depth_ == 1) key_ = name;
    if (depth_ == 2) layer_ = name;
    return true;
  }
  bool start_object(size_t) override {
    if (depth_ == 0) is_object_ = true;
    if (depth_ == 1 && (layers_ = layers_of(key_))) layers_->clear();
    return start();
  }
  bool start_array(size_t) override { return start(); }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  void clear() {
    auto metrics = std::move(event_.metrics);  // keeps the memory
    metrics.clear();
    event_ = {};
    event_.metrics = std::move(metrics);
    depth_ = 0;
    layers_ = nullptr;
    is_object_ = has_step_ = has_split_ = false;
  }

  /// Takes the values of a line like {"step":1,"split":"train","loss":2.5}, without blanks and
  /// escapes. False: the line has another form, and may be anything.
  bool read_plain(std::string_view line) {
    is_object_ = true;
    depth_ = 1;
    char next = '{';  // then a comma before each key
    while (line.starts_with(next)) {
      line.remove_prefix(1);
      if (!take_word(line, key_) || !line.starts_with(':')) return false;
      line.remove_prefix(1);
      if (line.starts_with('"') ? !take_plain_string(line) : !take_plain_number(line)) return false;
      next = ',';
    }
    return line == "}" && next == ',';
  }

  /// Takes a string in quotes from the front of a text, if its characters stand for themselves.
  static bool take_word(std::string_view& text, std::string& word) {
    if (!text.starts_with('"')) return false;
    size_t end = 1;
    while (end < text.size() && text[end] >= ' ' && text[end] < 0x7f && text[end] != '"' &&
           text[end] != '\\') {
      ++end;
    }
    if (end == text.size() || text[end] != '"') return false;
    word.assign(text.substr(1, end - 1));
    text.remove_prefix(end + 1);
    return true;
  }

  bool take_plain_string(std::string_view& text) {
    std::string value;
    return take_word(text, value) && string(value);
  }

  /// A number as JSON has it, or null.
  bool take_plain_number(std::string_view& text) {
    if (text.starts_with("null")) {
      text.remove_prefix(4);
      return null();
    }
    const std::string_view number =
        text.substr(0, std::min(text.find_first_not_of("0123456789+-.eE"), text.size()));
    const std::string_view digits = number.substr(number.starts_with('-') ? 1 : 0);
    const auto is_digit = [&](size_t i) {
      return i < digits.size() && digits[i] >= '0' && digits[i] <= '9';
    };
    const size_t point = digits.find('.');
    const bool is_json = is_digit(0) && !(digits[0] == '0' && is_digit(1)) &&
                         (point == std::string_view::npos || is_digit(point + 1));
    text.remove_prefix(number.size());
    const auto convert = [&](auto& value) {
      const auto [end, error] = std::from_chars(number.begin(), number.end(), value);
      return error == std::errc() && end == number.end();
    };
    int64_t whole = 0;
    double real = 0;
    if (is_json && digits.find_first_of(".eE") == std::string_view::npos) {
      return convert(whole) && number_integer(whole);
    }
    return is_json && convert(real) && number_float(real, {});
  }

  bool start() {
    if (depth_ > 0) take({});
    ++depth_;
    return true;
  }
  bool end() {
    if (--depth_ == 1) layers_ = nullptr;
    return true;
  }

  bool take(const LineValue& value) {
    if (depth_ == 2 && layers_) take_layer(value);
    if (depth_ != 1) return true;
    if (key_ == "step") {
      has_step_ = value.kind == LineValue::Kind::whole;
      event_.step = value.whole;
    } else if (key_ == "split") {
      has_split_ = false;
    } else {
      take_number(value);
    }
    return true;
  }

  void take_number(const LineValue& value) {
    bool known = false;
    const auto match = [&](std::string_view name, auto& field) {
      if (name != key_) return;
      assign(value, field);
      known = true;
    };
    visit_fields(
        event_, match, [](auto&) {}, [](std::string_view, auto&) {});
    if (known || layers_of(key_)) return;
    std::optional<double> metric;
    assign(value, metric);
    if (metric) event_.metrics.emplace_back(key_, *metric);
  }

  using Layers = std::vector<std::pair<std::string, double>>;

  /// Null if the key is not that of an object of layers.
  Layers* layers_of(std::string_view key) {
    Layers* found = nullptr;
    visit_fields(
        event_, [](std::string_view, auto&) {}, [](auto&) {},
        [&](std::string_view name, Layers& layers) {
          if (name == key) found = &layers;
        });
    return found;
  }

  void take_layer(const LineValue& value) {
    std::erase_if(*layers_, [&](const auto& layer) { return layer.first == layer_; });
    std::optional<double> norm;
    assign(value, norm);
    if (norm) layers_->emplace_back(layer_, *norm);
  }

  MetricsEvent event_;
  std::string key_;
  Layers* layers_ = nullptr;  // of the object that is being read
  std::string layer_;
  int depth_ = 0;
  bool is_object_ = false, has_step_ = false, has_split_ = false;
};

/// Calls visit(line, ended) for each line of a file; `ended` is false for a last line without a
/// newline. Holds a few chunks, however large the file is: a line that is too long is cut.
template <class Visit>
void for_each_line(const std::string& path, Visit&& visit) {
  const InputFile file(path);
  std::string text;       // from the start of the line that is being read
  bool skipping = false;  // the rest of a line that was cut
  for (uint64_t offset = 0; offset < file.bytes();) {
    const size_t before = text.size();
    text.resize(before + std::min<uint64_t>(kChunk, file.bytes() - offset));
    file.read(text.data() + before, text.size() - before, offset);
    offset += text.size() - before;
    size_t begin = 0, from = before;  // there is no newline before `from`
    for (size_t end; (end = text.find('\n', from)) != std::string::npos; begin = from = end + 1) {
      if (!skipping) visit(std::string_view(text).substr(begin, end - begin), true);
      skipping = false;
    }
    text.erase(0, begin);
    if (text.size() > kLongestLine) {
      if (!skipping) visit(std::string_view(text), true);
      skipping = true;
    }
    if (skipping) text.clear();
  }
  if (!text.empty()) visit(std::string_view(text), false);
}

/// Calls visit(line, ended, event) for each line; `event` is null if the line is none.
template <class Visit>
void for_each_event(const std::string& path, Visit&& visit) {
  EventReader reader;
  for_each_line(path,
                [&](std::string_view line, bool ended) { visit(line, ended, reader.read(line)); });
}

/// Whether the file has anything but whole lines of events until `last_step`.
bool must_be_cut(const std::string& path, int64_t last_step) {
  bool found = false;
  for_each_event(path, [&](std::string_view line, bool ended, const MetricsEvent* event) {
    found = found || !ended || line.size() > kLongestLine || !event || event->step > last_step;
  });
  return found;
}

/// Removes events after `last_step` from the file. Returns the path.
const std::string& truncate_metrics(const std::string& path, int64_t last_step) {
  if (!path_exists(path) || !must_be_cut(path, last_step)) return path;
  replace_file(path, [&](OutputFile& file) {
    std::string kept;
    for_each_event(path, [&](std::string_view line, bool, const MetricsEvent* event) {
      if (!event || event->step > last_step) return;
      kept.append(line).push_back('\n');
      if (kept.size() < kChunk) return;
      file.write(kept);
      kept.clear();
    });
    file.write(kept);
  });
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

void visit_metrics(const std::string& path, const std::function<void(const MetricsEvent&)>& visit) {
  for_each_event(path, [&](std::string_view, bool, const MetricsEvent* event) {
    if (event) visit(*event);
  });
}

std::vector<MetricsEvent> read_metrics(const std::string& path) {
  std::vector<MetricsEvent> events;
  visit_metrics(path, [&](const MetricsEvent& event) { events.push_back(event); });
  return events;
}

}  // namespace ssa
