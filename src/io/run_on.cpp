#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <remora/io/run_on.hpp>

namespace remora::io {

namespace asio = boost::asio;

void pool_job::run() noexcept {
  try {
    call();
  } catch (...) {
    failed_ = std::current_exception();
  }
}

namespace {

/// On the pool: does the job, then resumes the coroutine where it lives. The handler owns the
/// coroutine's frame and with it the job: the job is alive for as long as we are.
template <class Handler>
class pooled {
 public:
  pooled(Handler handler, pool_job* job)
      : loop_(asio::prefer(asio::any_io_executor(asio::get_associated_executor(handler)),
                           asio::execution::outstanding_work.tracked)),
        handler_(std::move(handler)),
        job_(job) {}

  void operator()() {
    job_->run();
    asio::post(loop_, std::move(handler_));
  }

 private:
  // Tracked work: the loop stays in run() although it has nothing else to do.
  asio::any_io_executor loop_;
  Handler handler_;
  pool_job* job_;
};

struct start_on_pool {
  template <class Handler>
  void operator()(Handler&& handler, asio::thread_pool* pool, pool_job* job) const {
    asio::post(*pool, pooled<std::decay_t<Handler>>(std::forward<Handler>(handler), job));
  }
};

}  // namespace

asio::awaitable<void> await_on_pool(asio::thread_pool& pool, pool_job& job) {
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
      start_on_pool{}, asio::use_awaitable, &pool, &job);
}

}  // namespace remora::io
