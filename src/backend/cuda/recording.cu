// Work captured as CUDA graphs.

#include "ssa/core/allocator.h"

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/error_record.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/recording.h"

namespace ssa {
namespace cuda {
namespace {

bool is_recording = false;  // calls come from one thread

/// The word that StepKey::shift points to. Never freed: kernels may read it until the end.
uint32_t* shift_word() {
  static uint32_t* const word = [] {
    uint32_t* made = nullptr;
    check(cudaMalloc(reinterpret_cast<void**>(&made), sizeof *made), "allocating a step's number");
    check(cudaMemsetAsync(made, 0, sizeof *made, stream()), "clearing a step's number");
    return made;
  }();
  return word;
}

__global__ void write_word(uint32_t* word, uint32_t value) { *word = value; }

void set_shift(uint32_t value) {
  launch("replay", write_word, dim3(1), dim3(1), 0, shift_word(), value);
}

/// Captures what work() queues on the stream as a graph, without running it.
cudaGraph_t capture(const std::function<void()>& work) {
  cudaGraph_t graph = nullptr;
  // Relaxed: memory may be allocated during the capture.
  check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeRelaxed), "beginning to record");
  is_recording = true;
  try {
    work();
  } catch (...) {
    is_recording = false;
    cudaStreamEndCapture(stream(), &graph);
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  is_recording = false;
  check(cudaStreamEndCapture(stream(), &graph), "recording");
  return graph;
}

class RecordedGraph : public RecordedWork {
 public:
  RecordedGraph(uint32_t step, const std::function<void()>& work)
      : step_(step), memory_(allocator(Device::cuda).reserve()) {
    shift_word();  // allocated and cleared before the capture
    error_record();
    const cudaGraph_t graph = capture(work);
    memory_->close();
    const cudaError_t status = cudaGraphInstantiate(&exec_.graph, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "making an executable graph");
    // Allocates the graph's own device memory now, so that the first replay cannot fail for lack of
    // it.
    check(cudaGraphUpload(exec_.graph, stream()), "bringing a graph to the GPU");
  }
  RecordedGraph(const RecordedGraph&) = delete;
  RecordedGraph& operator=(const RecordedGraph&) = delete;

  bool usable() const override { return memory_->holds(); }
  void replay(uint32_t step) override {
    SSA_CHECK(usable(), "replay: the memory of the recorded work was given away");
    set_shift(step - step_);
    const cudaError_t status = cudaGraphLaunch(exec_.graph, stream());
    set_shift(0);
    check(status, "launching a graph");
  }

 private:
  struct Executable {
    cudaGraphExec_t graph = nullptr;
    ~Executable() {
      if (!graph) return;
      cudaStreamSynchronize(stream());
      cudaGraphExecDestroy(graph);
    }
  };
  uint32_t step_;
  std::unique_ptr<CachingAllocator::Reservation> memory_;
  Executable exec_;
};

}  // namespace

StepKey step_key(const RngKey& key) { return {key, shift_word()}; }

void require_not_recording(std::string_view what) {
  if (!is_recording) return;
  throw Error(ExitCode::usage, fmt::format("CUDA: {} cannot be recorded in a graph", what));
}

}  // namespace cuda

std::unique_ptr<RecordedWork> CudaBackend::record(uint32_t step,
                                                  const std::function<void()>& work) {
  return std::make_unique<cuda::RecordedGraph>(step, work);
}

}  // namespace ssa
