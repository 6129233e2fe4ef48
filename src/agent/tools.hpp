// The tool calls of one agent that are open, and what they mean: files changed, the plan.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <remora/agent/event.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace remora::agent {

struct write_tool {
  std::string_view name, path_key, content_key;
};

/// What a CLI calls its tools. Tools not named here may change anything.
struct toolbox {
  std::span<const std::string_view> read_only;
  std::span<const write_tool> writers;
  std::string_view todo;         ///< gets the whole plan: `todos[{content,status}]`
  std::string_view create_task;  ///< gets one item of it; its result names the item's number
  std::string_view update_task;
};

class tools {
 public:
  explicit tools(const toolbox& box) : box_(box) {}

  /// Paths beneath it are told relative to it.
  void set_cwd(std::string_view cwd) { cwd_ = cwd; }

  /// A `tool_use` block. `own`: the agent's, not a subagent's. Emits tool_call, and plan.
  void call(const boost::json::object& block, bool own, std::vector<event>& events);
  /// A `tool_result` block; `detail`: the structured result beside it, or null. Emits tool_result,
  /// file_change, plan.
  void result(const boost::json::object& block, const boost::json::value* detail,
              std::vector<event>& events);
  /// No more results will come: writes still open were proposed only. Emits file_change.
  void abandon(std::vector<event>& events);

  /// True while a call of the agent's own waits for its result.
  bool waiting() const noexcept { return own_open_ > 0; }

 private:
  struct open_call {
    std::string name;
    bool own = true;
    std::optional<file_change> write;  ///< as proposed
    plan_item task;                    ///< of create_task and update_task
    std::string task_id;
    bool status_given = false;
  };
  open_call remember(const std::string& name, const boost::json::object* input) const;
  std::optional<file_change> proposed(const std::string& name,
                                      const boost::json::object* input) const;
  void close_task(const open_call& c, const boost::json::value* detail, std::string_view text,
                  std::vector<event>& events);
  std::string relative(std::string_view path) const;

  const toolbox& box_;
  std::string cwd_;
  std::map<std::string, open_call, std::less<>> open_;
  std::size_t own_open_ = 0;
  std::vector<std::pair<std::string, plan_item>> tasks_;  ///< by the CLI's number, in order made
};

}  // namespace remora::agent
