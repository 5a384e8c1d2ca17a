#include "support/mpirun.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ssa::testing {

namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

/// A file that nobody else uses, gone at the end.
struct ScratchFile {
  fs::path path;
  ScratchFile() {
    static int number = 0;
    path = fs::temp_directory_path() / fmt::format("ssa_mpirun_{}_{}", ::getpid(), ++number);
  }
  ~ScratchFile() { fs::remove(path); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
};

int run_shell(const std::string& command) {
  const int status = std::system(command.c_str());
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/// Processes with this variable in their environment.
int count_marked(const std::string& mark) {
  int count = 0;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc", error)) {
    const std::string environment = text_of(entry.path() / "environ");
    if (environment.find(mark) != std::string::npos) ++count;
  }
  return count;
}

/// The same, when those that are about to end have had time to.
int count_left_behind(const std::string& mark) {
  int count = count_marked(mark);
  for (int i = 0; i < 50 && count > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    count = count_marked(mark);
  }
  return count;
}

}  // namespace

std::string why_no_mpirun() {
  const ScratchFile file;
  const int code =
      run_shell(fmt::format("'{}' --version > {} 2>&1", SSA_MPIEXEC, file.path.string()));
  if (code != 0) return fmt::format("{} does not run", SSA_MPIEXEC);
  const std::string version = text_of(file.path);  // mpiexec calls itself OpenRTE
  if (version.find("Open MPI") == std::string::npos &&
      version.find("OpenRTE") == std::string::npos) {
    return fmt::format("{} is not Open MPI's", SSA_MPIEXEC);
  }
  return "";
}

MpiJob mpirun(int ranks, const std::string& program, const std::vector<std::string>& arguments,
              bool survive) {
  const ScratchFile file;
  const std::string mark = "SSA_MPIRUN_TEST=" + file.path.string();
  std::string command =
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 " + mark +
      fmt::format(" timeout -k 5 100 '{}' --oversubscribe --bind-to none -n {}", SSA_MPIEXEC,
                  ranks);
  if (survive) {
    command +=
        R"( --enable-recovery sh -c '"$0" "$@"; echo rank $OMPI_COMM_WORLD_RANK returned $?')";
  }
  command += fmt::format(" '{}/{}'", SSA_BIN_DIR, program);
  for (const std::string& argument : arguments) command += fmt::format(" '{}'", argument);
  MpiJob job;
  job.code = run_shell(command + " > " + file.path.string() + " 2>&1");
  job.output = text_of(file.path);
  job.left_behind = count_left_behind(mark);
  return job;
}

pid_t process_of_rank(const std::string& folder, int rank) {
  const std::string variable = fmt::format("OMPI_COMM_WORLD_RANK={}", rank) + '\0';
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc", error)) {
    if (fs::read_symlink(entry.path() / "exe", error).filename() != "ssa-train") continue;
    if (text_of(entry.path() / "cmdline").find(folder) == std::string::npos) continue;
    const std::string environment = text_of(entry.path() / "environ") + '\0';
    if (environment.find(variable) != std::string::npos) return std::stoi(entry.path().filename());
  }
  return -1;
}

void kill_launcher(const std::string& folder) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc", error)) {
    if (fs::read_symlink(entry.path() / "exe", error).filename() != "orterun") continue;
    if (text_of(entry.path() / "cmdline").find(folder) == std::string::npos) continue;
    ::kill(std::stoi(entry.path().filename()), SIGKILL);
  }
}

}  // namespace ssa::testing
