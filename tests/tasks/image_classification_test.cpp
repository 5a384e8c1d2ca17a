#include "ssa/tasks/image_classification.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include <catch2/catch.hpp>
#include <omp.h>
#include <zlib.h>

#include "ssa/data/image_transform.h"
#include "ssa/data/mixing.h"
#include "ssa/eval/evaluate.h"
#include "ssa/storage/metrics.h"
#include "ssa/train/trainer.h"

#include "support/skip.h"
#include "support/tensors.h"
#include "tasks/labeled_tree.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// Pictures are resized to 16 × 16 and not changed else: no part of a square has all of its area.
const std::vector<std::string> kPlain = {"data.crop={min_area: 1, max_area: 1}", "data.flip=0",
                                         "data.rand_augment.operations=0",
                                         "data.erasing.probability=0", "data.mixing.probability=0"};

template <class T>
std::vector<T> values_of(const Batch& batch, const std::string& field) {
  const auto values = batch.field(field).values<T>();
  return {values.begin(), values.end()};
}

Batch training_batch(const Config& config, int64_t first, int64_t count) {
  return make_task(config)->open_data()->training(config)->batch(first, count);
}

/// Rows first … of all fields, as bytes.
std::string rows(const Batch& batch, int64_t first, int64_t count) {
  std::string bytes;
  for (const BatchField& field : batch.fields()) {
    const size_t size = field.bytes().size() / static_cast<size_t>(batch.examples());
    bytes.append(
        reinterpret_cast<const char*>(field.bytes().data()) + static_cast<size_t>(first) * size,
        static_cast<size_t>(count) * size);
  }
  return bytes;
}

std::string refusal(const LabeledTree& tree, const std::vector<std::string>& overrides) {
  return message_of<ConfigError>([&] { tree.config(overrides); });
}

}  // namespace

TEST_CASE("labeled pictures: an epoch has each training picture once, in an order of its own",
          "[tasks]") {
  const LabeledTree tree;
  const Config config = tree.config(kPlain);
  const auto training = make_task(config)->open_data()->training(config);
  REQUIRE(training->examples_per_epoch() == kTreeTrain);
  std::vector<std::vector<std::string>> epochs;
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    const Batch batch = training->batch(epoch * kTreeTrain, kTreeTrain);
    std::vector<std::string>& seen = epochs.emplace_back();
    for (int64_t i = 0; i < kTreeTrain; ++i) seen.push_back(rows(batch, i, 1));
  }
  CHECK((epochs[0] != epochs[1]));
  for (auto& seen : epochs) std::ranges::sort(seen);
  CHECK((epochs[0] == epochs[1]));
  CHECK((std::ranges::adjacent_find(epochs[0]) == epochs[0].end()));
}

TEST_CASE("a training picture has the bits of the recipe, pixel by pixel", "[tasks]") {
  const LabeledTree tree;
  const Config config = tree.config({"data.mixing.probability=0"});
  const Batch batch = training_batch(config, 0, kTreeTrain);
  const auto images = values_of<float>(batch, "images");
  const auto labels = values_of<int32_t>(batch, "labels");
  constexpr size_t kPixels = 16 * 16, kValues = 3 * kPixels;
  const TrainTransform recipe{.size = 16};
  for (int64_t i = 0; i < kTreeTrain; ++i) {
    // Numbers in the data set are those of sorted paths: the pictures of class 0, then those of 1 …
    const int64_t number = i % kTreeClasses * (kTreeTrain / kTreeClasses) + i / kTreeClasses;
    const ImageVisit visit{.seed = config.train.seed, .epoch = 0, .image = number};
    std::vector<float> planes(kValues);
    recipe.to_planes(recipe.augment(LabeledTree::picture("train", i), visit), visit, planes);
    std::vector<float> expected(kValues);
    for (size_t at = 0; at < kValues; ++at) expected[at % kPixels * 3 + at / kPixels] = planes[at];
    bool found = false;
    for (int64_t row = 0; row < kTreeTrain; ++row) {
      if (!std::equal(expected.begin(), expected.end(),
                      images.begin() + row * static_cast<int64_t>(kValues))) {
        continue;
      }
      found = true;
      CHECK(labels[static_cast<size_t>(2 * row)] == i % kTreeClasses);
    }
    CHECK(found);
  }
}

TEST_CASE("training pictures do not depend on micro-batches, ranks and workers", "[tasks]") {
  const LabeledTree tree;
  for (const char* batch_size : {"train.batch_size=12", "train.batch_size=5"}) {  // 5: odd
    const std::vector<std::string> more = {batch_size, "train.micro_batch=1", "data.workers=1"};
    const Config config = tree.config(more);
    const Batch whole = training_batch(config, 0, 20);
    Config other = config;
    other.data.workers = 4;
    const auto training = make_task(other)->open_data()->training(other);
    for (int64_t first = 0; first < 20; ++first) {
      for (const int64_t count : {1, 3, 4}) {
        if (first + count > 20) continue;
        CAPTURE(batch_size, first, count);
        CHECK((rows(training->batch(first, count), 0, count) == rows(whole, first, count)));
      }
    }
  }
}

TEST_CASE("pictures are mixed with the one beside them, and their labels alike", "[tasks]") {
  const LabeledTree tree;
  std::vector<std::string> mixed = kPlain;
  mixed.back() = "data.mixing.probability=1";
  constexpr int64_t kBatch = 5;
  mixed.push_back("train.batch_size=5");
  mixed.push_back("train.micro_batch=5");
  const Config config = tree.config(mixed), plain = tree.config(kPlain);
  constexpr size_t kValues = 16 * 16 * 3;
  for (int64_t step = 0; step < 8; ++step) {
    const Batch batch = training_batch(config, step * kBatch, kBatch);
    const auto images = values_of<float>(batch, "images");
    const auto before = values_of<float>(training_batch(plain, step * kBatch, kBatch), "images");
    const auto labels = values_of<int32_t>(batch, "labels");
    const auto own = values_of<int32_t>(training_batch(plain, step * kBatch, kBatch), "labels");
    const auto weights = values_of<float>(batch, "weights");
    const Mix mix = draw_mix({}, 16, 16, config.train.seed, step);
    for (size_t row = 0; row < kBatch; ++row) {
      const auto other = static_cast<size_t>(partner_of(static_cast<int64_t>(row), kBatch));
      CHECK(labels[2 * row] == own[2 * row]);
      CHECK(labels[2 * row + 1] == own[2 * other]);
      CHECK(weights[2 * row] == static_cast<float>(mix.lambda));
      CHECK(weights[2 * row] + weights[2 * row + 1] == Approx(1));
      for (size_t i = 0; i < kValues; ++i) {
        const float a = before[row * kValues + i], b = before[other * kValues + i];
        const float value = images[row * kValues + i];
        if (mix.box) {
          REQUIRE((value == a || value == b));
        } else if (other != row) {
          REQUIRE(value == Approx(mix.lambda * a + (1 - mix.lambda) * b).margin(1e-5));
        }
        if (other == row) REQUIRE(value == a);
      }
    }
  }
}

TEST_CASE("a training picture is shown as the model sees it", "[tasks]") {
  const LabeledTree tree;
  const Config config = tree.config();  // with the whole recipe
  const auto training = make_task(config)->open_data()->training(config);
  const auto images = values_of<float>(training->batch(0, 4), "images");
  const Normalization normal;
  for (int64_t example = 0; example < 4; ++example) {
    const Picture picture = training->picture(example);
    REQUIRE((picture.height == 16 && picture.width == 16));
    std::vector<float> planes(picture.pixels.size());
    normalize(picture, normal, planes);
    for (size_t i = 0; i < planes.size(); ++i) {
      const float seen = images[static_cast<size_t>(example) * planes.size() + i];
      const float shown = planes[i % 3 * 256 + i / 3];
      const bool in_range = picture.pixels[i] > 0 && picture.pixels[i] < 255;
      if (in_range) REQUIRE(std::abs(shown - seen) < 0.6F / 255 / normal.stddev[i % 3]);
    }
  }
}

TEST_CASE("evaluation sees the middle of each picture once, sorted by class", "[tasks]") {
  const LabeledTree tree;
  const Config config = tree.config();
  const auto data = make_task(config)->open_data();
  const auto set = data->evaluation(config, Split::valid, 0);
  REQUIRE(set->items() == kTreeVal);
  CHECK(set->total_terms() == kTreeVal);
  const Batch batch = set->batch(0, kTreeVal);
  const auto images = values_of<uint8_t>(batch, "images");
  const auto labels = values_of<int32_t>(batch, "labels");
  const EvalTransform transform{.resize = 16, .crop = 16};
  const std::vector<int64_t> sorted = {0, 3, 6, 1, 4, 2, 5};
  for (size_t item = 0; item < sorted.size(); ++item) {
    const Picture expected = transform.crop_of(LabeledTree::picture("val", sorted[item]));
    CHECK(std::equal(expected.pixels.begin(), expected.pixels.end(),
                     images.begin() + static_cast<int64_t>(item) * 768));
    CHECK(labels[2 * item] == sorted[item] % kTreeClasses);
  }
  CHECK((rows(set->batch(2, 3), 0, 3) == rows(batch, 2, 3)));
  // There is no test split: the valid one stands for it.
  CHECK((rows(data->evaluation(config, Split::test, 0)->batch(0, 7), 0, 7) == rows(batch, 0, 7)));
  // Three of seven come from all classes.
  CHECK(values_of<int32_t>(data->evaluation(config, Split::valid, 3)->batch(0, 3), "labels") ==
        std::vector<int32_t>{0, 0, 0, 0, 1, 1});
}

TEST_CASE("pictures of ImageNet as they come are evaluated with torchvision's pixels",
          "[tasks][slow]") {
  const char* root = std::getenv("SSA_DATA_DIR");
  const std::string sample = std::string(root ? root : "") + "/imagenet_fullres_sample.tar";
  if (!root || !std::filesystem::exists(sample)) {
    SSA_SKIP("SSA_DATA_DIR holds no imagenet_fullres_sample.tar");
  }
  const TempDir dir;
  REQUIRE(std::system(fmt::format("tar -xf '{}' -C '{}'", sample, dir.path()).c_str()) == 0);
  PrepareOptions options;
  options.name = "imagenet";
  options.inputs = {sample};
  options.output = dir / "data";
  options.encoded.split = Split::valid;
  options.encoded.classes = dir / "imagenet-fullres-sample/synsets.txt";
  prepare_encoded_images(options);
  const Config config =
      load_task_config(std::string(SSA_SOURCE_DIR) + "/configs/imagenet_w7_s0.yaml",
                       {"data.path=" + options.output});
  const auto data = make_task(config)->open_data();
  CHECK(data->settled(config).data.classes == 1000);
  const auto set = data->evaluation(config, Split::valid, 0);
  REQUIRE(set->items() == 86);
  const Batch batch = set->batch(0, 86);
  // Resize(256), bicubic, and CenterCrop(224) of torchvision 0.29 with Pillow 12.3, one picture
  // behind the other: zlib.crc32().
  const auto& pixels = batch.field("images").bytes();
  CHECK(crc32(0, reinterpret_cast<const Bytef*>(pixels.data()), static_cast<uInt>(pixels.size())) ==
        0x131c0cc8);
  const auto labels = values_of<int32_t>(batch, "labels");
  CHECK(std::accumulate(labels.begin(), labels.end(), 0) == 2 * 41630);
  CHECK(labels[2] == 13);
}

TEST_CASE("a label is scored by its rank among the classes", "[tasks]") {
  const LabeledTree tree;
  const Config config = tree.config();
  const auto set = make_task(config)->open_data()->evaluation(config, Split::valid, 0);
  const std::vector<double> likely = {-0.1, -3.0, -4.0}, unlikely = {-3.0, -0.1, -4.0};
  CHECK(set->score(0, likely).loss == 0.1);
  CHECK(set->score(0, likely).counted == std::vector<double>{1, 1});
  CHECK(set->score(0, unlikely).counted == std::vector<double>{0, 1});
  CHECK(set->averaging() == Averaging::log_probabilities);
}

TEST_CASE("predictions of pictures are written and analysed with their labels", "[tasks]") {
  const LabeledTree tree;
  const Config config = tree.config();
  const auto set = make_task(config)->open_data()->evaluation(config, Split::valid, 0);
  const std::vector<double> always_class1 = {-3.0, -0.1, -3.5};
  const auto analysis = set->analysis();
  for (int64_t item = 0; item < set->items(); ++item) analysis->add({item, always_class1});
  // Sorted by class: three of class 0, two of class 1, two of class 2.
  CHECK(set->prediction_line({2, always_class1}) ==
        R"({"index":2,"label":0,"log_probabilities":[-3.0,-0.1,-3.5]})");
  CHECK(set->prediction_line({3, always_class1}).find(R"("label":1)") != std::string::npos);
  const std::vector<EvalTable> tables = analysis->tables();
  const auto classes =
      std::ranges::find_if(tables, [](const EvalTable& table) { return table.key == "classes"; });
  REQUIRE(classes != tables.end());
  using Row = std::vector<EvalTable::Cell>;
  CHECK(classes->rows == std::vector<Row>{Row{std::string("class0"), 0.0, 3.0},
                                          Row{std::string("class1"), 1.0, 2.0},
                                          Row{std::string("class2"), 0.0, 2.0}});
}

TEST_CASE("a picture that is damaged after preparing ends the run, or the next one takes its place",
          "[tasks]") {
  const LabeledTree tree;
  const std::string shard = tree.dir / "data/shard-00000.bin";
  const Batch sound = training_batch(tree.config(kPlain), 0, kTreeTrain);
  std::string bytes = read_bytes(shard);
  bytes[60] = static_cast<char>(bytes[60] ^ 1);  // in the first picture of class 0
  write_bytes(shard, bytes);
  const Config config = tree.config(kPlain);
  const std::string message = message_of<DataError>([&] { training_batch(config, 0, kTreeTrain); });
  CHECK_THAT(message, Catch::Contains("train/class0/00.png"));
  std::vector<std::string> skip = kPlain;
  skip.push_back("data.on_bad_image=skip");
  const Batch batch = training_batch(tree.config(skip), 0, kTreeTrain);
  int64_t changed = 0;
  for (int64_t i = 0; i < kTreeTrain; ++i) {
    if (rows(batch, i, 1) != rows(sound, i, 1)) ++changed;
  }
  CHECK(changed == 1);
}

TEST_CASE("data and config of a classifier must fit each other", "[tasks]") {
  const LabeledTree tree;
  const Config config = tree.config();
  const auto data = make_task(config)->open_data();
  CHECK(data->settled(config).data.classes == kTreeClasses);
  const Config wrong = tree.config({"data.classes=1000"});
  CHECK_THAT(message_of<ConfigError>([&] { data->settled(wrong); }),
             Catch::Contains("data.classes is 1000") && Catch::Contains("has 3 classes"));
  ParameterStore store = ParameterStore::dry();
  CHECK_THAT(message_of<ConfigError>([&] { make_task(config)->make_model(store); }),
             Catch::Contains("--set data.classes=1000"));
  CHECK_THAT(refusal(tree, {"data.resize=8"}), Catch::Contains("data.resize 8 is less than"));
  CHECK_THAT(refusal(tree, {"data.crop.min_area=0.9", "data.crop.max_area=0.5"}),
             Catch::Contains("data.crop.min_area 0.9 is above data.crop.max_area 0.5"));
  CHECK_THAT(refusal(tree, {"model.swin.window=3"}),
             Catch::Contains("windows of 3 do not divide the map of 8 x 8"));
  CHECK_THAT(refusal(tree, {"ssa.windows=3"}),
             Catch::Contains("3 sub-windows") && Catch::Contains("valid: 1, 4, 16"));
  CHECK_THAT(refusal(tree, {"ssa.layers=9"}), Catch::StartsWith("--set ssa.layers: "));
  CHECK_THAT(refusal(tree, {"ssa.kind=unbiased", "ssa.drop=0.99"}),
             Catch::StartsWith("--set ssa.drop: "));
  CHECK_THAT(refusal(tree, {"model.width=8"}), Catch::Contains("only for task"));
}

TEST_CASE("a classifier learns through the engine, and resumes to the same bits", "[tasks]") {
  omp_set_num_threads(1);  // at these sizes a second one only waits for the first
  const LabeledTree tree;
  const auto train = [&](const std::string& name, const std::vector<std::string>& more,
                         const std::string& resume) {
    std::vector<std::string> overrides = kPlain;
    overrides.insert(overrides.end(), {"train.steps=40", "train.label_smoothing=0"});
    overrides.insert(overrides.end(), more.begin(), more.end());
    return Trainer(tree.config(overrides), {tree.dir / name, resume, Device::cpu}).train();
  };
  REQUIRE(train("whole", {"data.workers=1"}, "none") == TrainOutcome::finished);
  const std::vector<MetricsEvent> events = read_metrics(tree.dir / "whole/metrics.jsonl");
  const auto last = std::ranges::find_if(events.rbegin(), events.rend(),
                                         [](const auto& event) { return event.split == "valid"; });
  REQUIRE(last != events.rend());
  CHECK(last->metrics.front().first == "top1");
  CHECK(last->metrics.front().second == 100);  // colours are easily told apart
  CHECK(last->metrics.back().second == 100);
  // Three steps are an epoch: step 34 ends in the midst of one.
  REQUIRE(train("branch", {"data.workers=3"}, tree.dir / "whole/checkpoints/step-34") ==
          TrainOutcome::finished);
  CHECK(read_bytes(tree.dir / "branch/checkpoints/step-40/model.safetensors") ==
        read_bytes(tree.dir / "whole/checkpoints/step-40/model.safetensors"));
}
