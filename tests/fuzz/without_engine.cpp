// Stands for the parts of the engine that count what a run computes, which parsers call but do not
// need: with them the fuzz build would have to compile every kernel.

#include "ssa/core/error.h"
#include "ssa/tasks/cost.h"
#include "ssa/tasks/load.h"

namespace ssa {

namespace {

[[noreturn]] void refuse() { throw ConfigError("the fuzz build has no models"); }

}  // namespace

std::unique_ptr<Task> make_task(const Config&) { refuse(); }
Config counted_in_steps(const Config&) { refuse(); }
Config load_task_config(const std::string&, const std::vector<std::string>&) { refuse(); }
TrainingCost training_cost(const Config&, const TaskFactory&) { refuse(); }
int64_t parameter_count(const Config&, const TaskFactory&) { refuse(); }

}  // namespace ssa
