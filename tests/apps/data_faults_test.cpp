#include <filesystem>

#include "apps/child_process.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// The message of ssa-train for this data. It must end with code 3 and leave no run folder.
std::string refusal(const AppRun& run, const std::string& data_path) {
  const Finished finished = run.train("run", {"--set", "data.path=" + data_path});
  CAPTURE(finished.err);
  CHECK(finished.code == 3);
  CHECK(finished.out.empty());
  CHECK_FALSE(path_exists(run.dir / "run"));
  return finished.err;
}

}  // namespace

TEST_CASE("data that is missing, empty or too short is code 3 and named") {
  const AppRun run;
  CHECK(contains(refusal(run, run.dir / "missing"), run.dir / "missing"));
  write_bytes(run.dir / "empty", "");
  CHECK(contains(refusal(run, run.dir / "empty"), run.dir / "empty"));
  write_bytes(run.dir / "short", "too few bytes");
  CHECK(contains(refusal(run, run.dir / "short"), run.dir / "short"));
}

TEST_CASE("prepared data is trained on, truncated, it is code 3 with both sizes") {
  const AppRun run;
  const std::string folder = run.dir / "prepared";
  const Finished prepared =
      run_program("ssa-data", {"prepare", "bytes", "--input", run.text_path, "--output", folder});
  REQUIRE(prepared.code == 0);
  CHECK(contains(prepared.out, "6,000"));
  CHECK(run.train("fine", {"--quiet", "--set", "data.path=" + folder}).code == 0);
  CHECK(run.train("plain", {"--quiet"}).code == 0);
  CHECK((run.model_bytes("fine", 8) == run.model_bytes("plain", 8)));

  std::filesystem::resize_file(folder + "/data.bin", 5000);
  const std::string message = refusal(run, folder);
  CHECK(contains(message, folder + "/data.bin"));
  CHECK(contains(message, "5000"));
  CHECK(contains(message, "6000"));
  CHECK(run_program("ssa-data", {"info", folder}).code == 3);
  CHECK(run_program("ssa-eval", {"--run", run.dir / "fine"}).code == 3);
}

TEST_CASE("input that cannot be prepared is code 3, a name that is unknown code 2") {
  const AppRun run;
  CHECK(run_program("ssa-data",
                    {"prepare", "bytes", "--input", run.dir / "none", "--output", run.dir / "out"})
            .code == 3);
  CHECK(run_program("ssa-data",
                    {"prepare", "enwik9", "--input", run.text_path, "--output", run.dir / "out"})
            .code == 2);
  CHECK_FALSE(path_exists(run.dir / "out"));
}
