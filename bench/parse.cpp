// An agent's output into neutral events, against a bare Boost.JSON parse of the same lines.
//
//   parse [MEGABYTES [TURNS [CAPTURES]]]     200 15 tests/agent/captures/claude
#include <boost/json/parse.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <remora/agent/adapter.hpp>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>
#include <stdexcept>

#include "measure.hpp"

namespace remora::bench {
namespace {
namespace fs = std::filesystem;

/// What the CLI printed in whole runs, again and again.
std::string stream_of(const fs::path& captures, std::size_t bytes) {
  std::string once;
  for (const auto& run : fs::directory_iterator(captures))
    if (const auto out = read_file(run.path() / "stdout.raw")) once += *out;
  if (once.empty()) throw std::runtime_error("no captures in " + captures.string());
  std::string all;
  all.reserve(bytes + once.size());
  while (all.size() < bytes) all += once;
  return all;
}

void measure(const fs::path& captures, std::size_t megabytes, int turns) {
  const std::string stream = stream_of(captures, megabytes << 20);
  const std::vector<std::string_view> lines = split(stream, '\n');
  std::size_t events_made = 0;
  std::size_t values_made = 0;
  const std::vector<contender> contenders{
      {"events",
       {},
       [&](int) {
         const auto parser = agent::find_adapter("claude").value()->make_parser();
         std::vector<agent::event> events;
         for (const std::string_view line : lines) {
           parser->out_line(line, events);
           events_made += events.size();
           events.clear();
         }
       }},
      {"Boost.JSON", {}, [&](int) {
         for (const std::string_view line : lines) {
           boost::system::error_code ec;
           values_made += boost::json::parse(line, ec).is_object() ? 1 : 0;
         }
       }}};
  const auto all = compare(contenders, 1, turns, captures);
  print_header("stream-json, one core", {"what", "MB/s", "time / bare parse"});
  const double size = static_cast<double>(stream.size()) / 1e6;
  for (const measured& m : all)
    print_row({m.name, cell(size / m.median_ms * 1e3, 0), cell(m.ratio, 2)});
  std::cout << '\n' << events_made << " events of " << values_made << " objects\n";
}

}  // namespace
}  // namespace remora::bench

int main(int argc, char** argv) try {
  const remora::bench::arguments number(argc, argv);
  remora::bench::measure(argc > 3 ? argv[3] : "tests/agent/captures/claude",
                         static_cast<std::size_t>(number(1, 200)), number(2, 15));
  return 0;
} catch (const std::exception& e) {
  std::cerr << "parse: " << e.what() << '\n';
  return 1;
}
