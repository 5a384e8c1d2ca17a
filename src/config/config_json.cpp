#include "ssa/config/config_json.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace ssa {

namespace {

using nlohmann::ordered_json;

struct ToJson {
  const Rule& rule;

  ordered_json operator()(std::monostate) const { return ordered_json::object(); }
  ordered_json operator()(const int64_t* value) const {
    if (*value == 0 && !rule.zero_word.empty()) return rule.zero_word;
    return *value;
  }
  ordered_json operator()(const ChoiceRef& choice) const {
    return choice.names[choice.get(choice.target)];
  }
  ordered_json operator()(const ChoicesRef& choices) const {
    ordered_json list = ordered_json::array();
    for (const size_t index : choices.get(choices.target)) list.push_back(choices.names[index]);
    return list;
  }
  template <class T>
  ordered_json operator()(const T* value) const {
    return *value;
  }
};

ordered_json::json_pointer pointer_to(std::string path) {
  std::replace(path.begin(), path.end(), '.', '/');
  return ordered_json::json_pointer("/" + path);
}

}  // namespace

std::string config_json(const Config& config) {
  Config copy = config;  // fields() is not const
  FieldList fields;
  copy.fields(fields);
  ordered_json json = ordered_json::object();
  for (const Field& field : fields.all()) {
    if (!field.rule.tasks.has(config.task)) continue;
    json[pointer_to(field.path)] = std::visit(ToJson{field.rule}, field.value);
  }
  using Handler = ordered_json::error_handler_t;  // paths may have any bytes; JSON is UTF-8
  return json.dump(-1, ' ', false, Handler::replace);
}

}  // namespace ssa
