#include "dist/sockets.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ssa/core/error.h"

namespace ssa::dist {

namespace {

std::string text_of(int error) { return std::generic_category().message(error); }

void set_option(const Descriptor& descriptor, int level, int option, int value) {
  ::setsockopt(descriptor.number(), level, option, &value, sizeof(value));
}

/// Sends small messages without delay, and lets the kernel detect a machine that is gone.
void set_up_connection(const Descriptor& descriptor) {
  set_option(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
}

Endpoint any_address(int family, int port) {
  Endpoint result;
  result.address.ss_family = static_cast<sa_family_t>(family);
  const auto network_port = htons(static_cast<uint16_t>(port));
  if (family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(result.get())->sin6_port = network_port;
    result.length = sizeof(sockaddr_in6);
  } else {
    reinterpret_cast<sockaddr_in*>(result.get())->sin_port = network_port;
    result.length = sizeof(sockaddr_in);
  }
  return result;
}

/// Returns none, with errno set, if the family is not available or the port is in use.
Descriptor try_listen(int family, int port) {
  Descriptor result(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!result) return result;
  set_option(result, SOL_SOCKET, SO_REUSEADDR, 1);
  if (family == AF_INET6) set_option(result, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  const Endpoint any = any_address(family, port);
  if (::bind(result.number(), any.get(), any.length) != 0) return {};
  if (::listen(result.number(), SOMAXCONN) != 0) return {};
  return result;
}

bool is_link_local(const Endpoint& endpoint) {
  if (endpoint.family() != AF_INET6) return false;
  const auto* address = reinterpret_cast<const sockaddr_in6*>(endpoint.get());
  return IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr);
}

Endpoint own_end(const Descriptor& descriptor) {
  Endpoint result;
  result.length = sizeof(result.address);
  ::getsockname(descriptor.number(), result.get(), &result.length);
  return result;
}

}  // namespace

Clock::time_point deadline_in(std::chrono::duration<double> timeout) {
  constexpr std::chrono::duration<double> kYear = std::chrono::hours(24 * 365);
  const auto bounded = std::max(-kYear, std::min(kYear, timeout));  // a year for NaN
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(bounded);
}

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

WakeUp::WakeUp() : event_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!event_) throw ConfigError("no file descriptor is left: {}", text_of(errno));
}

void WakeUp::signal() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_.number(), &one, sizeof(one));
}

void WakeUp::clear() const {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(event_.number(), &count, sizeof(count));
}

Watch::Watch() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) throw ConfigError("no file descriptor is left: {}", text_of(errno));
}

void Watch::set(const Descriptor& descriptor, bool reading, bool writing) {
  control(EPOLL_CTL_MOD, descriptor.number(), (reading ? EPOLLIN : 0u) | (writing ? EPOLLOUT : 0u));
}

void Watch::control(int operation, int descriptor, uint32_t events) const {
  epoll_event event = {};
  event.events = events;
  event.data.fd = descriptor;
  ::epoll_ctl(epoll_.number(), operation, descriptor, &event);
}

std::vector<int> Watch::wait(std::chrono::milliseconds timeout) const {
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_.number(), events.data(), events.size(),
                                 static_cast<int>(timeout.count()));
  std::vector<int> result;
  for (int i = 0; i < count; ++i) result.push_back(events[static_cast<size_t>(i)].data.fd);
  return result;
}

bool Endpoint::is_loopback() const {
  if (family() == AF_INET) {
    return (ntohl(reinterpret_cast<const sockaddr_in*>(get())->sin_addr.s_addr) >> 24) == 127;
  }
  return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(get())->sin6_addr);
}

std::string Endpoint::number() const {
  char text[NI_MAXHOST] = {};
  ::getnameinfo(get(), length, text, sizeof(text), nullptr, 0, NI_NUMERICHOST);
  return text;
}

std::vector<Endpoint> resolve(const std::string& host, int port, std::string* why) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (error != 0) {
    *why = ::gai_strerror(error);
    return {};
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  std::vector<Endpoint> result;
  for (const addrinfo* entry = list; entry; entry = entry->ai_next) {
    Endpoint endpoint;
    std::memcpy(&endpoint.address, entry->ai_addr, entry->ai_addrlen);
    endpoint.length = entry->ai_addrlen;
    result.push_back(endpoint);
  }
  return result;
}

Descriptor listen_on(int port) {
  Descriptor result = try_listen(AF_INET6, port);
  if (!result && errno != EADDRINUSE) result = try_listen(AF_INET, port);
  if (!result) {
    throw ConfigError("rank 0 cannot listen on port {}: {}{}", port, text_of(errno),
                      port ? ". Set MASTER_PORT to a free port, the same on all ranks" : "");
  }
  return result;
}

int port_of(const Descriptor& listening) {
  const Endpoint end = own_end(listening);
  return ntohs(end.family() == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6*>(end.get())->sin6_port
                   : reinterpret_cast<const sockaddr_in*>(end.get())->sin_port);
}

Descriptor accept_next(const Descriptor& listening, int* error) {
  *error = 0;
  Descriptor result(::accept4(listening.number(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (result) {
    set_up_connection(result);
  } else if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
    *error = errno;
  }
  return result;
}

Descriptor connect_to(const Endpoint& endpoint, Clock::time_point deadline, std::string* why) {
  Descriptor result(::socket(endpoint.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int error = 0;
  if (!result || ::connect(result.number(), endpoint.get(), endpoint.length) != 0) error = errno;
  if (error == EINPROGRESS) {
    socklen_t length = sizeof(error);
    if (!wait_for(result, POLLOUT, deadline)) {
      error = ETIMEDOUT;
    } else if (::getsockopt(result.number(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
      error = errno;
    }
  }
  // Nobody listens: the kernel gave this socket the port that it connects to, so it reached itself.
  const Endpoint own = error == 0 ? own_end(result) : Endpoint();
  if (own.length == endpoint.length && std::memcmp(own.get(), endpoint.get(), own.length) == 0) {
    error = ECONNREFUSED;
  }
  if (error != 0) {
    *why = text_of(error);
    return {};
  }
  set_up_connection(result);
  return result;
}

bool wait_for(const Descriptor& descriptor, short events, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd entry = {descriptor.number(), events, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 60000)));
    if (ready > 0) return true;
    if (left <= 0) return false;
  }
}

std::vector<Endpoint> own_interfaces() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
  std::vector<Endpoint> result;
  for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) {
    if (!entry->ifa_addr || !(entry->ifa_flags & IFF_UP)) continue;
    const int family = entry->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    Endpoint endpoint;
    endpoint.length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    std::memcpy(&endpoint.address, entry->ifa_addr, endpoint.length);
    if (!is_link_local(endpoint)) result.push_back(endpoint);
  }
  std::stable_sort(result.begin(), result.end(), [](const Endpoint& a, const Endpoint& b) {
    return std::pair(a.is_loopback(), a.family()) < std::pair(b.is_loopback(), b.family());
  });
  return result;
}

std::string own_address_towards(const std::string& host, int port) {
  std::string why;
  for (const Endpoint& end : resolve(host, port, &why)) {
    // Connecting a UDP socket sends nothing, but chooses the route.
    const Descriptor probe(::socket(end.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!probe || ::connect(probe.number(), end.get(), end.length) != 0) continue;
    const Endpoint own = own_end(probe);
    // Other machines cannot use loopback. A machine's own name often resolves to it, and operators
    // of Kubernetes tell rank 0 that it is "localhost".
    if (!own.is_loopback()) return own.number();
  }
  const std::vector<Endpoint> interfaces = own_interfaces();
  return interfaces.empty() ? "127.0.0.1" : interfaces.front().number();
}

}  // namespace ssa::dist
