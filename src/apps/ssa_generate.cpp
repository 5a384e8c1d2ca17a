// ssa-generate: continues a text, or draws pictures, with a trained model.

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>

#include <spdlog/spdlog.h>

#include "ssa/data/mapped_file.h"
#include "ssa/eval/generate_pictures.h"
#include "ssa/ops/packed_weights.h"
#include "ssa/tasks/image_generation.h"
#include "ssa/tasks/load.h"
#include "ssa/train/checkpoint_config.h"
#include "ssa/train/model_session.h"
#include "ssa/train/stop_signal.h"

#include "apps/app.h"
#include "apps/generate.h"
#include "apps/whole_number.h"

namespace ssa::generating {

ReadingOptions reading_options(const Options& options, const Config& config) {
  return {.mode = options.mode == "ensemble" ? EvalMode::ensemble : EvalMode::renorm,
          .samples = options.samples > 0 ? options.samples : config.eval.samples,
          .slide = options.slide};
}

void warn_of_nothing_to_draw(const Config& config) {
  if (config.ssa.kind != SsaKind::none) return;
  spdlog::warn("ssa.kind is none: the sub-models of the ensemble are all the same dense model");
}

void require_writable(const std::string& output) {
  if (std::error_code ignored; std::filesystem::is_fifo(output, ignored)) return;
  const std::ofstream file(output, std::ios::binary | std::ios::app);
  if (!file) throw ConfigError("--output {}: cannot be written", output);
}

namespace {

/// Picture number `text` of the test split; nothing if the text is no number.
std::optional<Picture> numbered_picture(const std::string& text, const Config& config) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  const ImageDataset dataset = ImageDataset::open(config.data.path);
  const TokenRange test = images_of(dataset.info(), config, Split::test);
  if (test.size() == 0) {
    throw ConfigError("--complete {}: '{}' has no test pictures; name a PNG or JPEG file", number,
                      dataset.path());
  }
  if (number < 0 || number >= test.size()) {
    throw ConfigError("--complete {}: the test split has pictures 0 to {}", number,
                      test.size() - 1);
  }
  return read_picture(dataset, test.begin + number, config.data.image_size);
}

/// The picture in a PNG or JPEG file, at the size of the model's.
Picture picture_in_file(const std::string& path, int64_t side) {
  const MappedFile file(path);
  const Picture picture = decode_picture(file.bytes(), path);
  if (picture.height != picture.width || picture.width % side != 0) {
    throw ConfigError(
        "--complete {}: the picture has {} x {} pixels; the model draws {} x {}, so give a square "
        "picture with a multiple of {} pixels a side",
        path, picture.width, picture.height, side, side, side);
  }
  return shrunk(picture, side);
}

/// The picture whose first rows all that are drawn begin with.
std::optional<Picture> picture_to_complete(const Options& options, const Config& config) {
  if (options.complete.empty()) return std::nullopt;
  const auto numbered = numbered_picture(options.complete, config);
  return numbered ? *numbered : picture_in_file(options.complete, config.data.image_size);
}

PictureOptions picture_options(const Options& options, const Task& task,
                               const std::optional<Picture>& to_complete) {
  PictureOptions how{.count = options.count, .sampling = options.sampling, .given = {}};
  if (to_complete) {
    const int64_t side = to_complete->height;
    const int64_t rows = options.given_rows > 0 ? options.given_rows : side / 2;
    const auto first = to_complete->pixels.begin();
    how.given.assign(first, first + rows * side * ImageDatasetInfo::kChannels);
  }
  const ReadingOptions reading = reading_options(options, task.config());
  if (reading.mode == EvalMode::ensemble) {
    warn_of_nothing_to_draw(task.config());
    how.specs = task.plan_specs(Sources::sampled, Use::evaluation);
    how.samples = reading.samples;
    how.plan_seed = task.config().train.seed;
  }
  return how;
}

void require_picture_options(const Options& options, int64_t side) {
  if (options.output.empty()) throw ConfigError("--output FILE.png is needed for pictures");
  for (const auto& [name, given] : {std::pair("--prompt", !options.prompt.empty()),
                                    std::pair("--prompt-ids", !options.prompt_ids.empty()),
                                    std::pair("--prompts", !options.prompts.empty()),
                                    std::pair("--batch", options.batch > 0)}) {
    if (given) throw ConfigError("{} is for texts; see --complete and --count", name);
  }
  if (options.length >= 0) throw ConfigError("--length is for texts; see --count");
  if (options.given_rows > 0 && options.complete.empty()) {
    throw ConfigError("--given-rows {}: of which picture? Name it with --complete",
                      options.given_rows);
  }
  if (options.given_rows < 0 || options.given_rows >= side) {
    throw ConfigError("--given-rows {}: the pictures have {} rows; give 0 to {}",
                      options.given_rows, side, side - 1);
  }
}

/// Draws pictures into one PNG. With --complete the picture itself comes first.
int write_pictures(const Options& options, const Task& task, const ImageDecoder& decoder,
                   Device device) {
  const Config& config = task.config();
  const int64_t side = config.data.image_size;
  require_picture_options(options, side);
  const std::optional<Picture> whole = picture_to_complete(options, config);
  PictureOptions how = picture_options(options, task, whole);
  how.at_a_time = pictures_at_a_time(decoder, how, device);
  if (how.at_a_time < how.count) {
    spdlog::info(
        "{} of {} pictures are drawn at a time: keys and values of more do not fit into "
        "half of the memory that is free",
        how.at_a_time, how.count);
  }
  require_writable(options.output);
  const int64_t to_draw = (task.terms_per_example() - std::ssize(how.given)) * options.count;
  int64_t drawn = 0;
  Pace pace("sub-pixels", to_draw, false);
  std::vector<Picture> pictures =
      generate_pictures(decoder, config.model.layers, side, how, device, [&](int64_t more) {
        pace.count(more);
        drawn += more;
        return !StopSignal::requested();
      });
  pace.finish();
  if (whole) pictures.insert(pictures.begin(), *whole);
  const std::vector<uint8_t> png = encode_png(contact_sheet(pictures, options.columns));
  write_result(options.output, {reinterpret_cast<const char*>(png.data()), png.size()});
  if (drawn < to_draw) {
    spdlog::warn("stopped: {} has {} of {} sub-pixels, the others are black", options.output, drawn,
                 to_draw);
    return static_cast<int>(ExitCode::interrupted);
  }
  spdlog::info("{} pictures in {}", options.count, options.output);
  return 0;
}

int run(const Options& options) {
  if (options.output == "-") {
    throw ConfigError("--output -: texts go to standard output without it; pictures need a file");
  }
  const Config config = load_task_config(config_of_run(options.run));
  const LoadedCheckpoint checkpoint = checkpoint_of(options.run, options.checkpoint);
  if (const auto there = config_of(checkpoint)) {
    require_same_function(*there, config, checkpoint.path);
  }
  const std::unique_ptr<Task> task = make_task(config);
  ModelSession session(*task, device_from_name(options.device));
  session.load(best_weights(checkpoint));
  session.require_finite(checkpoint.path);
  std::optional<ops::UseInt8Weights> int8;
  if (options.weights == "int8") int8.emplace();
  if (const auto* text = dynamic_cast<const DecoderLm*>(&session.model())) {
    return write_texts(options, config, checkpoint, *text, session.device());
  }
  if (const auto* pictures = dynamic_cast<const ImageDecoder*>(&session.model())) {
    return write_pictures(options, *task, *pictures, session.device());
  }
  throw ConfigError("--run {}: its model, of task {}, generates nothing", options.run,
                    name(config.task));
}

}  // namespace
}  // namespace ssa::generating

int main(int argc, char** argv) {
  const ssa::AppInfo info{
      "ssa-generate", "Continue a text, or draw pictures, with a trained model",
      "  ssa-generate --run runs/enwik8_mini_s6_l4_ft --prompt '== History ==' --length 300\n"
      "  ssa-generate --run runs/a --length 500 --temperature 0.8 --top-p 0.95 --seed 7\n"
      "  ssa-generate --run runs/a --length 500 --mode ensemble --samples 10\n"
      "  ssa-generate --run runs/ids --prompt-ids 464,3290 --length 100\n"
      "  ssa-generate --run runs/a --prompts prompts.txt --length 100 --output continued.jsonl\n"
      "  ssa-generate --run runs/cifar10_mini_s0 --count 64 --columns 8 --output samples.png\n"
      "  ssa-generate --run runs/cifar10_mini_s0 --complete 7 --given-rows 8 --output half.png\n"
      "  ssa-generate --run runs/cifar10_mini_s6_l4 --complete cat.png --mode ensemble --output "
      "a.png"};
  return ssa::run_app(argc, argv, info, [](CLI::App& app) -> std::function<int()> {
    auto options = std::make_shared<ssa::generating::Options>();
    app.add_option("--run", options->run, "Run folder; its newest valid checkpoint is used")
        ->required();
    app.add_option("--checkpoint", options->checkpoint, "Of the run: best, latest or step-N")
        ->capture_default_str();
    CLI::Option* prompt = app.add_option("--prompt", options->prompt, "Text to continue");
    CLI::Option* prompt_ids = app.add_option("--prompt-ids", options->prompt_ids,
                                             "Ids to continue, for models of task token_lm: 1,2,3");
    app.add_option(
           "--prompts", options->prompts,
           "File of prompts, one a line (ids: as --prompt-ids; - is standard input), that are "
           "continued side by side. Writes a line of JSON for each, with prompt and text")
        ->excludes(prompt, prompt_ids)
        ->check([](const std::string& file) { return file.empty() ? "name a file" : ""; });
    app.add_option(
           "--batch", options->batch,
           "Prompts of --prompts that are continued side by side (default: as many as half of "
           "the free memory holds, at most 64)")
        ->check(ssa::whole_number_from(1));
    app.add_option("--length", options->length, "Texts: tokens (bytes, words or ids) to add")
        ->check(ssa::whole_number_between(0, int64_t{1} << 40));
    app.add_option("--temperature", options->sampling.temperature,
                   "Below 1 sharper, above 1 flatter, 0 always the likeliest")
        ->capture_default_str();
    app.add_option("--top-k", options->sampling.top_k, "Draw among the k likeliest (0: all)")
        ->capture_default_str();
    app.add_option("--top-p", options->sampling.top_p,
                   "Draw among the likeliest that together reach this probability")
        ->capture_default_str();
    app.add_option("--seed", options->sampling.seed, "Another seed, another text")
        ->check(ssa::whole_number_from(0))
        ->capture_default_str();
    app.add_option("--mode", options->mode,
                   "renorm: dense attention; ensemble: the mean prediction of sub-models")
        ->check(CLI::IsMember({"renorm", "ensemble"}))
        ->capture_default_str();
    app.add_option("--samples", options->samples, "Sub-models (default: eval.samples)")
        ->check(ssa::whole_number_between(1, ssa::kMostSamples));
    app.add_option("--slide", options->slide,
                   "Tokens dropped at a time once data.length of them are in the context; what is "
                   "left is then read again. 1: always the most context, but all of it is read "
                   "for each token (0: half)")
        ->check(ssa::whole_number_between(0, int64_t{1} << 40))
        ->capture_default_str();
    app.add_option("--device", options->device, "auto, cpu, cuda or reference")
        ->capture_default_str();
    app.add_option("--weights", options->weights,
                   "full, or int8: matrices rounded to 8 bits, of which a quarter as many bytes as "
                   "of f32 are read for each token (CPU)")
        ->check(CLI::IsMember({"full", "int8"}))
        ->capture_default_str();
    app.add_option("--output", options->output,
                   "File for the text (default: standard output), or PNG file for the pictures");
    app.add_option("--count", options->count, "Pictures to draw")
        ->check(ssa::whole_number_between(1, 65536))
        ->capture_default_str();
    app.add_option("--columns", options->columns, "Pictures in a row of the PNG")
        ->check(ssa::whole_number_between(1, 65536))
        ->capture_default_str();
    app.add_option("--complete", options->complete,
                   "Complete this picture, which is drawn first: its number in the test split, "
                   "counted from 0, or a PNG or JPEG file");
    app.add_option("--given-rows", options->given_rows,
                   "Rows of that picture that are given (0: half of them)")
        ->capture_default_str();
    return [options] { return ssa::generating::run(*options); };
  });
}
