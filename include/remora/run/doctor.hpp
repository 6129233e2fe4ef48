// What is not as it ought to be with a repository and the runs in it, in plain words, and what
// mends it. Looking changes nothing. What a run that is being worked on holds is told and left
// alone. Blocks; thread: that of the repository.
#pragma once

#include <functional>
#include <remora/git/repository.hpp>
#include <string>
#include <vector>

namespace remora::run {

struct finding {
  std::string kind;     ///< a stable name, see docs/cli.md
  std::string subject;  ///< a run, a task, a ref, a path or a program
  std::string text;     ///< what is the matter, and why it matters
  std::string remedy;   ///< what `fix` does, or what only a person can do
  bool note = false;    ///< worth knowing; nothing is wrong
  /// Looks again, under the locks that it needs, and says what it did; empty: nothing was left to
  /// do. May be repeated. Nothing: only a person can.
  std::function<result<std::string>(git::repository&)> fix = {};
};

/// In an order in which they can be mended: a later one may stand on an earlier one.
std::vector<finding> examine(git::repository& repo);

}  // namespace remora::run
