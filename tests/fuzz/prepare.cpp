// Prepares a data set from one input. Its first byte says of which kind; the texts of words stand
// in "=== train.txt" and so on, tables in "=== a.csv", "=== a.tsv" or "=== a.jsonl", the lists and
// the archive of ImageNet in "=== labels", "=== classes" and "=== train.tar".

#include "ssa/data/prepare.h"

#include <set>

#include "ssa/core/error.h"
#include "ssa/data/encoded_images.h"
#include "ssa/data/image_dataset.h"
#include "ssa/data/token_dataset.h"

#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

namespace fs = std::filesystem;

/// The folder for inputs of one kind, with what the last one of the kind has left in it.
std::string input_folder(const std::string& kind) {
  static std::set<std::string> made;
  std::string path = folder() / kind;
  if (made.insert(path).second) fs::create_directories(path);
  return path;
}

std::string input_file(const std::string& bytes) {
  const std::string path = input_folder("file") + "/data_batch_1.bin";
  testing::write_bytes(path, bytes);
  return path;
}

std::string input_texts(const std::string& bytes) {
  const std::string input = input_folder("texts");
  write_parts(parts_of(bytes, "train.txt"), input, {"train.txt", "valid.txt", "test.txt"});
  return input;
}

std::string input_pictures(const std::string& bytes) {
  write_parts(parts_of(bytes, "1.png"), input_folder("pictures/train/a"), {"1.png", "2.jpg"});
  return input_folder("pictures");
}

constexpr const char* kArchiveFolder = "archive";

/// The archive, with the lists beside it.
std::string input_archive(const std::string& bytes) {
  const std::string input = input_folder(kArchiveFolder);
  write_parts(parts_of(bytes, "labels"), input, {"labels", "classes", "train.tar"});
  return input + "/train.tar";
}

/// A table, which has a column `text`.
std::string input_table(const std::string& bytes) {
  const std::string input = input_folder("table");
  write_parts(parts_of(bytes, "a.jsonl"), input, {"a.csv", "a.tsv", "a.jsonl"});
  return input;
}

/// Without the last output there is none to replace, so each begins afresh.
PrepareOptions options_for(const std::string& name, const std::string& input) {
  PrepareOptions options;
  options.name = name;
  options.inputs = {input};
  options.output = folder() / "output";
  fs::remove_all(options.output);
  return options;
}

void prepare_tokens(const PrepareOptions& options) {
  const auto info = parsed<Error>([&] { return prepare_dataset(options); });
  if (!info) return;
  const TokenDataset tokens = TokenDataset::open(options.output);
  verify(tokens);
  require(tokens.info().tokens == info->tokens, "what was prepared can be opened");
}

void prepare_pictures(const PrepareOptions& options) {
  const auto info = parsed<DataError>([&] { return prepare_images(options); });
  if (!info) return;
  const ImageDataset images = ImageDataset::open(options.output);
  images.verify();
  require(images.info().images() == info->images(), "what was prepared can be opened");
}

void prepare_archive(PrepareOptions options) {
  const std::string lists = input_folder(kArchiveFolder);
  if (!testing::read_bytes(lists + "/labels").empty()) {
    options.encoded.val_labels = lists + "/labels";
  }
  if (!testing::read_bytes(lists + "/classes").empty()) {
    options.encoded.classes = lists + "/classes";
  }
  options.encoded.workers = 1;
  options.skip_bad_images = true;
  fs::remove_all(options.output + ".partial");
  const auto info = parsed<Error>([&] { return prepare_encoded_images(options); });
  if (!info) return;
  const EncodedImages images = EncodedImages::open(options.output);
  images.verify();
  require(images.info().images() == info->images(), "what was prepared can be opened");
  require(info->bytes > 0, "pictures have bytes");
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string bytes = text_of(data + 1, size - 1);
  switch (data[0]) {
    case 'b':
      prepare_tokens(options_for("bytes", input_file(bytes)));
      break;
    case 'w':
      prepare_tokens(options_for("words", input_texts(bytes)));
      break;
    case 't': {
      PrepareOptions options = options_for("words", input_table(bytes));
      options.texts.column = "text";
      options.texts.split = SplitShares::from_text("none");
      prepare_tokens(options);
      break;
    }
    case 'n': {
      PrepareOptions options = options_for("ids", input_file(bytes));
      options.texts.vocabulary = "50000";
      options.texts.split = SplitShares::from_text("none");
      // With a header the width is known, and otherwise as likely the one as the other.
      const bool header =
          bytes.starts_with("\x88\xd8\x34\x01") || bytes.starts_with("\xa1\xd9\x34\x01");
      if (!header) {
        options.texts.dtype = bytes.size() % 2 == 0 ? "u16" : "u32";
      }
      prepare_tokens(options);
      break;
    }
    case 'c':
      prepare_pictures(options_for("cifar10", input_file(bytes)));
      break;
    case 'p':
      prepare_pictures(options_for("images", input_pictures(bytes)));
      break;
    case 'i':
      prepare_archive(options_for("imagenet", input_archive(bytes)));
      break;
    default:
      break;
  }
  return 0;
}
