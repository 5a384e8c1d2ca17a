#include "dist/message_stream.h"

#include <array>
#include <cerrno>
#include <stdexcept>

#include <sys/socket.h>

namespace ssa::dist {

namespace {

constexpr size_t kHeader = 4;

size_t length_in(const std::string& bytes) {
  size_t length = 0;
  for (size_t i = 0; i < kHeader; ++i) {
    length |= size_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  return length;
}

/// Refuses documents that are nested deeper than any message. The reader is recursive, so a few
/// kilobytes of opening brackets would exhaust its thread's stack.
class Shallow : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool start_object(size_t) override { return ++depth_ <= kDeepest; }
  bool start_array(size_t) override { return ++depth_ <= kDeepest; }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool key(string_t&) override { return true; }
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

 private:
  static constexpr int kDeepest = 16;

  bool leave() {
    --depth_;
    return true;
  }

  int depth_ = 0;
};

bool try_again(int error) { return error == EAGAIN || error == EINTR; }

}  // namespace

void MessageStream::put(const nlohmann::json& message) {
  const size_t start = out_.size();
  out_.resize(start + kHeader);
  nlohmann::json::to_cbor(message, out_);
  const size_t length = out_.size() - start - kHeader;
  for (size_t i = 0; i < kHeader; ++i) out_[start + i] = static_cast<char>(length >> (8 * i));
}

void MessageStream::send() {
  while (!out_.empty()) {
    const ssize_t sent = ::send(socket_.number(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (sent < 0 && try_again(errno)) return;
    out_.erase(0, sent < 0 ? out_.size() : static_cast<size_t>(sent));
  }
}

bool MessageStream::receive() {
  std::array<char, 65536> buffer;
  const ssize_t got = ::recv(socket_.number(), buffer.data(), buffer.size(), 0);
  if (got > 0) in_.append(buffer.data(), static_cast<size_t>(got));
  return got > 0 || (got < 0 && try_again(errno));
}

std::optional<nlohmann::json> MessageStream::take() {
  if (in_.size() < kHeader) return std::nullopt;
  const size_t length = length_in(in_);
  if (length > limit_) throw std::runtime_error("a message that is too long");
  if (in_.size() < kHeader + length) return std::nullopt;
  const auto begin = in_.begin() + kHeader, end = begin + static_cast<std::ptrdiff_t>(length);
  Shallow shallow;
  if (!nlohmann::json::sax_parse(begin, end, &shallow, nlohmann::json::input_format_t::cbor)) {
    throw std::runtime_error("not a message");
  }
  nlohmann::json message = nlohmann::json::from_cbor(begin, end);
  in_.erase(0, kHeader + length);
  return message;
}

}  // namespace ssa::dist
