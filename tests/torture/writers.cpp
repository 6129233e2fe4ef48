// Eight writers publish checkpoints in one repository at once (G3, G6): threads with a repository
// each, or processes.
//
//   writers REPOSITORY --updates N [--threads N] [--first K] [--same]
//
// Each thread is one task of its own, K and up; with --same all are one task of one run, which each
// of them believes to own: every swap then finds what another one left. Prints one line:
// `updates failures warnings milliseconds`; exits with 1 after a failure.
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <remora/checkpoint/store.hpp>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace remora;

struct options {
  std::filesystem::path repository;
  std::uint32_t updates = 100;
  unsigned threads = 8;
  unsigned first = 1;
  bool same = false;
};

struct counts {
  std::atomic<std::uint64_t> done = 0, failed = 0, warned = 0;
};

/// A tree with one changed file, as a snapshot would have it, and a mind.
result<checkpoint::request> make_request(git::object_writer& objects, const run_id& run,
                                         const task_id& task, std::uint32_t n,
                                         const git::oid& base) {
  checkpoint::request r{.run = run, .task = task};
  r.attempt = attempt_no(1);
  r.number = checkpoint_no(n);
  r.reason = "turn";
  r.base = base;
  REMORA_TRY(const git::oid blob, objects.blob(fmt::format("{} {}\n", task.str(), n)));
  REMORA_TRY(r.files.tree, objects.tree({{"file", blob, git::mode::file}}));
  r.files.head = {base, checkpoint::task_branch(run, task)};
  r.files.index.known = true;
  r.mind.state = fmt::format("{{\"schema\":\"remora.state/1\",\"task\":\"{}\"}}\n", task.str());
  r.seconds = 1'700'000'000 + n;
  return r;
}

result<void> write_all_of(const options& o, unsigned number, const run_id& run, const task_id& task,
                          counts& c) {
  REMORA_TRY(git::repository repo, git::repository::discover(o.repository));
  git::object_writer objects(repo);
  checkpoint::store store(repo, objects, true);
  REMORA_TRY(const git::oid base, repo.resolve_commit("HEAD"));
  objects.trust(base);
  std::optional<git::oid> previous;
  for (std::uint32_t n = 1; n <= o.updates; ++n) {
    REMORA_TRY(checkpoint::request r, make_request(objects, run, task, n, base));
    r.previous = previous;
    r.seconds += number;  // writers of one task do not make the same commits
    REMORA_TRY(const checkpoint::prepared p, store.prepare(std::move(r)));
    REMORA_TRY(const checkpoint::store::published how, store.publish(p));
    c.warned += how.kept.has_value() || how.branch_error.has_value();
    previous = p.what.commit;
    ++c.done;
  }
  if (o.same) return {};
  REMORA_TRY(const auto newest, store.newest(run, task));
  if (!newest || newest->commit != previous)
    return fail(errc::corrupt,
                fmt::format("the ref of {} does not hold its last checkpoint", task.str()));
  return {};
}

void writer(const options& o, unsigned number, counts& c) {
  const run_id run = run_id::parse("20260102-000000-27ab").value();
  const task_id task = task_id::parse(o.same ? "same" : fmt::format("task-{}", number)).value();
  const auto written = write_all_of(o, number, run, task, c);
  if (written) return;
  ++c.failed;
  fmt::print(stderr, "writer {}: {}\n", number, written.error().what);
}

int usage() {
  fmt::print(stderr, "usage: writers REPOSITORY --updates N [--threads N] [--first K] [--same]\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--same") {
      o.same = true;
    } else if (word.starts_with("--") && i + 1 < argc) {
      const auto value = static_cast<unsigned>(std::strtoul(argv[++i], nullptr, 10));
      (word == "--updates" ? o.updates : word == "--threads" ? o.threads : o.first) = value;
    } else {
      o.repository = word;
    }
  }
  if (o.repository.empty()) return usage();
  git::initialise();
  counts c;
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < o.threads; ++i)
    threads.emplace_back(writer, std::cref(o), o.first + i, std::ref(c));
  for (std::thread& t : threads) t.join();
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - began);
  fmt::print("{} {} {} {}\n", c.done.load(), c.failed.load(), c.warned.load(), took.count());
  return c.failed == 0 ? 0 : 1;
}
