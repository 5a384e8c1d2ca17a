# Every file with kernels and what launches them, relative to this folder. They are compiled twice:
# for devices by nvcc (src/backend/cuda), and as plain C++ by tests/cuda_emulation.
set(SSA_CUDA_KERNEL_SOURCES
  attention.cpp
  attention_backward.cu
  attention_f32.cu
  attention_forward.cu
  attention_logit_gradients.cu
  attention_sums.cu
  attention_tiling.cpp
  column_sum.cu
  copy.cu
  cross_entropy.cu
  cuda_backend.cpp
  device_memory.cu
  elementwise.cu
  embedding.cu
  error_record.cu
  gather.cu
  launch.cpp
  layer_norm.cu
  masked_softmax.cu
  optimizers.cu
  products.cu
  recording.cu
  reductions.cu
  sort_ids.cu)
