#define BOOST_TEST_MODULE remora
#include <boost/test/unit_test.hpp>
#include <iostream>

namespace {

/// What a test had said that crashes, or is ended for hanging, is not lost in a buffer.
const bool unbuffered = [] {
  std::cout << std::unitbuf;
  return true;
}();

}  // namespace
