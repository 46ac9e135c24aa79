// Folders of files that several processes share: made, listed, and changed by whole files.
//
// Threading: any, and any process: nothing here keeps state. Every call may block on the disk. Errors name
// the operation, the path and the system's error.
//
//   make_private_folder("/home/a/.cache/gpuio");
//   replace_file(temporary, "/home/a/.cache/gpuio/x");   // readers see the old file or the new one
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.hpp"

namespace gpuio {

// Makes it and what is missing above it, for this user alone. One that is there is fine when it is this
// user's and nobody else may write it; else PERMISSION.
Status make_private_folder(const std::string& path);

struct FolderFile {
  std::string name;
  uint64_t size_bytes = 0;
  int64_t modified_ns = 0;  // since 1970
};
// The plain files in it, in no order. What vanishes meanwhile is left out.
Result<std::vector<FolderFile>> list_folder(const std::string& path);

// `from` takes the place and name of `to`, in one step; both in one file system.
Status replace_file(const std::string& from, const std::string& to);
// It counts as modified now.
Status touch_file(const std::string& path);

}  // namespace gpuio
