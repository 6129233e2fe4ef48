#include "git/pack_delta.hpp"

#include <boost/test/unit_test.hpp>
#include <random>

#include "noise.hpp"

using namespace remora::git;
using remora::test::noise;

namespace {

/// Cuts, repeats and changes pieces of it.
std::string edited(std::string bytes, std::mt19937& random, std::uint32_t seed) {
  const auto below = [&](std::size_t n) { return n == 0 ? 0 : random() % n; };
  for (std::size_t edits = below(8); edits > 0; --edits) {
    const std::size_t at = below(bytes.size()), size = below(bytes.size() - at);
    switch (below(3)) {
      case 0:
        bytes.erase(at, size);
        break;
      case 1:
        bytes.insert(at, bytes.substr(below(bytes.size()), size));
        break;
      default:
        bytes.replace(at, std::min<std::size_t>(size, 20), noise(below(40), seed));
    }
  }
  return bytes;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pack_delta)

BOOST_AUTO_TEST_CASE(a_delta_makes_the_target_of_its_base) {
  std::mt19937 random(1);
  for (std::uint32_t i = 0; i < 2000; ++i) {
    const std::string base = noise(random() % 3000, i);
    const std::string target = edited(base, random, i);
    BOOST_REQUIRE(apply_delta(base, make_delta(base, target)).value() == target);
  }
  const std::string large = noise(300'000, 7);
  for (const std::string& target : {large + "x", "x" + large, large.substr(70'000) + large})
    BOOST_TEST((apply_delta(large, make_delta(large, target)) == target));
  for (const std::string& base : {std::string(), std::string(100, 'a'), std::string(16, '\0')})
    for (const std::string& target : {std::string(), std::string(70'000, 'a')})
      BOOST_TEST((apply_delta(base, make_delta(base, target)) == target));
}

BOOST_AUTO_TEST_CASE(what_did_not_change_costs_some_bytes) {
  const std::string base = noise(200'000, 3);
  std::string target = base;
  for (const std::size_t at : {10U, 100'000U, 199'999U}) target[at] ^= 1;
  BOOST_TEST(make_delta(base, target).size() < 100u);
  BOOST_TEST(make_delta(base, noise(1000, 4)).size() < 1020u);
}

BOOST_AUTO_TEST_CASE(F9_a_damaged_delta_is_refused_or_gives_as_many_bytes_as_it_says) {
  const std::string base = noise(500, 1);
  const std::string target = base.substr(100) + "something new" + base.substr(0, 200);
  const std::string delta = make_delta(base, target);
  for (std::size_t at = 0; at < delta.size(); ++at) {
    BOOST_TEST(!apply_delta(base, delta.substr(0, at)));
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string damaged = delta;
      damaged[at] = static_cast<char>(damaged[at] ^ 1 << bit);
      const auto made = apply_delta(base, damaged);
      if (made && at > 3) BOOST_TEST(made->size() == target.size());
    }
  }
  BOOST_TEST(!apply_delta(base + "x", delta));
  BOOST_TEST(!apply_delta(base, delta + "\x90\x01"));
  BOOST_TEST(!apply_delta(base, std::string("\xf4\x03\x01\x00", 4)));  // reserved
  BOOST_TEST(!apply_delta("", "\xff"));
}

BOOST_AUTO_TEST_SUITE_END()
