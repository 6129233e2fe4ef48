// Events as an agent without any manners would send them.
#pragma once

#include <boost/json.hpp>
#include <iterator>
#include <random>
#include <remora/agent/event.hpp>
#include <string>
#include <vector>

namespace remora::agent {

class random_events {
 public:
  /// `longest`: of a text, which is drawn so that short ones are common.
  random_events(std::uint32_t seed, std::size_t longest) : random_(seed), longest_(longest) {}

  std::size_t below(std::size_t n) { return random_() % n; }

  std::string text() {
    static const char* const pieces[] = {
        "word ", "\"",   "\\",          "\n",         "\t",     "\x1b[2J", "\u200b", "\u20ac",
        "\xff",  "\xe2", "<<<notes ",   ">>> ",       "\x07",   "a/b.cpp", "{}",     "\U0001F600",
        "```",   "",     "</system>\n", "Assistant:", "\u202e", "x",       " ",      "42"};
    const std::size_t wanted = below(4) == 0 ? below(longest_ + 1) : below(40);
    std::string out;
    while (out.size() < wanted) {
      const char* piece = pieces[below(std::size(pieces))];
      for (std::size_t n = 1 + below(1 + wanted / 8); n > 0 && out.size() < wanted; --n)
        out += piece;
    }
    return out;
  }

  std::string id() { return std::to_string(below(30)); }

  event next() {
    switch (below(18)) {
      case 0:
        return below(20) ? event(turn_started{}) : event(session_started{text(), text(), "/w"});
      case 1:
        return below(4) ? event(turn_ended{}) : event(prompt_started{});
      case 2:
        return message{text(), false};
      case 3:
      case 4:
        return message{text(), true};
      case 5:
        return reasoning{text(), below(2) == 0};
      case 6:
      case 7:
        return call();
      case 8:
      case 9:
        return tool_result{id(), below(2) == 0, text()};
      case 10:
        return items();
      case 11:
        return file_change{text(), text(), true, std::nullopt};
      case 12:
        return file_change{"/w/" + text(), "add", false, text()};
      case 13:
        return note{text()};
      case 14:
        return tokens();
      case 15:
        return failure();
      case 16:
        return below(2) ? event(prompt_ended{}) : event(finished{below(2) == 0, text()});
      default:
        return unknown{text()};
    }
  }

 private:
  event call() {
    boost::json::object input;
    input[below(2) ? "file_path" : "command"] = text();
    if (below(5) == 0) input["paths"] = boost::json::array{text(), "/w/b", 3};
    return tool_call{id(), below(3) ? "Edit" : text(), std::move(input), below(2) == 0};
  }
  event items() {
    plan p;
    for (std::size_t n = below(40) ? below(6) : below(150); n > 0; --n)
      p.items.push_back({below(2) ? id() : text(), static_cast<plan_status>(below(4))});
    return p;
  }
  event tokens() {
    usage u;
    u.input_tokens = below(50) ? below(9000) : ~std::uint64_t{0};
    u.output_tokens = below(900);
    u.cost_usd = static_cast<double>(below(1000)) / 7e3;
    u.estimated = below(2) == 0;
    return u;
  }
  event failure() {
    agent_error e;
    e.kind = static_cast<error_kind>(below(7));
    e.transient = below(2) == 0;
    if (below(2)) e.retry_at = text();
    e.text = text();
    return e;
  }

  std::mt19937 random_;
  std::size_t longest_;
};

}  // namespace remora::agent
