// What an API's error text means, whichever CLI passes it on. Pure.
#pragma once

#include <optional>
#include <remora/agent/event.hpp>
#include <remora/agent/verdict.hpp>
#include <remora/core/clock.hpp>
#include <remora/core/exit_status.hpp>
#include <string>
#include <string_view>

namespace remora::agent {

/// `status`: the HTTP status, 0 where it is not known (it is then looked for in `text`, in the
/// places where CLIs print one). Gives `other` where nothing known is found.
error_kind classify_error(int status, std::string_view text);

/// The moment, RFC 3339 in UTC, at which `text` says that the quota is there again: an epoch after
/// `|`, a timestamp, `retry after 30 seconds`, `try again in 1m30s`, `resets 5pm`,
/// `resets Nov 24 at 17:00`. A clock time is read in the machine's zone, which is the one a CLI
/// prints it in, unless `UTC` follows. Only the first 4 KiB of `text` are read.
std::optional<std::string> retry_time(std::string_view text, wall_time now);

/// RFC 3339 of seconds (or, above 10^11, milliseconds) since 1970. Nothing for 0 and past 9999.
std::optional<std::string> epoch_time(double seconds);

/// What an attempt came to that ended with `e`: the kind's verdict; `failed` with the exit code
/// where the kind is `other`.
outcome outcome_of(const agent_error& e, const exit_status& status);

/// An outcome with its text made printable and cut to 4 KiB.
outcome make_outcome(verdict v, std::string detail, std::string_view text);

/// `crashed{signal}`, `failed{code}`, or `crashed{no_result}` for a clean exit: what is left when
/// the agent itself said nothing.
outcome outcome_of_exit(const exit_status& status, std::string_view text);

}  // namespace remora::agent
