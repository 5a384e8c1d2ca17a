#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "ssa/config/config_check.h"

#include "config/apply.h"
#include "config/load_from.h"
#include "config/parse_value.h"
#include "config/problems.h"
#include "config/task_keys.h"
#include "config/validate.h"
#include "config/yaml_reader.h"

namespace ssa {

namespace {

namespace fs = std::filesystem;

/// Files that are open at a time, each including the next.
constexpr size_t kMostIncludes = 32;

/// Reads little more than a config may have.
FileText read_file(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return {{}, "is a folder, not a file"};
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 8192> piece;
  while (file && text.size() <= kMaxYamlBytes) {
    file.read(piece.data(), piece.size());
    text.append(piece.data(), static_cast<size_t>(file.gcount()));
  }
  if (!file.is_open() || file.bad()) {
    return {{}, fmt::format("cannot be read: {}", std::strerror(errno ? errno : EIO))};
  }
  return {std::move(text), {}};
}

/// Reads a config and the files it includes into one Config.
class Loader {
 public:
  Loader(std::string file, ReadFile read) : file_(std::move(file)), read_(std::move(read)) {
    config_.fields(fields_);
  }

  void load_file() {
    FileText file = read_(file_);
    if (!file.text) {
      problems_.add({file_, 0}, "", file.error);
      problems_.throw_if_any();
    }
    load_text(*file.text, file_);
  }

  /// The included file first, so that what `text` says itself wins.
  void load_text(const std::string& text, const std::string& source) {
    const YamlNodePtr root = read_yaml(text, source, true, problems_);
    if (!root) {
      incomplete_ = true;
      return;
    }
    if (root->kind == YamlNode::Kind::null) {
      problems_.add({source, 0}, "", "is empty; a config gives at least task and data.path");
      return;
    }
    if (root->kind != YamlNode::Kind::map) {
      incomplete_ = true;
      problems_.add({source, root->line}, "",
                    fmt::format("expected a map of keys, got {}", describe(*root)));
      return;
    }
    open_files_.push_back(identity(source));
    for (const auto& entry : root->entries) {
      if (entry.key == "include") include(entry, source);
    }
    open_files_.pop_back();
    applier_.apply_file(*root, source);
  }

  void apply(const std::vector<std::string>& overrides) {
    for (const std::string& text : overrides) applier_.apply_override(text);
  }

  Config finish(const ConfigRules& rules) {
    if (!incomplete_) {
      check_required();
      if (!problems_.has("task")) {
        check_task_keys(fields_, config_.task, applier_.origins(), problems_);
      }
      ConfigCheck check(config_, fields_, applier_.origins(), file_, problems_);
      validate_config(check);
      if (rules) rules(check);
    }
    problems_.throw_if_any();
    return config_;
  }

 private:
  static fs::path identity(const fs::path& path) {
    std::error_code error;
    const fs::path whole = fs::weakly_canonical(path, error);
    return error ? path : whole;
  }

  void include(const YamlNode::Entry& entry, const std::string& source) {
    const auto complain = [&](const std::string& message) {
      incomplete_ = true;
      problems_.add({source, entry.line}, "include", message);
    };
    if (entry.value->kind != YamlNode::Kind::scalar || entry.value->text.empty()) {
      complain(fmt::format("expected the path of one file, got {}", describe(*entry.value)));
      return;
    }
    const fs::path path =
        (fs::path(source).parent_path() / fs::path(entry.value->text)).lexically_normal();
    if (open_files_.size() >= kMostIncludes) {
      complain(fmt::format("more than {} files include each other", kMostIncludes));
      return;
    }
    if (std::find(open_files_.begin(), open_files_.end(), identity(path)) != open_files_.end()) {
      complain(fmt::format("{} includes itself, directly or through others", path.string()));
      return;
    }
    const FileText file = read_(path);
    if (!file.text) {
      complain(fmt::format("{} {}", path.string(), file.error));
      return;
    }
    load_text(*file.text, path.string());
  }

  void check_required() {
    for (const Field& field : fields_.all()) {
      if (!field.rule.is_required || applier_.origins().contains(field.path)) continue;
      problems_.add({file_, 0}, field.path,
                    fmt::format("required key is missing; give {}", type_of(field)));
    }
  }

  std::string file_;
  ReadFile read_;
  Config config_;
  FieldList fields_;
  Problems problems_;
  Applier applier_{fields_, problems_};
  std::vector<fs::path> open_files_;  // the file being read, after those that include it
  bool incomplete_ = false;  // some of it could not be read: keys may be missing for that reason
};

}  // namespace

Config load_config_from(const ReadFile& read, const std::string& path,
                        const std::vector<std::string>& overrides, const ConfigRules& rules) {
  Loader loader(path, read);
  loader.load_file();
  loader.apply(overrides);
  return loader.finish(rules);
}

Config load_config(const std::string& path, const std::vector<std::string>& overrides,
                   const ConfigRules& rules) {
  return load_config_from(read_file, path, overrides, rules);
}

Config parse_config(const std::string& yaml, const std::string& origin,
                    const std::vector<std::string>& overrides, const ConfigRules& rules) {
  Loader loader(origin, read_file);
  loader.load_text(yaml, origin);
  loader.apply(overrides);
  return loader.finish(rules);
}

}  // namespace ssa
