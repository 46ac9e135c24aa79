#include "base/platform/folder.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "base/platform/system_error.hpp"

namespace gpuio {
namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

}  // namespace

Status make_private_folder(const std::string& path) {
  for (std::size_t at = path.find('/', 1); at != path.npos; at = path.find('/', at + 1))
    if (::mkdir(path.substr(0, at).c_str(), 0700) != 0 && errno != EEXIST)
      return system_error(errno, "making the folder " + path.substr(0, at));
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return system_error(errno, "making the folder " + path);
  struct stat s{};
  if (::stat(path.c_str(), &s) != 0) return system_error(errno, "looking at the folder " + path);
  if (!S_ISDIR(s.st_mode)) return error(Code::invalid_arg, "{} is not a folder; name another", path);
  if (s.st_uid != ::geteuid() || (s.st_mode & (S_IWGRP | S_IWOTH)))
    return error(
        Code::permission,
        "the folder {} belongs to user {} and has mode {:o}; name one of this user's that nobody else "
        "may write",
        path, s.st_uid, s.st_mode & 0777);
  return {};
}

Result<std::vector<FolderFile>> list_folder(const std::string& path) {
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir(path.c_str()));
  if (!folder) return fail(system_error(errno, "listing the folder " + path));
  std::vector<FolderFile> files;
  while (const dirent* entry = ::readdir(folder.get())) {
    struct stat s{};
    if (::fstatat(::dirfd(folder.get()), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(s.st_mode))
      continue;
    files.push_back({entry->d_name, static_cast<std::uint64_t>(s.st_size),
                     std::int64_t{s.st_mtim.tv_sec} * 1'000'000'000 + s.st_mtim.tv_nsec});
  }
  return files;
}

Status replace_file(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return {};
  return system_error(errno, fmt::format("renaming {} to {}", from, to));
}

Status touch_file(const std::string& path) {
  if (::utimensat(AT_FDCWD, path.c_str(), nullptr, 0) == 0) return {};
  return system_error(errno, "touching " + path);
}

}  // namespace gpuio
