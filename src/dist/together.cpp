#include "ssa/dist/together.h"

#include <exception>

#include "ssa/core/out_of_memory.h"

namespace ssa {

namespace {

constexpr int kUnexpected = 1;  // exit code of exceptions that are not ssa::Error

/// An error as text for other ranks: the exit code as a byte, then the message. Empty: no error.
std::string as_text(const std::exception& error) {
  if (is_out_of_memory(error)) {
    return static_cast<char>(ExitCode::usage) + out_of_memory_message(error);
  }
  const auto* known = dynamic_cast<const Error*>(&error);
  const int code = known ? static_cast<int>(known->code()) : kUnexpected;
  return static_cast<char>(code) + std::string(error.what());
}

}  // namespace

void together(Communicator& ranks, const std::string& what, const std::function<void()>& own) {
  std::exception_ptr error;
  std::string text;
  try {
    own();
  } catch (const PeerError&) {
    throw;  // the others cannot be told
  } catch (const std::exception& caught) {
    error = std::current_exception();
    text = as_text(caught);
  }
  const std::vector<std::string> all = ranks.gather(text, what);
  for (size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank].empty()) continue;
    if (static_cast<int>(rank) == ranks.rank()) std::rethrow_exception(error);
    throw Error(static_cast<ExitCode>(all[rank].front()),
                fmt::format("rank {}: {}", rank, all[rank].substr(1)));
  }
}

}  // namespace ssa
