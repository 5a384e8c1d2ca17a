#pragma once

#include <string>

#include "ssa/tasks/task.h"

namespace ssa {

/// The text of a run folder's start.json: when the run was started or resumed, with what, and on
/// which machine and data.
std::string start_record(const std::string& device, int ranks, const DataIdentity& data);

}  // namespace ssa
