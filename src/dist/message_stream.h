#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "dist/sockets.h"

namespace ssa::dist {

/// One end of a connection that carries messages: JSON documents as CBOR, each after its length in
/// four bytes. Never blocks. Not thread-safe.
class MessageStream {
 public:
  /// Limits of a message from an unknown connection, and of one from a rank.
  static constexpr size_t kStrangerBytes = 4096, kRankBytes = size_t{16} << 20;

  explicit MessageStream(Descriptor socket) : socket_(std::move(socket)) {}
  const Descriptor& socket() const { return socket_; }

  /// The longest message to receive.
  void set_limit(size_t bytes) { limit_ = bytes; }

  /// Queues a message for send().
  void put(const nlohmann::json& message);
  bool wants_to_send() const { return !out_.empty(); }
  /// Sends as much as the kernel takes. A broken connection shows in receive(), as there may still
  /// be something to read.
  void send();
  /// Receives some of what has come, for take(). False if nothing will come any more.
  bool receive();
  /// The next whole message, if there is one. Throws std::runtime_error if it is none at all.
  std::optional<nlohmann::json> take();

 private:
  Descriptor socket_;
  size_t limit_ = kStrangerBytes;
  std::string out_, in_;
};

}  // namespace ssa::dist
