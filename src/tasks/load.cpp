#include "ssa/tasks/load.h"

namespace ssa {

namespace {

/// The message of an error without the name of the part that it comes from: the key stands there.
std::string without_prefix(const Error& error, std::string_view prefix) {
  std::string_view text = error.what();
  if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
  return std::string(text);
}

}  // namespace

void check_task(ConfigCheck& check, const TaskFactory& make) {
  if (!check.usable({"task"})) return;
  try {
    make(check.config())->check(check);
  } catch (const ConfigError& error) {
    check.fail({"task"}, without_prefix(error, "task: "));
  }
}

void Task::check(ConfigCheck& check) const {
  check_geometry(check, Use::training);
  if (geometry_keys(Use::evaluation) != geometry_keys(Use::training)) {
    check_geometry(check, Use::evaluation);
  }
}

void Task::check_geometry(ConfigCheck& check, Use use) const {
  std::vector<std::string_view> keys = geometry_keys(use);
  if (!check.usable(keys) || !check.usable({"ssa.kind", "ssa.layers", "model.layers"})) {
    return;
  }
  try {
    for (const PlanSpec& spec : plan_specs(Sources::sampled, use)) validate(spec);
  } catch (const ConfigError& error) {
    std::string what;
    for (const std::string_view key : keys) {
      what += (what.empty() ? "" : " does not fit ") + check.quoted(key);
    }
    what += what.empty() ? "" : ": ";
    keys.push_back("ssa.kind");
    check.fail(keys, what + without_prefix(error, "source plan: "));
  }
}

std::vector<std::string_view> Task::geometry_keys(Use /*use*/) const {
  switch (config().ssa.kind) {
    case SsaKind::none:
      break;
    case SsaKind::unbiased:
      return {"ssa.drop"};
    case SsaKind::local:
      return {"ssa.windows"};
  }
  return {};
}

Config load_task_config(const std::string& path, const std::vector<std::string>& overrides) {
  return load_config(path, overrides, [](ConfigCheck& check) { check_task(check); });
}

}  // namespace ssa
