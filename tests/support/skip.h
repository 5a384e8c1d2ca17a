#pragma once

#include <cstdlib>
#include <string>

#include <catch2/catch.hpp>

// Test cases that cannot run on every machine. ctest counts a test whose output has the words "TEST
// SKIPPED" as skipped, and lists it at the end (third_party/SsaTargets.cmake).

/// Ends a test case that cannot run here.
#define SSA_SKIP(why)              \
  do {                             \
    WARN("TEST SKIPPED: " << why); \
    return;                        \
  } while (false)

/// Ends a test case that needs a tool which scripts/setup.sh installs. Fails where CI=true: there
/// the tool has to be present.
#define SSA_SKIP_WITHOUT_TOOL(why)                                             \
  do {                                                                         \
    const char* ci = std::getenv("CI");                                        \
    if (ci != nullptr && std::string(ci) == "true") FAIL("CI lacks: " << why); \
    SSA_SKIP(why);                                                             \
  } while (false)
