#pragma once

#include "backend/cpu/kernels/kernels.h"

// Each kernel file fills its part of the table of the instruction set it is compiled for.
namespace ssa::cpu::SSA_KERNEL_ISA {

void fill_elementwise(Kernels& table);
void fill_rows(Kernels& table);
void fill_optimizers(Kernels& table);
void fill_attention_forward(Kernels& table);
void fill_attention_backward(Kernels& table);
void fill_graph_attention(Kernels& table);
void fill_int8_product(Kernels& table);
#if defined(__AMX_BF16__)
// They replace the kernels above for bf16.
void fill_attention_amx_forward(Kernels& table);
void fill_attention_amx_backward(Kernels& table);
void fill_transposed_product_amx(Kernels& table);
#endif

const Kernels& kernel_table();

}  // namespace ssa::cpu::SSA_KERNEL_ISA
