// What an agent prints is anything. Whatever it is, every parser reads it, keeps turns and prompts
// balanced, and comes to an outcome whose text a terminal may show. The first byte chooses the
// adapter and how the process ended; the rest is stdout.
#include <cstdlib>
#include <remora/agent/adapter.hpp>
#include <remora/core/text.hpp>

using namespace remora;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto all = agent::adapters();
  const auto parser = all[data[0] % all.size()]->make_parser();
  const std::string_view out(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::vector<agent::event> events;
  for (const std::string_view line : split(out, '\n')) parser->out_line(line, events);
  const bool killed = data[0] & 0x40;
  const agent::outcome end =
      parser->conclude(killed ? exit_status::killed(9) : exit_status::exited(data[0] >> 7), events);

  long turns = 0, prompts = 0;
  for (const agent::event& e : events) {
    turns += std::holds_alternative<agent::turn_started>(e);
    turns -= std::holds_alternative<agent::turn_ended>(e);
    prompts += std::holds_alternative<agent::prompt_started>(e);
    prompts -= std::holds_alternative<agent::prompt_ended>(e);
    if (turns < 0 || turns > 1 || prompts < 0 || prompts > 1) std::abort();
    (void)agent::to_json(e);
  }
  if (turns != 0 || prompts != 0) std::abort();
  if (end.text.size() > 4096 || end.text != printable(end.text)) std::abort();
  return 0;
}
