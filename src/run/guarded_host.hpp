// A host that starts nothing once the run is another orchestrator's. Private to the run room.
#pragma once

#include <remora/run/run_store.hpp>

namespace remora::run {

class guarded_host final : public process::host {
 public:
  guarded_host(process::host& inner, const run_store& store) : host_(inner), store_(store) {}

  boost::asio::awaitable<result<std::unique_ptr<process::child>>> start(
      process::spawn_spec spec) override {
    const auto ours = store_.check();
    if (!ours) co_return ours.error();
    auto child = co_await host_.start(std::move(spec));
    co_return std::move(child);
  }
  std::vector<std::string> unenforceable(const process::tree_limits& limits) override {
    return host_.unenforceable(limits);
  }
  boost::asio::awaitable<void> join() override { return host_.join(); }

 private:
  process::host& host_;
  const run_store& store_;
};

}  // namespace remora::run
