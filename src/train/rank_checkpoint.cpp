#include "ssa/train/rank_checkpoint.h"

#include <optional>

#include "ssa/dist/together.h"
#include "ssa/train/model_session.h"

namespace ssa {

void save_checkpoint(Communicator& ranks, const std::string& run_dir, const CheckpointData& data,
                     bool sharded, const Retention& keep) {
  const bool leads = ranks.rank() == 0;
  const int shards = sharded ? ranks.size() : 1;
  std::optional<CheckpointSave> save;
  together(ranks, "beginning a checkpoint", [&] {
    if (leads) save.emplace(run_dir, data.step, keep, data.in_trouble);
  });
  std::string written;
  together(ranks, "writing a checkpoint", [&] {
    if (leads) {
      save->write_model(data.model);
      if (!data.average.empty()) save->write_average(data.average);
      save->write_state(data.state_json);
      if (!data.config_yaml.empty()) save->write_config(data.config_yaml);
    }
    if (ranks.rank() >= shards) return;
    written =
        to_text(save_optimizer_shard(run_dir, data.step, ranks.rank(), shards, data.optimizer));
  });
  std::vector<std::string> reports = ranks.gather(written, "what is in a checkpoint");
  reports.resize(static_cast<size_t>(shards));
  together(ranks, "committing a checkpoint", [&] {
    if (!leads) return;
    std::vector<SavedFile> files;
    for (const std::string& report : reports) files.push_back(saved_file_from_text(report));
    save->commit(files);
  });
}

void load_optimizer_state(const LoadedCheckpoint& checkpoint, Optimizer& optimizer) {
  for (const Optimizer::State& state : optimizer.state()) {
    Tensor tensor = state.tensor;
    const Shape& shape = optimizer.store().all()[state.piece.parameter].shape;
    checkpoint.optimizer.load(state.whole, shape, state.piece.begin, tensor);
    require_finite({state.name, tensor}, checkpoint.path);
  }
}

}  // namespace ssa
