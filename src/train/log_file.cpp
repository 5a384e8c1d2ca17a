#include "ssa/train/log_file.h"

#include <algorithm>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include "ssa/core/error.h"

namespace ssa {

struct LogFile::Sink {
  spdlog::sink_ptr sink;
};

LogFile::LogFile(const std::string& path) : sink_(std::make_unique<Sink>()) {
  try {
    sink_->sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
  } catch (const spdlog::spdlog_ex& error) {
    throw CheckpointError("{}: {}", path, error.what());
  }
  sink_->sink->set_pattern("%Y-%m-%d %H:%M:%S %l %v");
  spdlog::default_logger()->sinks().push_back(sink_->sink);
  spdlog::default_logger()->flush_on(spdlog::level::info);
}

LogFile::~LogFile() { std::erase(spdlog::default_logger()->sinks(), sink_->sink); }

}  // namespace ssa
