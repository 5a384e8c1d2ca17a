// The forms in which ImageNet comes: trees, archives, lists of labels and of classes.

#include <filesystem>

#include <sys/resource.h>

#include "image_inputs.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kSmallListing = {
    "train/n01/a.JPEG 0", "train/n01/b.JPEG 0", "train/n01/c.jpg 0", "train/n02/d.JPEG 1",
    "train/n02/e.jpeg 1", "val/n01/v.JPEG 0",   "val/n02/w.JPEG 1"};

/// A tree, with one change, and the error that it gives.
std::string error_of_tree(const Members& more, ExitCode code = ExitCode::data) {
  const TempDir folder;
  write_tree(folder / "in", small_tree());
  write_tree(folder / "in", more);
  return imagenet_error(code, imagenet({folder / "in"}, folder / "out"));
}

}  // namespace

TEST_CASE("imagenet: a tree is sorted by split, class and name") {
  const TempDir folder;
  write_tree(folder / "in", small_tree());
  write_tree(folder / "in", {{"README.md", "text"},
                             {"train/n01/.hidden.JPEG", "no picture"},
                             {"train/n01/notes.txt", "text"}});
  const EncodedImagesInfo info = prepare_encoded_images(imagenet({folder / "in"}, folder / "out"));
  CHECK(info.classes == std::vector<std::string>{"n01", "n02"});
  CHECK(info.splits == std::array<TokenRange, 3>{{{0, 5}, {5, 7}, {7, 7}}});
  CHECK(info.sources == std::vector<std::string>{"in"});
  CHECK(info.ignored == 3);
  CHECK(info.skipped == 0);
  CHECK(info.split_description() == "custom split");
  CHECK(listing(folder / "out") == kSmallListing);
  CHECK(read_bytes(folder / "out/classes.txt") == "n01\nn02\n");
  CHECK(read_bytes(folder / "out/dataset.json") == dataset_to_json(info));
  CHECK_FALSE(fs::exists(folder / "out.partial"));
  const EncodedImages images = EncodedImages::open(folder / "out");
  const std::span<const uint8_t> first = images.file(0);
  CHECK(std::string(first.begin(), first.end()) == jpeg_of(21, 30));
  CHECK(images.height(0) == 21);
  CHECK(images.width(0) == 30);
  CHECK_NOTHROW(images.verify());
}

TEST_CASE("imagenet: a tree in an archive gives the same as a tree in a folder") {
  const TempDir folder;
  write_tree(folder / "in", small_tree());
  Members members = {{"some/", ""}, {"some/where/", ""}, {"some/where/train/n01/", ""}};
  for (const auto& [name, content] : small_tree())
    members.emplace_back("some/where/" + name, content);
  write_archive(folder / "tree.tar", "tar", "none", members);
  const auto a = prepare_encoded_images(imagenet({folder / "in"}, folder / "a"));
  const auto b = prepare_encoded_images(imagenet({folder / "tree.tar"}, folder / "b"));
  CHECK(listing(folder / "b") == kSmallListing);
  CHECK(read_bytes(folder / "a/index.bin") == read_bytes(folder / "b/index.bin"));
  CHECK(a.checksum == b.checksum);
}

TEST_CASE("imagenet: the archives of ILSVRC2012 are read in place") {
  const TempDir folder;
  for (const std::string name : {"n01", "n02"}) {
    Members members;
    for (const auto& [path, content] : small_tree()) {
      if (path.starts_with("train/" + name)) members.emplace_back(path.substr(10), content);
    }
    write_archive(folder / (name + ".tar"), "tar", "none", members);
  }
  const std::string train = folder / "ILSVRC2012_img_train.tar";
  write_archive(
      train, "tar", "none",
      {{"n02.tar", read_bytes(folder / "n02.tar")}, {"n01.tar", read_bytes(folder / "n01.tar")}});
  const std::string val = folder / "ILSVRC2012_img_val.tar";
  write_archive(val, "tar", "none", {{"w.JPEG", jpeg_of(26, 30)}, {"v.JPEG", jpeg_of(25, 30)}});

  PrepareOptions options = imagenet({train, val}, folder / "out");
  CHECK_THAT(imagenet_error(ExitCode::data, options), Catch::Contains("--val-labels"));
  options.encoded.val_labels = folder / "labels";
  for (const char* labels :
       {"w.JPEG n02\nv.JPEG n01\n",
        "ImageId,PredictionString\nv,n01 1 2 3 4 n01 5 6 7 8\nw,n02 1\n",
        "#!/bin/bash\nmkdir -p n01\nmkdir -p n02\nmv v.JPEG n01/\nmv w.JPEG n02/\n"}) {
    INFO(labels);
    write_bytes(folder / "labels", labels);
    prepare_encoded_images(options);
    CHECK(listing(folder / "out") == kSmallListing);
  }
  for (const auto& [labels, problem] :
       std::vector<std::pair<std::string, std::string>>{{"490\n361\n", "line 1: '490' is a number"},
                                                        {"v.JPEG 65\n", "another order"},
                                                        {"v.JPEG\n", "expected FILE CLASS"},
                                                        {"v.JPEG n01\n", "no line for 'w.JPEG'"},
                                                        {"v n01\nv n02\n", "further up"},
                                                        {"\n", "no line FILE CLASS"}}) {
    write_bytes(folder / "labels", labels);
    CHECK_THAT(imagenet_error(ExitCode::data, options), Catch::Contains(problem));
  }
}

TEST_CASE("imagenet: a flat val and an unlabelled test are told apart") {
  const TempDir folder;
  Members files = small_tree();
  files.resize(5);
  write_tree(folder / "in", files);
  write_tree(folder / "in", {{"val/v.JPEG", jpeg_of(25, 30)},
                             {"val/w.JPEG", jpeg_of(26, 30)},
                             {"test/t.JPEG", jpeg_of(26, 30)}});
  write_bytes(folder / "labels", "v.JPEG n01\nw.JPEG n02\n");
  PrepareOptions options = imagenet({folder / "in"}, folder / "out");
  options.encoded.val_labels = folder / "labels";
  std::string told;
  options.note = [&](const std::string& text) { told += text; };
  CHECK(prepare_encoded_images(options).ignored == 1);
  CHECK(listing(folder / "out") == kSmallListing);
  CHECK_THAT(told, Catch::Contains("left out: 1 pictures of test"));
  CHECK_THAT(told, !Catch::Contains("not used"));
}

TEST_CASE("imagenet: labels that no picture needs are named") {
  const TempDir folder;
  write_tree(folder / "in", small_tree());
  write_bytes(folder / "labels", "v.JPEG n01\nw.JPEG n02\n");
  PrepareOptions options = imagenet({folder / "in"}, folder / "out");
  options.encoded.val_labels = folder / "labels";
  std::string told;
  options.note = [&](const std::string& text) { told += text; };
  prepare_encoded_images(options);
  CHECK_THAT(told, Catch::Contains("labels' (--val-labels) is not used"));
}

TEST_CASE("imagenet: WebDataset's archives state classes by number or by name") {
  const TempDir folder;
  const auto shard = [&](const std::string& name, const std::string& first,
                         const std::string& second) {
    write_archive(folder / name, "tar", "none",
                  {{"0001.jpg", jpeg_of(21, 30)},
                   {"0001.cls", first},
                   {"0001.json", "{}"},
                   {"0002.cls", second},
                   {"0002.JPEG", jpeg_of(22, 30)}});
    return folder / name;
  };
  const std::vector<std::string> inputs = {shard("x-train-00.tar", "10", "2"),
                                           shard("x-train-01.tar", "0\n", "10"),
                                           shard("x-val-00.tar", "2", "0")};
  const auto info = prepare_encoded_images(imagenet(inputs, folder / "out"));
  CHECK(info.classes.size() == 11);  // a number stays what it is
  CHECK(info.classes[10] == "10");
  CHECK(info.ignored == 3);
  CHECK(listing(folder / "out") ==
        std::vector<std::string>{"train/0/x-train-01/0001.jpg 0", "train/2/x-train-00/0002.JPEG 2",
                                 "train/10/x-train-00/0001.jpg 10",
                                 "train/10/x-train-01/0002.JPEG 10", "val/0/x-val-00/0002.JPEG 0",
                                 "val/2/x-val-00/0001.jpg 2"});

  PrepareOptions listed = imagenet(inputs, folder / "listed");
  listed.encoded.classes = folder / "classes";
  write_bytes(folder / "classes", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n");
  prepare_encoded_images(listed);
  CHECK(listing(folder / "listed")[2] == "train/k/x-train-00/0001.jpg 10");
  write_bytes(folder / "classes", "a\nb\n");
  CHECK_THAT(imagenet_error(ExitCode::data, listed),
             Catch::Contains("the class 10, but --classes"));

  const std::vector<std::string> named = {shard("y-train.tar", "cat", "dog")};
  CHECK(prepare_encoded_images(imagenet(named, folder / "named")).classes ==
        std::vector<std::string>{"cat", "dog"});
  write_archive(folder / "z-train.tar", "tar", "none", {{"1.jpg", "x"}, {"2.cls", "1"}});
  CHECK_THAT(imagenet_error(ExitCode::data, imagenet({folder / "z-train.tar"}, folder / "z")),
             Catch::Contains("no '1.cls'"));
}

TEST_CASE("imagenet: a set may have more archives than a process may open files") {
  const TempDir folder;
  fs::create_directories(folder / "train");
  for (int i = 0; i < 60; ++i) {
    write_archive(folder / ("train/" + std::to_string(i) + ".tar"), "tar", "none",
                  {{"k.jpg", jpeg_of(8, 9)}, {"k.cls", "0"}});
  }
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit few{40, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  PrepareOptions options = imagenet({folder / "train"}, folder / "out");
  options.encoded.split = Split::train;
  int64_t images = 0;
  std::string problem;
  try {
    images = prepare_encoded_images(options).images();
  } catch (const Error& error) {
    problem = error.what();
  }
  ::setrlimit(RLIMIT_NOFILE, &before);
  CHECK(problem == "");
  CHECK(images == 60);
}

TEST_CASE("imagenet: a folder of classes needs its split, and may take its classes from a list") {
  const TempDir folder;
  write_tree(folder / "pictures",
             {{"n02/a.JPEG", jpeg_of(20, 30)}, {"n05/b.JPEG", jpeg_of(21, 30)}});
  PrepareOptions options = imagenet({folder / "pictures"}, folder / "out");
  CHECK_THAT(imagenet_error(ExitCode::usage, options), Catch::Contains("give --split"));
  options.encoded.split = Split::valid;
  std::string told;
  options.note = [&](const std::string& text) { told += text; };
  prepare_encoded_images(options);
  CHECK(listing(folder / "out") ==
        std::vector<std::string>{"val/n02/a.JPEG 0", "val/n05/b.JPEG 1"});
  CHECK_THAT(told, Catch::Contains("there is no train split"));

  options.replace = true;
  options.encoded.classes = folder / "synsets.txt";
  write_bytes(folder / "synsets.txt", "n01 tench\nn02 goldfish, Carassius\nn05 ray\r\n\n");
  const auto info = prepare_encoded_images(options);
  CHECK(info.classes == std::vector<std::string>{"n01", "n02", "n05"});
  CHECK(listing(folder / "out") ==
        std::vector<std::string>{"val/n02/a.JPEG 1", "val/n05/b.JPEG 2"});
  write_bytes(folder / "synsets.txt", "n01\nn02\n");
  CHECK_THAT(imagenet_error(ExitCode::data, options),
             Catch::Contains("not in the list") && Catch::Contains("\n  n05"));
  write_bytes(folder / "synsets.txt", "n01\nn01\n");
  CHECK_THAT(imagenet_error(ExitCode::data, options), Catch::Contains("line 2"));

  fs::rename(folder / "pictures", folder / "train");  // a name may tell it, too
  CHECK(prepare_encoded_images(imagenet({folder / "train"}, folder / "out2"))
            .split_size(Split::train) == 2);
}

TEST_CASE("imagenet: classes that val or train alone has are named") {
  CHECK_THAT(error_of_tree({{"val/n03/x.JPEG", jpeg_of(9, 9)}}),
             Catch::Contains("not in train") && Catch::Contains("\n  n03"));
  CHECK_THAT(error_of_tree({{"train/n00/x.bmp", "BM"}}),
             Catch::Contains("no picture") && Catch::Contains("\n  n00"));
  const TempDir folder;
  write_tree(folder / "in", small_tree());
  write_tree(folder / "in", {{"train/n00/notes", "none yet"}});
  PrepareOptions options = imagenet({folder / "in"}, folder / "out");
  options.encoded.classes = folder / "classes";
  write_bytes(folder / "classes", "n00\nn01\nn02\n");
  CHECK(prepare_encoded_images(options).classes.size() == 3);
  CHECK(listing(folder / "out").front() == "train/n01/a.JPEG 1");
}

TEST_CASE("imagenet: names of any bytes are kept and shown") {
  const TempDir folder;
  write_tree(folder / "in", {{"train/n01/gr\xfc\xdf\n.JPEG", jpeg_of(9, 9)},
                             {"train/n01/größe.JPEG", jpeg_of(8, 9)}});
  prepare_encoded_images(imagenet({folder / "in"}, folder / "out"));
  CHECK(listing(folder / "out") ==
        std::vector<std::string>{"train/n01/größe.JPEG 0", "train/n01/gr\\xfc\\xdf\\x0a.JPEG 0"});
  write_tree(folder / "in", {{"train/n01/t\xe4.JPEG", "torn"}});
  CHECK_THAT(imagenet_error(ExitCode::data, imagenet({folder / "in"}, folder / "out2")),
             Catch::Contains("in/train/n01/t\\xe4.JPEG' is neither a JPEG nor a PNG"));
}

TEST_CASE("imagenet: data that is not prepared yet comes with the command that does it") {
  const TempDir folder;
  write_archive(folder / "imagenette.tar", "tar", "none", small_tree());
  const std::string error =
      error_of(ExitCode::data, [&] { EncodedImages::open(folder / "imagenette"); });
  CHECK_THAT(error, Catch::Contains("ssa-data prepare imagenet --input " +
                                    (folder / "imagenette.tar") + " --output"));
}

TEST_CASE("imagenet: inputs that cannot be meant are refused") {
  const TempDir folder;
  write_tree(folder / "in", small_tree());
  const auto error = [&](ExitCode code, const std::vector<std::string>& inputs) {
    return imagenet_error(code, imagenet(inputs, folder / "out"));
  };
  CHECK_THAT(error(ExitCode::usage, {folder / "in", folder / "in/"}),
             Catch::Contains("is given twice"));
  write_tree(folder / "copy", {{"train/n01/a.JPEG", jpeg_of(9, 9)}});
  CHECK_THAT(error(ExitCode::data, {folder / "in", folder / "copy"}),
             Catch::Contains("the same name"));
  write_archive(folder / "tree.tar.gz", "tar", "gzip", small_tree());
  CHECK_THAT(error(ExitCode::data, {folder / "tree.tar.gz"}), Catch::Contains("unpack it"));
  write_bytes(folder / "plain", "no archive");
  CHECK_THAT(error(ExitCode::data, {folder / "plain"}), Catch::Contains("at byte 0"));
  write_archive(folder / "train.tar", "tar", "none", {{"notes", "text"}});
  CHECK_THAT(error(ExitCode::data, {folder / "train.tar"}), Catch::Contains("holds no picture"));
  write_tree(folder / "in", {{"train/x.JPEG", jpeg_of(9, 9)}});
  CHECK_THAT(error(ExitCode::data, {folder / "in"}),
             Catch::Contains("in/train/x.JPEG' does not lie in a folder of its class"));
}
