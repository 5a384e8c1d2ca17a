#pragma once

#include <string>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/dist/communicator.h"
#include "ssa/train/parameter_piece.h"

namespace ssa {

/// Sums the gradients over all ranks, one bucket of parameters at a time, while the backward pass
/// computes the next bucket. Gradients are collected in the buckets themselves, so fp32 sums need
/// no copy. Each rank weights its losses by the global batch, so the sums need no division.
///
/// With distributed.shard_optimizer (ZeRO stage 1, Rajbhandari et al. 2020) a rank receives only
/// the sums of its part of every bucket. It updates those pieces of the parameters and receives the
/// other pieces from the ranks that updated them.
///
/// All ranks make the same calls; these throw PeerError if another rank fails. With a single rank
/// there are no buckets and all calls do nothing.
class GradientReducer {
 public:
  /// Both must outlive it.
  GradientReducer(const ParameterStore& parameters, Communicator& ranks,
                  const DistributedConfig& config);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// What this rank updates, in the parameters' order: everything, or its share.
  std::vector<ParameterPiece> pieces() const;

  /// Announces the step's last backward pass: a bucket is sent as soon as its gradients are
  /// complete. Earlier passes only add to the gradients.
  void begin_last_backward();
  /// Sends the remaining buckets and waits. Then the gradients of pieces() are sums over the ranks;
  /// a parameter has a gradient if it has one on any rank. Other pieces' gradients are undefined.
  void finish();
  /// Call after an update: sends the updated pieces to all ranks. The gradients are lost, because
  /// their memory is used for it.
  void share_parameters();

 private:
  struct Bucket;

  void add_buckets();
  void completed(size_t bucket, size_t parameter);
  void launch(size_t number);
  void write_flags();
  void read_flags();
  void take_sums(Bucket& bucket);
  void send_updated(Bucket& bucket, const std::string& what);
  void take_updated(Bucket& bucket);

  const ParameterStore& parameters_;
  Communicator& ranks_;
  DistributedConfig config_;
  std::vector<Bucket> buckets_;  // in the order in which they are sent; none on one rank
  Tensor flags_;                 // (parameters): on how many ranks each has a gradient
  PendingCollective flags_pending_;
  bool armed_ = false;           // between begin_last_backward() and finish()
  std::vector<bool> completed_;  // by parameter, since begin_last_backward()
  size_t next_ = 0;              // bucket to be sent
};

}  // namespace ssa
