#include "ssa/tasks/image_generation.h"

#include <algorithm>

#include <catch2/catch.hpp>

#include "ssa/data/distribution_augmentation.h"
#include "ssa/data/prepare.h"
#include "ssa/tasks/load.h"

#include "support/files.h"
#include "support/tensors.h"
#include "support/text.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr int64_t kTrain = 12, kTest = 3;

/// `count` rows of CIFAR-10's binary version, no two alike.
std::string rows(int64_t count, uint64_t seed) {
  std::string text;
  for (int64_t row = 0; row < count; ++row) {
    text += static_cast<char>(row % 10);
    for (uint64_t i = 0; i < 3072; ++i) {
      text += static_cast<char>(RngKey{.seed = seed, .step = static_cast<uint32_t>(row)}.word(i));
    }
  }
  return text;
}

/// A prepared data set, and configs that read it.
struct TinyPictures {
  TinyPictures() {
    write_bytes(dir / "data_batch_1.bin", rows(kTrain, 1));
    write_bytes(dir / "test_batch.bin", rows(kTest, 2));
    PrepareOptions options;
    options.name = "cifar10";
    options.inputs = {dir / "data_batch_1.bin", dir / "test_batch.bin"};
    options.output = dir / "cifar10";
    prepare_images(options);
  }
  Config config(const std::vector<std::string>& overrides = {}) const {
    return parse_config(
        "task: image_generation\n"
        "model: {layers: 1, width: 8, heads: 2, ffn_width: 8, position: relative_2d}\n"
        "data: {path: " +
            dir / "cifar10" + ", image_size: 8}\n",
        "c.yaml", overrides, [](ConfigCheck& check) { check_task(check); });
  }
  TempDir dir;
};

std::vector<int32_t> field(const Batch& batch, const std::string& name) {
  const auto values = batch.field(name).values<int32_t>();
  return {values.begin(), values.end()};
}

std::string refusal(const TinyPictures& pictures, const std::vector<std::string>& overrides) {
  return message_of<ConfigError>([&] { pictures.config(overrides); });
}

}  // namespace

TEST_CASE("pictures: an epoch has each training picture once, however it is cut", "[tasks]") {
  const TinyPictures pictures;
  const Config config = pictures.config({"data.augment=[]"});
  const auto data = make_task(config)->open_data();
  const auto training = data->training(config);
  REQUIRE(training->examples_per_epoch() == kTrain);
  const Batch epoch = training->batch(0, kTrain);
  const std::vector<int32_t> ids = field(epoch, "ids");
  std::vector<std::vector<int32_t>> seen;
  for (int64_t i = 0; i < kTrain; ++i) {
    seen.emplace_back(ids.begin() + i * 192, ids.begin() + (i + 1) * 192);
    CHECK(field(training->batch(i, 1), "ids") == seen.back());
  }
  std::ranges::sort(seen);
  CHECK(std::ranges::adjacent_find(seen) == seen.end());
  CHECK(field(training->batch(kTrain, kTrain), "ids") != ids);  // another order
}

TEST_CASE("pictures: slots read the sub-pixel before theirs, the first its start", "[tasks]") {
  const TinyPictures pictures;
  const Config config = pictures.config();
  const Batch batch = make_task(config)->open_data()->training(config)->batch(3, 2);
  const std::vector<int32_t> ids = field(batch, "ids"), inputs = field(batch, "inputs");
  CHECK(inputs[0] == 256);
  CHECK(inputs[192] == 257);
  CHECK(std::vector(inputs.begin() + 193, inputs.end()) ==
        std::vector(ids.begin() + 192, ids.end() - 1));
}

TEST_CASE("pictures: a start says how the picture was changed", "[tasks]") {
  const TinyPictures pictures;
  const Config plain = pictures.config({"data.augment=[]"});
  const Config augmented = pictures.config();  // rotation, transposition
  const auto data = make_task(plain)->open_data();
  const auto originals = data->training(plain), changed = data->training(augmented);
  bool any = false;
  for (int64_t number = 0; number < 3 * kTrain; ++number) {
    const Batch batch = changed->batch(number, 1);
    const int32_t turns = field(batch, "start.rotation")[0];
    const int32_t transposed = field(batch, "start.transposition")[0];
    std::vector<uint8_t> pixels;
    for (const int32_t value : field(originals->batch(number, 1), "ids")) {
      pixels.push_back(static_cast<uint8_t>(value));
    }
    augment(pixels, 8, Augmentation::rotation, turns);
    augment(pixels, 8, Augmentation::transposition, transposed);
    CHECK(field(batch, "ids") == std::vector<int32_t>(pixels.begin(), pixels.end()));
    any = any || turns != 0 || transposed != 0;
  }
  CHECK(any);
}

TEST_CASE("pictures: evaluation has every picture of a split once, unchanged", "[tasks]") {
  const TinyPictures pictures;
  const Config config = pictures.config({"data.validation=2"});
  const auto data = make_task(config)->open_data();
  CHECK(data->training(config)->examples_per_epoch() == kTrain - 2);
  const auto valid = data->evaluation(config, Split::valid, 0);
  CHECK(valid->items() == 2);
  CHECK(valid->total_terms() == 2 * 192);
  const auto test = data->evaluation(config, Split::test, 0);
  CHECK(test->items() == kTest);
  CHECK(field(test->batch(0, 3), "start.rotation") == std::vector<int32_t>(3, 0));
  CHECK(data->evaluation(config, Split::test, 400)->items() == 2);
  // Without pictures set aside, the valid split is the test split.
  CHECK(data->evaluation(pictures.config(), Split::valid, 0)->items() == kTest);
  CHECK(test->score(0, std::vector<double>{-1.5, -0.5}).loss == 2);
}

TEST_CASE("pictures: bands of rows are the local plan, sigma a fraction of both sides", "[tasks]") {
  const TinyPictures pictures;
  const Config config = pictures.config({"ssa.kind=local", "ssa.windows=4", "ssa.sigma=0.25"});
  const std::unique_ptr<Task> task = make_task(config);
  const PlanSpec spec = task->plan_specs(Sources::sampled, Use::training).front();
  CHECK(spec.kind == PlanKind::local_2d);
  CHECK(spec.causal);
  CHECK(spec.rows == 8);
  CHECK(spec.columns == 24);
  CHECK(spec.windows == 4);
  CHECK(spec.sigma_columns == 0.25);
  CHECK(task->plan_specs(Sources::all, Use::training).front().kind == PlanKind::dense);
  CHECK(task->terms_per_example() == 192);
}

TEST_CASE("pictures: what does not fit is refused with its key", "[tasks]") {
  const TinyPictures pictures;
  CHECK(contains(refusal(pictures, {"model.position=alibi"}), "takes relative_2d"));
  CHECK(contains(refusal(pictures, {"ssa.kind=local", "ssa.windows=3"}), "ssa.windows"));
  // Five rows, not 75 positions, which three windows would divide.
  CHECK(contains(refusal(pictures, {"ssa.kind=local", "ssa.windows=4", "data.image_size=5"}),
                 "5 rows cannot be cut into 4 equal windows; the nearest valid value"));
  CHECK(contains(refusal(pictures, {"data.length=64"}), "data.length"));
  CHECK(contains(refusal(pictures, {"data.augment=[rotation, flip]"}), "item 2"));
  CHECK(contains(refusal(pictures, {"data.augment=[rotation, rotation]"}), "comes twice"));
  CHECK(contains(refusal(pictures, {"data.augment=[jigsaw]", "data.image_size=7"}), "even"));
  const auto data = make_task(pictures.config())->open_data();
  CHECK_THROWS_AS(data->settled(pictures.config({"data.image_size=5"})), ConfigError);
  CHECK_THROWS_AS(data->settled(pictures.config({"data.validation=12"})), ConfigError);
}

TEST_CASE("pictures: a smaller picture has the means of squares", "[tasks]") {
  const TinyPictures pictures;
  const ImageDataset dataset = ImageDataset::open(pictures.dir / "cifar10");
  const std::vector<uint8_t> whole = read_picture(dataset, 4, 32).pixels,
                             half = read_picture(dataset, 4, 16).pixels;
  int64_t sum = 0;
  for (const size_t pixel : {0, 1, 32, 33}) sum += whole[3 * pixel + 2];
  CHECK(half[2] == (sum + 2) / 4);
}

TEST_CASE("pictures: the loss of a picture is told apart by colour and by row", "[tasks]") {
  const TinyPictures pictures;
  const Config config = pictures.config({"data.image_size=2"});
  const auto test = make_task(config)->open_data()->evaluation(config, Split::test, 0);
  const std::vector<Partition> partitions = test->partitions();
  REQUIRE(partitions.size() == 2);
  CHECK(partitions[0].key == "channels");
  CHECK(partitions[0].parts == std::vector<std::string>{"red", "green", "blue"});
  CHECK(partitions[1].key == "rows");
  CHECK(partitions[1].parts == std::vector<std::string>{"0", "1"});
  // Rows of two pixels, each red, green, blue.
  const std::vector<double> losses = {1, 2, 3, 10, 20, 30, 100, 200, 300, 1000, 2000, 3000};
  const Score score = test->score(0, test->prediction(0, losses));
  CHECK(score.loss == 6666);
  CHECK(score.parts == std::vector<double>{1111, 2222, 3333, 66, 6600});
}

TEST_CASE("pictures: the published model has as many parameters as the paper's, to 1 %",
          "[tasks]") {
  struct Reading {
    std::string rows, shared, tied;
    int64_t parameters;
  };
  const auto reading = GENERATE(values<Reading>({{"all", "false", "true", 203'380'864},
                                                 {"all", "false", "false", 203'643'008},
                                                 {"causal", "false", "true", 202'622'976},
                                                 {"causal", "false", "false", 202'885'120},
                                                 {"all", "true", "true", 201'936'904},
                                                 {"all", "true", "false", 202'199'048}}));
  CAPTURE(reading.rows, reading.shared, reading.tied);
  const Config config =
      load_config(SSA_SOURCE_DIR "/configs/cifar10_s0.yaml",
                  {"data.augment=[rotation, transposition, color, jigsaw]",
                   "model.relative_rows=" + reading.rows, "model.relative_shared=" + reading.shared,
                   "model.embedding.tie_weights=" + reading.tied});
  ParameterStore store = ParameterStore::dry();
  ImageGenerationTask(config).make_decoder(store);
  CHECK(store.count() == reading.parameters);
}
