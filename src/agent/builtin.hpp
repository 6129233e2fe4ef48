// The adapters of this build, and what their launches share.
#pragma once

#include <boost/json/value.hpp>
#include <remora/agent/adapter.hpp>

namespace remora::agent {

const adapter& claude();
const adapter& jsonl();
const adapter& qwen();
const adapter& text();

/// A launch of the plan's command, or the adapter's own, without arguments.
launch start_of(const adapter& a, const agent_config& config);
/// Of a program without options of its own: the prompt is all that it gets.
launch prompt_on_stdin(const adapter& a, const agent_config& config, const launch_request& r);
void append(std::vector<std::string>& to, const std::vector<std::string>& more);
/// One prompt for `--input-format stream-json`; ends in a newline.
std::string user_line(boost::json::value content);

}  // namespace remora::agent
