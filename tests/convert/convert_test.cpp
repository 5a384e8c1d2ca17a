#include "ssa/convert/convert.h"

#include "ssa/tasks/load.h"

#include "convert/tiny_models.h"
#include "support/tensors.h"
#include "support/text.h"
#include "train/captured_log.h"
#include "train/word_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// A folder with a config and a file of weights.
struct Conversion {
  TempDir dir;
  TinyModel model;
  std::vector<NamedTensor> file;

  explicit Conversion(TinyModel tiny) : model(std::move(tiny)), file(file_of(model.tensors)) {
    write_bytes(dir / "config.yaml", model.yaml);
  }
  ImportOptions options() const {
    return {.layout = model.layout,
            .weights = dir / "theirs.safetensors",
            .config = dir / "config.yaml",
            .set = {},
            .run_dir = dir / "run",
            .skip = {}};
  }
  /// Imports the file. Returns what the log says.
  std::string import_file(const ImportOptions& how) const {
    write_safetensors(how.weights, file, {});
    const Log log;
    import_weights(how);
    return log.text();
  }
  std::string import_file() const { return import_file(options()); }
  std::string refusal() const { return refusal(options()); }
  /// The message of an import that is refused, and leaves no run behind.
  std::string refusal(const ImportOptions& how) const {
    const std::string message = message_of<CheckpointError>([&] { import_file(how); });
    CHECK_FALSE(path_exists(how.run_dir));
    return message;
  }
  SafetensorsFile export_run() const {
    const std::string output = dir / "again.safetensors";
    const Log log;
    export_weights({.layout = model.layout,
                    .run = dir / "run",
                    .checkpoint = {},
                    .output = output,
                    .weights = {}});
    return SafetensorsFile(output);
  }
  NamedTensor& tensor(const std::string& name) {
    return *std::find_if(file.begin(), file.end(),
                         [&](const NamedTensor& one) { return one.name == name; });
  }
  std::vector<double> parameter(const std::string& name) const {
    return values(SafetensorsFile(dir / "run/checkpoints/step-0/model.safetensors")
                      .load(name, Device::cpu, MemoryCategory::data));
  }
};

std::vector<TinyModel> all_models() {
  return {tiny_swin(), tiny_egt(), tiny_fairseq_plain(), tiny_fairseq_adaptive(),
          tiny_fairseq_untied()};
}

Tensor as(const Tensor& tensor, DType dtype) {
  Tensor result = Tensor::empty(tensor.shape(), dtype, Device::cpu);
  visit_floating(dtype, [&]<class T>(TypeTag<T>) {
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      result.data<T>()[i] = static_cast<T>(tensor.data<float>()[i]);
    }
  });
  return result;
}

}  // namespace

TEST_CASE("export of an import has the same bytes, in every layout") {
  for (TinyModel& model : all_models()) {
    const Conversion conversion(model);
    CAPTURE(model.layout, model.yaml);
    conversion.import_file();
    const SafetensorsFile again = conversion.export_run();
    for (const NamedTensor& theirs : conversion.file) {
      CAPTURE(theirs.name);
      REQUIRE(again.contains(theirs.name));
      CHECK(same_bits(again.load(theirs.name, Device::cpu, MemoryCategory::data), theirs.tensor));
    }
    CHECK(again.names().size() == conversion.file.size() + model.constants.size());
    for (const std::string& constant : model.constants) CHECK(again.contains(constant));
    CHECK(again.metadata() == SafetensorsMetadata{{"format", "pt"}});
  }
}

TEST_CASE("query, key and value of a Swin transformer are three parts of a tensor") {
  Conversion conversion(tiny_swin());
  conversion.import_file();
  const std::vector<double> qkv =
      values(conversion.tensor("layers.1.blocks.0.attn.qkv.weight").tensor);
  const std::string attention = "stages.1.blocks.0.attention.";
  size_t part = 0;
  for (const char* which : {"query", "key", "value"}) {
    const auto begin = qkv.begin() + static_cast<std::ptrdiff_t>(part++ * 16 * 16);
    CHECK(conversion.parameter(attention + which + ".weight") ==
          std::vector<double>(begin, begin + 16 * 16));
  }
  CHECK(conversion.parameter("stages.1.merge.weight") ==
        values(conversion.tensor("layers.1.downsample.reduction.weight").tensor));
  CHECK(conversion.parameter("patch_embedding.weight") ==
        values(conversion.tensor("patch_embed.proj.weight").tensor));
}

// graphs.md of the specification: row h·D + t of a query here is row t·H + h there.
TEST_CASE("heads of egt_pytorch are turned") {
  Conversion conversion(tiny_egt());
  conversion.import_file();
  const std::vector<double> theirs = values(conversion.tensor("EGT_layers.0.lin_QKV.bias").tensor);
  const int64_t heads = 2, head_size = 4, width = 8;
  int64_t part = 0;
  for (const char* which : {"query", "key", "value"}) {
    const auto ours = conversion.parameter(fmt::format("blocks.0.attention.{}.bias", which));
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t t = 0; t < head_size; ++t) {
        CHECK(ours[static_cast<size_t>(h * head_size + t)] ==
              theirs[static_cast<size_t>(part * width + t * heads + h)]);
      }
    }
    ++part;
  }
  const auto output = conversion.parameter("blocks.0.attention.output.weight");
  const auto their_output = values(conversion.tensor("EGT_layers.0.lin_O_h.weight").tensor);
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t t = 0; t < head_size; ++t) {
      CHECK(output[static_cast<size_t>(3 * width + h * head_size + t)] ==
            their_output[static_cast<size_t>(3 * width + t * heads + h)]);
    }
  }
}

TEST_CASE("the untied head of fairseq has the words, then the classes") {
  Conversion conversion(tiny_fairseq_untied());
  conversion.import_file();
  const std::vector<double> head =
      values(conversion.tensor("decoder.adaptive_softmax.head.weight").tensor);
  std::vector<double> ours = conversion.parameter("output.bands.0.weight");
  const std::vector<double> classes = conversion.parameter("output.classes.weight");
  CHECK(classes.size() == 2 * 8);
  ours.insert(ours.end(), classes.begin(), classes.end());
  CHECK(ours == head);
}

TEST_CASE("Microsoft's names are read, and timm's of today are written") {
  Conversion timm(tiny_swin()), microsoft(tiny_swin());
  for (NamedTensor& one : microsoft.file) {
    if (one.name.starts_with("head.fc.")) one.name.replace(0, 8, "head.");
    if (one.name.starts_with("layers.1.downsample.")) one.name.replace(7, 1, "0");
  }
  microsoft.file.push_back({"layers.0.blocks.0.attn.relative_position_index",
                            Tensor::from(std::vector<int32_t>(256), {16, 16}, Device::cpu)});
  timm.import_file();
  CHECK(contains(microsoft.import_file(),
                 "left out: layers.0.blocks.0.attn.relative_position_index"));
  const std::string weights = "run/checkpoints/step-0/model.safetensors";
  CHECK(read_bytes(timm.dir / weights) == read_bytes(microsoft.dir / weights));
  CHECK(microsoft.export_run().contains("head.fc.weight"));
}

TEST_CASE("all that does not fit is named in one error") {
  Conversion conversion(tiny_swin());
  std::erase_if(conversion.file, [](const NamedTensor& one) {
    return one.name == "norm.bias" || one.name == "layers.0.blocks.0.attn.qkv.weight";
  });
  conversion.file.push_back({"layers.7.surprise", Tensor::zeros({2}, DType::f32, Device::cpu)});
  conversion.tensor("head.fc.weight").tensor = Tensor::zeros({10, 16}, DType::f32, Device::cpu);
  conversion.tensor("norm.weight").tensor = Tensor::zeros({16}, DType::i32, Device::cpu);
  const std::string message = conversion.refusal();
  for (const char* part :
       {"missing: norm.bias, for final_norm.bias",
        "missing: layers.0.blocks.0.attn.qkv.weight, for stages.0.blocks.0.attention.query.weight, "
        "stages.0.blocks.0.attention.key.weight",
        "unknown: layers.7.surprise (2)",
        "head.fc.weight is (10, 16) in the file; for head.weight it should be (3, 16)",
        "norm.weight has dtype i32", "--skip 'head.*'", "theirs.safetensors"}) {
    CAPTURE(message, part);
    CHECK(contains(message, part));
  }
}

TEST_CASE("a file of another layout is refused in a few words") {
  Conversion conversion(tiny_swin());
  for (NamedTensor& one : conversion.file) one.name = "transformer." + one.name;
  const std::string message = conversion.refusal();
  CHECK(contains(message, "has no tensor with a name of the layout timm_swin"));
  CHECK(contains(message, "ssa-convert list"));
  CHECK(message.size() < 500);
  ImportOptions other = conversion.options();
  other.layout = "fairseq_lm";
  CHECK(contains(message_of<ConfigError>([&] { conversion.import_file(other); }),
                 "fairseq_lm is for the task byte_lm, word_lm or token_lm; the config's is "
                 "image_classification"));
}

TEST_CASE("parameters that are skipped keep random values") {
  Conversion conversion(tiny_swin());
  conversion.tensor("head.fc.weight").tensor = Tensor::zeros({10, 16}, DType::f32, Device::cpu);
  conversion.tensor("head.fc.bias").tensor = Tensor::zeros({10}, DType::f32, Device::cpu);
  conversion.file.push_back({"mask_token", Tensor::zeros({1}, DType::f32, Device::cpu)});
  ImportOptions how = conversion.options();
  how.skip = {"heads.*"};
  CHECK(contains(message_of<ConfigError>([&] { conversion.import_file(how); }),
                 "--skip heads.*: neither a parameter nor a tensor"));
  how.skip = {"head.*", "mask_*"};
  const std::string log = conversion.import_file(how);
  CHECK(contains(log, "skipped, with random values: head.weight, head.bias"));
  CHECK(contains(log, "left out: mask_token"));
  const std::vector<double> head = conversion.parameter("head.weight");
  CHECK(head.size() == 3 * 16);
  CHECK(head[0] != head[1]);
  CHECK(conversion.parameter("final_norm.bias") == values(conversion.tensor("norm.bias").tensor));
}

TEST_CASE("weights in 16 bits are converted to f32") {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    Conversion conversion(tiny_fairseq_plain());
    for (NamedTensor& one : conversion.file) {
      for (int64_t i = 0; i < one.tensor.numel(); ++i) {
        one.tensor.data<float>()[i] = 1 / (1 + one.tensor.data<float>()[i]);
      }
      one.tensor = as(one.tensor, dtype);
    }
    const std::string log = conversion.import_file();
    CHECK(contains(log, fmt::format("{} tensors were converted from {} to f32",
                                    conversion.file.size(), name(dtype))));
    CHECK(conversion.parameter("blocks.0.ffn.up.weight") ==
          values(conversion.tensor("decoder.layers.0.fc1.weight").tensor));
  }
}

TEST_CASE("a table of another window is resized, and that is said") {
  Conversion conversion(tiny_swin());
  ImportOptions how = conversion.options();
  how.set = {"model.swin.window=2"};
  const std::string log = conversion.import_file(how);
  CHECK(contains(log, "3 tables of position biases are of another window"));
  CHECK(contains(log, "layers.1.blocks.1.attn.relative_position_bias_table (49, 2) to (9, 2)"));
  CHECK(conversion.parameter("stages.1.blocks.1.attention.relative_bias").size() == 9 * 2);
}

TEST_CASE("tied weights that differ are refused") {
  Conversion conversion(tiny_fairseq_adaptive());
  conversion.tensor("decoder.adaptive_softmax.tail.1.2.weight").tensor.data<float>()[3] += 1;
  CHECK(contains(conversion.refusal(), "set model.embedding.tie_weights"));
  // A file that stores them once is as good.
  std::erase_if(conversion.file, [](const NamedTensor& one) {
    return one.name == "decoder.adaptive_softmax.tail.1.2.weight";
  });
  CHECK_NOTHROW(conversion.import_file());
}

TEST_CASE("data whose words have other numbers than fairseq's rows are refused") {
  const WordRun words;
  const Conversion conversion(tiny_fairseq_plain());
  ImportOptions how = conversion.options();
  how.set = {"data.path=" + words.words_path, "data.vocabulary=0"};
  const std::string message = message_of<ConfigError>([&] { conversion.import_file(how); });
  CHECK(contains(message, "<s> is not word 0"));
  CHECK(contains(message, "ssa-data prepare words --vocabulary dict.txt"));
}

TEST_CASE("an import does not write over a run") {
  const Conversion conversion(tiny_egt());
  conversion.import_file();
  const std::string before = read_bytes(conversion.dir / "run/config.yaml");
  CHECK(contains(message_of<ConfigError>([&] { conversion.import_file(); }),
                 "run holds a run already"));
  CHECK(read_bytes(conversion.dir / "run/config.yaml") == before);
}

TEST_CASE("PyTorch's own files are refused with a way out") {
  const Conversion conversion(tiny_egt());
  ImportOptions how = conversion.options();
  how.weights = conversion.dir / "epoch_9.pth";
  require_checkpoint_error([&] { import_weights(how); }, {"epoch_9.pth", "safetensors"});
}

TEST_CASE("an unknown layout is refused with the names of those that there are") {
  CHECK(contains(message_of<ConfigError>([] { layout_for("hugging_face", TaskKind::word_lm); }),
                 "there are ssa, timm_swin, egt_pytorch, fairseq_lm"));
}
