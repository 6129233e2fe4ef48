#include <fmt/format.h>

#include <ostream>
#include <remora/core/text.hpp>
#include <remora/run/doctor.hpp>

#include "front/render.hpp"

namespace remora::front {
namespace {

namespace json = boost::json;

/// Mending one thing may bring another to light.
constexpr int rounds = 3;

/// `done`: what the fix did; empty: it is not fixed.
void print_finding(session& s, const run::finding& f, const std::string& done) {
  if (s.json) {
    s.out << json::object{{"schema", "remora.doctor/1"},
                          {"kind", f.kind},
                          {"subject", to_utf8(f.subject)},
                          {"note", f.note},
                          {"text", to_utf8(f.text)},
                          {"remedy", f.remedy},
                          {"fixable", static_cast<bool>(f.fix)},
                          {"fixed",
                           done.empty() ? json::value(nullptr) : json::value(to_utf8(done))}}
          << '\n';
    return;
  }
  s.out << fmt::format("{} {}: {}\n", f.note ? "note" : "!", printable(f.subject),
                       printable(f.text));
  if (!done.empty())
    s.out << fmt::format("    done: {}\n", printable(done));
  else if (!f.remedy.empty())
    s.out << fmt::format("    {}: {}\n", f.fix ? "--fix" : "to do", f.remedy);
}

/// True if something was mended.
bool mend_once(session& s, git::repository& repo) {
  bool mended = false;
  for (const run::finding& f : run::examine(repo)) {
    if (!f.fix) continue;
    const auto done = f.fix(repo);
    if (!done) {
      s.err << fmt::format("remora: {}: {}\n", printable(f.subject), printable(done.error().what));
    } else if (!done->empty()) {
      print_finding(s, f, *done);
      mended = true;
    }
  }
  return mended;
}

}  // namespace

result<int> doctor_command(session& s, bool fix) {
  REMORA_TRY(git::repository repo, git::repository::discover(s.directory));
  for (int i = 0; fix && i < rounds; ++i)
    if (!mend_once(s, repo)) break;
  std::size_t left = 0, fixable = 0;
  for (const run::finding& f : run::examine(repo)) {
    print_finding(s, f, {});
    if (f.note) continue;
    ++left;
    if (f.fix) ++fixable;
  }
  if (!s.json)
    s.out << (left == 0 ? std::string("nothing is wrong\n")
                        : fmt::format("{} findings, {} of them for --fix\n", left, fixable));
  return left == 0 ? 0 : 1;
}

}  // namespace remora::front
