// Compares the statements of ranks that may say anything: one text per rank, "=== N" before each
// but the first; JSON becomes CBOR.

#include "ssa/dist/agreement.h"

#include "fuzz/frames.h"
#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

/// Ranks of which each has sent a text.
class SpeakingRanks final : public Communicator {
 public:
  explicit SpeakingRanks(std::vector<std::string> texts) : texts_(std::move(texts)) {}

  int rank() const override { return 0; }
  int size() const override { return static_cast<int>(texts_.size()); }
  int local_rank() const override { return 0; }
  int local_size() const override { return size(); }
  std::string description() const override { return "texts"; }
  PendingCollective all_reduce(const CollectiveBuffer&, std::string) override { return {}; }
  PendingCollective reduce_scatter(const CollectiveBuffer&, std::string) override { return {}; }
  PendingCollective all_gather(const CollectiveBuffer&, std::string) override { return {}; }
  std::vector<std::string> gather(const std::string& own, const std::string&) override {
    std::vector<std::string> all = texts_;
    all.front() = own;
    return all;
  }
  void set_step(int64_t) override {}
  void set_timeout(std::chrono::duration<double>) override {}
  bool announce_failure(ExitCode, const std::string&) noexcept override { return false; }
  CommunicatorStats stats() const override { return {}; }

 private:
  void end_job(ExitCode) noexcept override {}

  std::vector<std::string> texts_;
};

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> texts = {""};  // of rank 0, which is this one
  for (const auto& [rank, text] : parts_of(text_of(data, size), "1")) {
    texts.push_back(cbor_of(text).value_or(text));
  }
  SpeakingRanks ranks(std::move(texts));
  accepted<ConfigError>([&] { require_agreement(ranks, {{"train.lr", "0.1"}, {"task", "x"}}); });
  return 0;
}
