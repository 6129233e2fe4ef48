#include <agent/bounds.hpp>
#include <algorithm>
#include <boost/json/serializer.hpp>
#include <cmath>
#include <remora/core/text.hpp>

namespace remora::agent {
namespace {

/// Printable text has no other characters that JSON writes with a backslash.
bool escaped(char c) noexcept {
  return c == '"' || c == '\\' || c == '\n' || c == '\t';
}

std::size_t size_of(char c) noexcept {
  return escaped(c) ? 2 : 1;
}

std::string_view last(std::string_view text, std::size_t limit) {
  if (text.size() <= limit / 2) return text;
  std::size_t from = text.size();
  for (std::size_t used = 0; from > 0; --from) {
    used += size_of(text[from - 1]);
    if (used > limit) break;
  }
  return tail_bytes(text, text.size() - from);
}

std::string_view first(std::string_view text, std::size_t limit) {
  if (text.size() <= limit / 2) return text;
  std::size_t to = 0;
  for (std::size_t used = 0; to < text.size(); ++to) {
    used += size_of(text[to]);
    if (used > limit) break;
  }
  return head_bytes(text, to);
}

}  // namespace

std::size_t json_size(std::string_view text) noexcept {
  return text.size() + static_cast<std::size_t>(std::count_if(text.begin(), text.end(), escaped));
}

void text_tail::append(std::string_view text) {
  text_ += text;
  size_ += json_size(text);
  if (size_ <= limit_) return;
  text_ = std::string(last(text_, limit_ - limit_ / 4));
  size_ = json_size(text_);
}

namespace bounds {
namespace {

// What is not printable shrinks: four times the limit is read, so that a text of any length costs
// the same.
constexpr std::size_t reading = 4;

/// Most of what agents write is plain: the long way is for the rest.
std::string clean(std::string_view raw) {
  const auto plain = [](char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\t'; };
  return std::all_of(raw.begin(), raw.end(), plain) ? std::string(raw) : printable(raw);
}

}  // namespace

std::string head(std::string_view raw, std::size_t limit) {
  const std::string text = clean(head_bytes(raw, limit * reading));
  return std::string(first(text, limit));
}

std::string tail(std::string_view raw, std::size_t limit) {
  const std::string text = clean(tail_bytes(raw, limit * reading));
  return std::string(last(text, limit));
}

std::string whole(std::string_view raw, std::size_t limit) {
  if (raw.size() > limit) return {};
  std::string text = clean(raw);
  if (json_size(text) > limit) text.clear();
  return text;
}

double cost(double usd) {
  return std::round(usd * 1e9) / 1e9;
}

std::string input(const boost::json::value& v) {
  if (v.is_null()) return {};
  char buffer[reading * piece];
  boost::json::serializer json;
  json.reset(&v);
  return head(json.read(buffer, sizeof buffer), piece);
}

std::vector<agent::plan_item> plan(const std::vector<agent::plan_item>& items) {
  std::vector<std::string> texts(items.size());
  std::vector<bool> kept(items.size());
  std::size_t count = 0, used = 0;
  const auto keep = [&](std::size_t i) {
    std::string text = head(items[i].text, plan_item_text);
    const std::size_t size = json_size(text) + record / 2;
    if (used + size > plan_bytes) return;
    used += size;
    ++count;
    texts[i] = std::move(text);
    kept[i] = true;
  };
  const auto open = [&](std::size_t i) {
    return items[i].status == plan_status::pending || items[i].status == plan_status::in_progress;
  };
  for (std::size_t i = 0; i < items.size() && count < plan_items; ++i)
    if (open(i)) keep(i);
  for (std::size_t i = items.size(); i > 0 && count < plan_items; --i)
    if (!open(i - 1)) keep(i - 1);
  std::vector<agent::plan_item> result;
  for (std::size_t i = 0; i < items.size(); ++i)
    if (kept[i]) result.push_back({std::move(texts[i]), items[i].status});
  return result;
}

}  // namespace bounds
}  // namespace remora::agent
