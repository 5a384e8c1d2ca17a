#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <sys/epoll.h>
#include <sys/socket.h>

namespace ssa::dist {

using Clock = std::chrono::steady_clock;

/// That long from now; at most a year, so that nothing overflows.
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

/// What lets another thread end this one's poll().
class WakeUp {
 public:
  WakeUp();
  int number() const { return event_.number(); }
  void signal() const;
  void clear() const;

 private:
  Descriptor event_;
};

/// epoll: which of many descriptors have something to do. Closing one takes it out.
class Watch {
 public:
  Watch();
  void add(const Descriptor& descriptor) { control(EPOLL_CTL_ADD, descriptor.number(), EPOLLIN); }
  void add(const WakeUp& wake_up) { control(EPOLL_CTL_ADD, wake_up.number(), EPOLLIN); }
  /// Whether it is also of interest that it can be written to, or read at all.
  void set(const Descriptor& descriptor, bool reading, bool writing);
  /// The numbers of those, if any in that time.
  std::vector<int> wait(std::chrono::milliseconds timeout) const;

 private:
  void control(int operation, int descriptor, uint32_t events) const;
  Descriptor epoll_;
};

/// Where a connection may go.
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

/// What a name or number may mean. None: it means nothing; `why` then says more.
std::vector<Endpoint> resolve(const std::string& host, int port, std::string* why);

/// Listens on `port` (0: any free one) of all interfaces, of IPv4 and IPv6 if there is any. The
/// sockets, as all from here, neither block nor live on in programs that this one starts. Throws
/// ConfigError.
Descriptor listen_on(int port);
int port_of(const Descriptor& listening);
/// The next of the connections that wait; none if none does, or if `error` says something else.
Descriptor accept_next(const Descriptor& listening, int* error);
/// None if it takes until `deadline` or fails; `why` then says more.
Descriptor connect_to(const Endpoint& endpoint, Clock::time_point deadline, std::string* why);

/// poll() on one descriptor: false if none of `events` came until `deadline`.
bool wait_for(const Descriptor& descriptor, short events, Clock::time_point deadline);

/// The interfaces of this machine that are up; those of loopback last.
std::vector<Endpoint> own_interfaces();
/// The number that other machines reach this one by, if they are reached the way `host` is. That is
/// loopback's only if `host` is loopback by name or number, or there is no other interface.
std::string own_address_towards(const std::string& host, int port);

}  // namespace ssa::dist
