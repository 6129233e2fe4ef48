#include "git/stat_cache.hpp"

#include <boost/test/unit_test.hpp>

#include "git/shared_trees.hpp"

using namespace remora::git;

namespace {

oid id_of(unsigned char n) {
  unsigned char raw[20] = {n};
  return oid(raw);
}

record file(unsigned char n) {
  record r;
  r.id = id_of(n);
  r.mode = mode::file;
  r.stamp = {n, 2, 3, 4};
  r.in_base = true;
  return r;
}

std::shared_ptr<directory> two_files(unsigned char tree) {
  auto d = std::make_shared<directory>();
  d->add("b", file(2), nullptr);
  d->add("a", file(1), nullptr);
  d->sort();
  d->tree = id_of(tree);
  return d;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(stat_cache)

BOOST_AUTO_TEST_CASE(a_record_comes_back_as_it_was_added) {
  directory d;
  record r = file(7);
  r.written = 5;
  r.mode = mode::executable;
  r.gone = r.racy = r.from_index = r.converted = r.kept = true;
  d.add("name", r, nullptr);
  const record got = d.at(0);
  BOOST_TEST(got.name == "name");
  BOOST_TEST((got.stamp == r.stamp && got.id == r.id && got.mode == r.mode));
  BOOST_TEST(got.written == 5u);
  BOOST_TEST((got.in_base && got.gone && got.racy && got.from_index && got.converted && got.kept));
  d.add("plain", record(), nullptr);
  const record plain = d.at(1);
  BOOST_TEST(!(plain.in_base || plain.gone || plain.racy || plain.from_index || plain.converted ||
               plain.kept));
  BOOST_TEST(plain.child == record::no_child);
}

BOOST_AUTO_TEST_CASE(it_is_found_by_name_and_through_directories) {
  directory root;
  record below = file(9);
  below.mode = mode::directory;
  root.add("sub", below, two_files(3));
  root.add("other", file(4), nullptr);
  root.sort();
  BOOST_TEST(root.name(0) == "other");
  BOOST_TEST(!root.find("su"));
  BOOST_TEST(root.child(*root.find("sub"))->size() == 2u);
  BOOST_TEST((find_record(root, "sub/a")->id == id_of(1)));
  BOOST_TEST((find_record(root, "other")->id == id_of(4)));
  BOOST_TEST(!find_record(root, "other/a"));
  BOOST_TEST(!find_record(root, "sub/c"));
}

BOOST_AUTO_TEST_CASE(names_of_one_tree_are_kept_once_while_somebody_has_them) {
  shared_trees shared;
  auto one = two_files(1), other = two_files(1), different = two_files(2);
  one->settle(&shared);
  other->settle(&shared);
  different->settle(&shared);
  BOOST_TEST((one->name(0).data() == other->name(0).data()));
  BOOST_TEST((one->name(0).data() != different->name(0).data()));
  one.reset();
  BOOST_TEST(other->name(1) == "b");
  other.reset();
  auto again = two_files(1);
  again->settle(&shared);
  BOOST_TEST(again->name(1) == "b");
}

BOOST_AUTO_TEST_CASE(what_the_tree_does_not_say_is_not_shared) {
  shared_trees shared;
  auto plain = two_files(1);
  plain->settle(&shared);
  auto d = std::make_shared<directory>();
  record gone = file(3);
  gone.gone = true;
  d->add("a", file(1), nullptr);
  d->add("b", file(2), nullptr);
  d->add("c", gone, nullptr);
  d->tree = id_of(1);
  d->settle(&shared);
  BOOST_TEST(d->size() == 3u);
  BOOST_TEST(d->name(2) == "c");
  BOOST_TEST(plain->size() == 2u);
}

BOOST_AUTO_TEST_CASE(trees_that_nobody_has_are_forgotten) {
  shared_trees shared;
  std::vector<std::shared_ptr<directory>> held;
  for (int i = 0; i < 5000; ++i) {
    auto d = std::make_shared<directory>();
    d->add("a", file(1), nullptr);
    unsigned char raw[20] = {static_cast<unsigned char>(i), static_cast<unsigned char>(i >> 8), 1};
    d->tree = oid(raw);
    d->settle(&shared);
    if (i % 100 == 0) held.push_back(std::move(d));
  }
  BOOST_TEST(shared.size() < 2000u);
  for (const auto& d : held) BOOST_TEST(d->name(0) == "a");
}

BOOST_AUTO_TEST_SUITE_END()
