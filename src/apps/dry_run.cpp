#include "apps/dry_run.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ssa/backend/backend.h"
#include "ssa/models/precision.h"
#include "ssa/report/numbers.h"
#include "ssa/tasks/language_model.h"
#include "ssa/train/model_session.h"

#include "apps/measure.h"

namespace ssa {

namespace {

using nlohmann::json;
using report::bytes_text;
using report::duration_text;
using report::grouped;

double real(int64_t number) { return static_cast<double>(number); }

/// Goes on in the column of the texts.
const std::string kNextLine = "\n" + std::string(16, ' ');

// ---- what is known ------------------------------------------------------------------------------

/// Opens the data, and completes the config by what they know.
void look_at_data(DryRun& run) {
  Config& config = run.config;
  std::unique_ptr<TaskData> data;
  try {
    data = make_task(config)->open_data();
  } catch (const DataError& error) {
    run.no_data = error.what();
  }
  if (data) {
    config = counted_in_steps(data->settled(config), *data);
    run.data = {fmt::format("{}", fmt::join(data->description(), "; ")), std::nullopt};
    try {
      run.data->examples_per_epoch = data->training(config)->examples_per_epoch();
    } catch (const DataError& error) {  // there is too little to learn from
      run.data->description += std::string("; ") + error.what();
    }
  } else if (config.train.epochs > 0 || config.train.schedule.warmup_epochs > 0) {
    throw DataError(
        "{}\nThe run is as long as so many epochs of these data. Without them, give its length in "
        "steps: --set train.epochs=0 train.schedule.warmup_epochs=0 train.steps=N",
        run.no_data);
  }
}

int64_t memory_here(const MeantMachines& machines) {
  try {
    const Device device = device_from_name(machines.device);
    // A rank has a GPU of its own, but shares the machine's memory.
    return device == Device::cuda ? usable_memory(device) : usable_memory() / machines.local_ranks;
  } catch (const ConfigError& error) {
    throw ConfigError("{}. A dry run about another machine needs its memory: --device-memory 80GiB",
                      error.what());
  }
}

std::optional<double> rate_here(const MeantMachines& machines, Precision precision) {
  const Device device = device_from_name(machines.device);
  const DType dtype = to_dtype(precision);
  if (device == Device::reference || !backend(device).supports(dtype)) return std::nullopt;
  constexpr int64_t kRepeats = 2;
  return bench::measured_peak(dtype, device, kRepeats);
}

// ---- as text ------------------------------------------------------------------------------------

std::string line(std::string_view what, const std::string& text) {
  return fmt::format("{:15} {}\n", what, text);
}

/// 1.2e15 -> "1.200 PFLOP".
std::string flop_text(double flop, int digits = 4) {
  const report::Unit unit = report::flop_unit(flop);
  return report::significant(flop / unit.size, digits) + " " + unit.name;
}

std::string whose(const RunForecast& forecast) {
  return forecast.ranks > 1 ? fmt::format(" on each of {} ranks", forecast.ranks) : "";
}

/// What is assumed of data that are not there.
std::string assumption(const Config& config) {
  if (kGraphRegression.has(config.task)) return "counted with graphs of PCQM4Mv2's mean size";
  if (!kLanguageModels.has(config.task)) return "the config says all else that is counted";
  const int64_t tokens = vocabulary_size(config);
  if (config.task == TaskKind::byte_lm) return "counted with all 256 bytes";
  if (config.data.vocabulary > 0) {
    return fmt::format("counted with data.vocabulary = {}", tokens);
  }
  return fmt::format("counted with a vocabulary of {}, published for {}", tokens, config.data.name);
}

std::string data_text(const DryRun& run) {
  if (run.data) {
    std::string_view text = run.data->description;
    if (text.starts_with("data ")) text.remove_prefix(5);  // the line's name says it
    return std::string(text);
  }
  const std::string& why = run.no_data;
  const std::string sentence = why.substr(0, std::min(why.find(". "), why.find('\n')));
  return sentence + kNextLine + assumption(run.config);
}

std::string batch_text(const DryRun& run) {
  const TaskTraits& traits = traits_of(run.config.task);
  const RunForecast& forecast = run.forecast;
  const int64_t batch = run.config.train.batch_size;
  const auto amount = [&](int64_t examples) {
    std::string text = fmt::format("{} {}", grouped(examples), traits.examples);
    if (traits.terms == traits.examples) return text;
    return fmt::format("{} ({} {})", text, grouped(forecast.terms_per_step / batch * examples),
                       traits.terms);
  };
  std::string text = amount(batch) + " a step";
  if (forecast.ranks > 1) text += ", " + amount(forecast.examples_per_rank) + whose(forecast);
  return text;
}

std::optional<double> epochs(const DryRun& run) {
  if (!run.data || !run.data->examples_per_epoch) return std::nullopt;
  const TrainConfig& train = run.config.train;
  return real(train.steps) * real(train.batch_size) / real(*run.data->examples_per_epoch);
}

std::string length_text(const DryRun& run) {
  const int64_t steps = run.config.train.steps;
  std::string text =
      fmt::format("{} steps: {} {}", grouped(steps),
                  report::with_prefix(real(steps) * real(run.forecast.terms_per_step)),
                  traits_of(run.config.task).terms);
  if (const auto passes = epochs(run)) {
    text +=
        fmt::format(", {} epochs of {} {}", report::significant(*passes, 3),
                    grouped(*run.data->examples_per_epoch), traits_of(run.config.task).examples);
  }
  return text;
}

std::string step_text(const RunForecast& forecast, TaskKind task) {
  const auto of = [](const StepFlop& flop) {
    return fmt::format("forward {}, backward {}", flop_text(flop.forward),
                       flop_text(flop.backward));
  };
  std::string text;
  if (forecast.sampled_step) text = of(*forecast.sampled_step);
  if (forecast.finetune_step) {
    if (!text.empty()) text += "," + kNextLine + "in the dense +FT phase ";
    text += of(*forecast.finetune_step);
  }
  return text +
         (kSequences.has(task) ? "," + kNextLine + "the vocabulary's products included" : "");
}

std::string memory_text(const DryRun& run) {
  const RunForecast& forecast = run.forecast;
  const MemoryPlan& plan = forecast.memory.peak();
  const auto text = [](int64_t bytes) { return bytes_text(real(bytes)); };
  std::string phases;
  if (forecast.memory.sampled && forecast.memory.finetune) {
    phases = fmt::format("with sampled sources {}, in the dense +FT phase {};{}",
                         text(forecast.memory.sampled->total()),
                         text(forecast.memory.finetune->total()), kNextLine);
  }
  return fmt::format(
      "{} of {}{}{} at micro-batch {}:{}{}parameters {}, packed weights {}, gradients {},{}"
      "optimizer {}, activations {}, workspace {}",
      text(plan.total()), text(run.device_memory), run.this_machine ? " of this machine" : "",
      whose(forecast), forecast.micro_batch, kNextLine, phases, text(plan.parameters),
      text(plan.packed_weights), text(plan.gradients), kNextLine, text(plan.optimizer),
      text(plan.activations), text(plan.workspace));
}

/// What the config does not do yet.
std::vector<std::string> ways_to_need_less(const DryRun& run) {
  const Config& config = run.config;
  std::vector<std::string> ways;
  if (config.train.activation_checkpointing != Checkpointing::block) {
    ways.emplace_back("train.activation_checkpointing: block");
  }
  if (config.train.precision == Precision::fp32) ways.emplace_back("train.precision: bf16");
  if (run.forecast.ranks > 1 && !config.distributed.shard_optimizer) {
    ways.emplace_back("distributed.shard_optimizer: true");
  }
  if (kLanguageModels.has(config.task)) ways.emplace_back("a shorter data.length");
  ways.emplace_back("a smaller model");
  return ways;
}

std::string micro_batch_text(const DryRun& run) {
  const RunForecast& forecast = run.forecast;
  const bool automatic = run.config.train.micro_batch == 0;
  const std::string taken =
      automatic ? fmt::format("auto takes {}, at most half of the memory", forecast.micro_batch)
                : fmt::format("train.micro_batch is {}", forecast.micro_batch);
  if (!forecast.largest_micro_batch) {
    return fmt::format("none fits: even 1 takes more than {:.0f}% of {}. To need less:{}{}",
                       100 * kPlannedPart, bytes_text(real(run.device_memory)), kNextLine,
                       fmt::join(ways_to_need_less(run), ", "));
  }
  return fmt::format("{}{}; the largest that fits is {}, at most {:.0f}% of it", taken,
                     forecast.fits ? "" : ", which does not fit", *forecast.largest_micro_batch,
                     100 * kPlannedPart);
}

std::string sharding_text(const DryRun& run) {
  const bool on = run.config.distributed.shard_optimizer;
  return fmt::format("distributed.shard_optimizer {} {}{}", on ? "saves" : "would save",
                     bytes_text(real(*run.forecast.saved_by_sharding)), whose(run.forecast));
}

std::string time_text(const DryRun& run) {
  if (!run.flop_per_second) {
    return "add --tflops X, what a rank computes in a second; ssa-bench step measures it";
  }
  const auto seconds = training_seconds(run.forecast, run.config, *run.flop_per_second);
  if (!seconds) return "beyond all measure";
  return fmt::format("{}{}, {} a step,{}at {}/s{}{}", run.measured ? "at least " : "",
                     duration_text(*seconds),
                     duration_text(*seconds / real(run.config.train.steps)), kNextLine,
                     flop_text(*run.flop_per_second), whose(run.forecast),
                     run.measured ? ", the speed of this machine's matrix products"
                                  : ", evaluations and waiting not counted");
}

std::string disk_text(const ForecastDisk& disk) {
  return fmt::format("{} each; the run folder keeps {}, and takes up to {} while it saves",
                     bytes_text(real(disk.checkpoint_bytes)), disk.checkpoints,
                     bytes_text(real(disk.most_bytes)));
}

// ---- as JSON ------------------------------------------------------------------------------------

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json();
}

json memory_json(const MemoryPlan& plan) {
  return {{"parameters", plan.parameters},   {"packed_weights", plan.packed_weights},
          {"gradients", plan.gradients},     {"optimizer", plan.optimizer},
          {"activations", plan.activations}, {"workspace", plan.workspace}};
}

json flop_json(const StepFlop& flop) {
  return {{"forward", flop.forward}, {"backward", flop.backward}};
}

void add_time(const DryRun& run, json& result) {
  std::optional<double> seconds, step, tflops;
  if (run.flop_per_second) {
    tflops = *run.flop_per_second * 1e-12;
    seconds = training_seconds(run.forecast, run.config, *run.flop_per_second);
  }
  if (seconds) step = *seconds / real(run.config.train.steps);
  result["rank_tflops"] = or_null(tflops);
  result["rank_tflops_measured"] = run.measured;
  result["train_seconds"] = or_null(seconds);
  result["step_seconds"] = or_null(step);
}

}  // namespace

DryRun dry_run(const Config& config, const MeantMachines& machines) {
  DryRun run;
  run.config = config;
  look_at_data(run);
  run.this_machine = machines.device_memory == 0;
  run.device_memory = run.this_machine ? memory_here(machines) : machines.device_memory;
  run.forecast = forecast(run.config, {machines.ranks, run.device_memory});
  if (machines.rank_tflops > 0) {
    run.flop_per_second = machines.rank_tflops * 1e12;
  } else if (machines.measure) {
    run.flop_per_second = rate_here(machines, config.train.precision);
    run.measured = run.flop_per_second.has_value();
  }
  return run;
}

std::string to_text(const DryRun& run) {
  const Config& config = run.config;
  const RunForecast& forecast = run.forecast;
  const TrainingCost& cost = forecast.cost;
  std::string text;
  const auto add = [&](std::string_view what, const std::string& value) {
    text += line(what, value);
  };
  add("parameters", fmt::format("{:.2f} M", real(forecast.parameters) * 1e-6));
  add("data", data_text(run));
  add("batch", batch_text(run));
  add("length", length_text(run));
  add("forward",
      fmt::format("{} per {} ({} with dense attention)", flop_text(cost.forward_flop_per_token),
                  traits_of(config.task).unit, flop_text(cost.dense_forward_flop_per_token)));
  add("training", fmt::format("{} forward over {} steps", flop_text(cost.train_exaflop * 1e18),
                              grouped(config.train.steps)));
  add("compute ratio", fmt::format("{:.3f} of dense attention{}", cost.compute_ratio,
                                   config.ssa.finetune_fraction > 0 ? ", +FT counted" : ""));
  if (forecast.sampled_step || forecast.finetune_step)
    add("step", step_text(forecast, config.task));
  add("memory", memory_text(run));
  add("micro-batch", micro_batch_text(run));
  if (forecast.saved_by_sharding) add("sharding", sharding_text(run));
  add("time", time_text(run));
  add("checkpoints", disk_text(forecast.disk));
  return text;
}

json to_json(const DryRun& run) {
  const Config& config = run.config;
  const RunForecast& forecast = run.forecast;
  json phases, steps;
  if (forecast.memory.sampled) phases["sampled"] = forecast.memory.sampled->total();
  if (forecast.memory.finetune) phases["finetune"] = forecast.memory.finetune->total();
  if (forecast.sampled_step) steps["sampled"] = flop_json(*forecast.sampled_step);
  if (forecast.finetune_step) steps["finetune"] = flop_json(*forecast.finetune_step);
  json result = {{"parameters", forecast.parameters},
                 {"forward_flop_per_token", forecast.cost.forward_flop_per_token},
                 {"dense_forward_flop_per_token", forecast.cost.dense_forward_flop_per_token},
                 {"train_exaflop", forecast.cost.train_exaflop},
                 {"compute_ratio", forecast.cost.compute_ratio},
                 {"step_flop", steps},
                 {"memory_bytes", memory_json(forecast.memory.peak())},
                 {"memory_bytes_of_phases", phases},
                 {"ranks", forecast.ranks},
                 {"steps", config.train.steps},
                 {"terms", traits_of(config.task).terms},
                 {"terms_per_step", forecast.terms_per_step},
                 {"examples_per_step", config.train.batch_size},
                 {"examples_per_rank", forecast.examples_per_rank},
                 {"epochs", or_null(epochs(run))},
                 {"micro_batch", forecast.micro_batch},
                 {"device_memory_bytes", run.device_memory},
                 {"fits", forecast.fits},
                 {"largest_micro_batch", or_null(forecast.largest_micro_batch)},
                 {"saved_by_sharding_bytes", or_null(forecast.saved_by_sharding)},
                 {"checkpoint_bytes", forecast.disk.checkpoint_bytes},
                 {"checkpoints", forecast.disk.checkpoints},
                 {"checkpoints_bytes", forecast.disk.most_bytes}};
  result["data"] = {{"found", run.data.has_value()},
                    {"description", run.data ? run.data->description : run.no_data}};
  result["examples_per_epoch"] = run.data ? or_null(run.data->examples_per_epoch) : json();
  result["vocabulary"] = kLanguageModels.has(config.task) ? json(vocabulary_size(config)) : json();
  add_time(run, result);
  return result;
}

}  // namespace ssa
