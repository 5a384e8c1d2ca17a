#include "backend/cpu/kernels/table.h"

#define SSA_TEXT_OF(name) #name
#define SSA_TEXT(name) SSA_TEXT_OF(name)

namespace ssa::cpu::SSA_KERNEL_ISA {

const Kernels& kernel_table() {
  static const Kernels table = [] {
    Kernels filled{};
    filled.isa = SSA_TEXT(SSA_KERNEL_ISA);
    fill_elementwise(filled);
    fill_rows(filled);
    fill_optimizers(filled);
    fill_attention_forward(filled);
    fill_attention_backward(filled);
    fill_graph_attention(filled);
    fill_int8_product(filled);
#if defined(__AMX_BF16__)
    fill_attention_amx_forward(filled);
    fill_attention_amx_backward(filled);
    fill_transposed_product_amx(filled);
#endif
    return filled;
  }();
  return table;
}

}  // namespace ssa::cpu::SSA_KERNEL_ISA
