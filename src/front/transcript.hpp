// What an agent printed: found, and shown as what it said and did. Private to the front.
#pragma once

#include <remora/process/line_framer.hpp>
#include <remora/run/layout.hpp>

#include "front/render.hpp"

namespace remora::front {

/// All bytes that an attempt printed: from its directory while the run's journal is here, else from
/// the checkpoint or the run's record. None where nothing was kept.
result<std::string> read_transcript(const task_in_repository& t, attempt_no attempt);

/// The bytes of `out` from `offset` on, while the attempt's directory is there.
result<std::string> read_output(const task_in_repository& t, attempt_no attempt,
                                std::uint64_t offset);

/// Prints one attempt, in as many pieces as come. `adapter` null: only the raw bytes are known.
class attempt_log {
 public:
  attempt_log(session& s, const task_in_repository& t, const run::attempt_fold& a,
              const agent::adapter* adapter, bool raw);

  void feed(std::string_view bytes);
  /// Nothing more will come.
  void finish();
  attempt_no number() const noexcept { return number_; }
  std::uint64_t taken() const noexcept { return taken_; }

 private:
  void line(std::string_view text);

  session& s_;
  const task_in_repository& where_;
  attempt_no number_;
  bool raw_;
  std::unique_ptr<agent::parser> parser_;
  process::line_framer lines_;
  std::uint64_t taken_ = 0;
};

/// The adapter of an attempt's agent; null where the plan does not know it.
result<const agent::adapter*> adapter_of(const run::plan& plan, const run::attempt_fold& a);

}  // namespace remora::front
