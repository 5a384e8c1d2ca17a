#include "config/yaml_reader.h"

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

namespace ssa {

namespace {

/// Stops the parser: nothing after this point would make sense.
struct Unreadable {
  int line;
  std::string message;
};

int line_of(const YAML::Mark& mark) { return mark.is_null() ? 0 : mark.line + 1; }

/// Builds the tree from the parser's events instead of from YAML::Node, which forgets the line of
/// the first of two equal keys and walks aliases without limit.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(Origin origin, bool numbered, Problems& problems)
      : origin_(std::move(origin)), numbered_(numbered), problems_(problems) {}

  YamlNodePtr root() const { return root_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    finish(start(YamlNode::Kind::null, mark), anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    auto node = start(YamlNode::Kind::scalar, mark);
    node->text = value;
    node->quoted = tag == "!";
    finish(node, anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(start(YamlNode::Kind::list, mark), anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(start(YamlNode::Kind::map, mark), anchor);
  }
  void OnMapEnd() override { close(); }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto named = anchors_.find(anchor);
    if (named == anchors_.end()) {
      throw Unreadable{line_of(mark), "an alias (*) stands inside the value that it names"};
    }
    line_ = line_of(mark);
    check_depth(named->second->height);
    count(named->second->nodes);
    attach(named->second, line_);
  }

 private:
  /// A list or map that is still being read.
  struct Open {
    std::shared_ptr<YamlNode> node;
    YAML::anchor_t anchor = 0;
    std::optional<YamlNode::Entry> entry;  // map: its key was read, its value was not
    std::map<std::string, int> lines;      // map: of its keys so far
  };

  std::shared_ptr<YamlNode> start(YamlNode::Kind kind, const YAML::Mark& mark) {
    line_ = line_of(mark);
    check_depth(1);
    count(1);
    auto node = std::make_shared<YamlNode>();
    node->kind = kind;
    node->line = numbered_ ? line_ : 0;
    return node;
  }

  void open(std::shared_ptr<YamlNode> node, YAML::anchor_t anchor) {
    open_.push_back({std::move(node), anchor, std::nullopt, {}});
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    finish(done.node, done.anchor);
  }

  void finish(const std::shared_ptr<YamlNode>& node, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = node;
    attach(node, node->line);
  }

  /// Puts a complete value where it belongs: key of a map, value of a map, item of a list, root.
  void attach(const YamlNodePtr& value, int line) {
    if (open_.empty()) {
      root_ = value;
      return;
    }
    Open& top = open_.back();
    if (top.node->kind == YamlNode::Kind::list) {
      adopt(*top.node, *value);
      top.node->items.push_back(value);
    } else if (!top.entry) {
      if (value->kind != YamlNode::Kind::scalar) {
        throw Unreadable{line_, fmt::format("a key must be text, not {}", describe(*value))};
      }
      top.entry = YamlNode::Entry{value->text, numbered_ ? line : 0, nullptr};
    } else {
      adopt(*top.node, *value);
      top.entry->value = value;
      add_entry(top, *std::move(top.entry));
      top.entry.reset();
    }
  }

  void add_entry(Open& map, YamlNode::Entry entry) {
    const auto [first, is_new] = map.lines.emplace(entry.key, entry.line);
    if (is_new) {
      map.node->entries.push_back(std::move(entry));
      return;
    }
    Origin at = origin_;
    at.line = entry.line;
    const std::string where = numbered_ ? fmt::format(", first on line {}", first->second) : "";
    problems_.add(at, path_of(entry.key), fmt::format("given twice{}; keep one", where));
  }

  /// Dotted path of a key of the innermost open map.
  std::string path_of(const std::string& key) const {
    std::string path;
    for (const Open& outer : open_) {
      if (&outer != &open_.back() && outer.entry) path += outer.entry->key + ".";
    }
    return path + key;
  }

  static void adopt(YamlNode& parent, const YamlNode& child) {
    parent.nodes += child.nodes;
    parent.height = std::max(parent.height, child.height + 1);
  }

  void check_depth(size_t height) const {
    if (open_.size() + height > kMaxYamlDepth) {
      throw Unreadable{line_, fmt::format("nested more than {} levels deep", kMaxYamlDepth)};
    }
  }

  void count(size_t nodes) {
    nodes_ += nodes;
    if (nodes_ > kMaxYamlNodes) {
      throw Unreadable{line_, fmt::format("more than {} values once aliases (*) are written out",
                                          kMaxYamlNodes)};
    }
  }

  Origin origin_;
  bool numbered_;
  Problems& problems_;
  YamlNodePtr root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, YamlNodePtr> anchors_;
  size_t nodes_ = 0;
  int line_ = 0;
};

}  // namespace

YamlNodePtr read_yaml(const std::string& text, const std::string& source, bool numbered,
                      Problems& problems) {
  const auto fail = [&](int line, const std::string& message) {
    problems.add({source, numbered ? line : 0}, "", message);
    return nullptr;
  };
  if (text.size() > kMaxYamlBytes) {
    return fail(0, fmt::format("larger than {} KiB: not a config", kMaxYamlBytes / 1024));
  }
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    TreeBuilder builder({source, 0}, numbered, problems);
    if (!parser.HandleNextDocument(builder) || !builder.root()) {
      return std::make_shared<YamlNode>();
    }
    const YamlNodePtr root = builder.root();
    if (parser) return fail(0, "more than one YAML document (---); a config is one");
    return root;
  } catch (const Unreadable& stop) {
    return fail(stop.line, stop.message);
  } catch (const YAML::Exception& error) {
    return fail(line_of(error.mark), fmt::format("not valid YAML: {}", error.msg));
  }
}

std::string describe(const YamlNode& node) {
  constexpr size_t kShown = 40;
  switch (node.kind) {
    case YamlNode::Kind::null:
      return "nothing";
    case YamlNode::Kind::list:
      return "a list";
    case YamlNode::Kind::map:
      return "a map";
    case YamlNode::Kind::scalar:
      break;
  }
  if (node.text.size() <= kShown) return fmt::format("'{}'", node.text);
  size_t end = kShown;
  while ((static_cast<unsigned char>(node.text[end]) & 0xc0u) == 0x80u && end > 0) --end;  // UTF-8
  return fmt::format("'{}…'", node.text.substr(0, end));
}

}  // namespace ssa
