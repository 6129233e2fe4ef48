// How much of everything the mind keeps. Texts are measured as JSON writes them, so that the sum of
// these bounds is the bound of the file, whatever the texts consist of.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <remora/agent/event.hpp>
#include <remora/agent/text_tail.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace remora::agent::bounds {

constexpr std::size_t state_bytes = 256 << 10;

constexpr std::size_t long_text = 16
                                  << 10;  ///< prompt, messages, thoughts, last message, notes: each
constexpr std::size_t piece = 1 << 10;    ///< a decision, an input, a result, a command
constexpr std::size_t word = 96;          ///< a name, an id, a model
constexpr std::size_t path = 1 << 10;     ///< longer ones are left out: half a path is a wrong path

constexpr std::size_t attempts = 64, attempts_bytes = 16 << 10;
constexpr std::size_t attempt_words = 256;  ///< of an outcome's text
constexpr std::size_t plan_items = 100, plan_bytes = 12 << 10, plan_item_text = 240;
constexpr std::size_t decisions = 20, decision_files = 8, decision_files_bytes = 256;
constexpr std::size_t tools = 20;
constexpr std::size_t tool_names = 200, tool_name = 48;
constexpr std::size_t files = 500, files_bytes = 24 << 10;
constexpr std::size_t proposed = 20, proposed_bytes = 12 << 10, proposed_content = 4 << 10;
constexpr std::size_t verification_output = 4 << 10;
constexpr std::size_t errors = 20, error_text = 400;
constexpr std::size_t seen = 64;
constexpr double cost_usd = 1e6;

/// What JSON adds to a record of a list: its keys, quotes and numbers; a round upper bound.
constexpr std::size_t record = 100;

/// At the end of the numbers a sum stays.
inline void add(std::uint64_t& sum, std::uint64_t more) {
  sum += std::min(more, std::numeric_limits<std::uint64_t>::max() - sum);
}

/// `raw` made printable, its first or last bytes: at most `limit` of them, as JSON writes them.
std::string head(std::string_view raw, std::size_t limit);
std::string tail(std::string_view raw, std::size_t limit);
/// `raw` made printable if it is whole within `limit`, else nothing.
std::string whole(std::string_view raw, std::size_t limit);

/// In whole billionths: Boost.JSON may read a number one last digit off, and a state that was read
/// has to go on as if it had not been.
double cost(double usd);

/// The beginning of a tool's input, as JSON; an input of any size costs the same.
std::string input(const boost::json::value& v);
/// Of a list that is too long: what is open first, from its head; then what is done, from its end.
std::vector<agent::plan_item> plan(const std::vector<agent::plan_item>& items);

}  // namespace remora::agent::bounds
