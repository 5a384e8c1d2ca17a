#include "dist/mpi_transport.h"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>

#include <mpi.h>

#include "dist/leave_process.h"
#include "dist/mpi_exchange.h"

namespace ssa::dist {

namespace {

/// The library's name and version, such as "Open MPI v4.1.4", from a longer text.
std::string library_version() {
  std::string text(MPI_MAX_LIBRARY_VERSION_STRING, '\0');
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  text.resize(std::min(text.find_first_of(",\n"), static_cast<size_t>(length)));
  std::replace(text.begin(), text.end(), '\t', ' ');
  return text;
}

class MpiTransport final : public Transport {
 public:
  MpiTransport() {
    int initialized = 0, threads = MPI_THREAD_SINGLE;
    MPI_Initialized(&initialized);
    if (initialized) throw ConfigError("MPI has been initialized: one communicator a process");
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &threads), "MPI_Init_thread");
    if (threads < MPI_THREAD_FUNNELED) {
      throw ConfigError("{} allows no threads: MPI_THREAD_FUNNELED is needed", library_version());
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &peers_.communicator), "MPI_Comm_dup");
    MPI_Comm_set_errhandler(peers_.communicator, MPI_ERRORS_RETURN);
    MPI_Comm_rank(peers_.communicator, &peers_.rank);
    MPI_Comm_size(peers_.communicator, &peers_.size);
    MPI_Comm machine = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split_type(peers_.communicator, MPI_COMM_TYPE_SHARED, peers_.rank,
                                  MPI_INFO_NULL, &machine),
              "MPI_Comm_split_type");
    MPI_Comm_rank(machine, &local_rank_);
    MPI_Comm_size(machine, &local_size_);
    MPI_Comm_free(&machine);
  }

  int rank() const override { return peers_.rank; }
  int size() const override { return peers_.size; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  std::string description() const override { return "MPI (" + library_version() + ")"; }

  std::unique_ptr<Running> start(const Request& request, std::chrono::duration<double>) override {
    return std::make_unique<MpiExchange>(peers_, request);
  }

  void idle() override {
    int there = 0;  // unused: every call lets MPI make progress
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, peers_.communicator, &there, MPI_STATUS_IGNORE);
  }

  void shut_down() override {
    MPI_Comm_free(&peers_.communicator);
    MPI_Finalize();
  }

  [[noreturn]] void abort(ExitCode code) override {
    std::cout.flush();
    std::fflush(nullptr);
    MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
    leave_process(code);
  }

 private:
  MpiPeers peers_;
  int local_rank_ = 0, local_size_ = 1;
};

}  // namespace

std::unique_ptr<Transport> make_mpi_transport() { return std::make_unique<MpiTransport>(); }

}  // namespace ssa::dist
