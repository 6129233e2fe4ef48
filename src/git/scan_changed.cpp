// A scan that looks at what is said to have changed, and takes all else as it was.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "git/scanner.hpp"

namespace remora::git {
namespace {

/// The component of `path` below `prefix`; nothing: it is not below.
std::string_view component(std::string_view path, std::string_view prefix) {
  if (!path.starts_with(prefix)) return {};
  path.remove_prefix(prefix.size());
  return path.substr(0, path.find('/'));
}

/// Appends the items of a sorted list that are below `prefix`, and not below a name in `not_below`.
template <class Item, class Path>
void carry(const std::vector<Item>& from, std::vector<Item>& to, const std::string& prefix,
           const change_set::names& not_below, Path path) {
  auto at = std::lower_bound(from.begin(), from.end(), prefix,
                             [&](const Item& i, const std::string& p) { return path(i) < p; });
  for (; at != from.end() && path(*at).starts_with(prefix); ++at)
    if (!not_below.contains(component(path(*at), prefix))) to.push_back(*at);
}

const std::string& path_of(const omission& o) {
  return o.path;
}
const std::string& path_of(const std::string& path) {
  return path;
}

}  // namespace

/// What no event tells of: a submodule has a git directory elsewhere, a file another name, and the
/// disk may be readable again.
bool scanner::is_untold(const record& r) {
  return !r.gone && (r.kept || r.linked || r.mode == mode::commit);
}

/// And what the last snapshot named may never have become durable.
bool scanner::is_restless(const found& at, const record& r) const {
  if (r.gone) return false;
  if (is_untold(r) || !may_name(r.id, r.written)) return true;
  if (r.mode != mode::directory) return false;
  const directory* below = at.below();
  return (below && below->restless) || rules_.changed->any_below(at.path + '/');
}

/// As `visit`, of a name that may not be there.
result<void> scanner::visit_changed(place& here, found& at) {
  struct stat st{};
  const bool there = ::fstatat(here.fd(), at.c_name(), &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (!there && errno == ENOENT) {
    absent(at);
    return {};
  }
  return visit(here, at);
}

/// Each directory that is entered was listed before, and is watched since.
result<directory_ptr> scanner::scan_changed(place& here, const directory_ptr& before) {
  static const change_set::names none;
  if (stop_.stop_requested()) return fail(errc::stopped, "the snapshot was stopped");
  std::string path = here.rules.prefix();
  const std::size_t prefix = path.size();
  const change_set::names* told = rules_.changed->in(path);
  change_set::names looked_at = told ? *told : none;
  auto name = looked_at.begin();

  auto now = std::make_shared<directory>();
  now->reserve(before->size() + looked_at.size());
  here.attributes = here.attributes || before->find(".gitattributes").has_value();
  for (std::size_t j = 0; j < before->size() || name != looked_at.end();) {
    const auto old = j < before->size() ? std::optional(before->at(j)) : std::nullopt;
    const int order = !old ? -1 : name == looked_at.end() ? 1 : name->compare(old->name);
    path.resize(prefix);
    path.append(order <= 0 ? std::string_view(*name) : old->name);
    found at{path,
             std::string_view(path).substr(prefix),
             static_cast<unsigned char>(DT_UNKNOWN),
             order >= 0 ? old : std::nullopt,
             before.get(),
             *now};
    at.changed = order <= 0;
    if (order <= 0) ++name;
    if (order >= 0) ++j;
    if (at.changed) {
      REMORA_CHECK(visit_changed(here, at));
    } else if (is_restless(at, *old)) {
      looked_at.emplace(at.name);
      REMORA_CHECK(visit_changed(here, at));
    } else {
      now->add(at.name, *old, before->share_child(*old));
    }
  }
  carry_over(here, looked_at);
  if (rules_.keep_skipped && !index_.skipped().empty()) {
    REMORA_CHECK(visit_skipped(here, before, *now));
  }
  REMORA_CHECK(name_tree(*now, before.get()));
  return directory_ptr(std::move(now));
}

/// What the last scan's manifest says of all that is taken as it was.
void scanner::carry_over(const place& here, const change_set::names& looked_at) {
  const std::string& prefix = here.rules.prefix();
  const manifest& last = *rules_.last;
  const auto path = [](const auto& item) -> const std::string& { return path_of(item); };
  carry(last.left_out, out_.manifest.left_out, prefix, looked_at, path);
  carry(last.empty_directories, out_.manifest.empty_directories, prefix, looked_at, path);
  carry(last.converted, out_.manifest.converted, prefix, looked_at, path);
  for (const nested_repository& n : last.nested) {
    const std::string seen_at = n.path + "/.git";
    const std::string_view below = component(seen_at, prefix);
    if (!below.empty() && !looked_at.contains(below))
      out_.manifest.nested.push_back({n.path, {}, {}, {}});
  }
}

}  // namespace remora::git
