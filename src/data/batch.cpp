#include "ssa/data/batch.h"

#include <algorithm>

namespace ssa {

BatchField::BatchField(std::string name, DType dtype, const Shape& shape)
    : name_(std::move(name)),
      dtype_(dtype),
      shape_(shape),
      bytes_(static_cast<size_t>(shape.numel()) * size_of(dtype)) {}

void BatchField::require(DType dtype) const {
  SSA_CHECK(dtype == dtype_, "batch: field {} holds {}, not {}", name_, ssa::name(dtype_),
            ssa::name(dtype));
}

namespace {

template <class Fields>
auto& find_field(Fields& fields, std::string_view name) {
  const auto found = std::find_if(fields.begin(), fields.end(),
                                  [&](const BatchField& field) { return field.name() == name; });
  if (found != fields.end()) return *found;
  std::vector<std::string> names;
  for (const BatchField& field : fields) names.push_back(field.name());
  throw ShapeError("batch: there is no field {}, only {}", name, fmt::join(names, ", "));
}

}  // namespace

const BatchField& Batch::field(std::string_view name) const { return find_field(fields_, name); }
BatchField& Batch::field(std::string_view name) { return find_field(fields_, name); }

BatchField& Batch::add(std::string name, DType dtype, const Shape& shape) {
  for (const BatchField& field : fields_) {
    SSA_CHECK(field.name() != name, "batch: two fields are called {}", name);
  }
  return fields_.emplace_back(std::move(name), dtype, shape);
}

}  // namespace ssa
