#include "ssa/eval/draw_samples.h"

#include "ssa/eval/generate_pictures.h"

namespace ssa {

namespace {

/// The columns of a sheet of `count` pictures whose rows are full: the smallest divisor that makes
/// it at least as wide as high.
int64_t columns_of(int64_t count) {
  int64_t columns = 1;
  while (columns * columns < count || count % columns != 0) ++columns;
  return columns;
}

std::optional<Sample> draw_pictures(const Config& config, const ImageDecoder& model, int64_t count,
                                    Device device,
                                    const std::function<bool(const EvalProgress&)>& progress) {
  const int64_t side = config.data.image_size;
  const PictureOptions options{
      .count = count, .sampling = {.seed = config.train.seed}, .given = {}};
  const int64_t total = side * side * 3 * count;
  int64_t drawn = 0;
  bool complete = true;
  const std::vector<Picture> pictures =
      generate_pictures(model, config.model.layers, side, options, device, [&](int64_t more) {
        drawn += more;
        complete = !progress || progress({drawn, total, 0});
        return complete;
      });
  if (!complete) return std::nullopt;
  const std::vector<uint8_t> png = encode_png(contact_sheet(pictures, columns_of(count)));
  return Sample{"png", std::string(png.begin(), png.end())};
}

}  // namespace

std::optional<Sample> draw_samples(const Task& task, const Model& model, int64_t count,
                                   Device device,
                                   const std::function<bool(const EvalProgress&)>& progress) {
  const auto* pictures = dynamic_cast<const ImageDecoder*>(&model);
  SSA_CHECK(task.sample_kind() == SampleKind::pictures && pictures != nullptr && count > 0,
            "samples: {} of task {}, whose model draws none", count, name(task.config().task));
  return draw_pictures(task.config(), *pictures, count, device, progress);
}

}  // namespace ssa
