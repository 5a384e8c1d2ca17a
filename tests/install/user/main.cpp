// Counts the parameters of a model, which takes config, task, model and backend.

#include <iostream>

#include "ssa/config/config.h"
#include "ssa/core/version.h"
#include "ssa/tasks/cost.h"

int main() {
  const ssa::Config config = ssa::parse_config(
      "task: byte_lm\n"
      "model: {layers: 1, width: 8, heads: 2, ffn_width: 16}\n"
      "data: {path: text, length: 16}\n",
      "main.cpp");
  const auto parameters = ssa::parameter_count(config);
  std::cout << "ssa " << ssa::version() << ": " << parameters << " parameters\n";
  return parameters > 0 ? 0 : 1;
}
