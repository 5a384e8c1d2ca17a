#pragma once

#include "ssa/config/task_kind.h"

#include "config/apply.h"
#include "config/problems.h"

namespace ssa {

/// Reports each key and section that was set though `task` does not have it. For a section, its
/// keys are not listed again.
void check_task_keys(const FieldList& fields, TaskKind task, const Origins& origins,
                     Problems& problems);

}  // namespace ssa
