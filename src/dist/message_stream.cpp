#include "dist/message_stream.h"

#include <array>
#include <cerrno>
#include <stdexcept>

#include <sys/socket.h>

#include "dist/cbor.h"

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
  nlohmann::json message = read_cbor(std::string_view(in_).substr(kHeader, length));
  in_.erase(0, kHeader + length);
  return message;
}

}  // namespace ssa::dist
