#include "dist/local_presence.h"

#include <cstddef>
#include <cstring>
#include <vector>

#include <fmt/format.h>
#include <sys/un.h>
#include <unistd.h>

namespace ssa::dist {

namespace {

Descriptor datagram_socket() { return Descriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }

/// A name of Linux's abstract space: it begins with a zero, and is gone with its socket.
Endpoint name_of_rank(const LaunchInfo& launch, int rank) {
  Endpoint result;
  auto* const address = reinterpret_cast<sockaddr_un*>(&result.address);
  address->sun_family = AF_UNIX;
  const std::string name = fmt::format("ssa {} {} {}", ::getuid(), launch.job, rank)
                               .substr(0, sizeof(address->sun_path) - 1);
  std::memcpy(address->sun_path + 1, name.data(), name.size());
  result.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return result;
}

bool is_here(const LaunchInfo& launch, int rank) {
  const Endpoint name = name_of_rank(launch, rank);
  const Descriptor probe = datagram_socket();
  return probe && ::connect(probe.number(), name.get(), name.length) == 0;
}

}  // namespace

LocalPresence::LocalPresence(const LaunchInfo& launch) : launch_(launch) {
  if (launch_.job.empty()) return;
  socket_ = datagram_socket();
  const Endpoint name = name_of_rank(launch_, launch_.rank);
  if (socket_ && ::bind(socket_.number(), name.get(), name.length) != 0) socket_ = Descriptor();
}

std::string LocalPresence::report() const {
  if (!socket_ || launch_.size == 0) return "";
  const bool all_local = launch_.local_size == launch_.size;
  std::vector<int> named;
  for (int rank = 0; rank < launch_.size; ++rank) {
    if (is_here(launch_, rank) != all_local) named.push_back(rank);
  }
  if (named.empty()) return "all ranks have begun to join";
  return fmt::format("{}: {}", all_local ? "missing" : "those of this machine that came",
                     fmt::join(named, ", "));
}

}  // namespace ssa::dist
