#include <cstring>
#include <string>
#include <vector>

#include "ssa/core/philox.h"

#include "dist/ranks_program.h"

namespace ssa::testing {

namespace {

constexpr DType kDtypes[] = {DType::f32, DType::bf16, DType::f64};

/// What rank `rank` brings along: random, so that the order of a sum shows in its last bits.
template <class T>
std::vector<T> values_of(int rank, size_t count, uint32_t stream) {
  const RngKey key{.seed = 5,
                   .purpose = RngPurpose::test,
                   .rank = static_cast<uint16_t>(rank),
                   .stream = stream};
  std::vector<T> values;
  for (size_t i = 0; i < count; ++i) {
    values.emplace_back(static_cast<T>(static_cast<float>(uniform_open(key.word(i)) - 0.5)));
  }
  return values;
}

template <class T>
T sum_of(const std::vector<std::vector<T>>& all, size_t i) {
  using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;
  auto sum = static_cast<Sum>(all[0][i]);
  for (size_t rank = 1; rank < all.size(); ++rank) sum += static_cast<Sum>(all[rank][i]);
  return static_cast<T>(sum);
}

template <class T>
struct Case {
  Communicator& ranks;
  size_t count;
  DType dtype = DTypeOf<T>::value;
  std::vector<std::vector<T>> all = {};
  std::vector<T> own = {};
  PendingCollective pending = {};

  Case(Communicator& communicator, size_t length, uint32_t stream)
      : ranks(communicator), count(length) {
    for (int rank = 0; rank < ranks.size(); ++rank) {
      all.push_back(values_of<T>(rank, count, stream));
    }
    own = all[static_cast<size_t>(ranks.rank())];
  }
  CollectiveBuffer buffer() { return {own.data(), static_cast<int64_t>(count), dtype}; }

  void expect(const std::string& what, size_t i, T expected) const {
    if (std::memcmp(&own[i], &expected, sizeof(T)) == 0) return;
    throw ConfigError("{} of {} {}: element {} is {}, not {}", what, count, name(dtype), i,
                      static_cast<double>(own[i]), static_cast<double>(expected));
  }
};

template <class T>
void check_all_reduce(Communicator& ranks, size_t count) {
  Case<T> test(ranks, count, 1);
  ranks.all_reduce(test.buffer(), "values").wait();
  for (size_t i = 0; i < count; ++i) test.expect("all_reduce", i, sum_of(test.all, i));
}

template <class T>
void check_parts(Communicator& ranks, size_t part) {
  const auto size = static_cast<size_t>(ranks.size()), rank = static_cast<size_t>(ranks.rank());
  Case<T> test(ranks, part * size, 2);
  ranks.reduce_scatter(test.buffer(), "values").wait();
  for (size_t i = rank * part; i < (rank + 1) * part; ++i) {
    test.expect("reduce_scatter", i, sum_of(test.all, i));
  }
  ranks.all_gather(test.buffer(), "parts").wait();
  for (size_t i = 0; i < test.count; ++i) test.expect("all_gather", i, sum_of(test.all, i));
}

/// Sizes that need one round and several, with a rest.
template <class T>
void check_dtype(Communicator& ranks) {
  for (const size_t count : {0u, 1u, 2u, 7u, 1001u, 700'001u}) {
    check_all_reduce<T>(ranks, count);
    check_parts<T>(ranks, count / static_cast<size_t>(ranks.size()));
  }
}

/// Many under way at once, waited for from the last to the first.
void check_outstanding(Communicator& ranks) {
  std::vector<Case<float>> cases;
  cases.reserve(40);
  for (uint32_t i = 0; i < 40; ++i) cases.emplace_back(ranks, 1 + 991 * i, 3 + i);
  for (Case<float>& one : cases) one.pending = ranks.all_reduce(one.buffer(), "one of many");
  const std::vector<std::string> names = ranks.gather(std::string("between"), "in their midst");
  if (names.front() != "between") throw ConfigError("gather among others");
  for (auto one = cases.rbegin(); one != cases.rend(); ++one) {
    one->pending.wait();
    if (!one->pending.done()) throw ConfigError("wait() returned before it was done");
    for (size_t i = 0; i < one->count; ++i) one->expect("one of many", i, sum_of(one->all, i));
  }
}

/// Bytes that are no text, of a length that differs from rank to rank.
std::string bytes_of(int rank, size_t length) {
  std::string bytes(length, '\0');
  for (size_t i = 0; i < length; ++i)
    bytes[i] = static_cast<char>(i * 7 + static_cast<size_t>(rank));
  return bytes;
}

}  // namespace

void check_collectives(Communicator& ranks) {
  for (const DType dtype : kDtypes) {
    visit_floating(dtype, [&]<class T>(TypeTag<T>) { check_dtype<T>(ranks); });
  }
  check_outstanding(ranks);
}

void check_gather(Communicator& ranks) {
  for (const size_t length : {0u, 1u, 247u, 248u, 249u, 1'000'003u}) {
    const auto length_of = [&](int rank) { return rank == 1 ? length : length / 2; };
    const std::vector<std::string> all =
        ranks.gather(bytes_of(ranks.rank(), length_of(ranks.rank())), "bytes");
    if (all.size() != static_cast<size_t>(ranks.size())) throw ConfigError("not all strings");
    for (int rank = 0; rank < ranks.size(); ++rank) {
      if (all[static_cast<size_t>(rank)] != bytes_of(rank, length_of(rank))) {
        throw ConfigError("gather of up to {} bytes: those of rank {} are wrong", length, rank);
      }
    }
  }
  // Bit patterns that arithmetic on floats would not leave alone: a signalling NaN, a denormal, -0.
  const std::string patterns("\x01\x00\xa0\x7f\x01\x00\x00\x00\x00\x00\x00\x80", 12);
  for (const std::string& got : ranks.gather(patterns, "patterns")) {
    if (got != patterns) throw ConfigError("gather changes bit patterns");
  }
}

}  // namespace ssa::testing
