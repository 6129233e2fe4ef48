// What an index tracks that the one before did not.
#pragma once

#include "git/change_set.hpp"
#include "git/index_view.hpp"

namespace remora::git {

/// Adds to `changed` what `now` tracks, `before` did not, and `known` has not: it was ignored. Of a
/// directory that `known` has not, that. False: the two differ in what no path of theirs says
/// (submodules, a sparse checkout, one cannot be read).
bool add_tracked_anew(const index_view& before, const index_view& now, const directory& known,
                      change_set& changed);

}  // namespace remora::git
