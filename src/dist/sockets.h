#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <sys/epoll.h>
#include <sys/socket.h>

namespace ssa::dist {

using Clock = std::chrono::steady_clock;

/// The time after `timeout` from now. At most a year, before or after, so that nothing overflows.
Clock::time_point deadline_in(std::chrono::duration<double> timeout);

/// A file descriptor that is closed with its owner.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }

  int number() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }

 private:
  int number_ = -1;
};

/// Lets another thread interrupt this thread's poll().
class WakeUp {
 public:
  WakeUp();
  int number() const { return event_.number(); }
  void signal() const;
  void clear() const;

 private:
  Descriptor event_;
};

/// epoll: waits for events on many descriptors. Closing a descriptor removes it.
class Watch {
 public:
  Watch();
  void add(const Descriptor& descriptor) { control(EPOLL_CTL_ADD, descriptor.number(), EPOLLIN); }
  void add(const WakeUp& wake_up) { control(EPOLL_CTL_ADD, wake_up.number(), EPOLLIN); }
  /// Sets whether to wait until it can be read, and until it can be written.
  void set(const Descriptor& descriptor, bool reading, bool writing);
  /// The numbers of descriptors with events; none after `timeout`.
  std::vector<int> wait(std::chrono::milliseconds timeout) const;

 private:
  void control(int operation, int descriptor, uint32_t events) const;
  Descriptor epoll_;
};

/// An address and port to connect to.
struct Endpoint {
  sockaddr_storage address = {};
  socklen_t length = 0;

  int family() const { return address.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&address); }
  bool is_loopback() const;
  /// "10.0.0.1", "fd00::2"
  std::string number() const;
};

/// The endpoints of a name or number. If there are none, `why` says why.
std::vector<Endpoint> resolve(const std::string& host, int port, std::string* why);

/// Listens on `port` (0: any free one) of all interfaces, with IPv4 and, if available, IPv6. All
/// sockets of this file are non-blocking and closed in child processes. Throws ConfigError.
Descriptor listen_on(int port);
int port_of(const Descriptor& listening);
/// Accepts the next waiting connection. Returns none if there is no other, or sets `error`.
Descriptor accept_next(const Descriptor& listening, int* error);
/// Connects. Returns none after `deadline` or an error; `why` then says why.
Descriptor connect_to(const Endpoint& endpoint, Clock::time_point deadline, std::string* why);

/// poll() on one descriptor: false if none of `events` came until `deadline`.
bool wait_for(const Descriptor& descriptor, short events, Clock::time_point deadline);

/// The active interfaces of this machine, loopback last.
std::vector<Endpoint> own_interfaces();
/// The address by which the machines on the route to `host` reach this one. It is loopback only
/// if there is no other interface.
std::string own_address_towards(const std::string& host, int port);

}  // namespace ssa::dist
