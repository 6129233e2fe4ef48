// Paused accounts, as all runs of this user know them: a file each, so that nobody waits for a
// lock.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <remora/agent/adapter.hpp>
#include <remora/core/result.hpp>
#include <remora/supervise/accounts.hpp>
#include <string>

namespace remora::run {

/// A seam of the engine. Thread: one at a time. All of it blocks for a moment.
class shared_pauses {
 public:
  using all = std::map<std::string, supervise::pause>;

  virtual ~shared_pauses() = default;
  /// Nothing: they cannot be read; what one knows oneself counts.
  virtual std::optional<all> read() = 0;
  /// Errors: errno; then nobody else knows.
  virtual result<void> set(const std::string& account, const supervise::pause& p) = 0;
  /// Best effort: where it stays, one attempt of another run goes first once more.
  virtual void remove(const std::string& account) = 0;
};

/// `<directory>/<account>.json` (remora.pause/1); what is no pause is passed over.
std::unique_ptr<shared_pauses> make_shared_pauses(std::filesystem::path directory);

/// Where those of this user are: in $XDG_STATE_HOME, else in ~/.local/state. Neither is known:
/// empty, and nothing is shared.
std::filesystem::path pauses_directory();

/// Whose quota an agent uses: what the plan says, else its adapter and, where there are any, a
/// checksum of the credentials that it is given from `from` (by default our environment).
std::string account_of(const agent::agent_config& agent, char** from = nullptr);

}  // namespace remora::run
