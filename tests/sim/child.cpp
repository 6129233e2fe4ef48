#include "sim/child.hpp"

#include "sim/checker.hpp"
#include "sim/life.hpp"

namespace remora::sim {

namespace asio = boost::asio;
using namespace std::chrono_literals;

virtual_child::virtual_child(world& w, const life& owner, virtual_process& p,
                             asio::any_io_executor loop)
    : w_(w), owner_(owner), p_(p), who_{4000, 1, w.boot}, events_(std::move(loop)) {
  p_.child = this;
}

virtual_child::~virtual_child() {
  p_.child = nullptr;
  if (!owner_.crashed()) kill_tree(w_, p_);
}

// Not in the header: g++ 12 then takes the alternatives that a moved variant does not hold for
// uninitialised.
void virtual_child::report(process::child_event e) {
  events_.post(std::move(e));
}

namespace {

virtual_process& add_process(world& w, const life& owner, const process::spawn_spec& spec) {
  auto p = std::make_unique<virtual_process>();
  p->name = spec.attempt_dir.filename().string();
  p->task = w.index_of(p->name.substr(0, p->name.find('.')));
  p->slot = spec.cwd.string();
  p->owner = &owner;
  p->agent = spec.argv.back();
  if (p->name.ends_with(".setup"))
    p->what = program::setup;
  else if (p->name.find(".verify.") != p->name.npos)
    p->what = program::verify;
  w.processes.push_back(std::move(p));
  return *w.processes.back();
}

}  // namespace

asio::awaitable<result<std::unique_ptr<process::child>>> virtual_host::start(
    process::spawn_spec spec) {
  const std::string name = spec.attempt_dir.filename().string();
  const bool faulty = w_.goes_wrong(w_.odds.spawn);
  if (w_.living(name)) co_return fail(errc::held, "a shim lives in " + name);
  if (faulty && w_.random.one_in(2)) {
    owner_.faulted = true;
    co_await owner_.pass(w_.random.between(1ms, 50ms));
    co_return os_error(EAGAIN, "cannot start " + name);
  }
  virtual_process& p = add_process(w_, owner_, spec);
  w_.note("{} starts in {}", p.name, p.slot);
  w_.check->starts(p, &owner_);
  if (faulty) {  // its shim is killed before it told of it
    begin_process(w_, p);
    co_await owner_.pass(w_.random.between(1ms, 3000ms));
    end_tree(w_, p, true);
    co_return fail(errc::killed, "the shim of " + name + " was killed");
  }
  auto child = std::make_unique<virtual_child>(w_, owner_, p, owner_.executor());
  begin_process(w_, p);
  const bool hangs = w_.goes_wrong(w_.odds.spawn);
  const duration takes = hangs ? w_.random.between(30s, 90s) : w_.random.between(1ms, 20ms);
  co_await owner_.pass(takes);
  co_return std::unique_ptr<process::child>(std::move(child));
}

asio::awaitable<void> virtual_host::join() {
  co_return;
}

}  // namespace remora::sim
