#include "dist/fake_ranks.h"

#include <algorithm>

namespace ssa::testing {

using dist::PeerReport;
using dist::Request;

namespace {

class FakeTransport final : public dist::Transport {
 public:
  explicit FakeTransport(std::shared_ptr<TransportScript> script) : script_(std::move(script)) {}
  ~FakeTransport() override { script_->note("destroyed"); }

  int rank() const override { return script_->rank; }
  int size() const override { return script_->size; }
  int local_rank() const override { return script_->rank; }
  int local_size() const override { return script_->size; }
  std::string description() const override { return "a fake"; }

  std::unique_ptr<Running> start(const Request& request, std::chrono::duration<double>) override {
    script_->note("start " + std::to_string(request.buffer.count));
    script_->start(request);
    return std::make_unique<FakeRunning>(script_, request);
  }
  void idle() override { script_->note("idle"); }
  void shut_down() override { script_->note("shut down"); }
  [[noreturn]] void abort(ExitCode code) override { std::_Exit(static_cast<int>(code)); }

 private:
  struct FakeRunning final : Running {
    FakeRunning(std::shared_ptr<TransportScript> of, const Request& what)
        : script(std::move(of)), request(what) {}
    bool poll() override {
      script->note("poll " + std::to_string(request.buffer.count));
      return script->poll(request);
    }
    std::shared_ptr<TransportScript> script;
    Request request;
  };

  std::shared_ptr<TransportScript> script_;
};

}  // namespace

std::unique_ptr<dist::Transport> fake_transport(const std::shared_ptr<TransportScript>& script) {
  script->note("made");
  return std::make_unique<FakeTransport>(script);
}

// ---- the transport's script --------------------------------------------------------------------

void TransportScript::note(const std::string& event) {
  const std::lock_guard lock(mutex_);
  if (events_.empty() || events_.back() != event) events_.push_back(event);  // polls come in runs
  const std::thread::id own = std::this_thread::get_id();
  if (std::find(threads_.begin(), threads_.end(), own) == threads_.end()) threads_.push_back(own);
}

std::vector<std::string> TransportScript::events() const {
  const std::lock_guard lock(mutex_);
  return events_;
}

int TransportScript::count(const std::string& event) const {
  const std::vector<std::string> all = events();
  return static_cast<int>(std::count(all.begin(), all.end(), event));
}

bool TransportScript::comes(const std::string& event) const {
  for (int i = 0; i < 30'000 && count(event) == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return count(event) > 0;
}

std::vector<std::thread::id> TransportScript::threads() const {
  const std::lock_guard lock(mutex_);
  return threads_;
}

// ---- the roll call -----------------------------------------------------------------------------

void FakeRollCall::set(int rank, const std::function<void(PeerReport&)>& change, bool news) {
  const std::lock_guard lock(mutex_);
  change(reports_.at(static_cast<size_t>(rank)));
  if (news) news_ = rank;
}

std::vector<std::string> FakeRollCall::announced() const {
  const std::lock_guard lock(mutex_);
  return announced_;
}

dist::Position FakeRollCall::position() const {
  const std::lock_guard lock(mutex_);
  return position_;
}

bool FakeRollCall::said_goodbye() const {
  const std::lock_guard lock(mutex_);
  return goodbye_;
}

void FakeRollCall::set_position(const dist::Position& position) {
  const std::lock_guard lock(mutex_);
  position_ = position;
}

std::vector<PeerReport> FakeRollCall::ask(std::chrono::duration<double>) {
  const std::lock_guard lock(mutex_);
  return reports_;
}

std::optional<int> FakeRollCall::bad_news(PeerReport* report) {
  const std::lock_guard lock(mutex_);
  if (news_) *report = reports_.at(static_cast<size_t>(*news_));
  told_ = news_.has_value();
  return news_;
}

bool FakeRollCall::has_told_news() const {
  const std::lock_guard lock(mutex_);
  return told_;
}

void FakeRollCall::announce(ExitCode, const std::string& message) noexcept {
  const std::lock_guard lock(mutex_);
  announced_.push_back(message);
}

void FakeRollCall::shut_down() noexcept {
  const std::lock_guard lock(mutex_);
  goodbye_ = true;
}

}  // namespace ssa::testing
