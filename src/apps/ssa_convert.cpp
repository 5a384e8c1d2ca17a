// ssa-convert: takes weights of other programs in, and gives weights out.

#include <iostream>

#include "ssa/convert/convert.h"

#include "apps/app.h"

namespace ssa {
namespace {

constexpr const char* kExamples =
    "  ssa-convert list\n"
    "  ssa-convert import --layout timm_swin --weights swin_tiny.safetensors --config "
    "configs/imagenet_w7_s0.yaml --run-dir runs/swin\n"
    "  ssa-convert import --layout timm_swin --weights swin_tiny.safetensors --config "
    "configs/imagenet_w7_s0.yaml --set data.path=data/flowers data.classes=10 --skip 'head.*' "
    "--run-dir runs/flowers\n"
    "  ssa-convert export --run runs/swin --layout ssa --output swin.safetensors\n"
    "  ssa-convert export --checkpoint runs/a/checkpoints/step-600 --layout fairseq_lm --output "
    "lm.safetensors";

std::vector<std::string> layout_names() {
  std::vector<std::string> names;
  for (const Layout& layout : layouts()) names.emplace_back(layout.name);
  return names;
}

CLI::App* define_import(CLI::App& app, ImportOptions& options) {
  auto* command = app.add_subcommand(
      "import", "Make a run folder of a file of weights, to be scored or started from");
  command->add_option("--layout", options.layout, "How the tensors are called: ssa-convert list")
      ->check(CLI::IsMember(layout_names()))
      ->required();
  command->add_option("--weights", options.weights, "Safetensors file")->required();
  command->add_option("--config", options.config,
                      "Config of the model; not needed where --layout ssa has it in the file");
  command->add_option("--set", options.set, "key=value …: override keys of the config");
  command->add_option("--run-dir", options.run_dir, "Run folder to make")->required();
  command
      ->add_option("--skip", options.skip,
                   "PATTERN (repeatable; * is any text): parameters that keep random values, or "
                   "tensors of the file that are left out")
      ->allow_extra_args(false);
  return command;
}

CLI::App* define_export(CLI::App& app, ExportOptions& options) {
  auto* command =
      app.add_subcommand("export", "Write the weights of a checkpoint as one safetensors file");
  command->add_option("--run", options.run, "Run folder; its newest valid checkpoint is taken");
  command->add_option("--checkpoint", options.checkpoint,
                      "With --run: best, latest or step-N. Alone: a checkpoint folder");
  command->add_option("--layout", options.layout, "How to call the tensors: ssa-convert list")
      ->check(CLI::IsMember(layout_names()))
      ->required();
  command->add_option("--output", options.output, "File to write")->required();
  command
      ->add_option("--weights", options.weights,
                   "average or trained (default: the moving average of the weights where "
                   "train.ema_decay keeps one)")
      ->check(CLI::IsMember({"average", "trained"}));
  return command;
}

int list() {
  for (const Layout& layout : layouts()) {
    std::cout << fmt::format("{:<12} {}\n", layout.name, layout.about);
  }
  return 0;
}

std::function<int()> define(CLI::App& app) {
  auto imported = std::make_shared<ImportOptions>();
  auto exported = std::make_shared<ExportOptions>();
  app.require_subcommand(1);
  const auto* importing = define_import(app, *imported);
  const auto* exporting = define_export(app, *exported);
  app.add_subcommand("list", "List the layouts");
  return [imported, exported, importing, exporting] {
    if (!importing->parsed() && !exporting->parsed()) return list();
    if (importing->parsed()) import_weights(*imported);
    if (exporting->parsed()) export_weights(*exported);
    return 0;
  };
}

}  // namespace
}  // namespace ssa

int main(int argc, char** argv) {
  const ssa::AppInfo info{"ssa-convert", "Take weights of other programs in, and give weights out",
                          ssa::kExamples};
  return ssa::run_app(argc, argv, info, ssa::define);
}
