// A record's message comes from a repository that agents can write to. Whatever it holds, the
// reader answers; and what it accepts is written again as something that reads the same.
#include <cstdlib>
#include <remora/checkpoint/record.hpp>

using namespace remora;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view message(reinterpret_cast<const char*>(data), size);
  (void)checkpoint::parse_files_message(message);
  const auto read = checkpoint::parse_record_message(message);
  if (!read) return 0;
  const std::string once = checkpoint::record_message(*read);
  const auto again = checkpoint::parse_record_message(once);
  if (!again || checkpoint::record_message(*again) != once) std::abort();
  if (again->run != read->run || again->files != read->files || again->keep != read->keep)
    std::abort();
  return 0;
}
