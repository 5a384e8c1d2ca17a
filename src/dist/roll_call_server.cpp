#include "dist/roll_call_server.h"

#include <algorithm>

#include <sys/resource.h>

#include "dist/cbor.h"
#include "dist/roll_call_protocol.h"

namespace ssa::dist {

using nlohmann::json;

namespace {

/// How many failures are sent to every rank unasked. All ranks of a job that dies fail: without a
/// limit, the number of messages would be the square of the number of ranks.
constexpr int kToldUnasked = 8;
/// Unknown connections at a time, beside the ranks that have not joined yet.
constexpr int kStrangers = 64;
/// How old a table of reports may be to be sent again.
constexpr std::chrono::milliseconds kTableLife{100};

/// Raises the limit of open files: there is one connection per rank.
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
  watch_.add(listening_);
  watch_.add(wake_up_);
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
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const std::vector<int> ready = watch_.wait(std::chrono::seconds(1));
    lock.lock();
    for (const int number : ready) {
      const auto guest = guests_.find(number);
      if (number == listening_.number()) accept_guests();
      if (guest == guests_.end() || exchange(guest->second)) continue;
      lose(guest->second);
      guests_.erase(guest);
    }
    drop_silent_strangers();
    changed_.notify_all();
  }
}

void RollCallServer::accept_guests() {
  int error = 0;
  while (Descriptor socket = accept_next(listening_, &error)) {
    make_room_for_stranger();
    watch_.add(socket);
    const int number = socket.number();
    guests_.emplace(number, std::move(socket));
  }
  if (error != 0) watch_.set(listening_, false, false);  // no descriptor left: they have to wait
}

/// However many connect and say nothing, a rank that comes after them is heard: the stranger that
/// has been silent for longest has to go. A rank that this hits before its greeting came tries
/// again.
void RollCallServer::make_room_for_stranger() {
  int strangers = 0;
  auto oldest = guests_.end();
  for (auto guest = guests_.begin(); guest != guests_.end(); ++guest) {
    if (guest->second.rank >= 0) continue;
    ++strangers;
    if (oldest == guests_.end() || guest->second.since < oldest->second.since) oldest = guest;
  }
  if (strangers < size_ + kStrangers) return;
  if (!exchange(oldest->second) || oldest->second.rank < 0) guests_.erase(oldest);
}

void RollCallServer::drop_silent_strangers() {
  if (Clock::now() < look_again_) return;
  look_again_ = Clock::now() + std::chrono::seconds(1);
  const auto too_old = Clock::now() - protocol::kHandshake;
  std::erase_if(guests_, [&](const auto& entry) {
    return entry.second.rank < 0 && entry.second.since < too_old;
  });
  watch_.set(listening_, true, false);
}

/// Returns false if the connection is to be closed.
bool RollCallServer::exchange(Guest& guest) {
  if (guest.stream.wants_to_send()) {
    guest.stream.send();
    watch_.set(guest.stream.socket(), true, guest.stream.wants_to_send());
  }
  const bool open = guest.stream.receive();
  try {
    while (const auto message = guest.stream.take()) {
      if (guest.rank > 0) {
        handle(guest, *message);
      } else if (!welcome(guest, *message)) {
        return false;
      }
    }
  } catch (const std::exception&) {  // not a message of a rank
    return false;
  }
  return open;
}

void RollCallServer::lose(const Guest& guest) {
  if (guest.rank > 0 && book_.lose(guest.rank)) tell(guest.rank);
}

/// Returns false if the guest is refused.
bool RollCallServer::welcome(Guest& guest, const json& hello) {
  if (hello.at("kind") != "hello" || hello.at("magic") != protocol::kMagic) return false;
  const auto rank = whole_number<int>(hello.at("rank"));
  const auto size = whole_number<int>(hello.at("size"));
  const auto version = whole_number<int>(hello.at("version"));
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
  if (!reason.empty()) {
    put(guest, {{"kind", "refused"}, {"reason", reason}, {"for_good", !other_job}});
    return false;
  }
  guest.rank = rank;
  guest.stream.set_limit(MessageStream::kRankBytes);
  book_.hear(rank);
  table_.clear();
  put(guest, {{"kind", "welcome"}, {"magic", protocol::kMagic}});
  if (const auto bad = book_.first_bad(rank)) put(guest, news_of(*bad, book_));
  return true;
}

void RollCallServer::handle(Guest& guest, const json& message) {
  book_.hear(guest.rank);
  const std::string kind = message.at("kind");
  if (kind == "position") {
    const Position position = position_in(message.at("position"));
    if (position != book_[guest.rank].position) table_.clear();
    book_.set_position(guest.rank, position);
  } else if (kind == "failed") {
    const auto code = static_cast<ExitCode>(whole_number<int>(message.at("code")));
    if (book_.fail(guest.rank, code, message.at("message"))) tell(guest.rank);
  } else if (kind == "bye") {
    book_.leave(guest.rank);
    table_.clear();
  } else if (kind == "ask") {
    answer(guest, message.at("question"));
  } else if (kind == "set") {
    store(message.at("key"), message.at("value"));
  } else if (kind == "get") {
    const std::string key = message.at("key");
    const auto found = values_.find(key);
    if (found == values_.end()) {
      guest.awaited.insert(key);
    } else {
      put(guest, value_of(key, found->second));
    }
  }
  if (kind == "position" || kind == "failed" || kind == "bye") {
    put(guest, {{"kind", "heard"}, {"of", kind}});
  }
}

void RollCallServer::answer(Guest& guest, const json& question) {
  // When a job hangs all ranks ask at the same time.
  if (table_.empty() || Clock::now() - table_since_ > kTableLife) {
    book_.hear(0);
    json ranks = json::array();
    for (const PeerReport& report : book_.reports()) ranks.push_back(to_message(report));
    table_.clear();
    json::to_cbor(ranks, table_);
    table_since_ = Clock::now();
  }
  put(guest, {{"kind", "table"}, {"question", question}, {"ranks", table_}});
}

void RollCallServer::put(Guest& guest, const json& message) {
  guest.stream.put(message);
  guest.stream.send();
  if (guest.stream.wants_to_send()) watch_.set(guest.stream.socket(), true, true);
}

void RollCallServer::store(const std::string& key, const std::string& value) {
  values_[key] = value;
  for (auto& [number, guest] : guests_) {
    if (guest.awaited.erase(key) > 0) put(guest, value_of(key, value));
  }
  changed_.notify_all();
}

void RollCallServer::tell(int rank) {
  table_.clear();
  if (rank != 0 && ++told_ > kToldUnasked) return;
  const json news = news_of(rank, book_);
  for (auto& [number, guest] : guests_) {
    if (guest.rank > 0 && guest.rank != rank) put(guest, news);
  }
  changed_.notify_all();
}

void RollCallServer::wait_until_sent(std::unique_lock<std::mutex>& lock) {
  changed_.wait_until(lock, deadline_in(protocol::kLastWords), [&] {
    return std::none_of(guests_.begin(), guests_.end(),
                        [](const auto& entry) { return entry.second.stream.wants_to_send(); });
  });
}

void RollCallServer::set_position(const Position& position) {
  const std::lock_guard lock(mutex_);
  if (position == book_[0].position) return;
  book_.set_position(0, position);
  table_.clear();
}

std::vector<PeerReport> RollCallServer::ask(std::chrono::duration<double>) {
  const std::lock_guard lock(mutex_);
  book_.hear(0);
  return book_.reports();
}

std::optional<int> RollCallServer::bad_news(PeerReport* report) {
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
