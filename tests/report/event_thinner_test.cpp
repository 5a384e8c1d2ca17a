#include "report/event_thinner.h"

#include <algorithm>
#include <cmath>

#include <catch2/catch.hpp>

#include "ssa/storage/metrics.h"

#include "report/counted_memory.h"
#include "report/report_test_support.h"

using namespace ssa;
using namespace ssa::report;
using namespace ssa::testing;

namespace {

MetricsEvent line(int64_t step, double loss) {
  MetricsEvent event;
  event.step = step;
  event.loss = loss;
  event.tokens_per_second = 100;
  event.data_wait_seconds = 0.25;
  event.peak_memory_bytes = 1000;
  return event;
}

/// Of a training of `lines` steps, with a validation every hundred.
std::vector<LoggedEvent> thinned_run(int64_t lines) {
  EventThinner thinner;
  for (int64_t step = 1; step <= lines; ++step) {
    MetricsEvent event = line(step, step == 7777 ? 9 : step == 12345 ? 0.5 : 2);
    if (step == 9999) event.peak_memory_bytes = 5000;
    if (step == 11111) event.loss = std::nan("");
    thinner.add(event);
    if (step % 100 != 0) continue;
    event.split = "valid";
    event.loss = static_cast<double>(step);
    thinner.add(event);
  }
  return thinner.events();
}

std::vector<LoggedEvent> of_split(const std::vector<LoggedEvent>& events, std::string_view split) {
  std::vector<LoggedEvent> found;
  std::ranges::copy_if(events, std::back_inserter(found),
                       [&](const LoggedEvent& event) { return event.split == split; });
  return found;
}

}  // namespace

TEST_CASE("the events of a short run stay as they are") {
  EventThinner thinner;
  std::vector<MetricsEvent> added;
  for (int64_t step = 1; step <= 4000; ++step) {
    added.push_back(line(step, 1.0 / static_cast<double>(step)));
    thinner.add(added.back());
  }
  const std::vector<LoggedEvent> events = thinner.events();
  REQUIRE(events.size() == added.size());
  for (size_t i = 0; i < added.size(); ++i) {
    REQUIRE(static_cast<const MetricsEvent&>(events[i]) == added[i]);
    REQUIRE(events[i].lines == 1);
  }
}

TEST_CASE("of a long training peaks, last lines and evaluations survive") {
  constexpr int64_t kLines = 100'000;
  const std::vector<LoggedEvent> events = thinned_run(kLines);
  const std::vector<LoggedEvent> train = of_split(events, "train");
  CHECK(of_split(events, "valid").size() == kLines / 100);
  CHECK(train.size() < 5000);
  CHECK(train.size() > 2000);

  int64_t lines = 0, most_memory = 0;
  double sum = 0, waited = 0, highest = 0, lowest = 9;
  for (const LoggedEvent& event : train) {
    lines += event.lines;
    // The stretch with the line without a loss has the mean of the others.
    sum += *event.loss * static_cast<double>(event.lines);
    waited += *event.data_wait_seconds;
    most_memory = std::max(most_memory, *event.peak_memory_bytes);
    highest = std::max(highest, *event.highest_loss);
    lowest = std::min(lowest, *event.lowest_loss);
    CHECK(event.tokens_per_second == 100);
  }
  CHECK(lines == kLines);
  CHECK(sum == Approx(2 * kLines + 7 - 1.5));
  CHECK(waited == 0.25 * kLines);
  CHECK(most_memory == 5000);
  CHECK(highest == 9);
  CHECK(lowest == 0.5);
  for (size_t i = 1; i <= 10; ++i) {
    const LoggedEvent& event = train[train.size() - i];
    CHECK(event.lines == 1);
    CHECK(event.step == kLines + 1 - static_cast<int64_t>(i));
  }
  CHECK(std::ranges::is_sorted(events, {}, &LoggedEvent::step));
}

TEST_CASE("lines without a loss in a row stay without one") {
  EventThinner thinner;
  for (int64_t step = 1; step <= 20'000; ++step) thinner.add(line(step, std::nan("")));
  for (const LoggedEvent& event : thinner.events()) {
    REQUIRE(event.loss);
    REQUIRE(std::isnan(*event.loss));
    REQUIRE_FALSE(event.highest_loss);
  }
}

TEST_CASE("reading a long run takes little memory", "[memory]") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  constexpr int kLines = 200'000;
  std::string metrics;
  for (int step = 1; step <= kLines; ++step) {
    metrics += metrics_line(step, "train", 2);
    if (step % 1000 == 0) metrics += metrics_line(step, "valid", 2);
  }
  const size_t file_bytes = metrics.size();
  write_bytes(dir + "/metrics.jsonl", metrics);
  metrics = {};
  const CountedMemory memory;
  const Run run = load_runs({dir}).front();
  CHECK(run.losses_of("valid").size() == kLines / 1000);
  CHECK(run.last_step() == kLines);
  INFO(memory.peak_bytes() << " bytes for a file of " << file_bytes);
  REQUIRE(file_bytes > 20'000'000);
  CHECK(memory.peak_bytes() < 8'000'000);
}
