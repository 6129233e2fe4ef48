#include <remora/front/cli.hpp>

namespace remora::front {

int exit_status(const error& e) {
  for (const errc wrong_words : {errc::usage, errc::no_match, errc::ambiguous})
    if (e.is(wrong_words)) return 2;
  return e.is(errc::stopped) ? 3 : 4;
}

}  // namespace remora::front
