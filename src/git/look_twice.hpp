// Looking an object up, and reading it, while packs are merged.
#pragma once

#include <git2.h>

#include <string_view>

#include "git/handles.hpp"
#include "git/pack_files.hpp"
#include "git/repository_impl.hpp"

namespace remora::git {

/// libgit2 lists the packs once more where it finds nothing. Of a listing in which a merged pack
/// was not there yet, those that it was made of may be gone when they are opened: of 30,000 objects
/// that eight threads wrote and looked up at once, 700 were not found, and six of those not the
/// second time either. While none of ours can go, a listing has them all. It lists nothing where a
/// loose object is found and damaged, as a power cut leaves what an agent's git wrote, though a
/// pack that it has not listed yet may hold a sound one.
template <class LookUp>
int look_twice(const repository& repo, LookUp look_up) {
  const int got = look_up();
  if (got == 0) return got;
  const unique_fd all_stay = keep_packs(repo.common_dir() / "objects" / "pack");
  if (got != GIT_ENOTFOUND && git_odb_refresh(repo.odb()) != 0) return got;
  return look_up();
}

/// An object whose hash is right, into `object`. Returns libgit2's code.
inline int read_object(const repository& repo, const oid& id, odb_object_handle& object) {
  const git_oid raw_id = to_git(id);
  git_odb_object* raw = nullptr;
  const int code = look_twice(repo, [&] { return git_odb_read(&raw, repo.odb(), &raw_id); });
  object.reset(raw);
  return code;
}

inline std::string_view bytes_of(const odb_object_handle& object) {
  return {static_cast<const char*>(git_odb_object_data(object.get())),
          git_odb_object_size(object.get())};
}

}  // namespace remora::git
