#pragma once

#include "backend/cpu/kernels/kernels.h"

// Each kernel file fills its part of the table of the instruction set it is compiled for.
namespace ssa::cpu::SSA_KERNEL_ISA {

void fill_elementwise(Kernels& table);
void fill_rows(Kernels& table);
void fill_optimizers(Kernels& table);
void fill_attention_forward(Kernels& table);
void fill_attention_backward(Kernels& table);

const Kernels& kernel_table();

}  // namespace ssa::cpu::SSA_KERNEL_ISA
