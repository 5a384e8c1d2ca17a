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
  /// The largest message from an unknown connection, and from a rank.
  static constexpr size_t kStrangerBytes = 4096, kRankBytes = size_t{16} << 20;

  explicit MessageStream(Descriptor socket) : socket_(std::move(socket)) {}
  const Descriptor& socket() const { return socket_; }

  /// The longest message to receive.
  void set_limit(size_t bytes) { limit_ = bytes; }

  /// Queues a message for send().
  void put(const nlohmann::json& message);
  bool wants_to_send() const { return !out_.empty(); }
  /// Sends as much as the kernel accepts. receive() reports a broken connection, because there may
  /// still be data to read.
  void send();
  /// Receives available data for take(). Returns false if the connection is at its end.
  bool receive();
  /// The next complete message, if there is one. Throws std::runtime_error if the data is not a
  /// message.
  std::optional<nlohmann::json> take();

 private:
  Descriptor socket_;
  size_t limit_ = kStrangerBytes;
  std::string out_, in_;
};

}  // namespace ssa::dist
