#include "dist/roll_call_server.h"

#include <algorithm>

#include <poll.h>
#include <sys/resource.h>

#include "dist/roll_call_protocol.h"

namespace ssa::dist {

using nlohmann::json;

namespace {

/// Of bad news, unasked, each to every rank. When a job dies every rank goes: without an end to the
/// telling that would be the square of their number in messages, which nobody needs.
constexpr int kToldUnasked = 8;
/// Strangers at a time, beside the ranks that are still to come.
constexpr int kStrangers = 64;

/// A connection a rank may be more open files than a process has unless it asks for them.
void make_room_for(int connections) {
  const auto wanted = static_cast<rlim_t>(connections) + 512;
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

json news_of(int rank, const RollBook& book) {
  return {{"kind", "news"}, {"rank", rank}, {"report", to_message(book.report(rank))}};
}

json value_of(const std::string& key, const std::string& value) {
  return {{"kind", "value"}, {"key", key}, {"value", value}};
}

}  // namespace

RollCallServer::RollCallServer(int size, int port, std::string token)
    : size_(size), token_(std::move(token)), listening_(listen_on(port)), book_(size) {
  make_room_for(size_);
  book_.hear(0);
  thread_ = std::thread([this] { run(); });
}

RollCallServer::~RollCallServer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_up_.signal();
  thread_.join();
}

void RollCallServer::run() {
  std::vector<pollfd> entries;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    entries.assign(
        {{wake_up_.number(), POLLIN, 0}, {accepts_guests() ? listening_.number() : -1, POLLIN, 0}});
    for (const auto& guest : guests_) {
      const short events = guest->stream.wants_to_send() ? POLLIN | POLLOUT : POLLIN;
      entries.push_back({guest->stream.socket().number(), events, 0});
    }
    lock.unlock();
    ::poll(entries.data(), entries.size(), 1000);  // a second: silent strangers have to go
    wake_up_.clear();
    lock.lock();
    for (size_t i = 0; i < guests_.size(); ++i) {
      if (entries[i + 2].revents & ~POLLOUT) exchange(*guests_[i]);
    }
    // To all: what one says is mostly of interest to others.
    for (const auto& guest : guests_) guest->stream.send();
    drop_guests();
    accept_guests();
    changed_.notify_all();
  }
}

void RollCallServer::exchange(Guest& guest) {
  guest.gone = !guest.stream.receive();
  try {
    while (const auto message = guest.stream.take()) {
      if (guest.refused) continue;
      guest.rank < 0 ? welcome(guest, *message) : handle(guest, *message);
    }
  } catch (const std::exception&) {  // not what a rank would say
    guest.gone = true;
  }
  if (guest.gone && guest.rank > 0 && book_.lose(guest.rank)) tell(guest.rank);
}

void RollCallServer::drop_guests() {
  const auto too_old = Clock::now() - protocol::kHandshake;
  std::erase_if(guests_, [&](const std::unique_ptr<Guest>& guest) {
    return guest->gone || (guest->refused && !guest->stream.wants_to_send()) ||
           (guest->rank < 0 && guest->since < too_old);
  });
}

bool RollCallServer::accepts_guests() const {
  const auto strangers = std::count_if(guests_.begin(), guests_.end(),
                                       [](const auto& guest) { return guest->rank < 0; });
  return strangers < kStrangers + size_ && Clock::now() >= accept_again_;
}

void RollCallServer::accept_guests() {
  while (accepts_guests()) {
    int error = 0;
    Descriptor socket = accept_next(listening_, &error);
    if (error != 0) accept_again_ = Clock::now() + std::chrono::seconds(1);
    if (!socket) return;
    guests_.push_back(std::make_unique<Guest>(std::move(socket)));
  }
}

void RollCallServer::welcome(Guest& guest, const json& hello) {
  if (hello.at("kind") != "hello" || hello.at("magic") != protocol::kMagic) {
    throw std::runtime_error("a stranger");
  }
  const int rank = hello.at("rank"), size = hello.at("size"), version = hello.at("version");
  const bool other_job = hello.at("token") != token_;
  std::string reason;
  if (version != protocol::kVersion) {
    reason = "it is of another version of this program";
  } else if (other_job) {
    reason = "it belongs to another job";
  } else if (size != size_) {
    reason = fmt::format("it has {} ranks, not {}", size_, size);
  } else if (rank < 1 || rank >= size_) {
    reason = fmt::format("it has no place for a rank {} of {}", rank, size_);
  } else if (book_[rank].joined) {
    reason = fmt::format("it has met another rank {}", rank);
  }
  guest.refused = !reason.empty();
  if (guest.refused) {
    guest.stream.put({{"kind", "refused"}, {"reason", reason}, {"for_good", !other_job}});
    return;
  }
  guest.rank = rank;
  guest.stream.set_limit(MessageStream::kRankBytes);
  book_.hear(rank);
  guest.stream.put({{"kind", "welcome"}, {"magic", protocol::kMagic}});
  if (const auto bad = book_.first_bad(rank)) guest.stream.put(news_of(*bad, book_));
}

void RollCallServer::handle(Guest& guest, const json& message) {
  book_.hear(guest.rank);
  const std::string kind = message.at("kind");
  if (kind == "position") {
    book_.set_position(guest.rank, position_in(message.at("position")));
  } else if (kind == "failed") {
    const auto code = static_cast<ExitCode>(message.at("code").get<int>());
    if (book_.fail(guest.rank, code, message.at("message"))) tell(guest.rank);
  } else if (kind == "bye") {
    book_.leave(guest.rank);
  } else if (kind == "ask") {
    book_.hear(0);
    json ranks = json::array();
    for (const RankReport& report : book_.reports()) ranks.push_back(to_message(report));
    guest.stream.put(
        {{"kind", "table"}, {"question", message.at("question")}, {"ranks", std::move(ranks)}});
  } else if (kind == "set") {
    store(message.at("key"), message.at("value"));
  } else if (kind == "get") {
    const std::string key = message.at("key");
    const auto found = values_.find(key);
    if (found == values_.end()) {
      guest.awaited.insert(key);
    } else {
      guest.stream.put(value_of(key, found->second));
    }
  }
  if (kind == "position" || kind == "failed" || kind == "bye") {
    guest.stream.put({{"kind", "heard"}, {"of", kind}});
  }
}

void RollCallServer::store(const std::string& key, const std::string& value) {
  values_[key] = value;
  for (const auto& guest : guests_) {
    if (guest->awaited.erase(key) > 0) guest->stream.put(value_of(key, value));
  }
  wake_up_.signal();
  changed_.notify_all();
}

void RollCallServer::tell(int rank) {
  if (rank != 0 && ++told_ > kToldUnasked) return;
  const json news = news_of(rank, book_);
  for (const auto& guest : guests_) {
    if (guest->rank > 0 && guest->rank != rank) guest->stream.put(news);
  }
  wake_up_.signal();
  changed_.notify_all();
}

void RollCallServer::wait_until_sent(std::unique_lock<std::mutex>& lock) {
  changed_.wait_until(lock, deadline_in(protocol::kLastWords), [&] {
    return std::none_of(guests_.begin(), guests_.end(),
                        [](const auto& guest) { return guest->stream.wants_to_send(); });
  });
}

void RollCallServer::set_position(const Position& position) {
  const std::lock_guard lock(mutex_);
  book_.set_position(0, position);
}

std::vector<RankReport> RollCallServer::ask(std::chrono::duration<double>) {
  const std::lock_guard lock(mutex_);
  book_.hear(0);
  return book_.reports();
}

std::optional<int> RollCallServer::bad_news(RankReport* report) {
  const std::lock_guard lock(mutex_);
  const std::optional<int> rank = book_.first_bad(0);
  if (rank) *report = book_.report(*rank);
  return rank;
}

void RollCallServer::announce(ExitCode code, const std::string& message) noexcept try {
  std::unique_lock lock(mutex_);
  if (!book_.fail(0, code, message)) return;
  tell(0);
  wait_until_sent(lock);
} catch (...) {  // no memory for last words
}

void RollCallServer::shut_down() noexcept try {
  std::unique_lock lock(mutex_);
  book_.leave(0);
  tell(0);
  wait_until_sent(lock);
} catch (...) {  // the same
}

void RollCallServer::set(const std::string& key, const std::string& value) {
  check_value(key, value);
  const std::lock_guard lock(mutex_);
  store(key, value);
}

std::string RollCallServer::get(const std::string& key, std::chrono::duration<double> timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline_in(timeout),
                      [&] { return values_.contains(key) || book_.first_bad(0).has_value(); });
  const auto found = values_.find(key);
  if (found == values_.end()) throw missing_value(0, key, timeout, book_);
  return found->second;
}

}  // namespace ssa::dist
