#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <cassert>
#include <remora/io/task_group.hpp>
#include <stdexcept>
#include <utility>
#include <vector>

namespace remora::io {

namespace asio = boost::asio;

struct task_group::member {
  std::string name;
  asio::cancellation_signal stop;
};

struct task_group::finished {
  task_group* group;
  std::shared_ptr<member> task;
  void operator()(std::exception_ptr failure) const { group->remove(task, std::move(failure)); }
};

namespace {

/// A loop that was stopped is about to be destroyed with all that waits in it: a simulated crash.
[[maybe_unused]] bool given_up(const asio::any_io_executor& executor) {
  const auto* loop = executor.target<asio::io_context::executor_type>();
  return loop && loop->context().stopped();
}

/// The exception that names the task, or nothing where `failure` is none.
std::exception_ptr named(const std::string& name, const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const boost::system::system_error& e) {
    if (e.code() == asio::error::operation_aborted) return nullptr;
  } catch (...) {
  }
  try {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& e) {
      std::throw_with_nested(std::runtime_error(name + ": " + e.what()));
    } catch (...) {
      std::throw_with_nested(std::runtime_error(name + ": an exception of unknown type"));
    }
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace

task_group::task_group(asio::any_io_executor executor, std::function<void()> failed)
    : executor_(executor), told_(std::move(failed)), idle_(std::move(executor)) {}

task_group::~task_group() {
  assert(members_.empty() || given_up(executor_));
}

void task_group::spawn(std::string name, asio::awaitable<void> work) {
  auto task = std::make_shared<member>();
  task->name = std::move(name);
  members_.push_back(task);
  const asio::cancellation_slot slot = task->stop.slot();
  asio::co_spawn(executor_, std::move(work),
                 asio::bind_cancellation_slot(slot, finished{this, std::move(task)}));
}

void task_group::cancel() {
  // A copy: what a cancellation ends at once leaves the list.
  const std::vector<std::shared_ptr<member>> running(members_.begin(), members_.end());
  for (const auto& task : running) task->stop.emit(asio::cancellation_type::terminal);
}

void task_group::remove(const std::shared_ptr<member>& done, std::exception_ptr failure) {
  members_.remove(done);
  const bool first = failure && !failed_;
  if (first) failed_ = named(done->name, failure);
  if (members_.empty()) idle_.notify();
  if (first && failed_ && told_) told_();
}

asio::awaitable<void> task_group::join() {
  while (!members_.empty()) co_await idle_.wait();
  if (failed_) std::rethrow_exception(std::exchange(failed_, nullptr));
}

}  // namespace remora::io
