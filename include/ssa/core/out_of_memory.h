#pragma once

#include <cstddef>
#include <exception>
#include <string>
#include <string_view>

// Memory that ran out: what the messages about it say, and how a program ends.

namespace ssa {

/// What to do about it: the keys to lower.
inline constexpr std::string_view kLowerMemory =
    "Free memory, or raise its limit. To train with less, lower train.micro_batch first, then "
    "data.length or model.width; train.activation_checkpointing: block trades time for memory. To "
    "evaluate with less, lower eval.batch_size.";

/// Remembers the memory plan of the run in words, for later messages. At most 1,000 bytes are kept.
void remember_memory_plan(std::string_view text) noexcept;
/// The plan on a line of its own, behind a line break; empty if there is none.
std::string remembered_memory_plan();

/// Whether an error says that memory, or the room for one more thread, ran out.
bool is_out_of_memory(const std::exception& error) noexcept;
/// The message for such an error: its own if it is an OutOfMemoryError, otherwise the keys to lower
/// and the plan.
std::string out_of_memory_message(const std::exception& error);

/// Makes sure that a library which does not check its own allocations finds so many bytes. Throws
/// std::bad_alloc if they are not there.
void require_room(size_t bytes);

/// Writes "PROGRAM: error: out of memory: …" to standard error. Takes no memory.
void report_out_of_memory(std::string_view program) noexcept;
/// From now on, an error about memory that nothing catches, on any thread, ends the process with
/// that message and exit code 2. So does a library that ends the process with exit code 1, as
/// OpenMP does without memory, before program_has_ended().
void end_with_message_without_memory() noexcept;
/// From now on, exit() is the program's own.
void program_has_ended() noexcept;

}  // namespace ssa
