#include "ssa/storage/metrics.h"

#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "storage/checkpoint_fixture.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

MetricsEvent train_event(int64_t step) {
  MetricsEvent event;
  event.step = step;
  event.loss = 5.0 / static_cast<double>(step + 1);
  event.metrics = {{"bits_per_byte", 0.1 * static_cast<double>(step)}};
  event.lr = 1e-3;
  event.grad_norm = 0.25;
  event.tokens = (int64_t{1} << 60) + step;
  event.tokens_per_second = 1234.5;
  event.elapsed_seconds = 0.5 * static_cast<double>(step);
  event.peak_memory_bytes = 1 << 20;
  event.data_wait_seconds = 0.125;
  return event;
}

MetricsEvent valid_event(int64_t step) {
  MetricsEvent event;
  event.step = step;
  event.split = "valid";
  event.loss = 2.5;
  event.metrics = {{"perplexity", 12.2}, {"top1", 0.5}};
  return event;
}

}  // namespace

TEST_CASE("an event is one line with the documented keys in order") {
  REQUIRE(to_json_line(train_event(4)) ==
          R"({"step":4,"split":"train","loss":1.0,"bits_per_byte":0.4,"lr":0.001,"grad_norm":0.25,)"
          R"("tokens":1152921504606846980,"tokens_per_second":1234.5,"elapsed_seconds":2.0,)"
          R"("peak_memory_bytes":1048576,"data_wait_seconds":0.125})");
  REQUIRE(to_json_line(valid_event(4)) ==
          R"({"step":4,"split":"valid","loss":2.5,"perplexity":12.2,"top1":0.5})");
}

TEST_CASE("numbers that are not finite become null and come back as NaN") {
  const TempDir dir;
  MetricsEvent event;
  event.loss = std::numeric_limits<double>::infinity();
  event.metrics = {{"perplexity", std::numeric_limits<double>::quiet_NaN()}};
  event.grad_norm = -std::numeric_limits<double>::infinity();
  REQUIRE(to_json_line(event) ==
          R"({"step":0,"split":"train","loss":null,"perplexity":null,"grad_norm":null})");
  MetricsWriter(dir / "metrics.jsonl", -1).write(event);
  const auto events = read_metrics(dir / "metrics.jsonl");
  REQUIRE(events.size() == 1);
  REQUIRE(std::isnan(events[0].loss.value()));
  REQUIRE(std::isnan(events[0].metrics.at(0).second));
  REQUIRE(std::isnan(events[0].grad_norm.value()));
  REQUIRE_FALSE(events[0].lr.has_value());
}

TEST_CASE("events come back as they were, and each is there as soon as it is written") {
  const TempDir dir;
  MetricsWriter writer(dir / "metrics.jsonl", -1);
  std::vector<MetricsEvent> written;
  for (int64_t step = 0; step < 5; ++step) {
    written.push_back(step == 3 ? valid_event(step) : train_event(step));
    writer.write(written.back());
    REQUIRE(read_metrics(dir / "metrics.jsonl") == written);
  }
}

TEST_CASE("a resumed run's file is that of an uninterrupted one") {
  const TempDir dir;
  const std::string path = dir / "metrics.jsonl";
  const auto run = [](MetricsWriter& writer, int64_t first, int64_t last) {
    for (int64_t step = first; step <= last; ++step) {
      writer.write(train_event(step));
      if (step % 5 == 0) writer.write(valid_event(step));
    }
  };
  MetricsWriter uninterrupted(dir / "uninterrupted.jsonl", -1);
  run(uninterrupted, 1, 20);
  {
    MetricsWriter writer(path, -1);
    run(writer, 1, 13);
  }
  write_bytes(path, read_bytes(path) + R"({"step":14,"split":"tra)");
  {
    MetricsWriter writer(path, 10);
    run(writer, 11, 17);
  }
  MetricsWriter writer(path, 17);
  run(writer, 18, 20);
  REQUIRE(read_bytes(path) == read_bytes(dir / "uninterrupted.jsonl"));
  REQUIRE_FALSE(path_exists(path + ".partial"));

  MetricsWriter afresh(path, -1);
  REQUIRE(read_bytes(path).empty());
}

TEST_CASE("the reader skips what is no event") {
  const TempDir dir;
  const std::string good = to_json_line(train_event(1));
  write_bytes(dir / "metrics.jsonl",
              "\n" + good +
                  "\n[1]\n{\"step\":1}\n{\"step\":\"x\",\"split\":\"train\"}\n\xff\xfe\n" +
                  to_json_line(valid_event(2)) + "\n" + good.substr(0, good.size() / 2));
  REQUIRE(read_metrics(dir / "metrics.jsonl") ==
          std::vector<MetricsEvent>{train_event(1), valid_event(2)});
  require_checkpoint_error([&] { read_metrics(dir / "none"); }, {dir / "none"});
}

TEST_CASE("lines that lie across the reader's chunks, and those that are too long") {
  const TempDir dir;
  const std::string path = dir / "metrics.jsonl";
  std::string text;
  std::vector<MetricsEvent> written;
  while (text.size() < (size_t{5} << 19)) {  // 2.5 chunks of a MiB
    written.push_back(train_event(static_cast<int64_t>(written.size())));
    text += to_json_line(written.back()) + "\n";
  }
  const std::string too_long = "{\"step\":1,\"split\":\"" + std::string(3 << 20, 'x') + "\"}\n";
  write_bytes(path, too_long + text + too_long + to_json_line(valid_event(9)));
  written.push_back(valid_event(9));
  REQUIRE(read_metrics(path) == written);
  MetricsWriter(path, 1 << 20).write(valid_event(10));
  REQUIRE(read_bytes(path) ==
          text + to_json_line(valid_event(9)) + "\n" + to_json_line(valid_event(10)) + "\n");
}

TEST_CASE("what stands deeper in a line, or has another type, is no number of the event") {
  const TempDir dir;
  write_bytes(dir / "metrics.jsonl",
              R"({"step":3,"inner":{"step":9,"loss":1,"split":"test"},"list":[1,{"a":2}],)"
              R"("split":"train","loss":"x","tokens":1.5,"flag":true,"top1":null,"z":7})"
              "\n[{\"step\":1,\"split\":\"train\"}]\n{\"step\":1.5,\"split\":\"train\"}\n");
  const auto events = read_metrics(dir / "metrics.jsonl");
  REQUIRE(events.size() == 1);
  CHECK(events[0].step == 3);
  CHECK(events[0].split == "train");
  CHECK_FALSE(events[0].loss);
  CHECK_FALSE(events[0].tokens);
  REQUIRE(events[0].metrics.size() == 2);
  CHECK(events[0].metrics[0].first == "top1");
  CHECK(events[0].metrics[1] == std::pair<std::string, double>("z", 7.0));
}

TEST_CASE("lines are read alike whether or not they have the form that is written") {
  const TempDir dir;
  // A blank behind the brace leads to the JSON parser.
  const auto events_of = [&](const std::string& rest, const std::string& brace) {
    write_bytes(dir / "metrics.jsonl", brace + R"("step":7,"split":"train",)" + rest + "}\n");
    std::vector<std::string> lines;
    for (const MetricsEvent& event : read_metrics(dir / "metrics.jsonl")) {
      lines.push_back(to_json_line(event));
    }
    return lines;
  };
  for (const std::string number : {"1",
                                   "-1",
                                   "-0",
                                   "0",
                                   "00",
                                   "01",
                                   "-01",
                                   "1.",
                                   ".5",
                                   "-.5",
                                   "1.5",
                                   "+1",
                                   "1e5",
                                   "1E+5",
                                   "1e",
                                   "1e-400",
                                   "1e999",
                                   "-1e999",
                                   "0.1",
                                   "0.30000000000000004",
                                   "5e-324",
                                   "0.5e-3",
                                   "1.5.2",
                                   "--1",
                                   "1-2",
                                   "9223372036854775807",
                                   "9223372036854775808",
                                   "-9223372036854775809",
                                   "18446744073709551616",
                                   "null",
                                   "nul",
                                   "nullx",
                                   "true",
                                   "NaN",
                                   "inf",
                                   "",
                                   "1e5.5",
                                   "0e1"}) {
    for (const std::string key : {"loss", "tokens", "top1", "step"}) {
      const std::string rest = "\"" + key + "\":" + number;
      CAPTURE(rest);
      CHECK(events_of(rest, "{") == events_of(rest, "{ "));
    }
  }
  for (const std::string rest :
       {R"("a\"b":1)", R"("split":"val\u0069d")", "\"\xff\":1", "\"\xc3\xa9\":1", R"("a":1,)",
        R"("a":1,,"b":2)", R"("a":1 )", R"("a":"x","a":2)", R"("":3)", R"("split":3)", "\"\t\":1",
        R"("a":[1],"b":2)", R"("a":1}})", R"("a":1}{)"}) {
    CAPTURE(rest);
    CHECK(events_of(rest, "{") == events_of(rest, "{ "));
  }
}

TEST_CASE("an event that could be written only in part does not spoil the next one") {
  const TempDir dir;
  MetricsWriter writer(dir / "metrics.jsonl", -1);
  writer.write(train_event(1));
  {
    const HookGuard hook([](FileOp, const std::string&) { return FileFault{ENOSPC, true}; });
    require_checkpoint_error([&] { writer.write(train_event(2)); }, {"No space left"});
  }
  writer.write(train_event(3));
  REQUIRE(read_metrics(dir / "metrics.jsonl") ==
          std::vector<MetricsEvent>{train_event(1), train_event(3)});
}

TEST_CASE("the numbers of an event have the names of its line") {
  const auto all = numbers(train_event(4));
  REQUIRE(all.size() == 9);
  REQUIRE(all[0] == std::pair<std::string, double>("loss", 1.0));
  REQUIRE(all[1].first == "bits_per_byte");
  REQUIRE(all[7] == std::pair<std::string, double>("peak_memory_bytes", 1048576.0));
}

TEST_CASE("norms of layers are an object each, and numbers with the layer in their names") {
  MetricsEvent event = train_event(4);
  event.mean_loss = 1.25;
  event.gradient_norms = {{"blocks.0", 0.5}, {"blocks.1", std::nan("")}, {"embedding", 2}};
  event.parameter_norms = {{"blocks.0", 3}};
  const std::string line = to_json_line(event);
  CAPTURE(line);
  CHECK(line.find(R"("bits_per_byte":0.4,"mean_loss":1.25,"lr":0.001)") != std::string::npos);
  CHECK(line.ends_with(R"("gradient_norms":{"blocks.0":0.5,"blocks.1":null,"embedding":2.0},)"
                       R"("parameter_norms":{"blocks.0":3.0}})"));
  const auto all = numbers(event);
  REQUIRE(all.size() == 14);
  CHECK(all[10] == std::pair<std::string, double>("gradient_norms/blocks.0", 0.5));
  CHECK(all.back() == std::pair<std::string, double>("parameter_norms/blocks.0", 3.0));

  const TempDir dir;
  MetricsWriter(dir / "metrics.jsonl", -1).write(event);
  const MetricsEvent back = read_metrics(dir / "metrics.jsonl").at(0);
  CHECK(back.mean_loss == 1.25);
  CHECK(back.metrics == event.metrics);
  REQUIRE(back.gradient_norms.size() == 3);
  CHECK(back.gradient_norms[0] == event.gradient_norms[0]);
  CHECK(std::isnan(back.gradient_norms[1].second));
  CHECK(back.parameter_norms == event.parameter_norms);
  // What is no object has no layers.
  write_bytes(dir / "metrics.jsonl", R"({"step":1,"split":"train","gradient_norms":7})"
                                     "\n");
  CHECK(read_metrics(dir / "metrics.jsonl").at(0).gradient_norms.empty());
}

TEST_CASE("the best event of a split is the first with the best finite number") {
  const auto event = [](int64_t step, const std::string& split, double loss, double top1) {
    MetricsEvent made;
    made.step = step;
    made.split = split;
    made.loss = loss;
    made.metrics = {{"top1", top1}};
    return made;
  };
  const double nan = std::nan("");
  const std::vector<MetricsEvent> events = {event(1, "valid", 3, 10), event(2, "train", 1, 99),
                                            event(3, "valid", 2, 40), event(4, "valid", 2, 40),
                                            event(5, "valid", nan, nan)};
  CHECK(best_event(events, "valid", "top1", true)->step == 3);
  CHECK(best_event(events, "valid", "top1", false)->step == 1);
  CHECK(best_event(events, "valid", "loss", false)->step == 3);
  CHECK(best_event(events, "train", "loss", false)->step == 2);
  CHECK(best_event(events, "test", "loss", false) == nullptr);
  CHECK(best_event(events, "valid", "top5", true) == nullptr);
}
