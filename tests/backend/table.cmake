# The table of conformance tests: what every backend must do. Relative to tests/backend; device
# programs add a file that defines device_under_test.h.
set(SSA_BACKEND_TABLE
  attention_reading_test.cpp attention_relative_test.cpp attention_test.cpp batched_matmul_test.cpp
  elementwise_test.cpp graph_attention_test.cpp low_precision_test.cpp masked_softmax_test.cpp matmul_test.cpp
  optimizers_test.cpp packed_test.cpp pictures_test.cpp rows_test.cpp soft_cross_entropy_test.cpp)
# What only the backend of GPUs has.
set(SSA_CUDA_TABLE epilogues_test.cpp recording_test.cpp)
