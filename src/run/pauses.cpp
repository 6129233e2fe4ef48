#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <remora/core/crc32c.hpp>
#include <remora/core/ids.hpp>
#include <remora/core/json_fields.hpp>
#include <remora/core/posix.hpp>
#include <remora/run/environment.hpp>
#include <remora/run/layout.hpp>
#include <remora/run/pauses.hpp>

namespace remora::run {
namespace fs = std::filesystem;
namespace json = boost::json;
namespace {

constexpr std::string_view schema = "remora.pause/1";
constexpr std::size_t longest_file = 64u << 10;

std::string to_text(const std::string& account, const supervise::pause& p) {
  const json::object o{{"schema", schema},
                       {"account", account},
                       {"verdict", agent::name(p.why.verdict)},
                       {"detail", p.why.detail},
                       {"text", p.why.text},
                       {"since", iso8601(p.since)},
                       {"until", p.until ? json::value(iso8601(*p.until)) : json::value(nullptr)},
                       {"row", p.row}};
  return json::serialize(o) + '\n';
}

std::optional<supervise::pause> from_text(std::string_view text) {
  boost::system::error_code ec;
  const json::value v = json::parse(text, ec);
  if (ec || !v.is_object()) return {};
  const json::object& o = v.get_object();
  const auto verdict = agent::parse_verdict(json_text(o, "verdict"));
  const auto since = parse_iso8601(json_text(o, "since"));
  if (json_text(o, "schema") != schema || !verdict || !since) return {};
  return supervise::pause{{*verdict, json_text(o, "detail"), json_text(o, "text")},
                          *since,
                          parse_iso8601(json_text(o, "until")),
                          json_integer<std::uint32_t>(o, "row")};
}

class pause_files final : public shared_pauses {
 public:
  explicit pause_files(fs::path directory) : directory_(std::move(directory)) {}

  std::optional<all> read() override {
    all known;
    if (directory_.empty()) return {};
    std::error_code ec;
    fs::directory_iterator at(directory_, ec);
    if (ec == std::errc::no_such_file_or_directory) return known;
    for (; !ec && at != fs::directory_iterator(); at.increment(ec)) {
      const fs::path& file = at->path();
      const std::string account = file.stem().string();
      if (file.extension() != ".json" || !task_id::parse(account)) continue;
      const auto text = read_file(file, longest_file);
      if (!text && is_lack(text.error())) return {};
      if (!text) continue;
      if (auto p = from_text(*text)) known.emplace(account, std::move(*p));
    }
    if (ec) return {};
    return known;
  }

  result<void> set(const std::string& account, const supervise::pause& p) override {
    if (directory_.empty()) return {};
    REMORA_CHECK(make_directories(directory_));
    return write_file_durably(file_of(account), to_text(account, p));
  }

  void remove(const std::string& account) override {
    if (!directory_.empty()) ::unlink(file_of(account).c_str());
  }

 private:
  fs::path file_of(const std::string& account) const { return directory_ / (account + ".json"); }

  fs::path directory_;
};

/// What says whose quota is used. Any other variable may differ from one terminal to the next.
bool is_credential(std::string_view name) {
  constexpr std::array patterns{"*_KEY",        "*_TOKEN", "*_BASE_URL",
                                "*_CONFIG_DIR", "*_HOME",  "*_CREDENTIALS"};
  return std::ranges::any_of(patterns, [&](std::string_view p) { return matches(name, p); });
}

/// Of an agent without a program of its own, which one it is says whose quota it uses.
std::string credentials(const agent::agent_config& agent, char** from) {
  const agent::adapter& adapter = *agent::find_adapter(agent.adapter).value();
  std::string all;
  agent::agent_config bare = agent;
  if (adapter.default_command().empty())
    for (const std::string& word : agent.command) all += word + '\0';
  else
    bare.pass_env.clear();  // a token of something else
  environment given = variables(adapter.plan_launch(bare, {}).pass_env, from);
  std::ranges::sort(given);
  for (const auto& [name, value] : given)
    if (is_credential(name)) all += name + '=' + value + '\0';
  return all;
}

}  // namespace

std::unique_ptr<shared_pauses> make_shared_pauses(fs::path directory) {
  return std::make_unique<pause_files>(std::move(directory));
}

fs::path pauses_directory() {
  const fs::path state = state_directory();
  return state.empty() ? state : state / "accounts";
}

std::string account_of(const agent::agent_config& agent, char** from) {
  if (!agent.account.empty()) return agent.account;
  const std::string all = credentials(agent, from);
  return all.empty() ? agent.adapter : fmt::format("{}-{:08x}", agent.adapter, crc32c(all));
}

}  // namespace remora::run
