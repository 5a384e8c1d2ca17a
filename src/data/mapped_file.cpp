#include "ssa/data/mapped_file.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ssa/core/error.h"

namespace ssa {

MappedFile::MappedFile(std::string path) : path_(std::move(path)) {
  // Without O_NONBLOCK a pipe would wait for a writer before it is refused below.
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) throw DataError("cannot open '{}': {}", path_, std::strerror(errno));
  try {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) {
      throw DataError("cannot read the size of '{}': {}", path_, std::strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) throw DataError("'{}' is not a regular file", path_);
    if (status.st_size == 0) throw DataError("'{}' is empty (0 bytes)", path_);
    size_ = status.st_size;
    void* address = ::mmap(nullptr, static_cast<size_t>(size_), PROT_READ, MAP_SHARED, descriptor_,
                           /*offset=*/0);
    if (address == MAP_FAILED) {
      throw DataError("cannot map '{}' ({} bytes): {}", path_, size_, std::strerror(errno));
    }
    data_ = static_cast<const uint8_t*>(address);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

MappedFile::~MappedFile() {
  ::munmap(const_cast<uint8_t*>(data_), static_cast<size_t>(size_));
  ::close(descriptor_);
}

void MappedFile::check_size() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) {
    throw DataError("cannot read the size of '{}': {}", path_, std::strerror(errno));
  }
  if (status.st_size < size_) {
    throw DataError(
        "'{}' has shrunk while in use: it had {} bytes when it was opened and has {} now. Restore "
        "it, then resume the run.",
        path_, size_, static_cast<int64_t>(status.st_size));
  }
}

void MappedFile::read(int64_t offset, std::span<uint8_t> out) const {
  const auto wanted = static_cast<int64_t>(out.size());
  SSA_CHECK(offset >= 0 && wanted <= size_ && offset <= size_ - wanted,
            "read of {} bytes at {} is outside '{}' ({} bytes)", wanted, offset, path_, size_);
  // Uses pread, not the mapping: it raises no signal if the file changes meanwhile.
  for (int64_t done = 0; done < wanted;) {
    const ssize_t got =
        ::pread(descriptor_, out.data() + done, static_cast<size_t>(wanted - done), offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw DataError("cannot read '{}' at byte {}: {}", path_, offset + done,
                      std::strerror(errno));
    }
    if (got == 0) {
      check_size();
      throw DataError("'{}' ended at byte {} of {}: it changed while being read", path_,
                      offset + done, size_);
    }
    done += got;
  }
}

}  // namespace ssa
