#include "ssa/train/gradient_reducer.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "ssa/backend/backend.h"
#include "ssa/core/trace_range.h"

#include "train/bucket_layout.h"

namespace ssa {

struct GradientReducer::Bucket {
  BucketLayout layout;
  Tensor gradients;                    // flat; the leaves' buffers are its parts
  int64_t own_begin = 0, own_end = 0;  // elements whose sums this rank gets
  size_t incomplete = 0;               // parameters, since begin_last_backward()
  Tensor sent;                         // being sent: `gradients`, or its copy in another dtype
  int64_t sent_at = 0;                 // trace_clock()
  PendingCollective pending;

  Tensor own(const Tensor& flat) const { return flat.slice(0, own_begin, own_end - own_begin); }
};

namespace {

CollectiveBuffer buffer_of(Tensor tensor) { return {tensor.raw(), tensor.numel(), tensor.dtype()}; }

/// Keeps memory alive that a collective may still write to, although nobody waits for it any more
/// because an error is ending the process.
void keep_until_exit(const Tensor& tensor) {
  static std::mutex mutex;
  static auto* const kept = new std::vector<Tensor>;
  const std::lock_guard lock(mutex);
  kept->push_back(tensor);
}

bool is_under_way(const PendingCollective& pending) {
  try {
    return !pending.done();
  } catch (const std::exception&) {
    return true;
  }
}

}  // namespace

GradientReducer::GradientReducer(const ParameterStore& parameters, Communicator& ranks,
                                 const DistributedConfig& config)
    : parameters_(parameters), ranks_(ranks), config_(config) {
  if (ranks.size() > 1 && !parameters.all().empty()) add_buckets();
}

GradientReducer::~GradientReducer() {
  for (const Bucket& bucket : buckets_) {
    for (const BucketSlot& slot : bucket.layout.slots) {
      parameters_.all()[slot.parameter].variable.on_grad_complete({});
    }
    if (!is_under_way(bucket.pending)) continue;
    keep_until_exit(bucket.gradients);
    keep_until_exit(bucket.sent);
  }
  if (is_under_way(flags_pending_)) keep_until_exit(flags_);
}

void GradientReducer::add_buckets() {
  const auto zeros = [&](int64_t count) {
    return Tensor::zeros({count}, parameters_.dtype(), parameters_.device(),
                         MemoryCategory::gradients);
  };
  const auto flags = static_cast<int64_t>(parameters_.all().size());
  std::vector<BucketLayout> layouts =
      lay_out_buckets(parameters_.all(), parameters_.dtype(), config_, ranks_.size());
  for (size_t number = 0; number < layouts.size(); ++number) {
    Bucket& bucket = buckets_.emplace_back();
    bucket.layout = std::move(layouts[number]);
    // Every rank needs all flags, so they can only come with sums that every rank gets.
    const bool has_flags = !config_.shard_optimizer && number + 1 == layouts.size();
    const int64_t count = bucket.layout.count, part = count / ranks_.size();
    bucket.gradients = zeros(count + (has_flags ? flags : 0));
    if (has_flags) flags_ = bucket.gradients.slice(0, count, flags);
    bucket.own_begin = config_.shard_optimizer ? ranks_.rank() * part : 0;
    bucket.own_end = config_.shard_optimizer ? bucket.own_begin + part : bucket.gradients.numel();
    for (const BucketSlot& slot : bucket.layout.slots) {
      const Parameter& parameter = parameters_.all()[slot.parameter];
      parameter.variable.set_grad_buffer(
          bucket.gradients.slice(0, slot.offset, slot.count).view(parameter.shape));
      if (!config_.overlap) continue;
      parameter.variable.on_grad_complete(
          [this, number, index = slot.parameter] { completed(number, index); });
    }
  }
  if (!flags_.defined()) flags_ = zeros(flags);
}

std::vector<ParameterPiece> GradientReducer::pieces() const {
  if (buckets_.empty()) return whole_parameters(parameters_);
  std::vector<ParameterPiece> pieces;
  for (const Bucket& bucket : buckets_) {
    for (const PlacedPiece& placed :
         pieces_between(bucket.layout, bucket.own_begin, bucket.own_end)) {
      pieces.push_back(placed.piece);
    }
  }
  std::sort(pieces.begin(), pieces.end(), [](const ParameterPiece& a, const ParameterPiece& b) {
    return a.parameter < b.parameter;
  });
  return pieces;
}

void GradientReducer::begin_last_backward() {
  if (buckets_.empty()) return;
  SSA_CHECK(!armed_, "begin_last_backward(): the step before has not been finished");
  armed_ = true;
  next_ = 0;
  completed_.assign(parameters_.all().size(), false);
  for (Bucket& bucket : buckets_) bucket.incomplete = bucket.layout.slots.size();
}

void GradientReducer::completed(size_t bucket, size_t parameter) {
  if (!armed_) return;
  SSA_CHECK(!completed_[parameter],
            "the gradient of {} changes after it was complete: another backward pass follows the "
            "one that was announced as the step's last",
            parameters_.all()[parameter].name);
  completed_[parameter] = true;
  --buckets_[bucket].incomplete;
  while (next_ < buckets_.size() && buckets_[next_].incomplete == 0) launch(next_++);
}

void GradientReducer::finish() {
  if (buckets_.empty()) return;
  SSA_CHECK(armed_, "finish(): no backward pass was announced as the step's last");
  armed_ = false;
  while (next_ < buckets_.size()) launch(next_++);
  for (size_t number = 0; number < buckets_.size(); ++number) {
    take_sums(buckets_[number]);
    trace_beside("sums of gradients", "bucket", static_cast<int64_t>(number),
                 buckets_[number].sent_at);
  }
  flags_pending_.wait();
  flags_pending_ = {};
  read_flags();
}

/// Sends a bucket, in the same order on all ranks.
void GradientReducer::launch(size_t number) {
  Bucket& bucket = buckets_[number];
  Backend& compute = backend(parameters_.device());
  for (const BucketSlot& slot : bucket.layout.slots) {
    if (parameters_.all()[slot.parameter].variable.grad().defined()) continue;
    Tensor none = bucket.gradients.slice(0, slot.offset, slot.count);
    compute.fill(none, 0.0);
  }
  const bool last = number + 1 == buckets_.size();
  if (last) write_flags();
  bucket.sent = bucket.gradients;
  if (config_.reduce_precision == ReducePrecision::bf16) {
    bucket.sent = Tensor::empty(bucket.gradients.shape(), DType::bf16, parameters_.device(),
                                MemoryCategory::gradients);
    compute.copy(bucket.gradients, bucket.sent);
  }
  std::string what = fmt::format("gradient bucket {} of {}", number + 1, buckets_.size());
  bucket.sent_at = trace_clock();
  bucket.pending = config_.shard_optimizer
                       ? ranks_.reduce_scatter(buffer_of(bucket.sent), std::move(what))
                       : ranks_.all_reduce(buffer_of(bucket.sent), std::move(what));
  if (last && config_.shard_optimizer) {
    flags_pending_ = ranks_.all_reduce(buffer_of(flags_), "gradient flags");
  }
}

void GradientReducer::take_sums(Bucket& bucket) {
  bucket.pending.wait();
  bucket.pending = {};
  if (bucket.sent.dtype() != bucket.gradients.dtype()) {
    Tensor sums = bucket.own(bucket.gradients);
    backend(sums.device()).copy(bucket.own(bucket.sent), sums);
  }
  bucket.sent = {};
}

/// 1 for each parameter that has a gradient here.
void GradientReducer::write_flags() {
  std::vector<float> flags;
  for (const Parameter& parameter : parameters_.all()) {
    flags.push_back(parameter.variable.grad().defined() ? 1.0f : 0.0f);
  }
  backend(flags_.device()).copy(Tensor::from(flags, flags_.shape(), flags_.device()), flags_);
}

/// What has a gradient on another rank has one here: the sum, which is in its buffer.
void GradientReducer::read_flags() {
  Tensor flags = Tensor::empty(flags_.shape(), DType::f32, flags_.device());
  backend(flags_.device()).copy(flags_, flags);
  flags = flags.on_host();
  const float* flag = std::as_const(flags).data<float>();
  for (size_t i = 0; i < parameters_.all().size(); ++i) {
    const Variable& variable = parameters_.all()[i].variable;
    if (flag[i] > 0 && !variable.grad().defined()) variable.slot().target();
  }
}

void GradientReducer::share_parameters() {
  if (buckets_.empty() || !config_.shard_optimizer) return;
  for (size_t number = 0; number < buckets_.size(); ++number) {
    send_updated(buckets_[number],
                 fmt::format("parameters of bucket {} of {}", number + 1, buckets_.size()));
  }
  for (Bucket& bucket : buckets_) take_updated(bucket);
  parameters_.zero_grad();
}

void GradientReducer::send_updated(Bucket& bucket, const std::string& what) {
  Backend& compute = backend(parameters_.device());
  for (const auto& [piece, offset] :
       pieces_between(bucket.layout, bucket.own_begin, bucket.own_end)) {
    const Tensor& value = parameters_.all()[piece.parameter].variable.value();
    Tensor place = bucket.gradients.slice(0, offset, piece.numel());
    compute.copy(elements_of(piece, value).view(place.shape()), place);
  }
  bucket.sent = bucket.gradients;
  bucket.pending = ranks_.all_gather(buffer_of(bucket.sent), what);
}

void GradientReducer::take_updated(Bucket& bucket) {
  bucket.pending.wait();
  bucket.pending = {};
  bucket.sent = {};
  for (const BucketSlot& slot : bucket.layout.slots) {
    const Parameter& parameter = parameters_.all()[slot.parameter];
    Tensor value = parameter.variable.value();
    backend(value.device())
        .copy(bucket.gradients.slice(0, slot.offset, slot.count).view(parameter.shape), value);
  }
}

}  // namespace ssa
