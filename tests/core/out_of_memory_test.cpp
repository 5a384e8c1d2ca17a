#include "ssa/core/out_of_memory.h"

#include <new>
#include <system_error>

#include <catch2/catch.hpp>

#include "ssa/core/allocator.h"
#include "ssa/core/error.h"

using namespace ssa;

TEST_CASE("memory and threads that the system refuses are told from other errors") {
  const auto error = [](std::errc code) { return std::system_error(std::make_error_code(code)); };
  CHECK(is_out_of_memory(std::bad_alloc()));
  CHECK(is_out_of_memory(std::bad_array_new_length()));
  CHECK(is_out_of_memory(OutOfMemoryError("")));
  CHECK(is_out_of_memory(error(std::errc::not_enough_memory)));
  CHECK(is_out_of_memory(error(std::errc::resource_unavailable_try_again)));  // std::thread
  CHECK_FALSE(is_out_of_memory(error(std::errc::no_space_on_device)));
  CHECK_FALSE(is_out_of_memory(ConfigError("train.steps: too low")));
}

TEST_CASE("messages about memory name the keys to lower and the plan") {
  remember_memory_plan("Planned: 12 MiB.");
  for (const std::string& message : {out_of_memory_message(std::bad_alloc()), [] {
                                       CachingAllocator allocator;
                                       allocator.fail_after(1);
                                       try {
                                         allocator.allocate(1, MemoryCategory::data);
                                       } catch (const OutOfMemoryError& error) {
                                         return out_of_memory_message(error);
                                       }
                                       return std::string();
                                     }()}) {
    CHECK_THAT(message, Catch::StartsWith("out of memory"));
    CHECK_THAT(message, Catch::Contains("train.micro_batch"));
    CHECK_THAT(message, Catch::EndsWith("\nPlanned: 12 MiB."));
  }
  remember_memory_plan(std::string(5000, 'x'));
  CHECK(remembered_memory_plan() == "\n" + std::string(1000, 'x'));
  remember_memory_plan("");
  CHECK(remembered_memory_plan().empty());
}

TEST_CASE("room that is not there is noticed before a library needs it") {
  CHECK_NOTHROW(require_room(1000));
  CHECK_NOTHROW(require_room(size_t{1} << 20));
  CHECK_THROWS_AS(require_room(size_t{1} << 50), std::bad_alloc);
}
