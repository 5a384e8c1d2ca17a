#pragma once

#include <chrono>

/// What ranks and rank 0 say to each other on the roll call. Every message has a "kind":
///
///   rank to 0   hello     magic, version, size, rank, token: the first one
///               position  position
///               ask       question: a number that the answer repeats
///               failed    code, message
///               bye
///               set       key, value
///               get       key
///   0 to rank   welcome (magic), or refused (reason, for_good: no use in looking elsewhere)
///               heard     of: the kind; the answer to position, failed and bye
///               table     question, ranks: CBOR of a report for each
///               news      rank, report
///               value     key, value
namespace ssa::dist::protocol {

constexpr const char* kMagic = "ssa roll call";
constexpr int kVersion = 1;

/// How often a rank reports its position.
constexpr std::chrono::seconds kReportEvery{1};
/// How long either side has for the handshake.
constexpr std::chrono::seconds kHandshake{5};
/// How long a leaving rank waits for its last message to arrive.
constexpr std::chrono::seconds kLastWords{1};

}  // namespace ssa::dist::protocol
