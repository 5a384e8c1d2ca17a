#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace ssa {

/// Calls start(name), then add(number) for each number, of every array in an .npz file of NumPy
/// (np.savez or np.savez_compressed). Throws DataError for anything but arrays of one axis of 32-
/// or 64-bit integers.
void read_npz(const std::string& path, const std::function<void(const std::string& name)>& start,
              const std::function<void(int64_t number)>& add);

}  // namespace ssa
