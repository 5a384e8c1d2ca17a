#include "cifar_pickle.h"

#include <algorithm>
#include <array>
#include <deque>
#include <iterator>
#include <map>
#include <string_view>

#include <fmt/format.h>

#include "ssa/core/error.h"

namespace ssa {

namespace {

constexpr int64_t kPixelBytes = 3072;
constexpr std::array<uint8_t, 2> kStart = {0x80, 2};  // PROTO 2

struct Value;
using Values = std::vector<const Value*>;

struct Value {
  enum class Kind { mark, none, number, text, name, tuple, list, dict, dtype, array };
  Kind kind;
  int64_t number = 0;          // of true and false as well
  std::string_view text = {};  // of a text or a name: part of the file
  Values items = {};           // of a dict: key, value, key, value …; an array's state
};

using Kind = Value::Kind;

/// The stack machine of pickles, with a few of its instructions (Python's pickletools has all).
class PickleReader {
 public:
  PickleReader(std::span<const uint8_t> bytes, const std::string& label)
      : bytes_(bytes), label_(label) {}

  /// What the file holds.
  const Value& read();
  [[noreturn]] void fail(const std::string& why) const {
    throw DataError(
        "'{}', byte {}: {}. This is no file of CIFAR-10's Python version, or it is damaged. The "
        "binary version, cifar-10-binary.tar.gz, may be given instead.",
        label_, at_, why);
  }

 private:
  struct Instruction {
    uint8_t code;
    void (*run)(PickleReader& reader);
  };
  static const Instruction instructions[];

  std::string_view take(size_t count) {
    if (bytes_.size() - at_ < count) fail("the file ends early");
    at_ += count;
    return {reinterpret_cast<const char*>(bytes_.data()) + at_ - count, count};
  }
  /// A little-endian number.
  int64_t number(size_t bytes) {
    int64_t number = 0;
    const std::string_view digits = take(bytes);
    for (size_t i = 0; i < bytes; ++i) {
      number |= int64_t{static_cast<uint8_t>(digits[i])} << (8 * i);
    }
    return number;
  }
  std::string_view line() {
    const size_t first = at_;
    while (take(1) != "\n") {
    }
    return {reinterpret_cast<const char*>(bytes_.data()) + first, at_ - first - 1};
  }

  void push(Value value) { stack_.push_back(&values_.emplace_back(std::move(value))); }
  void push_number(int64_t value) { push({Kind::number, value}); }
  void push_text(int64_t bytes) { push({Kind::text, 0, take(static_cast<size_t>(bytes))}); }
  Value& top() {
    if (stack_.empty()) fail("a value is missing");
    return *stack_.back();
  }
  Value& top(Kind kind) {
    if (top().kind != kind) fail("a value of another kind belongs here");
    return top();
  }
  const Value& pop(Kind kind) {
    const Value& value = top(kind);
    stack_.pop_back();
    return value;
  }
  /// Takes the last values off the stack: `count` of them, or those behind the last mark.
  Values pop_last(size_t count) {
    if (stack_.size() < count) fail("a value is missing");
    const auto first = stack_.end() - static_cast<std::ptrdiff_t>(count);
    Values values(first, stack_.end());
    stack_.erase(first, stack_.end());
    return values;
  }
  Values pop_to_mark() {
    size_t count = 0;
    while (count < stack_.size() && stack_[stack_.size() - 1 - count]->kind != Kind::mark) ++count;
    Values values = pop_last(count);
    pop(Kind::mark);
    return values;
  }

  /// Words of a file, fit for a terminal.
  static std::string shown(std::string_view words) {
    constexpr size_t kMost = 60;
    std::string text(words.substr(0, kMost));
    for (char& c : text) c = c < ' ' || c > '~' ? '?' : c;
    return words.size() > kMost ? text + "…" : text;
  }
  void push_name() {
    const std::string_view module = line(), name = line();
    const bool known = (module == "numpy.core.multiarray" && name == "_reconstruct") ||
                       (module == "numpy" && (name == "ndarray" || name == "dtype"));
    if (!known) {
      fail(fmt::format("the name {}.{} is none of those files'", shown(module), shown(name)));
    }
    push({Kind::name, 0, name});
  }
  void remember(int64_t number) { memory_[number] = &top(); }
  void recall(int64_t number) {
    const auto found = memory_.find(number);
    if (found == memory_.end()) fail("a value is missing");
    stack_.push_back(found->second);
  }
  void push_tuple(Values items) { push({Kind::tuple, 0, {}, std::move(items)}); }
  void append_to(Kind kind) {
    const Values more = pop_to_mark();
    Values& items = top(kind).items;
    items.insert(items.end(), more.begin(), more.end());
  }
  /// In Python a call; here an empty array, or the type of its elements.
  void call() {
    const Values& arguments = pop(Kind::tuple).items;
    const std::string_view name = pop(Kind::name).text;
    if (name == "_reconstruct") return push({Kind::array});
    if (name != "dtype" || arguments.empty()) fail("a call that is none of those files'");
    push({Kind::dtype, 0, arguments.front()->text});
  }
  void set_state() {
    const Values& state = pop(Kind::tuple).items;
    if (top().kind == Kind::array) top().items = state;
  }

  std::span<const uint8_t> bytes_;
  const std::string& label_;
  size_t at_ = 0;
  std::deque<Value> values_;  // all that were made, so that none frees another
  std::vector<Value*> stack_;
  std::map<int64_t, Value*> memory_;
};

const PickleReader::Instruction PickleReader::instructions[] = {
    {'(', [](PickleReader& r) { r.push({Kind::mark}); }},
    {'N', [](PickleReader& r) { r.push({Kind::none}); }},
    {']', [](PickleReader& r) { r.push({Kind::list}); }},
    {'}', [](PickleReader& r) { r.push({Kind::dict}); }},
    {0x88, [](PickleReader& r) { r.push_number(1); }},  // true
    {0x89, [](PickleReader& r) { r.push_number(0); }},  // false
    {'K', [](PickleReader& r) { r.push_number(r.number(1)); }},
    {'M', [](PickleReader& r) { r.push_number(r.number(2)); }},
    {'J', [](PickleReader& r) { r.push_number(static_cast<int32_t>(r.number(4))); }},
    {'U', [](PickleReader& r) { r.push_text(r.number(1)); }},
    {'T', [](PickleReader& r) { r.push_text(r.number(4)); }},
    {'c', [](PickleReader& r) { r.push_name(); }},
    {'q', [](PickleReader& r) { r.remember(r.number(1)); }},
    {'r', [](PickleReader& r) { r.remember(r.number(4)); }},
    {'h', [](PickleReader& r) { r.recall(r.number(1)); }},
    {'j', [](PickleReader& r) { r.recall(r.number(4)); }},
    {0x85, [](PickleReader& r) { r.push_tuple(r.pop_last(1)); }},
    {0x86, [](PickleReader& r) { r.push_tuple(r.pop_last(2)); }},
    {0x87, [](PickleReader& r) { r.push_tuple(r.pop_last(3)); }},
    {'t', [](PickleReader& r) { r.push_tuple(r.pop_to_mark()); }},
    {'e', [](PickleReader& r) { r.append_to(Kind::list); }},
    {'u', [](PickleReader& r) { r.append_to(Kind::dict); }},
    {'R', [](PickleReader& r) { r.call(); }},
    {'b', [](PickleReader& r) { r.set_state(); }},
};

const Value& PickleReader::read() {
  at_ = kStart.size();
  while (true) {
    const auto code = static_cast<uint8_t>(number(1));
    if (code == '.') return pop(Kind::dict);
    const auto* found = std::ranges::find(instructions, code, &Instruction::code);
    if (found == std::end(instructions)) {
      fail(fmt::format("instruction {:#04x} is none of those files'", code));
    }
    found->run(*this);
  }
}

/// The value of a key of a dict.
const Value& entry(const Value& dict, std::string_view key, const PickleReader& reader) {
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    if (dict.items[i]->kind == Kind::text && dict.items[i]->text == key) return *dict.items[i + 1];
  }
  reader.fail(fmt::format("the dict has no '{}'", key));
}

/// The bytes of an array (rows, 3072) of bytes. Its state is (version, shape, type, order, bytes).
std::string_view array_bytes(const Value& array, size_t rows, const PickleReader& reader) {
  const auto& state = array.items;
  const bool complete = array.kind == Kind::array && state.size() == 5;
  if (!complete || state[2]->kind != Kind::dtype || state[2]->text != "u1" ||
      state[3]->kind != Kind::number || state[3]->number != 0) {
    reader.fail("'data' is no array of bytes in C order");
  }
  const auto& shape = state[1]->items;
  if (shape.size() != 2 || shape[0]->number != static_cast<int64_t>(rows) ||
      shape[1]->number != kPixelBytes ||
      state[4]->text.size() != rows * static_cast<size_t>(kPixelBytes)) {
    reader.fail(fmt::format("'data' is not of {} labels x {} bytes", rows, kPixelBytes));
  }
  return state[4]->text;
}

}  // namespace

bool is_cifar_pickle(std::span<const uint8_t> bytes) {
  return bytes.size() > kStart.size() && bytes[0] == kStart[0] && bytes[1] == kStart[1];
}

std::vector<uint8_t> rows_of_cifar_pickle(std::span<const uint8_t> bytes,
                                          const std::string& label) {
  PickleReader reader(bytes, label);
  const Value& dict = reader.read();
  const Values& labels = entry(dict, "labels", reader).items;
  const std::string_view pixels = array_bytes(entry(dict, "data", reader), labels.size(), reader);
  std::vector<uint8_t> rows;
  rows.reserve(labels.size() * (kPixelBytes + 1));
  for (size_t i = 0; i < labels.size(); ++i) {
    const int64_t number = labels[i]->number;
    if (labels[i]->kind != Kind::number || number < 0 || number > 255) {
      reader.fail(fmt::format("label {} is no number from 0 to 255", i));
    }
    rows.push_back(static_cast<uint8_t>(number));
    const std::string_view picture = pixels.substr(i * kPixelBytes, kPixelBytes);
    rows.insert(rows.end(), picture.begin(), picture.end());
  }
  return rows;
}

}  // namespace ssa
