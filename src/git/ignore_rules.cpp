#include "git/ignore_rules.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>

#include "git/careful.hpp"
#include "git/handles.hpp"

namespace remora::git {
namespace {

constexpr std::size_t max_rules_bytes = 8 << 20;

/// A file of the user's own, which may be a link; still never a FIFO.
std::string read_users_file(const std::string& path) {
  auto fd = open_file(path, O_RDONLY | O_NONBLOCK);
  struct stat st{};
  if (!fd || ::fstat(fd->get(), &st) != 0 || !S_ISREG(st.st_mode)) return {};
  auto text = read_fd(fd->get(), max_rules_bytes);
  return text ? std::move(*text) : std::string();
}

/// `core.excludesFile`, or where git looks without it (gitignore(5)).
std::string excludes_path(const repository& repo) {
  git_config* raw = nullptr;
  std::string path;
  if (git_repository_config_snapshot(&raw, repo.raw()) == 0) {
    const config_handle config(raw);
    git_buf value = GIT_BUF_INIT;
    if (git_config_get_path(&value, raw, "core.excludesfile") == 0)
      path.assign(value.ptr, value.size);
    git_buf_dispose(&value);
  }
  git_error_clear();
  if (!path.empty()) return path;
  if (const char* xdg = std::getenv("XDG_CONFIG_HOME"); xdg && *xdg)
    return std::string(xdg) + "/git/ignore";
  const char* home = std::getenv("HOME");
  return home && *home ? std::string(home) + "/.config/git/ignore" : std::string();
}

}  // namespace

shared_rules shared_rules::read(const repository& repo) {
  shared_rules rules;
  const std::string user = excludes_path(repo);
  if (!user.empty()) rules.text_ = read_users_file(user);
  rules.user_ = ignore_list(rules.text_);
  if (const auto dir = open_file(repo.common_dir(), O_RDONLY | O_DIRECTORY))
    if (const auto text = read_regular(dir->get(), "info/exclude", max_rules_bytes)) {
      rules.exclude_ = ignore_list(*text);
      rules.text_ += '\0' + *text;
    }
  return rules;
}

shared_rules shared_rules::in_submodule(int git_dir) const {
  shared_rules rules = *this;
  const auto text = read_regular(git_dir, "info/exclude", max_rules_bytes);
  rules.exclude_ = text ? ignore_list(*text) : ignore_list();
  return rules;
}

ignore_list::verdict shared_rules::match(std::string_view path, bool is_directory) const {
  const auto first = exclude_.match(path, is_directory);
  return first != ignore_list::verdict::none ? first : user_.match(path, is_directory);
}

const ignore_list& level::own() {
  if (!own_) {
    own_.emplace();
    if (fd_ >= 0) {
      const auto text = read_regular(fd_, ".gitignore", max_rules_bytes);
      if (text)
        own_.emplace(*text);
      else if (is_lack(text.error()))
        unread_ = text.error();
    }
  }
  return *own_;
}

ignore_list::verdict level::ask(std::string_view path, bool is_directory) {
  for (level* at = this; at; at = at->parent_) {
    const auto verdict = at->own().match(path.substr(at->prefix_.size()), is_directory);
    if (verdict != ignore_list::verdict::none) return verdict;
  }
  return shared_.match(path, is_directory);
}

bool level::is_ignored() {
  if (!ignored_) {
    ignored_ = false;
    if (parent_) {
      const std::string_view self = std::string_view(prefix_).substr(0, prefix_.size() - 1);
      ignored_ = parent_->ignores(self, true);
    }
  }
  return *ignored_;
}

bool level::ignores(std::string_view path, bool is_directory) {
  return is_ignored() || ask(path, is_directory) == ignore_list::verdict::ignored;
}

}  // namespace remora::git
