#pragma once

#include <chrono>
#include <string>

#include <spdlog/spdlog.h>

#include "ssa/eval/generate.h"
#include "ssa/storage/checkpoint.h"
#include "ssa/train/progress.h"

namespace ssa::generating {

/// Of ssa-generate.
struct Options {
  std::string run;
  std::string checkpoint = "latest";
  std::string prompt;
  std::string prompt_ids;
  std::string prompts;  // file of them
  int64_t batch = 0;    // of those at a time; 0: as many as fit
  int64_t length = -1;  // not given
  SamplingOptions sampling;
  std::string mode = "renorm";
  int64_t samples = 0;
  int64_t slide = 0;
  std::string device = "auto";
  std::string weights = "full";
  std::string output;
  // Pictures:
  int64_t count = 16;
  int64_t columns = 8;
  std::string complete;    // number in the test split, or a file
  int64_t given_rows = 0;  // half of them
};

ReadingOptions reading_options(const Options& options, const Config& config);
void warn_of_nothing_to_draw(const Config& config);
/// Throws ConfigError if --output cannot be written, so that nobody waits for what then is lost.
/// What is in the file stays. A pipe is opened when there is something to write.
void require_writable(const std::string& output);

/// Shows the progress unless the text itself appears on the terminal, and at the end the speed.
class Pace {
 public:
  Pace(const std::string& unit, int64_t total, bool text_is_seen)
      : unit_(unit), progress_(unit, total), text_is_seen_(text_is_seen) {}
  void count(int64_t more) {
    tokens_ += more;
    if (!text_is_seen_) progress_.update(tokens_, fmt::format("{:.0f}/s", rate()), false);
  }
  void finish() {
    progress_.clear();
    if (tokens_ == 0) return;
    spdlog::info("{} {} in {:.1f} s: {:.{}f} a second", tokens_, unit_, seconds(), rate(),
                 rate() < 100 ? 2 : 0);
  }

 private:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  }
  double rate() const { return static_cast<double>(tokens_) / std::max(seconds(), 1e-9); }
  std::string unit_;
  Progress progress_;
  bool text_is_seen_;
  int64_t tokens_ = 0;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

/// Continues --prompt, or each line of --prompts. Returns the exit code.
int write_texts(const Options& options, const Config& config, const LoadedCheckpoint& checkpoint,
                const DecoderLm& decoder, Device device);

}  // namespace ssa::generating
