// The part of a start that blocks: the attempt's directory and files, the channels, the shim.
// Thread: any; a host does it on one of its own.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <remora/process/host.hpp>

#include "process/attempt.hpp"
#include "process/limits.hpp"

namespace remora::process {

/// Returns once the shim's exec has succeeded: it is registered then, and nobody takes it for an
/// orphan. Dropping the result closes its control, upon which a shim ends its tree and itself.
/// Blocks: new directories are synced, and posix_spawn holds its caller until the exec. Errors: of
/// `host::start`; no process and no descriptor is left then.
/// `unwanted`: looked at before anything is made, and before the shim is started.
/// `executor`: of the loop; our ends are registered there, and nobody waits for them yet.
result<launched_attempt> launch_attempt(boost::asio::any_io_executor executor,
                                        const std::filesystem::path& shim, const spawn_spec& spec,
                                        const host_options& options, limit_places::plan limits,
                                        std::shared_ptr<const std::atomic<bool>> unwanted);

}  // namespace remora::process
