// ssa-generate --prompts: the lines of a file are continued side by side.

#include <chrono>
#include <csignal>
#include <thread>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/child_process.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

/// A trained model of bytes, and a file of prompts.
struct PromptRun : AppRun {
  std::string folder = dir / "run", prompts = dir / "prompts.txt";
  PromptRun() {
    REQUIRE(train("run").code == 0);
    write_bytes(prompts, "the cat\r\n\nand\n");
  }
  Finished generate(const Overrides& more) const {
    return run_program("ssa-generate", Overrides{"--run", folder, "--length", "9"} + more);
  }
};

std::vector<json> lines_of(const std::string& text) {
  std::vector<json> lines;
  for (size_t at = 0, end = 0; at < text.size(); at = end + 1) {
    end = text.find('\n', at);
    REQUIRE(end != std::string::npos);
    lines.push_back(json::parse(text.substr(at, end - at)));
  }
  return lines;
}

}  // namespace

TEST_CASE("prompts of a file are continued side by side, and written in their order") {
  const PromptRun run;
  const Finished together = run.generate({"--prompts", run.prompts});
  REQUIRE(together.code == 0);
  const std::vector<json> lines = lines_of(together.out);
  REQUIRE(lines.size() == 3);
  CHECK(lines[0]["prompt"] == "the cat");
  CHECK(lines[1]["prompt"] == "");
  CHECK(lines[2]["prompt"] == "and");
  for (const json& line : lines) CHECK_FALSE(line["text"].get<std::string>().empty());
  // Neither how many are continued at a time makes a difference, nor where they are written.
  CHECK(run.generate({"--prompts", run.prompts, "--batch", "1"}).out == together.out);
  const std::string output = run.dir / "continued.jsonl";
  CHECK(run.generate({"--prompts", run.prompts, "--batch", "2", "--output", output}).code == 0);
  CHECK(read_bytes(output) == together.out);
}

TEST_CASE("prompts that cannot be read are refused") {
  const PromptRun run;
  const auto refusal = [&](const Overrides& options) {
    const Finished refused = run.generate(options);
    CHECK(refused.code == 2);
    return refused.err;
  };
  CHECK(contains(refusal({"--prompts", run.dir / "none"}), "--prompts " + (run.dir / "none")));
  write_bytes(run.dir / "empty", "");
  CHECK(contains(refusal({"--prompts", run.dir / "empty"}), "no line"));
  CHECK(contains(refusal({"--prompts", run.prompts, "--output", run.dir / "none/text"}),
                 "--output " + (run.dir / "none/text")));
  CHECK(contains(refusal({"--prompts", run.prompts, "--prompt", "a"}), "--prompt"));
  CHECK(contains(refusal({"--prompt", "a", "--batch", "2"}), "--batch 2: of which prompts?"));
  CHECK(contains(refusal({"--prompts", run.prompts, "--batch", "0"}), "--batch"));
  CHECK(contains(refusal({"--prompts", ""}), "name a file"));
  CHECK(contains(refusal({"--prompts", run.folder}), "cannot be read"));
  CHECK(contains(refusal({"--prompt", "a", "--output", "-"}), "--output -"));
  CHECK_FALSE(path_exists(run.dir / "continued.jsonl"));
  CHECK(contains(refusal({"--prompts", run.dir / "none", "--output", run.dir / "continued.jsonl"}),
                 "no such file"));
  CHECK_FALSE(path_exists(run.dir / "continued.jsonl"));
}

TEST_CASE("what was drawn before a signal goes into a pipe that somebody reads") {
  const PromptRun run;
  const std::string pipe = run.dir / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  Finished read;
  // A signal that comes before the first token ends the program at once.
  for (int wait = 250; read.out.empty() && wait <= 8000; wait *= 2) {
    Child reader("/bin/cat", {pipe});
    Child child("ssa-generate", {"--run", run.folder, "--prompts", run.prompts, "--length",
                                 "1000000000", "--output", pipe});
    child.wait_until([&] { return child.handles(SIGTERM); });
    std::this_thread::sleep_for(std::chrono::milliseconds(wait));
    child.send(SIGTERM);
    CHECK(child.wait().code == 75);
    if (::kill(reader.pid(), 0) == 0) {  // nobody has opened its pipe: let it go
      const int descriptor = ::open(pipe.c_str(), O_WRONLY | O_NONBLOCK);
      if (descriptor >= 0) ::close(descriptor);
    }
    read = reader.wait();
  }
  CHECK(lines_of(read.out).size() == 3);
}
