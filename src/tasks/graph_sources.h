#pragma once

#include "ssa/config/config.h"
#include "ssa/core/philox.h"
#include "ssa/data/batch.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// Draws the sources of the layers that sample, and adds them to a batch of graphs as the fields
/// `sampled.L`, `sources.L` and `source_rows.L` or `classes.L` of Egt.
///
/// unbiased: of a graph of n atoms, round((1 - drop)·n) are kept, and all virtual nodes; or of all
/// its nodes as many, one at least, with ssa.virtual_nodes: sample. local: the atoms on their line
/// are shuffled and cut into windows like a sequence (PlanKind::local_1d), whose sizes differ by
/// one at most. A graph of fewer atoms has fewer windows. Virtual nodes see all nodes, and all see
/// them.
///
/// `key` is that of Task::draw(). With ssa.scope: sample the draw of a graph depends on its number
/// in the data set, in training also on the step, in an ensemble on the sub-model: neither on the
/// batch nor on the ranks. With batch, all graphs that a rank draws in a step read the same words;
/// in an ensemble all graphs of a sub-model.
void add_sources(Batch& batch, const Config& config, Use use, const RngKey& key);

}  // namespace ssa
