#include "base/platform/folder.hpp"

#include <windows.h>

#include "base/platform/windows/error.hpp"

namespace gpuio {
namespace {

constexpr int64_t kSince1601Ns100 = 116'444'736'000'000'000;  // of 1970

int64_t nanoseconds(const FILETIME& t) {
  return ((int64_t{t.dwHighDateTime} << 32 | t.dwLowDateTime) - kSince1601Ns100) * 100;
}

Status make_folder(const std::string& path) {
  if (::CreateDirectoryA(path.c_str(), nullptr) || ::GetLastError() == ERROR_ALREADY_EXISTS) return {};
  return windows_error(::GetLastError(), "making the folder " + path);
}

}  // namespace

// Whose it is goes by where it is: folders below the user's profile are the user's alone.
Status make_private_folder(const std::string& path) {
  const size_t root = path.size() > 2 && path[1] == ':' ? 3 : 1;
  for (size_t at = path.find_first_of("/\\", root); at != path.npos; at = path.find_first_of("/\\", at + 1))
    if (Status s = make_folder(path.substr(0, at)); !s) return s;
  if (Status s = make_folder(path); !s) return s;
  const DWORD attributes = ::GetFileAttributesA(path.c_str());
  if (attributes == INVALID_FILE_ATTRIBUTES)
    return windows_error(::GetLastError(), "looking at the folder " + path);
  if (!(attributes & FILE_ATTRIBUTE_DIRECTORY))
    return error(Code::invalid_arg, "{} is not a folder; name another", path);
  return {};
}

Result<std::vector<FolderFile>> list_folder(const std::string& path) {
  std::vector<FolderFile> files;
  WIN32_FIND_DATAA found{};
  const HANDLE search = ::FindFirstFileA((path + "\\*").c_str(), &found);
  if (search == INVALID_HANDLE_VALUE)
    return fail(windows_error(::GetLastError(), "listing the folder " + path));
  do {
    if (found.dwFileAttributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT)) continue;
    files.push_back({found.cFileName, uint64_t{found.nFileSizeHigh} << 32 | found.nFileSizeLow,
                     nanoseconds(found.ftLastWriteTime)});
  } while (::FindNextFileA(search, &found));
  ::FindClose(search);
  return files;
}

Status replace_file(const std::string& from, const std::string& to) {
  if (::MoveFileExA(from.c_str(), to.c_str(), MOVEFILE_REPLACE_EXISTING)) return {};
  return windows_error(::GetLastError(), fmt::format("renaming {} to {}", from, to));
}

Status touch_file(const std::string& path) {
  const HANDLE file = ::CreateFileA(path.c_str(), FILE_WRITE_ATTRIBUTES,
                                    FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr,
                                    OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
  if (file == INVALID_HANDLE_VALUE) return windows_error(::GetLastError(), "touching " + path);
  FILETIME now{};
  ::GetSystemTimeAsFileTime(&now);
  const bool set = ::SetFileTime(file, nullptr, nullptr, &now);
  const DWORD number = ::GetLastError();
  ::CloseHandle(file);
  return set ? Status() : windows_error(number, "touching " + path);
}

}  // namespace gpuio
