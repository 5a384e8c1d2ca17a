#include "dist/roll_call_client.h"

#include <poll.h>

#include "ssa/dist/communicator.h"

#include "dist/cbor.h"
#include "dist/roll_call_protocol.h"

namespace ssa::dist {

using nlohmann::json;

RollCallClient::RollCallClient(int rank, int size, int port, MessageStream stream)
    : rank_(rank), port_(port), stream_(std::move(stream)), book_(size) {
  stream_.set_limit(MessageStream::kRankBytes);
  book_.hear(rank_);
  book_.hear(0);
  thread_ = std::thread([this] { run(); });
}

RollCallClient::~RollCallClient() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_up_.signal();
  thread_.join();
}

void RollCallClient::run() {
  auto next_report = Clock::now();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (Clock::now() >= next_report) {
      next_report = Clock::now() + protocol::kReportEvery;
      report_position();
    }
    connected_ = exchange();
    if (!connected_) book_.lose(0);
    changed_.notify_all();
    if (!connected_) return;
    const short events = stream_.wants_to_send() ? POLLIN | POLLOUT : POLLIN;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_report - Clock::now());
    lock.unlock();
    pollfd entries[] = {{stream_.socket().number(), events, 0}, {wake_up_.number(), POLLIN, 0}};
    ::poll(entries, 2, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    wake_up_.clear();
    lock.lock();
  }
}

bool RollCallClient::exchange() {
  stream_.send();
  const bool open = stream_.receive();
  try {
    while (const auto message = stream_.take()) handle(*message);
  } catch (const std::exception&) {  // not a message of rank 0
    return false;
  }
  return open;
}

void RollCallClient::handle(const json& message) {
  book_.hear(0);
  const std::string kind = message.at("kind");
  if (kind == "heard") {
    heard_.insert(message.at("of"));
  } else if (kind == "news") {
    book_.copy(whole_number<int>(message.at("rank")), report_in(message.at("report")));
  } else if (kind == "table") {
    int rank = 0;
    for (const json& report : read_cbor(message.at("ranks").get_ref<const std::string&>())) {
      if (rank != rank_) book_.copy(rank, report_in(report));  // its own report here is newer
      ++rank;
    }
    answered_ = whole_number<int64_t>(message.at("question"));
  } else if (kind == "value") {
    values_[message.at("key")] = message.at("value");
  }
}

void RollCallClient::put(const json& message) {
  if (!connected_) return;
  stream_.put(message);
  stream_.send();
  if (stream_.wants_to_send()) wake_up_.signal();
}

void RollCallClient::put_last_words(std::unique_lock<std::mutex>& lock, const json& message) {
  put(message);
  const std::string kind = message.at("kind");
  changed_.wait_until(lock, deadline_in(protocol::kLastWords),
                      [&] { return heard_.contains(kind) || !connected_; });
}

void RollCallClient::report_position() {
  put({{"kind", "position"}, {"position", to_message(book_[rank_].position)}});
}

void RollCallClient::set_position(const Position& position) {
  const std::lock_guard lock(mutex_);
  book_.set_position(rank_, position);
}

std::vector<PeerReport> RollCallClient::ask(std::chrono::duration<double> patience) {
  std::unique_lock lock(mutex_);
  report_position();
  const int64_t question = ++questions_;
  put({{"kind", "ask"}, {"question", question}});
  changed_.wait_until(lock, deadline_in(patience),
                      [&] { return answered_ >= question || !connected_; });
  book_.hear(rank_);
  return book_.reports();
}

std::optional<int> RollCallClient::bad_news(PeerReport* report) {
  const std::lock_guard lock(mutex_);
  const std::optional<int> rank = book_.first_bad(rank_);
  if (rank) *report = book_.report(*rank);
  return rank;
}

void RollCallClient::announce(ExitCode code, const std::string& message) noexcept try {
  std::unique_lock lock(mutex_);
  if (!book_.fail(rank_, code, message)) return;
  put_last_words(
      lock,
      {{"kind", "failed"}, {"code", static_cast<int>(code)}, {"message", book_[rank_].failure}});
} catch (...) {  // no memory for last words
}

void RollCallClient::shut_down() noexcept try {
  std::unique_lock lock(mutex_);
  book_.leave(rank_);
  put_last_words(lock, {{"kind", "bye"}});
} catch (...) {  // the same
}

void RollCallClient::set(const std::string& key, const std::string& value) {
  check_value(key, value);
  const std::lock_guard lock(mutex_);
  if (!connected_) throw PeerError("rank {} cannot set {}: rank 0 is gone", rank_, key);
  put({{"kind", "set"}, {"key", key}, {"value", value}});
}

std::string RollCallClient::get(const std::string& key, std::chrono::duration<double> timeout) {
  std::unique_lock lock(mutex_);
  put({{"kind", "get"}, {"key", key}});
  changed_.wait_until(lock, deadline_in(timeout), [&] {
    return values_.contains(key) || !connected_ || book_.first_bad(rank_).has_value();
  });
  const auto found = values_.find(key);
  if (found == values_.end()) throw missing_value(rank_, key, timeout, book_);
  return found->second;
}

}  // namespace ssa::dist
