// Gives every file of a corpus to a fuzz target, in builds without libFuzzer.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "fuzz/support.h"

namespace {

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::vector<std::string> files = files_in(argv[1]);
  run("");
  for (const std::string& file : files) {
    std::printf("%s\n", file.c_str());  // the last one is at fault if the target ends the process
    std::fflush(stdout);
    run(ssa::testing::read_bytes(file));
  }
  return files.empty() ? 1 : 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "this exception is not documented: %s\n", error.what());
  return 1;
}
