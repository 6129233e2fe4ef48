// A stored or piped transcript as neutral events: `remora agents parse`.
#pragma once

#include <iosfwd>
#include <remora/agent/adapter.hpp>

namespace remora::agent {

/// The sum of increments.
usage& operator+=(usage& sum, const usage& more);

/// Prints each event of `out` as a JSON line, then one that says what the attempt came to:
/// `{"type":"outcome","success":…,"verdict":…,"detail":…,"text":…,"usage":{…}}`. `err`: what the
/// agent wrote to stderr, or null. Reads both to their ends; memory: the longest line's.
/// Errors: errc::environment when a stream fails.
result<void> parse_stream(const adapter& a, std::istream& out, std::istream* err,
                          const exit_status& status, std::ostream& json);

}  // namespace remora::agent
