// Reading where an object may be there twice, and one copy is damaged: libgit2 reads the one that
// it finds first, today this and tomorrow that one.
#pragma once

#include <remora/git/packs.hpp>

namespace remora::run {

/// What `read` gives; where something is damaged, once more without the damaged packs of ours.
template <class Read>
auto read_mended(git::repository& repo, Read read) -> decltype(read()) {
  auto got = read();
  if (got || !got.error().is(errc::corrupt)) return got;
  const auto mended = git::mend_packs(repo);
  if (!mended || mended->empty()) return got;
  return read();
}

}  // namespace remora::run
