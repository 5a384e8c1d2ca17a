#include <nlohmann/json.hpp>

#include "apps/child_process.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

json score(const std::string& file, const std::vector<std::string>& arguments) {
  std::vector<std::string> all = arguments;
  all.insert(all.end(), {"--mode", "renorm", "--json", file});
  const Finished finished = run_program("ssa-eval", all);
  CAPTURE(finished.err);
  REQUIRE(finished.code == 0);
  return json::parse(read_bytes(file));
}

}  // namespace

TEST_CASE("a run passes through a file: exported, scored, imported, scored and continued") {
  const AppRun run;
  REQUIRE(run.train("run").code == 0);
  const std::string file = run.dir / "model.safetensors", again = run.dir / "again";
  REQUIRE(run_program("ssa-convert",
                      {"export", "--run", run.dir / "run", "--layout", "ssa", "--output", file})
              .code == 0);
  const json of_run = score(run.dir / "a.json", {"--run", run.dir / "run"});
  const json of_file = score(run.dir / "b.json", {"--checkpoint", file});
  CHECK(of_file["loss"] == of_run["loss"]);
  CHECK(of_file["step"] == 8);
  CHECK(of_file["differences"].empty());

  const Finished imported = run_program(
      "ssa-convert", {"import", "--layout", "ssa", "--weights", file, "--run-dir", again});
  REQUIRE(imported.code == 0);
  CHECK(contains(imported.err, "again/checkpoints/step-0 holds them"));
  const json of_import = score(run.dir / "c.json", {"--run", again});
  CHECK(of_import["loss"] == of_run["loss"]);
  CHECK(of_import["step"] == 0);
  CHECK(of_import["differences"].empty());  // nobody knows what imported weights were trained on
  CHECK(run_program("ssa-generate", {"--run", again, "--length", "5"}).code == 0);
  CHECK(run_program("ssa-report", {again, "--output", run.dir / "report.html"}).code == 0);

  const Finished resumed = run.train("again", {"--resume", "auto"});
  CHECK(resumed.code == 2);
  CHECK(contains(resumed.err, "there is no training to resume"));
  CHECK(contains(resumed.err, "--set train.init_from=" + again + "/checkpoints/step-0"));
}

TEST_CASE("ssa-convert refuses what it cannot do") {
  const AppRun run;
  const auto refused = [&](const std::vector<std::string>& arguments, int code,
                           const std::string& part) {
    const Finished finished = run_program("ssa-convert", arguments);
    CAPTURE(finished.err);
    CHECK(finished.code == code);
    CHECK(contains(finished.err, part));
  };
  const std::string out = run.dir / "out.safetensors";
  refused({"export", "--layout", "ssa", "--output", out}, 2, "give --run DIR");
  refused({"export", "--run", "x", "--layout", "timm", "--output", out}, 2, "timm_swin");
  refused({"export", "--run", run.dir / "none", "--layout", "ssa", "--output", out}, 4, "none");
  refused({"import", "--layout", "ssa", "--weights", run.text_path, "--run-dir", out}, 4,
          "no valid safetensors file");
  refused({"import", "--layout", "fairseq_lm", "--weights", out, "--run-dir", run.dir / "a"}, 4,
          "out.safetensors");
  REQUIRE(run.train("run").code == 0);
  const std::string own = run.dir / "run/checkpoints/step-8/model.safetensors";
  const std::string before = read_bytes(own);
  refused({"export", "--run", run.dir / "run", "--layout", "ssa", "--output", own}, 2,
          "is part of a checkpoint");
  CHECK(read_bytes(own) == before);
  refused({"export", "--run", run.dir / "run", "--layout", "ssa", "--output", "-"}, 2,
          "standard output");
  refused({"export", "--run", run.dir / "run", "--layout", "ssa", "--output", out}, 0, "");
  refused(
      {"import", "--layout", "ssa", "--weights", out, "--run-dir", run.dir / "a", "--skip", "*"}, 2,
      "--skip leaves out every tensor");
  const Finished gone = run_program("ssa-eval", {"--checkpoint", run.dir / "gone.safetensors"});
  CHECK(gone.code == 4);
  CHECK(contains(gone.err, "there is no checkpoint '" + run.dir / "gone.safetensors"));
  CHECK(contains(run_program("ssa-convert", {"list"}).out, "fairseq_lm   transformer_lm"));
  CHECK(run_program("ssa-eval", {"--checkpoint", run.text_path}).code == 4);
}
