#include "ssa/sweep/point_state.h"

#include <algorithm>
#include <array>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <unistd.h>

#include "ssa/config/differences.h"
#include "ssa/core/error.h"
#include "ssa/dist/agreement.h"
#include "ssa/storage/file_io.h"
#include "ssa/tasks/metric.h"

namespace ssa {

namespace {

using nlohmann::json;

constexpr uint64_t kTailBytes = 16384;
constexpr uint64_t kMaxJsonBytes = uint64_t{1} << 24;

std::string failure_path(const std::string& run_dir) { return run_dir + "/sweep-failure.json"; }

std::string evaluation_path(const std::string& run_dir, EvalMode mode, Split split) {
  return fmt::format("{}/eval-{}-{}.json", run_dir, name(mode), name(split));
}

/// Whether a process holds `run.lock`. Does not write to it.
bool is_locked(const std::string& run_dir) {
  const int descriptor = ::open((run_dir + "/run.lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool held = ::flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(descriptor);  // releases the lock too
  return held;
}

/// The end of a file. Empty if it cannot be read.
std::string tail_of(const std::string& path) {
  try {
    if (!path_exists(path)) return {};
    const InputFile file(path);
    std::string text(std::min(file.bytes(), kTailBytes), '\0');
    file.read(text.data(), text.size(), file.bytes() - text.size());
    return text;
  } catch (const Error&) {
    return {};
  }
}

std::optional<json> read_object(const std::string& path) {
  try {
    if (!path_exists(path)) return std::nullopt;
    json object = json::parse(read_text_file(path, kMaxJsonBytes), nullptr, false);
    if (object.is_object()) return object;
  } catch (const Error&) {  // counts as missing
  }
  return std::nullopt;
}

std::optional<PointFailure> read_failure(const std::string& run_dir) {
  const std::optional<json> object = read_object(failure_path(run_dir));
  if (!object) return std::nullopt;
  const auto program = object->find("program");
  const auto code = object->find("code");
  if (program == object->end() || !program->is_string() || code == object->end() ||
      !code->is_number_integer()) {
    return std::nullopt;
  }
  return PointFailure{program->get<std::string>(), code->get<int>()};
}

/// Whether ssa-eval has written a result for this step and the config's number of samples.
bool is_evaluated(const std::string& run_dir, const Config& config, EvalMode mode, Split split,
                  int64_t step) {
  const auto result = read_object(evaluation_path(run_dir, mode, split));
  if (!result) return false;
  const auto has = [&](const char* key, int64_t value) {
    const auto found = result->find(key);
    return found != result->end() && found->is_number_integer() && found->get<int64_t>() == value;
  };
  return has("step", step) && (mode == EvalMode::renorm || has("samples", config.eval.samples));
}

std::optional<double> number_of(const json& object, std::string_view key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

/// The last complete line of metrics.jsonl.
struct LastEvent {
  int64_t step = 0;
  std::optional<double> loss, score;
  bool valid_split = false;
};

LastEvent last_event(const std::string& run_dir, TaskKind task) {
  LastEvent last;
  for (const std::string& line : last_lines(run_dir + "/metrics.jsonl", 2)) {
    const json event = json::parse(line, nullptr, false);
    const bool has_step =
        event.is_object() && event.contains("step") && event["step"].is_number_integer();
    if (!has_step) continue;
    last.step = event["step"].get<int64_t>();
    last.loss = number_of(event, "loss");
    last.score = number_of(event, traits_of(task).metric().key);
    last.valid_split = event.contains("split") && event["split"] == "valid";
  }
  return last;
}

/// Whether train.patience has ended the run with the checkpoint in `folder`.
bool stopped_early(const std::string& folder, const Config& config) {
  const auto state = read_object(folder + "/state.json");
  if (!state || config.train.patience == 0) return false;
  const auto since = state->find("evaluations_since_best");
  return since != state->end() && since->is_number_integer() &&
         since->get<int64_t>() >= config.train.patience;
}

/// Whether the checkpoint in `folder` was saved after its step's evaluation, which without a valid
/// split leaves no score.
bool is_evaluated_or_cannot_be(const std::string& folder) {
  const auto state = read_object(folder + "/state.json");
  return state && state->contains("evaluation_due") && (*state)["evaluation_due"] == false;
}

bool is_trained(const std::string& run_dir, const Config& config, const LastEvent& last) {
  // A run validates after its last step, and then saves.
  const std::string folder = fmt::format("{}/checkpoints/step-{}", run_dir, last.step);
  if (!last.valid_split && !is_evaluated_or_cannot_be(folder)) return false;
  if (last.step != config.train.steps && !stopped_early(folder, config)) return false;
  try {
    return path_exists(folder + "/manifest.json");
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::string_view name(PointState state) {
  constexpr std::array<std::string_view, 5> kNames = {"waiting", "running", "trained", "finished",
                                                      "failed"};
  return kNames.at(static_cast<size_t>(state));
}

PointStatus read_point_status(const std::string& run_dir, const Config& config,
                              const std::vector<EvalMode>& evaluations, Split split) {
  PointStatus status;
  const LastEvent last = last_event(run_dir, config.task);
  status.step = last.step;
  status.loss = last.loss;
  status.score = last.score;
  status.trained = is_trained(run_dir, config, last);
  const int64_t end = status.trained ? last.step : config.train.steps;
  for (const EvalMode mode : evaluations) {
    if (!is_evaluated(run_dir, config, mode, split, end)) status.missing.push_back(mode);
  }
  if (is_locked(run_dir)) {
    status.state = PointState::running;
  } else if (status.trained && status.missing.empty()) {
    status.state = PointState::finished;
  } else if ((status.failure = read_failure(run_dir))) {
    status.state = PointState::failed;
  } else if (status.trained) {
    status.state = PointState::trained;
  }
  return status;
}

std::optional<double> score_of(const std::string& run_dir, TaskKind task, EvalMode mode,
                               Split split) {
  const auto result = read_object(evaluation_path(run_dir, mode, split));
  return result ? number_of(*result, traits_of(task).metric().key) : std::nullopt;
}

void record_failure(const std::string& run_dir, const PointFailure& failure) {
  const json object = {{"program", failure.program}, {"code", failure.code}};
  write_file_atomically(failure_path(run_dir), object.dump() + "\n");
}

void clear_failure(const std::string& run_dir) { remove_tree(failure_path(run_dir)); }

DataIdentity data_of_run(const std::string& run_dir) {
  const auto record = read_object(run_dir + "/start.json");
  if (!record || !record->contains("data") || !(*record)["data"].is_object()) return {};
  const json& data = (*record)["data"];
  DataIdentity identity;
  if (const auto bytes = data.find("bytes"); bytes != data.end() && bytes->is_number_integer()) {
    identity.bytes = bytes->get<int64_t>();
  }
  if (const auto sum = data.find("checksum"); sum != data.end() && sum->is_string()) {
    identity.checksum = sum->get<std::string>();
  }
  return identity;
}

std::vector<std::string> config_differences(const std::string& run_dir, const Config& config) {
  const std::string path = run_dir + "/config.yaml";
  if (!path_exists(path)) return {};
  constexpr std::array<std::string_view, 6> kHarmless = {"train.eval_tokens", "data.vocabulary",
                                                         "data.path",         "data.name",
                                                         "eval.mode",         "eval.samples"};
  Config now = config;
  now.train.init_from = stated_path(config.train.init_from);  // as the run has written it
  std::vector<std::string> differences;
  for (const ConfigDifference& one : config_differences(load_config(path), now)) {
    const bool harmless =
        is_bookkeeping(one.key) || std::ranges::find(kHarmless, one.key) != kHarmless.end();
    if (!harmless) differences.push_back(to_text(one));
  }
  return differences;
}

std::vector<std::string> last_lines(const std::string& path, size_t lines) {
  const std::string text = tail_of(path);
  std::vector<std::string> found;
  size_t end = text.size();
  while (end > 0 && found.size() < lines) {
    const size_t before = text.rfind('\n', end - 1);
    const size_t begin = before == std::string::npos ? 0 : before + 1;
    std::string line = text.substr(begin, end - begin);
    if (line.find_first_not_of(" \t\r") != std::string::npos) found.push_back(std::move(line));
    if (before == std::string::npos) break;
    end = before;
  }
  std::reverse(found.begin(), found.end());
  return found;
}

}  // namespace ssa
