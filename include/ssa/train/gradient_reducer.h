#pragma once

#include <string>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/dist/communicator.h"
#include "ssa/train/parameter_piece.h"

namespace ssa {

/// Sums the gradients of all ranks, a bucket of parameters at a time, while backward computes the
/// next ones. The leaves collect their gradients in the buckets, so that sums in fp32 copy nothing.
/// The losses of a rank are weighted by the global batch: sums need no division.
///
/// With distributed.shard_optimizer (ZeRO stage 1, Rajbhandari et al. 2020) a rank gets the sums of
/// its part of every bucket only, updates those pieces of the parameters, and is sent the others.
///
/// All ranks make the same calls; they throw PeerError if another rank fails. One rank alone keeps
/// its gradients where they were: then nothing here does anything.
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

  /// The next backward pass is the step's last: from here on what is complete is sent. Earlier
  /// passes only add to the gradients.
  void begin_last_backward();
  /// Sends the rest and waits. From here on the gradients of pieces() are sums over the ranks, and
  /// a parameter has one if it has one on any rank. Other pieces' gradients are undefined.
  void finish();
  /// After an update: sends every rank the pieces that others have updated. Forgets the gradients,
  /// whose memory it uses.
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
